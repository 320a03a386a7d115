//! TikTok's answers. Input: the body of a response, complete or cut. Output: tokens, advertisers or advertiser info.
//! Errors: sentences about the missing part.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::value::RawValue;

use crate::{
    document::{Advertiser, AdvertiserInfo},
    transport::{Listing, TokenSet},
};

/// Ten years. A longer lifetime is not plausible: refresh tokens live one year.
const MAX_LIFETIME_SECONDS: u64 = 10 * 365 * 86_400;

/// Two years. A Unix time beyond this is not plausible as the end of a lifetime.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(2 * 365 * 24);

/// A longer scope is left out, in bytes. It is informative and must not use the space of the tokens.
const MAX_SCOPE: usize = 1_024;

/// 10,000 advertisers at 100 a page. Later pages are not read.
const MAX_PAGES: u32 = 100;

/// TikTok's envelope. Values stay JSON text, because ids of 19 digits exceed a float.
pub struct Answer {
    /// `None` if the answer has no code. Its content decides then.
    pub code: Option<i64>,
    pub message: Option<String>,
    pub request_id: Option<String>,
    /// The error of OAuth: RFC 6749, section 5.2, and RFC 6750, section 3.1.
    pub oauth_error: Option<String>,
    /// True if the JSON ended early. It was read up to its last complete member.
    pub cut: bool,
    data: Fields,
    beside: Fields,
}

/// The fields of a JSON object. Each value is wiped when it is dropped, because some are tokens.
#[derive(Default)]
struct Fields(BTreeMap<String, SecretString>);

impl Answer {
    /// Parses an envelope: a JSON object with a code, an OAuth error, data or a token. It accepts a byte order mark,
    /// trailing text, invalid UTF-8 and an early end.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let text = Zeroizing::new(String::from_utf8_lossy(body).into_owned());
        let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c == '\0' || c.is_whitespace());
        let (beside, cut) = match Fields::parse(text) {
            Some(fields) => (fields, false),
            None => (closed(text).iter().find_map(|text| Fields::parse(text))?, true),
        };
        let data = beside.object("data").unwrap_or_default();
        let error = beside.object("error").unwrap_or_default();
        let oauth_error = beside.text("error").or_else(|| error.text("code")).filter(|error| !is_ok(error));
        let message = ["message", "error_description", "msg"].into_iter().find_map(|name| beside.text(name));
        let message = message.or_else(|| error.text("message")).or_else(|| data.text("description"));
        let request_id = beside.text("request_id").or_else(|| data.text("request_id"));
        let request_id = request_id.or_else(|| beside.text("log_id")).or_else(|| error.text("log_id"));
        let answer = Self {
            code: beside.integer("code").or_else(|| data.integer("error_code")),
            message: message.as_ref().map(shown),
            request_id: request_id.as_ref().map(shown),
            oauth_error: oauth_error.as_ref().map(shown),
            cut,
            data,
            beside,
        };
        let is_envelope = answer.code.is_some()
            || answer.oauth_error.is_some()
            || answer.beside.0.contains_key("data")
            || answer.tokens().is_some();
        is_envelope.then_some(answer)
    }

    /// Returns true if the body is a complete envelope.
    pub(super) fn is_whole(body: &[u8]) -> bool {
        Self::parse(body).is_some_and(|answer| !answer.cut)
    }

    /// Returns true if the answer reports success, or reports nothing.
    pub const fn is_success(&self) -> bool {
        matches!((self.code, &self.oauth_error), (Some(0), _) | (None, None))
    }

    /// Returns the tokens, from `data` or from the top level. Older answers name the lifetimes differently. Lifetimes
    /// count from `asked_at`.
    ///
    /// # Errors
    /// A sentence about the missing part.
    pub fn grant(&self, asked_at: Timestamp) -> Result<TokenSet, &'static str> {
        let (fields, access_token) =
            self.tokens().ok_or("TikTok answered with success but without an access token.")?;
        let refresh_token = fields.token("refresh_token");
        // The missing part may have had a new refresh token, so an access token alone is not used.
        if self.cut && refresh_token.is_none() {
            return Err("TikTok's answer broke off before its refresh token.");
        }
        let mut warnings = Vec::new();
        if self.cut {
            warnings.push(
                "TikTok's answer broke off behind its tokens, so what it says beside them is incomplete.".to_owned(),
            );
        }
        if refresh_token.is_none()
            && fields.text("refresh_token").is_some_and(|it| !it.expose_secret().trim().is_empty())
        {
            warnings.push(
                "TikTok's answer has a refresh token with characters that no token has, so the one before it is kept."
                    .to_owned(),
            );
        }
        let mut lifetime = |names: &[&str], of: &str| {
            let (name, lifetime) = names.iter().find_map(|name| Some((name, fields.lifetime(name, asked_at)?)))?;
            if let Lifetime::Odd(number) = &lifetime {
                warnings.push(format!("TikTok's '{name}' is {number}, which is neither a lifetime nor a time to come, so the end of the {of} is not known."));
            }
            lifetime.known()
        };
        let expires_in = lifetime(&["expires_in", "expires", "expires_at"], "access token");
        let refresh_names =
            ["refresh_token_expires_in", "refresh_expires_in", "refresh_expires", "refresh_token_expires_at"];
        let refresh_token_expires_in = lifetime(&refresh_names, "refresh token");
        Ok(TokenSet {
            asked_at,
            access_token,
            refresh_token,
            expires_in,
            refresh_token_expires_in,
            scope: fields.scope().map(str::to_owned),
            open_id: fields.text("open_id").as_ref().map(shown),
            advertiser_ids: fields.ids("advertiser_ids"),
            warnings,
            reported_error: None,
        })
    }

    /// Returns the object with the access token, and the token.
    fn tokens(&self) -> Option<(&Fields, SecretString)> {
        [&self.data, &self.beside].into_iter().find_map(|fields| Some((fields, fields.token("access_token")?)))
    }

    /// Returns every token of the answer, because a message may repeat them.
    pub(super) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let fields = [&self.data, &self.beside].into_iter();
        fields.flat_map(|fields| ["access_token", "refresh_token"].into_iter().filter_map(|name| fields.text(name)))
    }

    /// Returns the advertisers. An empty list is valid; a missing list is an error.
    ///
    /// # Errors
    /// As [`Answer::grant`], and if no entry has an id.
    pub fn advertisers(&self) -> Result<Listing, &'static str> {
        let entries = self.list()?;
        let advertiser = |entry: &&RawValue| {
            let Some(entry) = Fields::parse(entry.get()) else {
                return Some(Advertiser::new(id(entry.get())?, None));
            };
            let name = entry.words("advertiser_name").or_else(|| entry.words("name"));
            Some(Advertiser::new(entry.id("advertiser_id")?, name))
        };
        let advertisers: Vec<_> = entries.iter().filter_map(advertiser).collect();
        let dropped = entries.len() - advertisers.len();
        if advertisers.is_empty() && dropped > 0 {
            return Err("TikTok's list of advertisers has entries, and none of them has an id.");
        }
        Ok(Listing { advertisers, dropped })
    }

    /// Returns the info of advertisers. Entries without an id are left out.
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
            let name = entry.words("name").or_else(|| entry.words("advertiser_name"));
            Some(Advertiser { id: entry.id("advertiser_id")?, name, info })
        };
        Ok(self.list()?.into_iter().filter_map(info).collect())
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u32 {
        let info = self.data.object("page_info").or_else(|| self.beside.object("page_info"));
        let pages = info.and_then(|info| info.integer("total_page"));
        pages.and_then(|pages| u32::try_from(pages).ok()).unwrap_or(1).clamp(1, MAX_PAGES)
    }

    fn list(&self) -> Result<Vec<&RawValue>, &'static str> {
        const NO_LIST: &str = "TikTok's answer holds no list of advertisers.";
        // If `data` is no object, it can be the list itself.
        let list = self.data.json("list").or_else(|| self.beside.json("data").filter(|data| data.starts_with('[')));
        let list: Option<Vec<&RawValue>> = serde_json::from_str(list.ok_or(NO_LIST)?).map_err(|_| NO_LIST)?;
        Ok(list.unwrap_or_default())
    }
}

