//! What reader secrets hold: a document in the words of the job that reads it.
//!
//! A new format is a variant of [`Format`], its name, and its shape in [`project`].

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{App, Credentials, Document, field};
use crate::error::{Error, Kind};

/// A reader secret that a person wants to be filled: an entry of the field `publish`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Name or ARN of the reader secret.
    pub secret_id: String,
    #[serde(default)]
    pub format: Format,
    /// What the job wants to be told beside the format's own fields, and only a person knows: a start date, for example.
    /// Where a name is in both, the format's own field stands.
    #[serde(default)]
    pub fields: Map<String, Value>,
}

impl fmt::Debug for Publication {
    /// A person may have put anything into the fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret_id, format, .. } = self;
        f.debug_struct("Publication").field("secret_id", secret_id).field("format", format).finish_non_exhaustive()
    }
}

/// Whose configuration a reader secret is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// This project's own: the access token, its lifetime and the advertisers, and not even the app's secret.
    #[default]
    Reader,
    /// OWOX Data Marts: its source's configuration keys.
    Owox,
    /// Airbyte's source-tiktok-marketing: its connection's configuration.
    Airbyte,
    /// Singer's tap-tiktok-ads: the token and one text of account ids.
    Singer,
}

impl Format {
    /// Whether the job has to be given the app's own credentials as well.
    #[must_use]
    pub const fn needs_app(self) -> bool {
        matches!(self, Self::Owox | Self::Airbyte)
    }
}

/// The reader secrets that a document asks for.
///
/// # Errors
/// `InvalidSecret` if the field `publish` is not a list of secrets and formats. Only publishing fails on it: a misspelt
/// format must not keep anybody from a refreshed token.
pub fn publications(document: &Document) -> Result<Vec<Publication>, Error> {
    let Some(json) = document.get(field::PUBLISH) else { return Ok(Vec::new()) };
    let publications: Option<Vec<Publication>> = serde_json::from_str(json.expose_secret()).map_err(|_| {
        Error::new(Kind::InvalidSecret, "The field 'publish' is not a list of reader secrets.").advise(
            "Write it as [{\"secret_id\": \"tiktok/ads/reader\", \"format\": \"reader\"}]; formats are reader, owox, airbyte and singer.",
        )
    })?;
    Ok(publications.unwrap_or_default())
}

/// The body of a reader secret. The refresh token is in none of them.
#[must_use]
pub fn project(
    publication: &Publication,
    document: &Document,
    credentials: &Credentials,
    app: Option<&App>,
) -> SecretString {
    let token = credentials.access_token.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
    let app_id = app.map(|app| app.id.as_str()).unwrap_or_default();
    let app_secret = app.map(|app| app.secret.expose_secret()).unwrap_or_default();
    let ids = || credentials.advertisers.iter().map(|advertiser| advertiser.id.as_str()).collect::<Vec<_>>().join(", ");
    let own = match publication.format {
        Format::Reader => reader(document, credentials, token),
        Format::Owox => fields(json!({
            "AuthType": {"oauth2": {"AccessToken": token, "AppId": app_id, "AppSecret": app_secret}},
            "AdvertiserIDs": ids(),
        })),
        Format::Airbyte => fields(json!({
            "credentials": {"auth_type": "oauth2.0", "app_id": app_id, "secret": app_secret, "access_token": token},
        })),
        Format::Singer => fields(json!({"access_token": token, "accounts": ids()})),
    };
    let mut body = publication.fields.clone();
    body.extend(own);
    SecretString::from(Value::Object(body).to_string())
}

fn fields(object: Value) -> Map<String, Value> {
    if let Value::Object(fields) = object { fields } else { Map::new() }
}

fn reader(document: &Document, credentials: &Credentials, token: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert(field::ACCESS_TOKEN.to_owned(), token.into());
    for (name, time) in [
        (field::ACCESS_TOKEN_EXPIRES_AT, credentials.access_token_expires_at),
        (field::REFRESHED_AT, credentials.refreshed_at),
        (field::ADVERTISERS_FETCHED_AT, credentials.advertisers_fetched_at),
    ] {
        if let Some(time) = time {
            body.insert(name.to_owned(), time.to_string().into());
        }
    }
    for name in [field::ADVERTISER_IDS, field::ADVERTISERS] {
        let list = document.get(name).and_then(|json| serde_json::from_str(json.expose_secret()).ok());
        body.insert(name.to_owned(), list.unwrap_or_else(|| json!([])));
    }
    body
}
