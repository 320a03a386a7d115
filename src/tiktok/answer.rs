//! TikTok's answers. Input: the body of a response, complete or cut. Output: tokens, advertisers or advertiser info.
//! Errors: sentences about the missing part.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::value::RawValue;

use crate::{
    document::{Advertiser, AdvertiserInfo, Members, pasted},
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

/// The size limit of an unpacked answer in bytes, which is that of a list.
const MAX_UNPACKED: usize = 4 * 1024 * 1024;

/// The size limit in bytes of a body that is mended, because mending takes memory. An answer with tokens has one or two
/// kilobytes.
const MAX_MENDED: usize = 1024 * 1024;

/// An object with tokens is among the first objects of an answer.
const MAX_OBJECTS: usize = 32;

/// The names of the access token's lifetime or end.
const ACCESS_TOKEN_LIFETIME: [&str; 6] = [
    "expires_in",
    "expires",
    "expires_at",
    "access_token_expires_in",
    "access_token_expire_in",
    "access_token_expires_at",
];

/// The names of the refresh token's lifetime or end.
const REFRESH_TOKEN_LIFETIME: [&str; 5] = [
    "refresh_token_expires_in",
    "refresh_expires_in",
    "refresh_expires",
    "refresh_token_expire_in",
    "refresh_token_expires_at",
];

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

/// The fields of a JSON object. Their names are normalized, because gateways write `accessToken` too. Each value is wiped
/// when it is dropped, because some are tokens.
#[derive(Clone, Default)]
struct Fields(BTreeMap<String, SecretString>);

impl Answer {
    /// Parses an envelope: a JSON object with a code, an OAuth error, data or a token. It accepts UTF-16, a byte order
    /// mark, trailing text, invalid UTF-8, slips in the JSON and an early end. An object with an access token counts
    /// wherever it is in the body.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let text = text_of(body);
        let text = text.trim_start_matches(|c: char| c == '\0' || pasted::is_blank(c));
        let quoted = pasted::quoted_json(text);
        let text = quoted.as_ref().map_or(text, ExposeSecret::expose_secret);
        let inside = |text: &str| {
            let objects = text.match_indices('{').map(|(at, _)| &text[at..]);
            let objects = objects.filter(|text| text[1..].trim_start().starts_with('"')).take(MAX_OBJECTS);
            objects.filter_map(Self::of).find(|answer| answer.access_token().is_some())
        };
        let unescaped =
            || inside(&Zeroizing::new(text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&amp;", "&")));
        let answer = Self::of(text).filter(Self::is_envelope);
        if text.len() > MAX_MENDED { answer } else { answer.or_else(|| inside(text)).or_else(unescaped) }
    }

    /// Parses the object at the start of a text.
    fn of(text: &str) -> Option<Self> {
        let (beside, cut) = Fields::parse_or_close(text)?;
        let data = beside.object("data").unwrap_or_default();
        let error = beside.object("error").unwrap_or_default();
        let oauth_error = beside.text("error").or_else(|| error.text("code")).filter(|error| !is_ok(error));
        let message = ["message", "error_description", "msg"].into_iter().find_map(|name| beside.text(name));
        let message = message.or_else(|| error.text("message")).or_else(|| data.text("description"));
        let request_id = beside.text("request_id").or_else(|| data.text("request_id"));
        let request_id = request_id.or_else(|| beside.text("log_id")).or_else(|| error.text("log_id"));
        Some(Self {
            code: beside.integer("code").or_else(|| data.integer("error_code")),
            message: message.as_ref().map(shown),
            request_id: request_id.as_ref().map(shown),
            oauth_error: oauth_error.as_ref().map(shown),
            cut,
            data,
            beside,
        })
    }

    fn is_envelope(&self) -> bool {
        self.code.is_some()
            || self.oauth_error.is_some()
            || self.beside.json("data").is_some()
            || self.access_token().is_some()
    }

    /// Returns true if the body is a complete envelope.
    pub(super) fn is_whole(body: &[u8]) -> bool {
        Self::parse(body).is_some_and(|answer| !answer.cut)
    }

    /// Returns true if the answer reports success, or reports nothing.
    pub const fn is_success(&self) -> bool {
        matches!((self.code, &self.oauth_error), (Some(0), _) | (None, None))
    }

    /// Returns the tokens, from `data`, the top level or an object inside. Older answers name the lifetimes differently.
    /// Lifetimes count from `asked_at`.
    ///
    /// # Errors
    /// A sentence about the missing part.
    pub fn grant(&self, asked_at: Timestamp) -> Result<TokenSet, &'static str> {
        let (fields, access_token) =
            self.access_token().ok_or("TikTok answered with success but without an access token.")?;
        // Some gateways put the two tokens into different objects.
        let found = |get: fn(&Fields, &str) -> Option<SecretString>| {
            get(&fields, "refresh_token").or_else(|| self.objects().iter().find_map(|it| get(it, "refresh_token")))
        };
        let refresh_token = found(Fields::token);
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
        if refresh_token.is_none() && found(Fields::filled).is_some() {
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
        let expires_in = lifetime(&ACCESS_TOKEN_LIFETIME, "access token");
        let refresh_token_expires_in = lifetime(&REFRESH_TOKEN_LIFETIME, "refresh token");
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
    fn access_token(&self) -> Option<(Fields, SecretString)> {
        let found = |fields: &Fields| fields.token("access_token").map(|token| (fields.clone(), token));
        found(&self.data).or_else(|| found(&self.beside)).or_else(|| self.objects().iter().find_map(found))
    }

    /// Returns the objects of the answer: `data`, the answer itself, and the first ones inside.
    fn objects(&self) -> Vec<Fields> {
        let mut objects = vec![self.data.clone(), self.beside.clone()];
        let mut next = 0;
        while next < objects.len() && objects.len() < MAX_OBJECTS {
            let inside = objects[next].objects();
            objects.extend(inside.into_iter().take(MAX_OBJECTS - objects.len()));
            next += 1;
        }
        objects
    }

    /// Returns every token of the answer, because a message may repeat them. The message of a success is not shown, so
    /// there only the usual places count.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        let inside = if self.is_success() { Vec::new() } else { self.objects() };
        let objects = [&self.data, &self.beside].into_iter().chain(&inside);
        let tokens = |fields: &Fields| ["access_token", "refresh_token"].map(|name| fields.filled(name));
        objects.flat_map(tokens).flatten().collect()
    }

    /// Returns the advertisers. An empty list is valid; a missing list is an error.
    ///
    /// # Errors
    /// As [`Answer::grant`], and if no entry has an id.
    pub fn advertisers(&self) -> Result<Listing, &'static str> {
        let entries = self.list()?;
        let advertiser = |entry: &Fields| {
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
        let info = |entry: Fields| {
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
        let number = |name| info.as_ref().and_then(|info| u32::try_from(info.integer(name)?).ok());
        let counted = || Some(number("total_number")?.div_ceil(number("page_size").filter(|size| *size > 0)?));
        number("total_page").or_else(counted).unwrap_or(1).clamp(1, MAX_PAGES)
    }

    /// Returns the entries of the list: objects, ids, or objects by their ids.
    fn list(&self) -> Result<Vec<Fields>, &'static str> {
        const NO_LIST: &str = "TikTok's answer holds no list of advertisers.";
        let mut names = ["list", "advertisers", "advertiser_ids"].into_iter();
        let list = names.find_map(|name| self.data.unquoted(name));
        // If `data` is no object, it can be the list itself.
        let list = list.or_else(|| self.beside.unquoted("data").filter(|data| data.starts_with('['))).ok_or(NO_LIST)?;
        if let Some(entries) = Fields::parse(&list) {
            let is_id = |name: &str| name.len() >= 10 && name.bytes().all(|byte| byte.is_ascii_digit());
            let entry = |(name, value): (String, SecretString)| {
                let mut entry = Fields::parse(value.expose_secret()).unwrap_or_default();
                if is_id(&name) {
                    entry.0.entry(plain("advertiser_id")).or_insert_with(|| name.into());
                }
                entry
            };
            return Ok(entries.0.into_iter().map(entry).collect());
        }
        let entries: Option<Vec<&RawValue>> = serde_json::from_str(&list).map_err(|_| NO_LIST)?;
        let of_id = |json: &str| Fields(BTreeMap::from([(plain("advertiser_id"), json.into())]));
        let entries = entries.unwrap_or_default().into_iter();
        Ok(entries.map(|entry| Fields::parse(entry.get()).unwrap_or_else(|| of_id(entry.get()))).collect())
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
    /// Not a lifetime. The text may be shown.
    Odd(String),
}

impl Lifetime {
    fn known(self) -> Option<Duration> {
        if let Self::Seconds(seconds) = self { Some(Duration::from_secs(seconds)) } else { None }
    }
}

impl Fields {
    /// Parses the object at the start of a text. If the text ends early, it is read up to its last complete member, and the
    /// second result is true.
    fn parse_or_close(text: &str) -> Option<(Self, bool)> {
        if !text.starts_with('{') {
            return None;
        }
        let whole = |text: &str| Some((Self::parse(text)?, false));
        whole(text).or_else(|| {
            let up_to_the_end = |text: &str| Some((closed(text).iter().find_map(|text| Self::parse(text))?, true));
            if text.len() > MAX_MENDED {
                return up_to_the_end(text);
            }
            let mended = pasted::mended(text);
            whole(&mended).or_else(|| up_to_the_end(&mended))
        })
    }

    /// Parses the object at the start of a text. If a name is there twice, the last value counts that is not empty.
    fn parse(json: &str) -> Option<Self> {
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Members>();
        let mut fields = BTreeMap::new();
        for (name, value) in values.next()?.ok()?.0 {
            let name = plain(&name);
            if !fields.contains_key(&name) || !["null", "\"\"", "{}", "[]"].contains(&value.expose_secret()) {
                fields.insert(name, value);
            }
        }
        Some(Self(fields))
    }

    fn json(&self, name: &str) -> Option<&str> {
        self.0.get(&plain(name)).map(ExposeSecret::expose_secret)
    }

    /// Returns an object, or one that is encoded as a JSON string.
    fn object(&self, name: &str) -> Option<Self> {
        Self::parse(&self.unquoted(name)?)
    }

    /// Returns a value, or the JSON that it has as a string.
    fn unquoted(&self, name: &str) -> Option<Zeroizing<String>> {
        let json = self.json(name)?;
        let inner = self.text(name).filter(|text| text.expose_secret().trim_start().starts_with(['{', '[']));
        Some(Zeroizing::new(inner.map_or_else(|| json.to_owned(), |inner| inner.expose_secret().to_owned())))
    }

    /// Returns the objects that are values of this one, or entries of a list in it.
    fn objects(&self) -> Vec<Self> {
        let values = self.0.keys().filter_map(|name| self.unquoted(name));
        let objects = values.flat_map(|value| {
            let entries: Vec<&RawValue> = serde_json::from_str(&value).unwrap_or_default();
            let one = Self::parse(&value);
            one.into_iter()
                .chain(entries.iter().take(MAX_OBJECTS).filter_map(|it| Self::parse(it.get())))
                .collect::<Vec<_>>()
        });
        objects.collect()
    }

    fn text(&self, name: &str) -> Option<SecretString> {
        // An object is no string, and serde_json would make an error message of it.
        serde_json::from_str(self.json(name).filter(|json| json.starts_with('"'))?).ok()
    }

    /// Returns a string, also one that is alone in a list or an object, or a whole number as one. Some languages write a
    /// missing value as a word.
    fn filled(&self, name: &str) -> Option<SecretString> {
        let json = sole(self.json(name)?);
        let digits = || json.bytes().all(|b| b.is_ascii_digit()).then(|| SecretString::from(json));
        let text: SecretString = serde_json::from_str(json).ok().or_else(digits)?;
        let words = ["", "null", "none", "nil", "undefined"];
        let is_missing = words.contains(&text.expose_secret().trim().to_lowercase().as_str());
        (!is_missing).then_some(text)
    }

    /// Returns a string that can be a token. A replacement character means that bytes were lost.
    fn token(&self, name: &str) -> Option<SecretString> {
        self.filled(name).filter(|token| !token.expose_secret().contains(char::REPLACEMENT_CHARACTER))
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

    /// Parses a lifetime. Seconds can be a number or a string, with a fraction, an exponent or a unit. Some endpoints return
    /// the expiry instead: Unix time in seconds or milliseconds, or RFC 3339. Returns `None` if the answer gives no
    /// lifetime.
    fn lifetime(&self, name: &str, now: Timestamp) -> Option<Lifetime> {
        let json = self.json(name).filter(|json| *json != "null")?;
        let text = json.trim_matches('"').trim();
        if let Ok(end) = text.parse::<Timestamp>() {
            return Some(until(end, now).unwrap_or_else(|| Lifetime::Odd(end.to_string())));
        }
        let number = text.parse().or_else(|_| text.parse::<SignedDuration>().map(|lifetime| lifetime.as_secs_f64()));
        let Ok(number) = number else {
            return (!text.is_empty()).then(|| Lifetime::Odd("not a number".to_owned()));
        };
        if !number.is_finite() {
            return Some(Lifetime::Odd("not a number of seconds".to_owned()));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is out of range is its end")]
        let seconds = number.max(0.0) as u64;
        match seconds {
            0 => None,
            1..=MAX_LIFETIME_SECONDS => Some(Lifetime::Seconds(seconds)),
            _ => {
                let end = |seconds: u64| until(Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?, now);
                let lifetime = end(seconds).or_else(|| end(seconds / 1_000));
                Some(lifetime.unwrap_or_else(|| Lifetime::Odd(format!("{seconds}"))))
            }
        }
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

/// Returns the text of a body: UTF-16 by its byte order mark, else UTF-8. Gzip is unpacked up to `MAX_UNPACKED`, or up to
/// where it ends early.
fn text_of(body: &[u8]) -> Zeroizing<String> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Zeroizing<Vec<u16>> = Zeroizing::new(rest.chunks_exact(2).map(|it| unit([it[0], it[1]])).collect());
        String::from_utf16_lossy(&units)
    };
    Zeroizing::new(match body {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        // RFC 1952: no name or comment, six bytes about the file, and then the data.
        [0x1f, 0x8b, 8, 0, _, _, _, _, _, _, rest @ ..] => {
            let unpacked = decompress_to_vec_with_limit(rest, MAX_UNPACKED).unwrap_or_else(|error| error.output);
            String::from_utf8_lossy(&Zeroizing::new(unpacked)).into_owned()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    })
}

/// Returns the value that is alone in a list or an object, or else the value itself.
fn sole(json: &str) -> &str {
    let sole = match json.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<[&RawValue; 1]>(json).ok().map(|[value]| value.get()),
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
            let mut values = members.into_values();
            values.next().filter(|_| values.next().is_none()).map(RawValue::get)
        }
        _ => None,
    };
    sole.unwrap_or(json)
}

/// Returns a name without the differences between spellings.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !['_', '-'].contains(c)).map(|c| c.to_ascii_lowercase()).collect()
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
