//! The typed view of a document. Input: a [`Document`]. Output: [`Credentials`]. Error: `InvalidSecret` with the field
//! that a person must correct.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Document, Fingerprint, Origin, Provenance, field, json_text, pasted};
use crate::error::{Error, Kind};

/// The kind of grant, which determines how an access token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// An advertiser's token with a refresh token: `oauth2/refresh_token/`.
    Business,
    /// An account holder's token: `tt_user/oauth2/refresh_token/`.
    TtUser,
    /// A token that does not expire. It is checked and not refreshed.
    LongTerm,
}

impl Flow {
    /// Returns the value of the field `flow`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Business => "business",
            Self::TtUser => "tt_user",
            Self::LongTerm => "long_term",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The credentials of the TikTok app.
#[derive(Clone, Debug)]
pub struct App {
    pub id: String,
    pub secret: SecretString,
}

/// The place of the app's credentials.
#[derive(Clone, Debug)]
pub enum AppSource {
    /// The document itself.
    Inline(App),
    /// Another secret, which several credentials secrets share.
    Secret(String),
}

/// An advertiser account that the access token can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertiser {
    /// Up to 19 digits. Always a string, because a JavaScript number is not exact enough.
    #[serde(rename = "advertiser_id", deserialize_with = "id_text")]
    pub id: String,
    /// `None` if the document was reduced to ids.
    #[serde(rename = "advertiser_name", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(flatten)]
    pub info: AdvertiserInfo,
}

/// Advertiser info, with TikTok's names and values. All `None` unless `ADVERTISER_INFO` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertiserInfo {
    /// The ISO 4217 code, such as `EUR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The IANA time zone, such as `Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_timezone: Option<String>,
    /// The fixed offset of TikTok's reports, such as `Etc/GMT-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// TikTok's status, such as `STATUS_ENABLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl Advertiser {
    /// Creates an advertiser without info.
    #[must_use]
    pub fn new(id: String, name: Option<String>) -> Self {
        Self { id, name, info: AdvertiserInfo::default() }
    }
}

/// The position of the current pair compared with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same pair.
    Same,
    /// The current pair is before the other one in its chain.
    Ancestor,
    /// The current pair is after the other one in its chain.
    Later,
    /// The pairs are in different chains.
    Unrelated,
}

/// The typed view of a document.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub app: AppSource,
    pub flow: Flow,
    pub refresh_token: Option<SecretString>,
    pub access_token: Option<SecretString>,
    pub fingerprint: Fingerprint,
    /// `None` if the tokens are not the function's. The four times below are absent then, too.
    pub origin: Option<Origin>,
    pub access_token_expires_at: Option<Timestamp>,
    pub refresh_token_expires_at: Option<Timestamp>,
    pub refreshed_at: Option<Timestamp>,
    /// The time of the authorization. `None` if it was not made with this function.
    pub authorized_at: Option<Timestamp>,
    pub advertisers: Vec<Advertiser>,
    pub advertisers_fetched_at: Option<Timestamp>,
}

impl Credentials {
    /// Parses a document.
    ///
    /// # Errors
    /// `InvalidSecret` with the field that a person must correct. A field of the function that cannot be parsed counts
    /// as absent, because the next run writes it.
    pub fn of(document: &Document) -> Result<Self, Error> {
        let (refresh_token, access_token) = token_pair(document)?;
        let flow = flow(document, refresh_token.is_some())?;
        let fingerprint = Fingerprint::of(refresh_token.as_ref(), access_token.as_ref());
        let origin: Option<Origin> =
            own(document, field::ORIGIN).filter(|origin: &Origin| origin.fingerprint == fingerprint);
        if origin.is_none() {
            // Only pasted tokens are checked for damage. TikTok's are used as they are.
            for name in [field::REFRESH_TOKEN, field::ACCESS_TOKEN] {
                token(document, name)?;
            }
        }
        let time = |name| origin.as_ref().and_then(|_| own(document, name));
        Ok(Self {
            app: app_source(document)?,
            access_token_expires_at: time(field::ACCESS_TOKEN_EXPIRES_AT),
            refresh_token_expires_at: time(field::REFRESH_TOKEN_EXPIRES_AT),
            refreshed_at: time(field::REFRESHED_AT),
            authorized_at: time(field::AUTHORIZED_AT),
            advertisers: advertisers(document),
            advertisers_fetched_at: own(document, field::ADVERTISERS_FETCHED_AT),
            flow,
            refresh_token,
            access_token,
            fingerprint,
            origin,
        })
    }

    /// Returns the position of the pair in its chain. `None` if a person wrote the pair.
    #[must_use]
    pub fn provenance(&self) -> Option<&Provenance> {
        self.origin.as_ref().map(|origin| &origin.provenance)
    }

