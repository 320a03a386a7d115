//! What reader secrets hold: the tokens and the advertisers of a document, in the words of the job that reads them.
//!
//! A new format is a variant of [`Format`], its name in [`Format::ALL`], and its shape in [`project`].

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Advertiser, App, Credentials, Document, credentials::id_text, field, json_text, pasted};
use crate::error::{Error, Kind};

/// A reader secret that the function writes: an entry of the field `publish`.
#[derive(Clone)]
pub struct Publication {
    /// Name or ARN of the reader secret.
    pub secret_id: String,
    pub format: Format,
    /// What the job needs beside the format's own fields, such as a start date. Objects are merged; where both have the same
    /// field, the format's value counts.
    pub fields: Map<String, Value>,
    /// The advertisers that this reader secret is limited to; all, if there is no list.
    pub advertiser_ids: Option<Vec<String>>,
}

impl fmt::Debug for Publication {
    /// Without the fields, in which a person may have put anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret_id, format, .. } = self;
        f.debug_struct("Publication").field("secret_id", secret_id).field("format", format).finish_non_exhaustive()
    }
}

/// An entry of the field `publish` that cannot be used.
#[derive(Clone, Debug)]
pub struct Unpublishable {
    /// The reader secret, or the entry if it names none, as a sentence has it.
    pub reader: String,
    pub error: Error,
}

/// Whose configuration a reader secret is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// This project's own: the access token, its lifetime and the advertisers, without the app's secret.
    #[default]
    Reader,
    /// OWOX Data Marts: its source's configuration keys.
    Owox,
    /// Airbyte's source-tiktok-marketing: its connection's configuration.
    Airbyte,
    /// The older form of the same, which its manifest still reads: the keys are under `environment`.
    AirbyteManifest,
    /// Singer's tap-tiktok-ads: the token and one text of account ids.
    Singer,
    /// dlt, ingestr and Bruin: the token, one text of advertiser ids, and a time zone.
    Dlt,
    /// Meltano's tap-tiktok: its environment variables. It reads one advertiser.
    Meltano,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::Reader, Self::Owox, Self::Airbyte, Self::AirbyteManifest, Self::Singer, Self::Dlt, Self::Meltano];

    /// Its name in the field `publish`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Owox => "owox",
            Self::Airbyte => "airbyte",
            Self::AirbyteManifest => "airbyte_manifest",
            Self::Singer => "singer",
            Self::Dlt => "dlt",
            Self::Meltano => "meltano",
        }
    }

    /// Whether the job needs the app's own credentials as well.
    #[must_use]
    pub const fn needs_app(self) -> bool {
        matches!(self, Self::Owox | Self::Airbyte | Self::AirbyteManifest)
    }

    fn named(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            // A longer text, or one with other characters, may be a secret in the wrong place.
            let is_a_word = name.len() <= 16 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let shown = if is_a_word { format!(" \"{name}\"") } else { String::new() };
            let known = pasted::listed(Self::ALL.map(Self::name));
            invalid(format!("Its 'format'{shown} is unknown; the formats are {known}."))
                .advise("Correct the 'format' in the field 'publish'.")
        })
    }
}

/// The reader secrets that a document asks for, and the entries that cannot be used. A wrong entry stops its own reader
/// alone.
///
/// # Errors
/// `InvalidSecret` if the field `publish` is not a list. Only publishing fails on it: the tokens are refreshed all the same.
pub fn publications(document: &Document) -> Result<Vec<Result<Publication, Unpublishable>>, Error> {
    let Some(json) = document.get(field::PUBLISH) else { return Ok(Vec::new()) };
    let mut list: Option<Value> = serde_json::from_str(json.expose_secret()).ok();
    // The console's form for keys and values stores every value as a text.
    if let Some(Value::String(text)) = &list {
        let text = text.trim();
        list = if text.is_empty() { Some(Value::Null) } else { serde_json::from_str(text).ok() };
    }
    let entries = match list {
        Some(Value::Null) => Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(entry @ Value::Object(_)) => vec![entry],
        _ => {
            return Err(invalid("The field 'publish' must be a list of reader secrets.").advise(format!(
                "Write it as [{{\"secret_id\": \"tiktok/ads/reader\", \"format\": \"reader\"}}]; the formats are {}.",
                pasted::listed(Format::ALL.map(Format::name))
            )));
        }
    };
    let mut readers: Vec<Result<Publication, Unpublishable>> = Vec::new();
    for (place, entry) in entries.into_iter().enumerate() {
        let publication = publication(place, entry);
        let is_repeated = |reader: &Publication| {
            readers.iter().flatten().any(|earlier: &Publication| earlier.secret_id == reader.secret_id)
        };
        readers.push(match publication {
            Ok(reader) if is_repeated(&reader) => Err(Unpublishable { reader: reader.name(), error: named_twice() }),
            publication => publication,
        });
    }
    Ok(readers)
}

