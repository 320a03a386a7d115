//! What copying and pasting adds to a text.

use secrecy::{ExposeSecret, SecretString};

/// The quotation marks that a text is pasted with, each with the one that closes it.
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];

/// A text without the white space, the invisible characters and the pairs of quotation marks around it.
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

/// The JSON in a text that was pasted with quotation marks around it: as a JSON string, or as it was typed for a shell.
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

/// White space, or a character without a width.
#[must_use]
pub fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// A character without a width, such as a byte order mark.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    matches!(character, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
}

/// Names, as a sentence lists them.
#[must_use]
pub fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}