impl fmt::Debug for Answer {
    /// A message can repeat a token, so only its presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("code", &self.code).finish_non_exhaustive()
    }
}

/// A lifetime in an answer.
enum Lifetime {
    Seconds(u64),
    /// The answer gives no lifetime.
    None,
    /// Not a lifetime. The text may be shown.
    Odd(String),
}

impl Lifetime {
    fn known(self) -> Option<Duration> {
        if let Self::Seconds(seconds) = self { Some(Duration::from_secs(seconds)) } else { None }
    }
}

impl Fields {
    /// Parses the object at the start of a text.
    fn parse(json: &str) -> Option<Self> {
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<BTreeMap<Cow<'_, str>, &RawValue>>();
        let fields = values.next()?.ok()?;
        let secret = |value: &RawValue| SecretString::from(value.get());
        Some(Self(fields.into_iter().map(|(name, value)| (name.into_owned(), secret(value))).collect()))
    }

    fn json(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    /// Returns an object, or one that is encoded as a JSON string.
    fn object(&self, name: &str) -> Option<Self> {
        Self::parse(self.json(name)?).or_else(|| Self::parse(self.text(name)?.expose_secret()))
    }

    fn text(&self, name: &str) -> Option<SecretString> {
        serde_json::from_str(self.json(name)?).ok()
    }

    /// Returns a string that can be a token. A replacement character means that bytes were lost.
    fn token(&self, name: &str) -> Option<SecretString> {
        self.text(name).filter(|token| {
            let token = token.expose_secret();
            !token.trim().is_empty() && !token.contains(char::REPLACEMENT_CHARACTER)
        })
    }

    /// Returns a string that is not secret and not empty.
    fn words(&self, name: &str) -> Option<String> {
        self.text(name).as_ref().map(shown).filter(|words| !words.is_empty())
    }

    /// Returns an integer, also one written as a string or with a fraction of zero.
    fn integer(&self, name: &str) -> Option<i64> {
        let json = self.json(name)?.trim_matches('"').trim();
        json.parse().ok().or_else(|| {
            let number: f64 = json.parse().ok().filter(|number: &f64| number.fract() == 0.0 && number.abs() < 1e15)?;
            #[allow(clippy::cast_possible_truncation, reason = "it is whole, and smaller than any i64")]
            Some(number as i64)
        })
    }

    /// Parses a lifetime. Seconds can be a number or a string, with a fraction or an exponent. Some endpoints return
    /// the expiry instead: Unix time in seconds or milliseconds, or RFC 3339.
    fn lifetime(&self, name: &str, now: Timestamp) -> Option<Lifetime> {
        let json = self.json(name).filter(|json| *json != "null")?;
        let text = json.trim_matches('"').trim();
        if let Ok(end) = text.parse::<Timestamp>() {
            return Some(until(end, now).unwrap_or_else(|| Lifetime::Odd(end.to_string())));
        }
        let Ok(number) = text.parse::<f64>() else {
            return Some(if text.is_empty() { Lifetime::None } else { Lifetime::Odd("not a number".to_owned()) });
        };
        if !number.is_finite() {
            return Some(Lifetime::Odd("not a number of seconds".to_owned()));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is out of range is its end")]
        let seconds = number.max(0.0) as u64;
        Some(match seconds {
            0 => Lifetime::None,
            1..=MAX_LIFETIME_SECONDS => Lifetime::Seconds(seconds),
            _ => {
                let end = |seconds: u64| until(Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?, now);
                end(seconds).or_else(|| end(seconds / 1_000)).unwrap_or_else(|| Lifetime::Odd(format!("{seconds}")))
            }
        })
    }

    /// Returns the scope as TikTok wrote it, if it is a string or a list of strings and integers.
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

    /// Returns the ids of a list. Other entries are left out.
    fn ids(&self, name: &str) -> Vec<String> {
        let list: Option<Vec<&RawValue>> = self.json(name).and_then(|json| serde_json::from_str(json).ok());
        list.unwrap_or_default().into_iter().filter_map(|value| id(value.get())).collect()
    }
}

/// Returns the lifetime until `end`, unless `end` is over or not plausible.
fn until(end: Timestamp, now: Timestamp) -> Option<Lifetime> {
    let left = end.duration_since(now);
    let seconds = u64::try_from(left.as_secs()).ok().filter(|seconds| *seconds > 0 && left <= MAX_AHEAD)?;
    Some(Lifetime::Seconds(seconds))
}

/// Parses an id of up to 19 digits. This API version writes strings, older ones numbers.
fn id(json: &str) -> Option<String> {
    if json.starts_with('"') {
        let id: String = serde_json::from_str(json).ok()?;
        let id = id.trim();
        return (!id.is_empty() && !id.contains(char::REPLACEMENT_CHARACTER)).then(|| id.to_owned());
    }
    // A float is exact only if all digits are written out.
    let digits = json.split_once('.').filter(|(_, rest)| rest.bytes().all(|b| b == b'0')).map_or(json, |(id, _)| id);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.to_owned())
}

/// Completes a JSON object that ended early: after its last complete value and after its last comma.
fn closed(json: &str) -> Vec<Zeroizing<String>> {
    /// An envelope has two levels, and a list in it two more.
    const DEEPEST: usize = 16;
    let (mut open, mut in_text, mut escaped) = (Vec::new(), false, false);
    let (mut after_value, mut at_comma) = (None, None);
    for (at, byte) in json.bytes().enumerate() {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => {
                in_text = false;
                after_value = Some((at + 1, open.clone()));
            }
            (false, b'"') => in_text = true,
            (false, b'{') => open.push('}'),
            (false, b'[') => open.push(']'),
            (false, b'}' | b']') => {
                open.pop();
                after_value = Some((at + 1, open.clone()));
            }
            (false, b',') => at_comma = Some((at, open.clone())),
            _ => {}
        }
        if open.len() > DEEPEST {
            return Vec::new();
        }
    }
    let ends = [after_value, at_comma].into_iter().flatten();
    ends.map(|(end, open)| Zeroizing::new(json[..end].chars().chain(open.into_iter().rev()).collect())).collect()
}

/// TikTok's newer endpoints add `{"error":{"code":"ok"}}` to a success.
fn is_ok(error: &SecretString) -> bool {
    let error = error.expose_secret();
    error.is_empty() || error.eq_ignore_ascii_case("ok")
}

/// Returns the text. For values that are not secret.
fn shown(text: &SecretString) -> String {
    text.expose_secret().to_owned()
}