/// Two entries would write the same secret one after the other, in every run.
#[must_use]
pub fn named_twice() -> Error {
    invalid("The field 'publish' names it twice.").advise("Remove one of the two entries from the field 'publish'.")
}

fn publication(place: usize, entry: Value) -> Result<Publication, Unpublishable> {
    let secret_id = entry["secret_id"].as_str().map(pasted::trimmed).filter(|id| !id.is_empty()).map(str::to_owned);
    let reader = secret_id.as_deref().map_or_else(|| format!("entry {} of 'publish'", place + 1), name_of);
    let of_entry = || -> Result<Publication, Error> {
        let Value::Object(fields) = entry else {
            return Err(wrong("Its entry must be a JSON object with the field 'secret_id'."));
        };
        let mut publication = Publication {
            secret_id: secret_id.ok_or_else(|| wrong("Its entry has no 'secret_id'."))?,
            format: Format::default(),
            fields: Map::new(),
            advertiser_ids: None,
        };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("secret_id", _) | ("format" | "fields" | "advertiser_ids", Value::Null) => {}
                ("format", Value::String(format)) => publication.format = Format::named(&format)?,
                ("fields", Value::Object(fields)) => publication.fields = fields,
                ("advertiser_ids", value) => publication.advertiser_ids = Some(ids(value)?),
                ("format", _) => return Err(wrong("Its 'format' must be a string.")),
                ("fields", _) => return Err(wrong("Its 'fields' must be a JSON object.")),
                (name, _) => {
                    return Err(wrong(format!(
                        "Its entry has an unknown field {name:?}; the fields are secret_id, format, fields and advertiser_ids."
                    )));
                }
            }
        }
        Ok(publication)
    };
    of_entry().map_err(|error| Unpublishable { reader, error })
}

/// A list of ids, or one text of them with commas.
fn ids(value: Value) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = match value {
        Value::String(text) => text.split(',').map(|id| pasted::trimmed(id).to_owned()).collect(),
        Value::Array(ids) => {
            let ids: Result<Vec<String>, _> = ids.into_iter().map(id_text).collect();
            ids.map_err(|_| wrong("Its 'advertiser_ids' must be a list of ids."))?
        }
        _ => return Err(wrong("Its 'advertiser_ids' must be a list of ids.")),
    };
    let ids: Vec<String> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    if ids.is_empty() { Err(wrong("Its 'advertiser_ids' is empty.")) } else { Ok(ids) }
}

fn wrong(what: impl Into<String>) -> Error {
    invalid(what).advise("Correct the entry in the field 'publish'.")
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidSecret, what)
}

fn name_of(secret_id: &str) -> String {
    format!("reader secret '{secret_id}'")
}

impl Publication {
    /// The reader secret, as a sentence has it.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(&self.secret_id)
    }

    /// What a person should know of the advertisers that this reader secret is limited to.
    #[must_use]
    pub fn warning(&self, list: &[Advertiser]) -> Option<String> {
        let unknown = self.unknown_advertisers(list);
        let ids = unknown.iter().take(10).copied();
        (!unknown.is_empty()).then(|| {
            format!(
                "The {} is limited to advertisers that the access token cannot read: {}.",
                self.name(),
                pasted::listed(ids)
            )
        })
    }

    /// The ids that this reader secret is limited to and that the list does not have.
    fn unknown_advertisers<'p>(&'p self, list: &[Advertiser]) -> Vec<&'p str> {
        let asked_for = self.advertiser_ids.iter().flatten().map(String::as_str);
        asked_for.filter(|id| !list.iter().any(|advertiser| advertiser.id == *id)).collect()
    }

    fn includes(&self, id: &str) -> bool {
        self.advertiser_ids.as_ref().is_none_or(|ids| ids.iter().any(|included| included == id))
    }
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
    let of_this_reader = credentials.advertisers.iter().filter(|advertiser| publication.includes(&advertiser.id));
    let advertisers: Vec<&Advertiser> = of_this_reader.collect();
    let ids = |separator| advertisers.iter().map(|it| it.id.as_str()).collect::<Vec<_>>().join(separator);
    // Some jobs read one advertiser. They are given one only if there is no other.
    let only = if let [only] = advertisers.as_slice() { Some(only.id.as_str()) } else { None };
    let own = match publication.format {
        Format::Reader => Value::Object(reader(document, publication, credentials, token)),
        Format::Owox => json!({
            "AuthType": {"oauth2": {"AccessToken": token, "AppId": app_id, "AppSecret": app_secret}},
            "AdvertiserIDs": ids(", "),
        }),
        Format::Airbyte => {
            let own = json!({"auth_type": "oauth2.0", "app_id": app_id, "secret": app_secret, "access_token": token});
            let only = only.filter(|_| publication.advertiser_ids.is_some());
            json!({"credentials": with(own, "advertiser_id", only)})
        }
        Format::AirbyteManifest => json!({
            "access_token": token,
            "environment": with(json!({"app_id": app_id, "secret": app_secret}), "advertiser_id", only),
        }),
        Format::Singer => json!({"access_token": token, "accounts": ids(", ")}),
        Format::Dlt => {
            let own = json!({"access_token": token, "advertiser_ids": ids(",")});
            let chosen = publication.fields.contains_key("timezone");
            with(own, "timezone", Some(common_timezone(&advertisers).unwrap_or("UTC")).filter(|_| !chosen))
        }
        Format::Meltano => with(json!({"TAP_TIKTOK_ACCESS_TOKEN": token}), "TAP_TIKTOK_ADVERTISER_ID", only),
    };
    let mut body = Value::Object(publication.fields.clone());
    merge(&mut body, own);
    SecretString::from(body.to_string())
}

