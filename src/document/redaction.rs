//! What of a body that goes into a secret must not be shown, should a server repeat it.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Fields that hold nothing secret, in the credentials document, in reader secrets and in claims.
const HARMLESS: [&str; 27] = [
    "app_id",
    "AppId",
    "app_secret_id",
    "secret_id",
    "flow",
    "format",
    "scope",
    "open_id",
    "redirect_uri",
    "auth_type",
    "advertiser_id",
    "advertiser_ids",
    "AdvertiserIDs",
    "advertisers",
    "accounts",
    "environment",
    "timezone",
    "start_date",
    "end_date",
    "access_token_expires_at",
    "refresh_token_expires_at",
    "refreshed_at",
    "advertisers_fetched_at",
    "authorized_at",
    "published_at",
    "_refresh",
    "claim",
];

/// Shorter texts than this of fields that the project does not know are words rather than secrets.
const SHORTEST: usize = 8;

/// Every text of a body that may be secret: all but those of the fields that hold nothing secret.
#[must_use]
pub fn secrets_in(body: &SecretString) -> Vec<SecretString> {
    let mut secrets = Vec::new();
    match serde_json::from_str(body.expose_secret()) {
        Ok(value) => collect(value, &mut secrets),
        Err(_) => secrets.push(body.clone()),
    }
    secrets
}

fn collect(value: Value, secrets: &mut Vec<SecretString>) {
    match value {
        Value::String(text) if text.chars().count() >= SHORTEST => secrets.push(text.into()),
        Value::Array(items) => items.into_iter().for_each(|item| collect(item, secrets)),
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(name, _)| !HARMLESS.contains(&name.as_str()));
            fields.for_each(|(_, value)| collect(value, secrets));
        }
        _ => {}
    }
}
