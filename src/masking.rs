//! Masking of secrets in the messages of servers.
//!
//! A server can repeat parts of a request: as a whole, cut, or encoded as JSON, a URL, HTML, Base64 or hexadecimal
//! digits. [`masked`] replaces every part of a secret of eight or more characters with `***`.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::zeroize::Zeroizing;
use url::form_urlencoded::byte_serialize;

use crate::document::{hex, pasted};

/// A part of a secret with this many characters is masked.
const RECOGNIZABLE: usize = 8;

const MASK: &str = "***";

/// Returns the text as one line of at most `limit` characters, without control characters and with secrets masked.
#[must_use]
pub fn masked(text: &str, secrets: &[&str], limit: usize) -> String {
    let by_number = ["&#", "\\u", "["].iter().any(|it| text.contains(it));
    // Invisible characters are removed first, because they could separate two parts of a secret.
    let text: Zeroizing<Vec<char>> = Zeroizing::new(text.chars().filter(|c| is_visible(*c)).take(2 * limit).collect());
    let line = Line::of(&text);
    let mut hidden = vec![false; text.len()];
    for secret in secrets {
        for spelling in spellings(secret, by_number) {
            line.hide(&spelling, &mut hidden);
        }
    }
    let mut shown = String::new();
    for (at, c) in text.iter().enumerate() {
        match (hidden[at], at > 0 && hidden[at - 1]) {
            (false, _) => shown.push(*c),
            (true, false) => shown.push_str(MASK),
            (true, true) => {}
        }
    }
    shown.chars().take(limit).collect()
}

fn is_visible(c: char) -> bool {
    !(c.is_control() || pasted::is_invisible(c))
}

/// A text, and its letters and digits.
struct Line<'t> {
    text: &'t [char],
    /// The letters and digits in lower case.
    letters: Zeroizing<Vec<char>>,
    /// The position of each letter in the text.
    places: Vec<usize>,
    /// The windows of the text and of its letters; `None` if the text is not ASCII.
    windows: Option<[Windows; 2]>,
}

impl<'t> Line<'t> {
    fn of(text: &'t [char]) -> Self {
        let (places, letters) = text.iter().enumerate().filter_map(|(at, c)| Some((at, letter(*c)?))).unzip();
        let letters: Zeroizing<Vec<char>> = Zeroizing::new(letters);
        let is_ascii = text.iter().all(char::is_ascii);
        let of = |chars: &[char]| Windows::of(chars.iter().filter_map(|c| u8::try_from(*c).ok()));
        Self { text, places, windows: is_ascii.then(|| [of(text), of(&letters)]), letters }
    }

    /// False if the text shares nothing with one spelling of a secret. A quick test, because most texts share nothing.
    fn may_share_with(&self, spelling: &str) -> bool {
        let visible = || spelling.bytes().filter(|byte| !byte.is_ascii_control());
        match &self.windows {
            Some([text, letters]) if spelling.is_ascii() && visible().nth(RECOGNIZABLE - 1).is_some() => {
                // An id has nothing but letters and digits.
                let is_punctuated = self.text.len() > self.letters.len();
                letters.share(visible().filter(u8::is_ascii_alphanumeric)) || is_punctuated && text.share(visible())
            }
            _ => true,
        }
    }

    /// Marks the characters that the line shares with one spelling of a secret.
    fn hide(&self, spelling: &str, hidden: &mut [bool]) {
        if !self.may_share_with(spelling) {
            return;
        }
        let spelling = Zeroizing::new(spelling.chars().filter(|c| is_visible(*c)).collect::<Vec<_>>());
        let letters = Zeroizing::new(spelling.iter().filter_map(|c| letter(*c)).collect::<Vec<_>>());
        // A complete secret is masked even if it is short, with the punctuation at its ends.
        common(self.text, &spelling, spelling.len(), |from, to| hidden[from..=to].fill(true));
        common(self.text, &spelling, RECOGNIZABLE, |from, to| hidden[from..=to].fill(true));
        common(&self.letters, &letters, RECOGNIZABLE, |from, to| {
            hidden[self.places[from]..=self.places[to]].fill(true);
        });
    }
}