    /// Returns the fingerprints of the pairs directly before this one, oldest first.
    #[must_use]
    pub fn lineage(&self) -> &[Fingerprint] {
        self.provenance().map_or(&[], |provenance| &provenance.lineage)
    }

    /// Checks that the tokens of the flow are there. A secret without tokens is valid, because an authorization adds
    /// them.
    ///
    /// # Errors
    /// `ReauthorizationRequired` without any token, `InvalidSecret` if the tokens do not fit the flow.
    pub fn has_tokens(&self) -> Result<(), Error> {
        let flow = self.flow;
        match (flow, &self.refresh_token, &self.access_token) {
            (_, None, None) => {
                let what =
                    "The secret holds neither a 'refresh_token' nor an 'access_token': the app is not authorized yet.";
                Err(Error::new(Kind::ReauthorizationRequired, what))
            }
            (Flow::LongTerm, _, None) => {
                let what =
                    "The field 'flow' is \"long_term\", which needs an 'access_token', and the secret holds none.";
                Err(Error::new(Kind::InvalidSecret, what)
                    .advise("Remove 'flow', so that the refresh token is used, or authorize the app again."))
            }
            (Flow::Business | Flow::TtUser, None, _) => {
                let what = format!(
                    "The field 'flow' is \"{flow}\", which needs a 'refresh_token', and the secret holds none."
                );
                Err(Error::new(Kind::InvalidSecret, what).advise(
                    "Put the refresh token into the secret, or set 'flow' to \"long_term\" if TikTok gave you none.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Returns true if the document has a token.
    #[must_use]
    pub const fn has_any_token(&self) -> bool {
        self.refresh_token.is_some() || self.access_token.is_some()
    }

    /// Returns true if the document has a refresh token to redeem.
    #[must_use]
    pub fn can_be_renewed(&self) -> bool {
        self.flow != Flow::LongTerm && self.refresh_token.is_some()
    }

    /// Returns the number of pairs before this one. Zero for a pair that a person wrote.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.provenance().map_or(0, |provenance| provenance.place)
    }

    /// Returns the number of the authorization. Zero for a pair that a person wrote.
    #[must_use]
    pub fn authorization(&self) -> u64 {
        self.provenance().map_or(0, |provenance| provenance.authorization)
    }

    /// Returns the fingerprint of the first pair of the chain.
    #[must_use]
    pub fn root(&self) -> &Fingerprint {
        self.provenance().map_or(&self.fingerprint, |provenance| &provenance.root)
    }

    /// Returns true if TikTok reported an error beside the pair.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.provenance().is_some_and(|provenance| provenance.doubtful)
    }

    /// Returns true if the grant was exchanged for the auth code with that fingerprint.
    #[must_use]
    pub fn is_of_code(&self, code: &Fingerprint) -> bool {
        self.provenance().is_some_and(|provenance| provenance.code.as_ref() == Some(code))
    }

    /// Returns the position of `current` compared with this pair.
    #[must_use]
    pub fn relation(&self, current: &Self) -> Relation {
        let remembers = |one: &Self, other: &Self| one.lineage().contains(&other.fingerprint);
        if self.fingerprint == current.fingerprint {
            Relation::Same
        } else if self.root() != current.root() && !remembers(self, current) && !remembers(current, self) {
            Relation::Unrelated
        } else if (current.authorization(), current.place()) < (self.authorization(), self.place()) {
            Relation::Ancestor
        } else {
            Relation::Later
        }
    }

    /// Returns true if the list is older than the tokens, because TikTok could not list the advertisers. An account
    /// holder's token has no list.
    #[must_use]
    pub fn list_is_stale(&self) -> bool {
        self.flow != Flow::TtUser
            && self
                .refreshed_at
                .is_some_and(|refreshed| self.advertisers_fetched_at.is_none_or(|fetched| fetched < refreshed))
    }

    /// Returns true if the access token is known to have expired.
    #[must_use]
    pub fn access_token_has_expired(&self, now: Timestamp) -> bool {
        self.access_token_expires_at.is_some_and(|expires| expires <= now)
    }
}

/// Parses the secret that `app_secret_id` names.
///
/// # Errors
/// `InvalidSecret` with the missing field.
pub fn app_of(document: &Document) -> Result<App, Error> {
    match (app_id(document)?, app_secret(document)?) {
        (Some(id), Some(secret)) => Ok(App { id, secret }),
        (None, _) => Err(missing(document, field::APP_ID)),
        (_, None) => Err(missing(document, field::SECRET)),
    }
}

fn app_source(document: &Document) -> Result<AppSource, Error> {
    match text(document, field::APP_SECRET_ID)? {
        Some(_) if app_secret(document)?.is_some() => Err(Error::new(
            Kind::InvalidSecret,
            "The secret holds both the app's secret and 'app_secret_id', and only one of them can count.",
        )
        .advise("Remove one of the two.")),
        Some(id) => Ok(AppSource::Secret(id.expose_secret().to_owned())),
        None => app_of(document).map(AppSource::Inline),
    }
}

/// Returns the app id, which people write as a number or as a string.
fn app_id(document: &Document) -> Result<Option<String>, Error> {
    let Some(json) = document.get(field::APP_ID) else { return Ok(None) };
    let json = json.expose_secret();
    if json.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Some(json.to_owned()));
    }
    let id = if json.starts_with(|c: char| c.is_ascii_digit()) {
        Some(json.to_owned())
    } else {
        named(document, field::APP_ID, token)?.map(|id| id.expose_secret().to_owned())
    };
    // A spreadsheet writes the number with an exponent, also where the field is a string.
    let is_rounded = |id: &String| {
        id.starts_with(|c: char| c.is_ascii_digit()) && id.contains(['.', 'e', 'E']) && id.parse::<f64>().is_ok()
    };
    if id.as_ref().is_some_and(is_rounded) {
        let what = "The field 'app_id' is a number with a fraction or an exponent, which has lost digits.";
        return Err(Error::new(Kind::InvalidSecret, what).advise("Write the app id as a string, in quotation marks."));
    }
    Ok(id)
}

fn app_secret(document: &Document) -> Result<Option<SecretString>, Error> {
    Ok(token(document, field::SECRET)?.or(token(document, field::APP_SECRET)?))
}

fn flow(document: &Document, has_refresh_token: bool) -> Result<Flow, Error> {
    let flow = named(document, field::FLOW, text)?;
    match flow.as_ref().map(ExposeSecret::expose_secret) {
        None if has_refresh_token => Ok(Flow::Business),
        None | Some("long_term") => Ok(Flow::LongTerm),
        Some("business") => Ok(Flow::Business),
        Some("tt_user") => Ok(Flow::TtUser),
        // The value is not shown, because it can be a token in the wrong field.
        Some(_) => {
            let what = "The field 'flow' has an unknown value.";
            Err(Error::new(Kind::InvalidSecret, what)
                .advise("Set it to \"business\", \"tt_user\" or \"long_term\", or remove it."))
        }
    }
}

/// Returns the tokens of a document.
fn token_pair(document: &Document) -> Result<(Option<SecretString>, Option<SecretString>), Error> {
    Ok((named(document, field::REFRESH_TOKEN, text)?, named(document, field::ACCESS_TOKEN, text)?))
}

/// Returns the fingerprint of a document's tokens.
pub(super) fn fingerprint(document: &Document) -> Result<Fingerprint, Error> {
    let (refresh_token, access_token) = token_pair(document)?;
    Ok(Fingerprint::of(refresh_token.as_ref(), access_token.as_ref()))
}

/// Returns a token or another value without spaces. Quotation marks and spaces around it are removed. Empty values
/// count as absent.
fn token(document: &Document, name: &str) -> Result<Option<SecretString>, Error> {
    let token = text(document, name)?;
    // TikTok does not exclude spaces in an app's secret. Tokens and ids have none.
    let may_have_blanks = [field::SECRET, field::APP_SECRET].contains(&name);
    let is_damage = |c: char| (pasted::is_blank(c) || c.is_control()) && !(may_have_blanks && c == ' ');
    // No token and no id has what is around it in a page or a table, or an ellipsis.
    let is_foreign = |c: char| !may_have_blanks && (!c.is_ascii() || "\"<>{}[],;\\".contains(c));
    let text = token.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
    let found = if text.contains(is_damage) {
        "a blank, a line break or an invisible character".to_owned()
    } else if let Some(character) = text.chars().find(|c| is_foreign(*c)) {
        format!("the character '{character}'")
    } else {
        return Ok(token);
    };
    let what = format!("The field '{name}' has {found} inside.");
    Err(Error::new(Kind::InvalidSecret, what).advise("Copy its value again, in one piece."))
}

/// Returns a required field, or an error that names a misspelling of it.
fn named(
    document: &Document,
    name: &str,
    read: impl Fn(&Document, &str) -> Result<Option<SecretString>, Error>,
) -> Result<Option<SecretString>, Error> {
    match read(document, name)? {
        Some(value) => Ok(Some(value)),
        None => misspelt(document, name).map_or(Ok(None), |other| Err(rename(other, name))),
    }
}

/// Returns a field with content whose name is a misspelling of `name` or another program's name for it.
fn misspelt<'d>(document: &'d Document, name: &str) -> Option<&'d str> {
    let others: &[&str] = match name {
        field::APP_ID => &["clientid", "clientkey"],
        field::SECRET => &["appsecret", "clientsecret"],
        _ => &[],
    };
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' ', '.'], "");
    let wanted = plain(name);
    let is_other = |found: &&str| *found != name && (plain(found) == wanted || others.contains(&plain(found).as_str()));
    let is_filled =
        |found: &&str| document.get(found).is_some_and(|json| !["null", "\"\""].contains(&json.expose_secret()));
    document.names().filter(is_other).find(is_filled)
}

