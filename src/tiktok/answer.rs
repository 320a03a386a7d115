use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use crate::{
    cycle::Grant,
    document::{Advertiser, AdvertiserInfo},
};

/// A lifetime beyond this is a mistake, and would overflow the calendar: a hundred years.
const MAX_LIFETIME_SECONDS: u64 = 100 * 365 * 86_400;

/// A longer scope is left out: it is there to be read by people, and must not take the tokens' room in the secret.
const MAX_SCOPE: usize = 1_024;

/// TikTok's envelope. `data` and whatever stands beside it stay JSON text: numbers of nineteen digits must not pass
/// through a float.
pub struct Answer {
    pub code: i64,
    pub message: Option<String>,
    pub request_id: Option<String>,
    data: Fields,
    beside: Fields,
}

/// The fields of a JSON object, each as a text that is wiped when dropped: some are tokens.
#[derive(Default)]
struct Fields(BTreeMap<String, SecretString>);

impl Answer {
    /// Reads an envelope: a JSON object with a code.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let beside = Fields::parse(std::str::from_utf8(body).ok()?)?;
        let data = beside.json("data").and_then(Fields::parse).unwrap_or_default();
        Some(Self {
            code: beside.integer("code")?,
            message: beside.text("message").as_ref().map(shown),
            request_id: beside.text("request_id").or_else(|| data.text("request_id")).as_ref().map(shown),
            data,
            beside,
        })
    }

    /// The tokens. Some clients saw them under `data`, some beside it; older answers have other names for the lifetimes.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn grant(&self) -> Result<Grant, &'static str> {
        let fields = if self.data.0.contains_key("access_token") { &self.data } else { &self.beside };
        let token = |name| fields.text(name).filter(|token| !token.expose_secret().trim().is_empty());
        let lifetime = |names: &[&str]| names.iter().find_map(|name| fields.seconds(name));
        Ok(Grant {
            access_token: token("access_token").ok_or("TikTok answered with success but without an access token.")?,
            refresh_token: token("refresh_token"),
            expires_in: lifetime(&["expires_in", "expires"]),
            refresh_token_expires_in: lifetime(&["refresh_token_expires_in", "refresh_expires_in", "refresh_expires"]),
            scope: fields.scope().map(str::to_owned),
            open_id: fields.text("open_id").as_ref().map(shown),
            advertiser_ids: fields.ids("advertiser_ids"),
        })
    }

    /// The advertisers. An empty list is legal; an answer without a list is none.
    ///
    /// # Errors
    /// As [`Answer::grant`].
    pub fn advertisers(&self) -> Result<Vec<Advertiser>, &'static str> {
        self.list()?
            .into_iter()
            .map(|entry| {
                let entry = Fields::parse(entry.get())?;
                Some(Advertiser::new(entry.id("advertiser_id")?, entry.words("advertiser_name")))
            })
            .collect::<Option<_>>()
            .ok_or("TikTok's list of advertisers has an entry without an id.")
    }

    /// What TikTok tells of advertisers. An entry that does not say whom it is about tells nothing.
    ///
    /// # Errors
    /// As [`Answer::grant`].
    pub fn advertiser_info(&self) -> Result<Vec<Advertiser>, &'static str> {
        let info = |entry: &RawValue| {
            let entry = Fields::parse(entry.get())?;
            let info = AdvertiserInfo {
                currency: entry.words("currency"),
                display_timezone: entry.words("display_timezone"),
                timezone: entry.words("timezone"),
                status: entry.words("status"),
            };
            Some(Advertiser { id: entry.id("advertiser_id")?, name: entry.words("name"), info })
        };
        Ok(self.list()?.into_iter().filter_map(info).collect())
    }

    fn list(&self) -> Result<Vec<&RawValue>, &'static str> {
        const NO_LIST: &str = "TikTok's answer holds no list of advertisers.";
        let list: Option<Vec<&RawValue>> =
            serde_json::from_str(self.data.json("list").ok_or(NO_LIST)?).map_err(|_| NO_LIST)?;
        Ok(list.unwrap_or_default())
    }
}

impl fmt::Debug for Answer {
    /// A message may repeat what a request carried.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("code", &self.code).finish_non_exhaustive()
    }
}

impl Fields {
    fn parse(json: &str) -> Option<Self> {
        let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
        let secret = |value: &RawValue| SecretString::from(value.get());
        Some(Self(fields.into_iter().map(|(name, value)| (name.into_owned(), secret(value))).collect()))
    }

    fn json(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    fn text(&self, name: &str) -> Option<SecretString> {
        serde_json::from_str(self.json(name)?).ok()
    }

    /// A text that is no secret, and not empty.
    fn words(&self, name: &str) -> Option<String> {
        self.text(name).as_ref().map(shown).filter(|words| !words.is_empty())
    }

    /// A whole number, also where it is written as text.
    fn integer(&self, name: &str) -> Option<i64> {
        self.json(name)?.trim_matches('"').parse().ok()
    }

    /// A lifetime in seconds; zero and less is none.
    fn seconds(&self, name: &str) -> Option<Duration> {
        let number = self.json(name)?.trim_matches('"');
        let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
        let seconds: u64 = whole.parse().ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds.min(MAX_LIFETIME_SECONDS)))
    }

    /// The permissions as TikTok wrote them, if it is in a form that the secret's readers expect: a text, or a list of
    /// texts and whole numbers.
    fn scope(&self) -> Option<&str> {
        let scope = self.json("scope").filter(|scope| scope.len() <= MAX_SCOPE)?;
        let is_text = |json: &str| serde_json::from_str::<String>(json).is_ok();
        let is_entry = |entry: &&RawValue| entry.get().parse::<u64>().is_ok() || is_text(entry.get());
        let is_list = || serde_json::from_str::<Vec<&RawValue>>(scope).is_ok_and(|list| list.iter().all(is_entry));
        (is_text(scope) || is_list()).then_some(scope)
    }

    fn id(&self, name: &str) -> Option<String> {
        id(self.json(name)?)
    }

    /// A list of ids; empty unless it is one.
    fn ids(&self, name: &str) -> Vec<String> {
        let list: Option<Vec<&RawValue>> = self.json(name).and_then(|json| serde_json::from_str(json).ok());
        list.and_then(|list| list.into_iter().map(|value| id(value.get())).collect()).unwrap_or_default()
    }
}

/// An id of up to nineteen digits: text in this version of the API, a number in older ones.
fn id(json: &str) -> Option<String> {
    if json.starts_with('"') {
        return serde_json::from_str(json).ok().filter(|id: &String| !id.is_empty());
    }
    json.bytes().all(|b| b.is_ascii_digit()).then(|| json.to_owned())
}

/// For texts that are no secrets.
fn shown(text: &SecretString) -> String {
    text.expose_secret().to_owned()
}