/// Every eight ASCII characters in a row of a text, in lower case.
struct Windows {
    all: Zeroizing<Vec<u64>>,
    /// A quick test: true for each hash that one of them has.
    filled: [bool; 1024],
}

impl Windows {
    fn of(text: impl Iterator<Item = u8>) -> Self {
        let all: Zeroizing<Vec<u64>> = Zeroizing::new(windows(text).collect());
        let mut filled = [false; 1024];
        all.iter().for_each(|window| filled[slot(*window)] = true);
        Self { all, filled }
    }

    /// True if another text has eight characters in a row that are among these.
    fn share(&self, text: impl Iterator<Item = u8>) -> bool {
        windows(text).any(|window| self.filled[slot(window)] && self.all.contains(&window))
    }
}

fn windows(text: impl Iterator<Item = u8>) -> impl Iterator<Item = u64> {
    let whole = text.scan(0, |window, byte| {
        *window = *window << 8 | u64::from(byte.to_ascii_lowercase());
        Some(*window)
    });
    whole.skip(RECOGNIZABLE - 1)
}

fn slot(window: u64) -> usize {
    // The fractional part of the golden ratio spreads neighboring numbers over the upper ten bits.
    usize::try_from(window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).unwrap_or_default()
}

/// Returns a letter or digit in lower case. Every encoding preserves them.
fn letter(c: char) -> Option<char> {
    c.is_alphanumeric().then(|| c.to_lowercase().next().unwrap_or(c))
}

/// Calls `found` with the first and last position of each part of `text`, `length` characters long, that is in `secret`
/// too.
fn common(text: &[char], secret: &[char], length: usize, mut found: impl FnMut(usize, usize)) {
    if length == 0 || secret.len() < length || text.len() < length {
        return;
    }
    for shared in secret.windows(length) {
        for (from, part) in text.windows(length).enumerate() {
            if part == shared {
                found(from, from + length - 1);
            }
        }
    }
}

/// Returns the encodings of a secret in a message. Few messages have characters by their numbers.
fn spellings(secret: &str, by_number: bool) -> Vec<Zeroizing<String>> {
    let digits = hex(secret.as_bytes());
    // As HTML and JSON can spell every character, and as a list of bytes has them.
    let spelled = |spell: &dyn Fn(u32) -> String| secret.chars().map(u32::from).map(spell).collect::<Vec<_>>().concat();
    let by_number = by_number.then(|| {
        [spelled(&|c| format!("&#{c};")), spelled(&|c| format!("&#x{c:x};")), spelled(&|c| format!("\\u{c:04x}"))]
    });
    let by_number = by_number.into_iter().flatten();
    let in_base64 = (0..3).map(|offset| base64_at(secret, offset));
    let whole = std::iter::once(secret.to_owned());
    // JSON, URLs and HTML spell letters, digits and these as they are.
    if secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return whole.chain([digits]).chain(by_number).chain(in_base64).map(Zeroizing::new).collect();
    }
    let json = |text: &str| serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned();
    let query: String = byte_serialize(secret.as_bytes()).collect();
    let url = query.replace('+', "%20");
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let twice: String = byte_serialize(url.as_bytes()).collect();
    let others = [json(secret), json(&json(secret)), ascii_json(secret), query, url, twice, html, digits];
    let others = others.into_iter().chain(by_number).chain(in_base64).filter(|spelling| spelling != secret);
    whole.chain(others).map(Zeroizing::new).collect()
}

