//! Repairs of pasted text: spaces, invisible characters and quotation marks around a value, and slips in JSON.

use std::fmt::Write;

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use url::form_urlencoded;

/// The quotation marks around a pasted text, opening and closing.
const QUOTES: [(char, char); 9] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’'), ('„', '“'), ('„', '”'), ('”', '”'), ('«', '»')];

/// Words that other languages write, and JSON's words for them.
const WORDS: [(&str, &str); 9] = [
    ("NaN", "null"),
    ("nan", "null"),
    ("Infinity", "null"),
    ("-Infinity", "null"),
    ("undefined", "null"),
    ("None", "null"),
    ("nil", "null"),
    ("True", "true"),
    ("False", "false"),
];

/// Returns the text without surrounding spaces, invisible characters and pairs of quotation marks.
#[must_use]
pub fn trimmed(text: &str) -> &str {
    let mut text = text;
    loop {
        let bare = text.trim_matches(is_blank);
        let inner = QUOTES.iter().find_map(|(open, close)| bare.strip_prefix(*open)?.strip_suffix(*close));
        match inner {
            Some(inner) => text = inner,
            None => return bare,
        }
    }
}

/// Returns the JSON inside a quoted text: a JSON string, or text in shell quotes.
#[must_use]
pub fn quoted_json(text: &str) -> Option<SecretString> {
    let bare = trimmed(text);
    if !bare.starts_with('{') || text.trim_start().starts_with('{') {
        return None;
    }
    let unescaped = serde_json::from_str::<SecretString>(text).ok();
    let unescaped = unescaped.filter(|inner| inner.expose_secret().trim_matches(is_blank).starts_with('{'));
    Some(unescaped.map_or_else(
        || SecretString::from(bare),
        |inner| SecretString::from(inner.expose_secret().trim_matches(is_blank)),
    ))
}

/// Returns JSON without the usual slips: single quotation marks, control characters and stray backslashes in strings,
/// blanks that JSON does not have, commas before a closing bracket, words of other languages, and numbers that JSON writes
/// in another way. Anything else stays as it is.
#[must_use]
pub fn mended(json: &str) -> Zeroizing<String> {
    let longer = json.chars().filter(|c| c.is_control() || "\\\"'n+".contains(*c) || c.is_ascii_digit()).count();
    // Allocated once, because a reallocation would leave a copy of a token in memory.
    let mut mended = Zeroizing::new(String::with_capacity(json.len() + 5 * longer));
    let (mut rest, mut quote) = (json, None);
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                mended.push('"');
            }
            (Some(open), _) if open == c => {
                quote = None;
                mended.push('"');
            }
            (Some(_), '"') => mended.push_str("\\\""),
            (Some(_), '\\') => match escape_length(rest) {
                Some(whole) => {
                    length = whole;
                    mended.push_str(&rest[..length]);
                }
                None if rest[1..].starts_with('\'') => {
                    length = 2;
                    mended.push('\'');
                }
                None => mended.push_str("\\\\"),
            },
            (Some(_), c) if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(*mended, "\\u{:04x}", u32::from(c));
            }
            (Some(_), c) => mended.push(c),
            (None, '}' | ']') => {
                let before = mended.trim_end().len();
                if mended[..before].ends_with(',') {
                    mended.truncate(before - 1);
                }
                mended.push(c);
            }
            (None, '{' | '[' | ',' | ':' | ' ' | '\n' | '\r' | '\t') => mended.push(c),
            (None, c) if is_blank(c) => mended.push(' '),
            (None, _) => {
                let ends_word = |c: char| is_blank(c) || "{}[],:\"'".contains(c);
                length = rest.find(ends_word).unwrap_or(rest.len());
                push_word(&mut mended, &rest[..length]);
            }
        }
        rest = &rest[length..];
    }
    mended
}

/// Adds a word, in JSON's own spelling if it has one. A number becomes a string if JSON does not take it.
fn push_word(mended: &mut String, word: &str) {
    let own = WORDS.iter().find(|(other, _)| *other == word).map(|(_, own)| *own);
    let is_odd_number = || {
        word.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '.')
            && serde_json::from_str::<f64>(word).is_err()
            && !word.contains('\\')
    };
    match own {
        None if is_odd_number() => mended.extend(["\"", word, "\""]),
        own => mended.push_str(own.unwrap_or(word)),
    }
}

/// Returns the length of the escape at the start of a text. `None` if JSON has no such escape.
fn escape_length(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(2),
        [_, b'u', digits @ ..] if digits.iter().take(4).filter(|b| b.is_ascii_hexdigit()).count() == 4 => Some(6),
        _ => None,
    }
}

/// The number of times that an auth code can be percent-encoded: by TikTok and by one tool after it.
pub const MAX_ENCODINGS: usize = 2;

/// Decodes percent signs once, and nothing else: `+` and `=` have another meaning in a query. Returns `None` if two
/// hexadecimal digits do not follow a percent sign.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<String> {
    let is_encoded = |piece: &str| piece.len() >= 2 && piece.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(is_encoded) {
        return None;
    }
    let escaped = text.replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
    Some(form_urlencoded::parse(escaped.as_bytes()).map(|(name, _)| name.into_owned()).collect())
}

/// Returns true for white space and characters without a width.
#[must_use]
pub fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Returns true for characters without a width: a byte order mark, a soft hyphen or a direction mark.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns true for a quotation mark that JSON does not have.
#[must_use]
pub fn is_typographic_quote(character: char) -> bool {
    matches!(character, '“' | '”' | '„' | '‟' | '‘' | '’' | '‚' | '«' | '»' | '″' | '＂')
}

/// Joins names for a sentence.
#[must_use]
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}
