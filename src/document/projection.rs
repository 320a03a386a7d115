//! Reader secrets: the tokens and the advertisers of a document in the format of a job.
//!
//! Input: the field `publish` and the document. Output: the body of each reader secret. Errors: an entry of `publish`
//! that is not valid. To add a format, add a variant of [`Format`], its name in [`Format::ALL`] and its shape in
//! [`project`].

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Advertiser, App, Credentials, Document,
    credentials::{id_text, own},
    field, json_text, pasted,
};
use crate::error::{Error, Kind};

/// A reader secret: one entry of the field `publish`.
#[derive(Clone)]
pub struct Publication {
    /// The name or ARN of the reader secret.
    pub secret_id: String,
    pub format: Format,
    /// Further fields of the job, such as a start date. Objects are merged; in a conflict the format's value counts.
    pub fields: Map<String, Value>,
    /// The advertisers of this reader secret. `None` stands for all.
    pub advertiser_ids: Option<Vec<String>>,
}

impl fmt::Debug for Publication {
    /// Hides the fields, because a person may have put a secret there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret_id, format, .. } = self;
        f.debug_struct("Publication").field("secret_id", secret_id).field("format", format).finish_non_exhaustive()
    }
}

/// An entry of `publish` that is not valid.
#[derive(Clone, Debug)]
pub struct Unpublishable {
    /// The reader secret or the entry, as the subject of a sentence.
    pub reader: String,
    pub error: Error,
}

/// The format of a reader secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// This project's format: the access token, its expiry and the advertisers, without the app's secret.
    #[default]
    Reader,
    /// The source configuration of OWOX Data Marts.
    Owox,
    /// The connection configuration of Airbyte's source-tiktok-marketing.
    Airbyte,
    /// Airbyte's older configuration, which its manifest still accepts: the keys are under `environment`.
    AirbyteManifest,
    /// The configuration of Singer's tap-tiktok-ads: the token and a string of account ids.
    Singer,
    /// The configuration of dlt, ingestr and Bruin: the token, a string of advertiser ids and a time zone.
    Dlt,
    /// The environment variables of Meltano's tap-tiktok, for one advertiser.
    Meltano,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::Reader, Self::Owox, Self::Airbyte, Self::AirbyteManifest, Self::Singer, Self::Dlt, Self::Meltano];

    /// Returns the name in the field `publish`.
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

    /// Returns true if the job needs the app's credentials.
    #[must_use]
    pub const fn needs_app(self) -> bool {
        matches!(self, Self::Owox | Self::Airbyte | Self::AirbyteManifest)
    }

    /// Returns true if the job reads one advertiser, or all that the token can read.
    const fn names_one_advertiser(self) -> bool {
        matches!(self, Self::Airbyte | Self::AirbyteManifest | Self::Meltano)
    }

    fn named(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            // A longer text may be a secret in the wrong field, so it is not shown.
            let is_a_word = name.len() <= 16 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let shown = if is_a_word { format!(" \"{name}\"") } else { String::new() };
            let known = pasted::listed(Self::ALL.map(Self::name));
            invalid(format!("Its 'format'{shown} is unknown; the formats are {known}."))
                .advise("Correct the 'format' in the field 'publish'.")
        })
    }
}

