//! The values of a body that must be masked if a server repeats them.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// The fields without secrets, of credentials documents, reader secrets and claims.
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

/// Shorter values of unknown fields are not secret.
const SHORTEST: usize = 8;

/// Returns every value of a body that may be secret.
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
