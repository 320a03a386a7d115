//! An HTML writer that escapes every text.

use jiff::{Timestamp, tz::Offset};

/// HTML in progress.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Adds markup of this program. The `'static` lifetime excludes other texts.
    pub fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds a text and escapes it.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                character if character.is_control() => self.0.push(char::REPLACEMENT_CHARACTER),
                character => self.0.push(character),
            }
        }
        self
    }

    /// Adds a number.
    pub fn number(&mut self, number: usize) -> &mut Self {
        self.text(&number.to_string())
    }

    /// Adds a day, with its time if `to_the_minute` is true.
    pub fn time(&mut self, time: Timestamp, to_the_minute: bool) -> &mut Self {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let utc = Offset::UTC.to_datetime(time);
        let month = MONTHS.get(usize::from(utc.month().unsigned_abs()) - 1).unwrap_or(&"");
        let day = format!("{} {month} {}", utc.day(), utc.year());
        let words = if to_the_minute { format!("{day}, {:02}:{:02} UTC", utc.hour(), utc.minute()) } else { day };
        self.markup("<time datetime=\"").text(&time.to_string()).markup("\">").text(&words).markup("</time>")
    }

    /// Returns the HTML.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}