/// Parses the field `publish`. An entry that is not valid only stops its own reader secret.
///
/// # Errors
/// `InvalidSecret` if the field is not a list. Tokens are refreshed all the same.
pub fn publications(document: &Document) -> Result<Vec<Result<Publication, Unpublishable>>, Error> {
    let Some(json) = document.get(field::PUBLISH) else { return Ok(Vec::new()) };
    let mut list: Option<Value> = serde_json::from_str(json.expose_secret()).ok();
    // The key/value form of the AWS console stores every value as a string.
    if let Some(Value::String(text)) = &list {
        let text = pasted::trimmed(text);
        list = if text.is_empty() { Some(Value::Null) } else { serde_json::from_str(&pasted::mended(text)).ok() };
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

/// Finds entries that write the same secret, because they would overwrite each other in every run.
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
                ("format", Value::String(format)) => publication.format = Format::named(pasted::trimmed(&format))?,
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

/// Parses a list of ids, or a string of ids with commas, semicolons or blanks between them.
fn ids(value: Value) -> Result<Vec<String>, Error> {
    let ids: Vec<String> = match value {
        Value::String(text) => {
            let separates = |c: char| c == ',' || c == ';' || pasted::is_blank(c);
            text.split(separates).map(|id| pasted::trimmed(id).to_owned()).collect()
        }
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
    /// Returns the reader secret as the subject of a sentence.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(&self.secret_id)
    }

    /// Returns a warning about advertisers that the list does not have, or that the format cannot name.
    #[must_use]
    pub fn warning(&self, list: &[Advertiser]) -> Option<String> {
        let unknown = self.unknown_advertisers(list);
        let ids = unknown.iter().take(10).copied();
        let unreadable = (!unknown.is_empty()).then(|| {
            format!(
                "The {} is limited to advertisers that the access token cannot read: {}.",
                self.name(),
                pasted::listed(ids)
            )
        });
        let narrowed = self.advertiser_ids.as_ref().filter(|_| self.format.names_one_advertiser());
        let number = list.iter().filter(|advertiser| self.includes(&advertiser.id)).count();
        let too_many = narrowed.filter(|ids| ids.len() > 1 && number != 1).map(|_| {
            let (reader, format) = (self.name(), self.format.name());
            format!(
                "The {reader} has several 'advertiser_ids', and the format {format} names one at most, so its job is not limited. Give each advertiser a reader secret."
            )
        });
        let warnings: Vec<String> = unreadable.into_iter().chain(too_many).collect();
        (!warnings.is_empty()).then(|| warnings.join(" "))
    }

    /// Returns the ids of this reader secret that the list does not have.
    fn unknown_advertisers<'p>(&'p self, list: &[Advertiser]) -> Vec<&'p str> {
        let asked_for = self.advertiser_ids.iter().flatten().map(String::as_str);
        asked_for.filter(|id| !list.iter().any(|advertiser| advertiser.id == *id)).collect()
    }

    fn includes(&self, id: &str) -> bool {
        self.advertiser_ids.as_ref().is_none_or(|ids| ids.iter().any(|included| included == id))
    }
}

/// Returns the body of a reader secret. It never contains the refresh token.
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
    // These jobs read one advertiser, or all of them if they get no id. So the only id of an entry counts even if the list
    // does not have it.
    let only = match (publication.advertiser_ids.as_deref(), advertisers.as_slice()) {
        (Some([only]), _) => Some(only.as_str()),
        (_, [only]) => Some(only.id.as_str()),
        _ => None,
    };
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

/// Returns the time zone if all advertisers have the same one.
fn common_timezone<'a>(advertisers: &[&'a Advertiser]) -> Option<&'a str> {
    let zone = advertisers.first()?.info.display_timezone.as_deref()?;
    let is_common = advertisers.iter().all(|it| it.info.display_timezone.as_deref() == Some(zone));
    is_common.then_some(zone)
}

/// Merges the format's fields into a person's. The format's values count.
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
        let mut list: Vec<Value> = own(document, name).unwrap_or_default();
        list.retain(|entry| {
            let id = entry.get("advertiser_id").unwrap_or(entry);
            publication.includes(id.as_str().unwrap_or(&json_text(id)))
        });
        body.insert(name.to_owned(), list.into());
    }
    body
}

/// Parts of the normalized names of fields with a credential.
const CREDENTIALS: [&str; 13] = [
    "refreshtoken",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "privatekey",
    "apikey",
    "secretkey",
    "signingkey",
    "encryptionkey",
    "accesskey",
    "accountkey",
    "connectionstring",
];
/// The names of an app's secret among them.
const APP_SECRETS: [&str; 3] = ["appsecret", "secret", "clientsecret"];
const APP_IDS: [&str; 3] = ["appid", "clientid", "clientkey"];
/// A word with this many characters may be a token.
const LONG: usize = 20;
/// A word with this many characters, and a digit among them, may be a password.
const PASSWORD: usize = 6;

