//! Repairs of pasted text: spaces, invisible characters and quotation marks around a value.

use secrecy::{ExposeSecret, SecretString};

/// The quotation marks around a pasted text, opening and closing.
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];

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

/// Returns true for white space and characters without a width.
#[must_use]
pub fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Returns true for characters without a width, such as a byte order mark.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(character, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
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