fn rename(found: &str, name: &str) -> Error {
    let what = format!("The secret has the field '{found}', and the field '{name}' is missing or empty.");
    Error::new(Kind::InvalidSecret, what).advise(format!("Rename '{found}' to '{name}'."))
}

/// Removes pasted spaces and quotation marks from the tokens, because jobs read them.
pub(super) fn tidy_tokens(document: &mut Document) -> Result<(), Error> {
    for name in [field::REFRESH_TOKEN, field::ACCESS_TOKEN] {
        let Some(token) = text(document, name)? else { continue };
        let stored: Option<SecretString> = own(document, name);
        if stored.is_some_and(|stored| stored.expose_secret() != token.expose_secret()) {
            document.set(name, Some(SecretString::from(json_text(token.expose_secret()))));
        }
    }
    Ok(())
}

fn text(document: &Document, name: &str) -> Result<Option<SecretString>, Error> {
    let Some(json) = document.get(name) else { return Ok(None) };
    let value: Option<SecretString> = serde_json::from_str(json.expose_secret())
        .map_err(|_| Error::new(Kind::InvalidSecret, format!("The field '{name}' must be a string.")))?;
    Ok(value.and_then(|value| {
        let trimmed = pasted::trimmed(value.expose_secret());
        (!trimmed.is_empty()).then(|| SecretString::from(trimmed))
    }))
}