/// Returns the path of a credential that the old value has and the new one does not. The app's own secret does not
/// count where a format writes it.
#[must_use]
pub fn lost_credential(stored: &str, next: &SecretString, app_id: Option<&str>) -> Option<String> {
    let next: Value = serde_json::from_str(next.expose_secret()).unwrap_or_default();
    // Read as a credentials secret is: it may be one.
    let quoted = pasted::quoted_json(stored);
    let text = quoted.as_ref().map_or(stored, ExposeSecret::expose_secret).trim_matches(pasted::is_invisible);
    match serde_json::from_str::<Value>(&pasted::mended(text)) {
        Ok(stored @ Value::Object(_)) => find_lost(&stored, &next, app_id, ""),
        Ok(Value::Array(items)) => items
            .iter()
            .find_map(|item| find_lost(item, &Value::Null, app_id, "").or_else(|| opaque_text(item.as_str()?))),
        Ok(Value::String(text)) => opaque_text(&text),
        Ok(Value::Null) => None,
        _ => opaque_text(text),
    }
}

fn opaque_text(text: &str) -> Option<String> {
    opaque(text).then(|| "text".to_owned())
}

/// Returns true unless a text is a few words of a language, such as a placeholder.
fn opaque(text: &str) -> bool {
    let is_word = |word: &str| {
        let may_be_a_password = word.len() >= PASSWORD && word.contains(|c: char| c.is_ascii_digit());
        let is_label = word.ends_with(':') && is_credential(word);
        !(word.len() >= LONG || may_be_a_password || is_label || word.contains(['=', '@', '{', '"']))
    };
    holds_credential(text) || !text.split_whitespace().all(is_word)
}

/// Returns true if a text has a credential inside: a private key, or a URL or a connection string with a password.
fn holds_credential(text: &str) -> bool {
    let has_user = |url: &str| url.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@'));
    let is_assignment =
        |part: &str| part.split_once('=').is_some_and(|(name, _)| is_credential(name) || plain(name) == "pwd");
    text.contains("-----BEGIN")
        || text.split("://").skip(1).any(has_user)
        || text.split([';', '&', '?', '\n', ' ']).any(is_assignment)
}

/// Returns true if the name of a field says that its value is a credential. An access token is none: it is what the
/// function replaces.
fn is_credential(name: &str) -> bool {
    let name = plain(name);
    let is_reference = ["id", "arn", "name"].iter().any(|end| name.ends_with(end)) && name != "appsecretid";
    let is_named_so = CREDENTIALS.iter().any(|part| name.contains(part));
    is_named_so && !is_reference || name.ends_with("token") && !name.ends_with("accesstoken")
}

fn find_lost(stored: &Value, next: &Value, app_id: Option<&str>, path: &str) -> Option<String> {
    match stored {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let next = next.get(name).unwrap_or(&Value::Null);
            let is_lost = value != next
                && match value {
                    _ if is_empty(value) => false,
                    _ if name == field::ORIGIN || is_credential(name) => true,
                    Value::String(text) => holds_credential(text),
                    _ => false,
                };
            // A format writes the app's secret into one object with the app's id.
            let is_this_apps = || {
                path.contains('.') && APP_SECRETS.contains(&plain(name).as_str()) && {
                    let mut ids = fields.iter().filter(|(name, _)| APP_IDS.contains(&plain(name).as_str()));
                    ids.any(|(_, id)| app_id.is_some() && id.as_str() == app_id)
                }
            };
            if is_lost && !is_this_apps() {
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
    name.to_lowercase().replace(['_', '-', ' ', '.', ':'], "")
}