/// Encodes as JSON with ASCII characters only and with escaped slashes.
fn ascii_json(secret: &str) -> String {
    let mut json = String::new();
    for c in secret.chars() {
        match c {
            '"' | '\\' | '/' => json.extend(['\\', c]),
            ' '..='~' => json.push(c),
            _ => json.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    json
}

/// Encodes as Base64 for a secret with `offset` bytes before it, modulo three. Characters that depend on neighboring
/// bytes are left out.
fn base64_at(secret: &str, offset: usize) -> String {
    let bytes = Zeroizing::new([&[0; 2][..offset], secret.as_bytes()].concat());
    let encoded = Zeroizing::new(STANDARD.encode(&*bytes));
    let (from, to) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded.get(from..to).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::masked;

    const SECRET: &str = "canary/app+secret=&\"%\\é? tail-canary";

    #[test]
    fn a_secret_is_hidden_however_it_is_spelled() {
        let each = |spell: &dyn Fn(char) -> String| SECRET.chars().map(spell).collect::<Vec<_>>().concat();
        let spellings = [
            SECRET.to_owned(),
            r#"canary/app+secret=&\"%\\é? tail-canary"#.to_owned(),
            r#"canary\/app+secret=&\"%\\\u00e9? tail-canary"#.to_owned(),
            "canary%2Fapp%2Bsecret%3D%26%22%25%5C%C3%A9%3F+tail-canary".to_owned(),
            "canary%2fapp%2bsecret%3d%26%22%25%5c%c3%a9%3f%20tail-canary".to_owned(),
            "canary%252Fapp%252Bsecret%253D%2526%2522%2525%255C%25C3%25A9%253F%2520tail-canary".to_owned(),
            "canary/app+secret=&amp;&quot;%\\é? tail-canary".to_owned(),
            "CANARY/APP+SECRET=&\"%\\É? TAIL-CANARY".to_owned(),
            "can\u{200b}ary/app+sec\nret=&\"%\\é? tail-\u{0}canary".to_owned(),
            each(&|c| format!("&#{};", u32::from(c))),
            each(&|c| format!("&#x{:x};", u32::from(c))),
            each(&|c| format!("\\u{:04X}", u32::from(c))),
        ];
        for spelling in spellings {
            assert_eq!(masked(&format!("No <{spelling}>."), &[SECRET], 200), "No <***>.", "{spelling}");
        }
    }

    #[test]
    fn a_secret_in_base64_or_hexadecimal_digits_is_hidden() {
        use base64::{
            Engine,
            engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
        };
        for before in ["", "7", "71", "7100000000000000009:"] {
            let text = format!("{before}{SECRET}");
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let shown = masked(&format!("Basic {encoded}"), &[SECRET], 300);
                let left = shown.replace("***", "").len();
                // The bytes before the secret are not secret. Fewer than eight characters of the secret remain.
                assert!(left < "Basic ".len() + before.len().div_ceil(3) * 4 + 8, "{shown}");
            }
        }
        let digits = crate::document::hex(SECRET.as_bytes()).to_uppercase();
        assert_eq!(masked(&digits, &[SECRET], 200), "***");
    }

    #[test]
    fn a_part_of_a_secret_is_hidden_from_eight_characters_on() {
        let token = "act.7GkX2vQ9mZpL4sTnB1cD";
        for length in 8..token.len() {
            for from in 0..=token.len() - length {
                let part = &token[from..from + length];
                if part.chars().filter(char::is_ascii_alphanumeric).count() < 8 && part.len() < 8 {
                    continue;
                }
                let shown = masked(&format!("Token {part}... is invalid"), &[token], 200);
                assert!(shown.starts_with("Token ***"), "{part}: {shown}");
            }
        }
        assert_eq!(masked(&format!("{:?}", token.as_bytes()), &[token], 200), "[***]");
        assert_eq!(masked("Token act.7Gk is invalid", &[token], 200), "Token act.7Gk is invalid");
        assert_eq!(masked("(act.7GkX2vQ)(ZpL4sTnB1cD)", &[token], 200), "(***)(***)");
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is_but_for_its_length() {
        let text = "No permission to operate advertiser: 7000000000000000001.";
        assert_eq!(masked(text, &["another-secret", "", "ab"], 200), text);
        assert_eq!(masked(text, &[], 13), "No permission");
        assert_eq!(masked("", &[SECRET], 200), "");
    }

    #[test]
    fn a_short_secret_is_hidden_as_a_whole() {
        assert_eq!(masked("app secret 'a+b'", &["a+b"], 200), "app secret '***'");
    }
}