fn with(mut object: Value, name: &str, value: Option<&str>) -> Value {
    if let Some(value) = value {
        object[name] = value.into();
    }
    object
}

/// The time zone that all advertisers have, where it is known.
fn common_timezone<'a>(advertisers: &[&'a Advertiser]) -> Option<&'a str> {
    let zone = advertisers.first()?.info.display_timezone.as_deref()?;
    let is_common = advertisers.iter().all(|it| it.info.display_timezone.as_deref() == Some(zone));
    is_common.then_some(zone)
}

/// Puts the format's own fields over those of a person, object by object.
fn merge(theirs: &mut Value, own: Value) {
    match (theirs, own) {
        (Value::Object(theirs), Value::Object(own)) => {
            for (name, value) in own {
                merge(theirs.entry(name).or_insert(Value::Null), value);
            }
        }
        (theirs, own) => *theirs = own,
    }
}

fn reader(
    document: &Document,
    publication: &Publication,
    credentials: &Credentials,
    token: &str,
) -> Map<String, Value> {
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
        let mut list: Vec<Value> = list.unwrap_or_default();
        list.retain(|entry| {
            let id = entry.get("advertiser_id").unwrap_or(entry);
            publication.includes(id.as_str().unwrap_or(&json_text(id)))
        });
        body.insert(name.to_owned(), list.into());
    }
    body
}

/// Fields, in lower case and without separators, that hold what cannot be made anew from a credentials document.
const CREDENTIALS: [&str; 12] = [
    "refreshtoken",
    "appsecret",
    "secret",
    "clientsecret",
    "appsecretid",
    "password",
    "privatekey",
    "apikey",
    "secretkey",
    "secretaccesskey",
    "awssecretaccesskey",
    "signingkey",
];
/// Of these, the app's secret, and the fields beside it that say whose it is.
const APP_SECRETS: [&str; 3] = ["appsecret", "secret", "clientsecret"];
const APP_IDS: [&str; 3] = ["appid", "clientid", "clientkey"];
/// A text of this many characters and more, without a blank, may be a token.
const LONG: usize = 20;

/// What would be lost if the value of a reader secret were replaced: the path of a field with a credential that is not in the
/// new value. The app's own secret does not count where a format puts it.
#[must_use]
pub fn lost_credential(stored: &str, next: &SecretString, app_id: Option<&str>) -> Option<String> {
    let next: Value = serde_json::from_str(next.expose_secret()).unwrap_or_default();
    let Ok(stored) = serde_json::from_str::<Value>(stored.trim_matches(pasted::is_invisible)) else {
        return opaque(stored).then(|| "text".to_owned());
    };
    match &stored {
        Value::String(text) => opaque(text).then(|| "text".to_owned()),
        _ => find_lost(&stored, &next, app_id, ""),
    }
}

/// Whether a text alone may be a token or a key.
fn opaque(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("-----BEGIN") || text.len() >= LONG && !text.contains(char::is_whitespace)
}

fn find_lost(stored: &Value, next: &Value, app_id: Option<&str>, path: &str) -> Option<String> {
    match stored {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let next = next.get(name).unwrap_or(&Value::Null);
            let is_credential =
                !is_empty(value) && (name == field::ORIGIN || CREDENTIALS.contains(&plain(name).as_str()));
            // A format puts the app's secret into an object of its own, beside the app's id.
            let is_this_apps = || {
                path.contains('.') && APP_SECRETS.contains(&plain(name).as_str()) && {
                    let mut ids = fields.iter().filter(|(name, _)| APP_IDS.contains(&plain(name).as_str()));
                    ids.any(|(_, id)| app_id.is_some() && id.as_str() == app_id)
                }
            };
            if is_credential && value != next && !is_this_apps() {
                return Some(path);
            }
            find_lost(value, next, app_id, &path)
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(place, item)| find_lost(item, next.get(place).unwrap_or(&Value::Null), app_id, path)),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '-', ' ', '.'], "")
}
