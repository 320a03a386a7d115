//! `ListSecrets` and `BatchGetSecretValue`: filters, pages, and errors of single secrets.

use super::core::{Secret, SecretsManager};
use super::error::{Error, Exception, Result};
use super::records::{SecretEntry, SecretValue};

/// One filter: a key, and values of which one must match. Several filters must all match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// `name`, `tag-key`, `tag-value`, `description` or `all`.
    pub key: String,
    /// Prefixes; one that begins with `!` matches what does not have the rest as a prefix.
    pub values: Vec<String>,
}

/// A part of a longer list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// The token of the next page. `None` on the last page.
    pub next_token: Option<String>,
}

/// A secret that `BatchGetSecretValue` could not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The id as it was asked for, or the ARN.
    pub secret_id: String,
    /// Why.
    pub error: Error,
}

impl SecretsManager {
    /// `ListSecrets`, in the order of creation, of the secrets as they are or as they were when the list was frozen.
    pub fn list_secrets(
        &self,
        filters: &[Filter],
        max_results: Option<u64>,
        next_token: Option<&str>,
        include_deleted: bool,
    ) -> Result<Page<SecretEntry>> {
        self.permit("ListSecrets", "*", &[])?;
        let size = page_size(max_results, 100)?;
        check(filters)?;
        let fits = |entry: &SecretEntry| fit(entry, filters, include_deleted);
        if let Some(listed) = &self.listed {
            let Page { items, next_token } =
                page(listed.iter().filter(|entry| fits(entry)).collect(), size, next_token)?;
            return Ok(Page { items: items.into_iter().cloned().collect(), next_token });
        }
        let found = self.secrets.iter().filter(|secret| fits(&secret.entry));
        // Only what is on the page is looked at closely: a fleet has a hundred pages.
        let Page { items, next_token } = page(found.collect(), size, next_token)?;
        Ok(Page { items: items.into_iter().map(Secret::describe).collect(), next_token })
    }

    /// `BatchGetSecretValue` by ids.
    pub fn batch_get_by_ids(&mut self, ids: &[String]) -> Result<(Vec<SecretValue>, Vec<Failed>)> {
        self.permit("BatchGetSecretValue", "*", &[])?;
        if ids.is_empty() || ids.len() > 20 {
            let bound = if ids.is_empty() { "greater than or equal to 1" } else { "less than or equal to 20" };
            return Err(Error::constraint("secretIdList", &format!("Member must have length {bound}")));
        }
        Ok(self.read_all(ids))
    }

    /// `BatchGetSecretValue` by filters: AWSCURRENT of a page of secrets.
    pub fn batch_get_by_filters(
        &mut self,
        filters: &[Filter],
        max_results: Option<u64>,
        next_token: Option<&str>,
    ) -> Result<(Page<SecretValue>, Vec<Failed>)> {
        self.permit("BatchGetSecretValue", "*", &[])?;
        self.permit("ListSecrets", "*", &[])?;
        let size = page_size(max_results, 20)?;
        check(filters)?;
        let found = self.secrets.iter().map(|secret| &secret.entry).filter(|entry| fit(entry, filters, false));
        let Page { items, next_token } = page(found.collect(), size, next_token)?;
        let arns: Vec<String> = items.into_iter().map(|entry| entry.arn.clone()).collect();
        let (items, failed) = self.read_all(&arns);
        Ok((Page { items, next_token }, failed))
    }

    fn read_all(&mut self, ids: &[String]) -> (Vec<SecretValue>, Vec<Failed>) {
        let (mut values, mut failed) = (Vec::new(), Vec::new());
        for id in ids {
            match self.get_secret_value(id, None, None) {
                Ok(value) => values.push(value),
                Err(error) => failed.push(Failed { secret_id: id.clone(), error }),
            }
        }
        (values, failed)
    }
}

fn check(filters: &[Filter]) -> Result<()> {
    const KEYS: [&str; 7] = ["name", "tag-key", "tag-value", "description", "all", "primary-region", "owning-service"];
    let is_right = |filter: &Filter| KEYS.contains(&filter.key.as_str()) && (1..=10).contains(&filter.values.len());
    if filters.len() > 10 || !filters.iter().all(is_right) {
        return Err(Error::constraint("filters", "Member must satisfy enum value set and have up to 10 values"));
    }
    let is_usual = |c: char| c.is_ascii_alphanumeric() || " :_@/+=.-!".contains(c);
    if !filters.iter().flat_map(|filter| &filter.values).all(|value| value.chars().all(is_usual)) {
        return Err(Error::constraint("filters", "Member must satisfy regular expression pattern"));
    }
    Ok(())
}

fn fit(entry: &SecretEntry, filters: &[Filter], include_deleted: bool) -> bool {
    (include_deleted || entry.deleted.is_none()) && filters.iter().all(|filter| filter.fits(entry))
}

impl Filter {
    fn fits(&self, secret: &SecretEntry) -> bool {
        let texts = self.texts(secret);
        self.values.iter().any(|value| match value.strip_prefix('!') {
            Some(value) => !texts.iter().any(|text| text.starts_with(value)),
            None => texts.iter().any(|text| text.starts_with(value.as_str())),
        })
    }

    /// The texts of a secret that this filter looks at. AWS does not tie a tag's key to its value here.
    fn texts<'a>(&self, secret: &'a SecretEntry) -> Vec<&'a str> {
        let name = || [secret.name.as_str()].into_iter();
        let description = || secret.description.as_deref().into_iter();
        let keys = || secret.tags.keys().map(String::as_str);
        let values = || secret.tags.values().map(String::as_str);
        match self.key.as_str() {
            "name" => name().collect(),
            "description" => description().collect(),
            "tag-key" => keys().collect(),
            "tag-value" => values().collect(),
            "all" => name().chain(description()).chain(keys()).chain(values()).collect(),
            _ => Vec::new(),
        }
    }
}

fn page_size(asked: Option<u64>, most: u64) -> Result<usize> {
    let size = asked.unwrap_or(most);
    if !(1..=most).contains(&size) {
        let constraint = format!("Member must have value between 1 and {most}");
        return Err(Error::constraint("maxResults", &constraint));
    }
    Ok(usize::try_from(size).unwrap_or(usize::MAX))
}

fn page<T>(all: Vec<T>, size: usize, token: Option<&str>) -> Result<Page<T>> {
    const PREFIX: &str = "from-";
    let start = match token {
        None => 0,
        Some(token) => token
            .strip_prefix(PREFIX)
            .and_then(|start| start.parse().ok())
            .ok_or_else(|| Error::new(Exception::InvalidNextToken, "The NextToken value is invalid."))?,
    };
    let end = start + size;
    let next_token = (end < all.len()).then(|| format!("{PREFIX}{end}"));
    Ok(Page { items: all.into_iter().skip(start).take(size).collect(), next_token })
}
