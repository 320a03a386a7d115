//! Secrets Manager through the AWS SDK: reads, lists and writes versions, and moves labels by compare-and-swap.
//!
//! A method is one attempt of one request. The SDK's own retries are off, because `Attempts` knows the deadline. A
//! write has a `ClientRequestToken`, so it can be repeated after a lost answer. Errors have the class, the missing
//! permission and the advice.

mod denial;
mod failure;
mod plain;

use std::env;

use aws_config::{
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    meta::region::ProvideRegion,
};
use aws_sdk_secretsmanager::{
    Client,
    config::{BehaviorVersion, Config, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
    types::{Filter, FilterNameStringType, SecretListEntry, SecretValueEntry, SecretVersionsListEntry},
};
use failure::Call;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    error::{Error, Kind},
    http::Http,
    transport::{
        Description, Directory, Label, Listed, Page, PutResult, Store, Stored, SwapResult, Tag, VersionSelector,
    },
};

/// A client of Secrets Manager.
///
/// The futures of the SDK are boxed, because they are large and would be copied into the futures of a refresh.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    client: Client,
}

impl SecretsManager {
    /// Creates a client from the environment, in which Lambda puts the credentials, the Region and the endpoint. The
    /// SDK's loader also reads files and other services, and makes the function a tenth larger.
    ///
    /// # Errors
    /// `InvalidConfiguration` if the HTTP client cannot be built.
    pub async fn connect(http: &Http) -> Result<Self, Error> {
        let sdk_client = http.sdk_client();
        let sdk_client =
            sdk_client.map_err(|_| Error::new(Kind::InvalidConfiguration, "The HTTP client could not be set up."))?;
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(sdk_client)
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .region(EnvironmentVariableRegionProvider::new().region().await)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            // The HTTP client reads whole bodies, and each attempt has a timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .interceptor(plain::Plain);
        config.set_endpoint_url(endpoint_url());
        config.set_use_fips(switch("AWS_USE_FIPS_ENDPOINT"));
        config.set_use_dual_stack(switch("AWS_USE_DUALSTACK_ENDPOINT"));
        Ok(Self { client: Client::from_conf(config.build()) })
    }
}

/// Returns the endpoint of AWS's own variables, if one is set.
fn endpoint_url() -> Option<String> {
    if switch("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == Some(true) {
        return None;
    }
    variable("AWS_ENDPOINT_URL_SECRETS_MANAGER").or_else(|| variable("AWS_ENDPOINT_URL"))
}

fn switch(name: &str) -> Option<bool> {
    variable(name).map(|value| value.eq_ignore_ascii_case("true"))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl Store for SecretsManager {
    async fn get(&self, secret: &str, which: VersionSelector<'_>) -> Result<Option<Stored>, Error> {
        let request = self.client.get_secret_value().secret_id(secret);
        let request = match which {
            VersionSelector::Label(label) => request.version_stage(label.name()),
            VersionSelector::Id(id) => request.version_id(id),
        };
        let output = match Box::pin(request.send()).await {
            Ok(output) => output,
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(Call::Get.failed(secret, &error)),
        };
        let (Some(arn), Some(version_id)) = (output.arn, output.version_id) else {
            return Err(Error::new(
                Kind::SecretsManagerUnavailable,
                "Secrets Manager answered without the id of the version.",
            ));
        };
        let body = output.secret_string.map(SecretString::from).ok_or_else(|| {
            Error::new(Kind::InvalidSecret, format!("The secret '{secret}' is binary."))
                .advise("Store the JSON object as text.")
        })?;
        let labels = known(output.version_stages);
        Ok(Some(Stored { arn, version_id, labels, body }))
    }

    async fn describe(&self, secret: &str) -> Result<Option<Description>, Error> {
        let request = self.client.describe_secret().secret_id(secret);
        let output = match Box::pin(request.send()).await {
            Ok(output) => output,
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(Call::Describe.failed(secret, &error)),
        };
        let labels = output.version_ids_to_stages().into_iter().flatten().collect();
        let tags = output.tags.into_iter().flatten().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
        Ok(Some(Description { labels, tags: tags.collect() }))
    }

    async fn count_versions(&self, secret: &str, since: Timestamp) -> Result<usize, Error> {
        let (mut number, mut next) = (0, None);
        loop {
            let request = self.client.list_secret_version_ids().secret_id(secret).include_deprecated(true);
            let request = request.max_results(100).set_next_token(next);
            let output = Box::pin(request.send()).await.map_err(|error| Call::ListVersions.failed(secret, &error))?;
            // A version without a creation date counts as young.
            let is_young =
                |it: &SecretVersionsListEntry| it.created_date.is_none_or(|at| at.secs() >= since.as_second());
            number += output.versions.into_iter().flatten().filter(is_young).count();
            next = output.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(number);
            }
        }
    }

    async fn put(&self, secret: &str, id: &str, labels: &[Label], body: &SecretString) -> Result<PutResult, Error> {
        let request = self
            .client
            .put_secret_value()
            .secret_id(secret)
            .client_request_token(id)
            .set_version_stages(Some(labels.iter().map(|label| label.name().to_owned()).collect()))
            .secret_string(body.expose_secret());
        match Box::pin(request.send()).await {
            Ok(_) => Ok(PutResult::Written),
            Err(error) if error.code() == Some("ResourceExistsException") => Ok(PutResult::Taken),
            Err(error) => Err(Call::failed_to_write(secret, &error, body)),
        }
    }

    async fn promote(&self, secret: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.move_label(secret, Label::Current, Some(to), from).await
    }

    async fn move_pending(&self, secret: &str, to: &str, from: &str) -> Result<SwapResult, Error> {
        self.move_label(secret, Label::Pending, Some(to), from).await
    }

    async fn detach(&self, secret: &str, label: Label, from: &str) -> Result<SwapResult, Error> {
        self.move_label(secret, label, None, from).await
    }
}