fn missing(document: &Document, name: &str) -> Error {
    // The output of `aws secretsmanager get-secret-value` has the document in its 'SecretString'.
    let has_it_inside = |outer: &&str| {
        let inner = document.get(outer).and_then(|json| Document::parse(json).ok());
        name == field::APP_ID && inner.is_some_and(|inner| inner.get(name).is_some())
    };
    if let Some(outer) = document.names().find(has_it_inside) {
        let what = format!("The field '{name}' is inside the field '{outer}'.");
        return Error::new(Kind::InvalidSecret, what)
            .advise(format!("Store the content of '{outer}' as the whole secret."));
    }
    let mut of_the_app = [name, field::APP_SECRET_ID].into_iter();
    let other = of_the_app.find_map(|name| Some((misspelt(document, name)?, name)));
    other.map_or_else(
        || Error::new(Kind::InvalidSecret, format!("The field '{name}' is missing or empty.")),
        |(found, name)| rename(found, name),
    )
}

/// Parses an id: a string, or a number as in older versions of TikTok's API.
pub(super) fn id_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct IdVisitor;

    impl de::Visitor<'_> for IdVisitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an id")
        }

        fn visit_str<E>(self, id: &str) -> Result<String, E> {
            Ok(id.trim().to_owned())
        }

        fn visit_u64<E>(self, id: u64) -> Result<String, E> {
            Ok(id.to_string())
        }
    }

    deserializer.deserialize_any(IdVisitor)
}

/// An id in a list.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Id(#[serde(deserialize_with = "id_text")] pub String);

/// Returns a field of the function, or `None` if it cannot be parsed. The key/value form of the AWS console stores every
/// value as a string.
pub(super) fn own<T: for<'de> Deserialize<'de>>(document: &Document, name: &str) -> Option<T> {
    let json = document.get(name)?.expose_secret();
    let stored_as_text = || serde_json::from_str(&serde_json::from_str::<String>(json).ok()?).ok();
    serde_json::from_str(json).ok().or_else(stored_as_text)
}

fn advertisers(document: &Document) -> Vec<Advertiser> {
    let ids = || {
        let ids: Vec<Id> = own(document, field::ADVERTISER_IDS).unwrap_or_default();
        ids.into_iter().map(|Id(id)| Advertiser::new(id, None)).collect()
    };
    own(document, field::ADVERTISERS).filter(|list: &Vec<Advertiser>| !list.is_empty()).unwrap_or_else(ids)
}

/// Returns true if the document already has this list.
pub(super) fn holds_list(document: &Document, list: &[Advertiser]) -> bool {
    let ids: Option<Vec<String>> = own(document, field::ADVERTISER_IDS);
    let same_ids = ids.is_some_and(|ids| ids.iter().eq(list.iter().map(|advertiser| &advertiser.id)));
    let is_list = |name| document.get(name).is_some_and(|json| json.expose_secret().starts_with('['));
    same_ids && is_list(field::ADVERTISER_IDS) && is_list(field::ADVERTISERS) && advertisers(document) == list
}

#[cfg(test)]
mod tests;