/// Returns the labels that the function uses.
fn known(names: Option<Vec<String>>) -> Vec<Label> {
    names.into_iter().flatten().filter_map(|name| Label::named(&name)).collect()
}

impl Directory for SecretsManager {
    async fn list(&self, tag: &Tag, page: Option<&str>) -> Result<Page, Error> {
        let request =
            self.client.list_secrets().set_filters(Some(filters(tag))).set_next_token(page.map(str::to_owned));
        let output = Box::pin(request.send()).await.map_err(|error| Call::List.failed("*", &error))?;
        let secrets = output.secret_list.into_iter().flatten().filter(|secret| has_tag(secret, tag));
        let listed = |secret: SecretListEntry| {
            let labels = secret.secret_versions_to_stages.into_iter().flatten().collect();
            Some(Listed { arn: secret.arn?, labels })
        };
        Ok(Page { secrets: secrets.filter_map(listed).collect(), next: output.next_token })
    }

    async fn read_many(&self, arns: &[&str]) -> Result<Vec<Stored>, Error> {
        let ids = arns.iter().map(|&arn| arn.to_owned()).collect();
        let request = self.client.batch_get_secret_value().set_secret_id_list(Some(ids));
        let output = Box::pin(request.send()).await.map_err(|error| Call::ReadMany.failed("*", &error))?;
        let stored = |value: SecretValueEntry| {
            let labels = known(value.version_stages);
            Some(Stored { arn: value.arn?, version_id: value.version_id?, labels, body: value.secret_string?.into() })
        };
        Ok(output.secret_values.into_iter().flatten().filter_map(stored).collect())
    }
}

/// Returns the filters that exclude most other secrets. A filter matches prefixes and does not tie a value to its key,
/// so the caller checks the tags again.
fn filters(tag: &Tag) -> Vec<Filter> {
    // A filter accepts fewer characters than a tag.
    let fits =
        |value: &&str| !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || " :_@/+=.-".contains(c));
    let filter = |key, value: &str| Filter::builder().key(key).values(value).build();
    let key = Some(tag.key.as_str()).filter(fits).map(|key| filter(FilterNameStringType::TagKey, key));
    let value = tag.value.as_deref().filter(fits).map(|value| filter(FilterNameStringType::TagValue, value));
    key.into_iter().chain(value).collect()
}

fn has_tag(secret: &SecretListEntry, tag: &Tag) -> bool {
    tag.is_among(secret.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default()))))
}

impl SecretsManager {
    async fn move_label(&self, secret: &str, label: Label, to: Option<&str>, from: &str) -> Result<SwapResult, Error> {
        let request = self
            .client
            .update_secret_version_stage()
            .secret_id(secret)
            .version_stage(label.name())
            .set_move_to_version_id(to.map(str::to_owned))
            .remove_from_version_id(from);
        match Box::pin(request.send()).await {
            Ok(_) => Ok(SwapResult::Swapped),
            Err(error) if error.code() == Some("InvalidParameterException") => {
                // If the label is not on `from`, AWS's message says where it is "currently attached". Other messages
                // can mean the same.
                let says_so = error.message().is_some_and(|message| message.contains("currently attached"));
                if says_so || self.is_elsewhere(secret, label, from).await {
                    return Ok(SwapResult::Conflict);
                }
                Err(Call::Promote.failed(secret, &error))
            }
            Err(error) => Err(Call::Promote.failed(secret, &error)),
        }
    }

    /// Returns true if the label is on another version than `version`.
    async fn is_elsewhere(&self, secret: &str, label: Label, version: &str) -> bool {
        let described = self.describe(secret).await;
        described.is_ok_and(|secret| secret.is_some_and(|secret| secret.labels.version(label) != Some(version)))
    }
}
