//! The document as text. Input: the body of a secret. Output: its fields, byte for byte. Error: a body that is not a
//! JSON object.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::pasted;
use crate::error::{Error, Kind};

/// A JSON object that keeps the text of its values.
///
/// Unchanged values and the order of fields are preserved byte for byte: `1.10`, 30 digits, escaped characters. Each
/// value counts as secret: it is wiped when it is dropped, and `Debug` shows names only.
#[derive(Clone)]
pub struct Document {
    fields: Vec<(String, SecretString)>,
}

impl Document {
    /// Parses the body of a secret.
    ///
    /// # Errors
    /// `InvalidSecret` if it is not a JSON object or has a field twice. The message has positions and names, and no
    /// values.
    pub fn parse(body: &SecretString) -> Result<Self, Error> {
        let body = body.expose_secret().trim_end_matches(pasted::is_blank).trim_start_matches(pasted::is_invisible);
        if body.trim().is_empty() {
            return Err(Error::new(Kind::InvalidSecret, "The secret is empty."));
        }
        let inner = pasted::quoted_json(body);
        let json = inner.as_ref().map_or(body, ExposeSecret::expose_secret);
        let Members(fields) = serde_json::from_str(json)
            .or_else(|error| serde_json::from_str(&pasted::mended(json)).map_err(|_| error))
            .map_err(|error| not_an_object(body, &error))?;
        for (index, (name, _)) in fields.iter().enumerate() {
            if fields[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Error::new(Kind::InvalidSecret, format!("The secret has the field {name:?} twice.")));
            }
        }
        Ok(Self { fields })
    }

    /// Returns the body: the fields in their order.
    #[must_use]
    pub fn to_body(&self) -> SecretString {
        // Allocated once, because a reallocation would leave a copy of a token in memory.
        let mut body = String::with_capacity(self.size());
        body.push('{');
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(&json_text(name));
            body.push(':');
            body.push_str(value.expose_secret());
        }
        body.push('}');
        SecretString::from(body)
    }

    /// Returns the number of bytes of [`Document::to_body`].
    #[must_use]
    pub fn size(&self) -> usize {
        let fields: usize =
            self.fields.iter().map(|(name, value)| json_text(name).len() + 1 + value.expose_secret().len()).sum();
        2 + fields + self.fields.len().saturating_sub(1)
    }

    /// Returns the names of the fields in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the JSON of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Sets a field to JSON, in its place or at the end. `None` removes the field.
    pub fn set(&mut self, name: &str, json: Option<SecretString>) {
        let place = self.fields.iter().position(|(field, _)| field == name);
        match (place, json) {
            (Some(place), Some(json)) => self.fields[place].1 = json,
            (Some(place), None) => drop(self.fields.remove(place)),
            (None, Some(json)) => self.fields.push((name.to_owned(), json)),
            (None, None) => {}
        }
    }

    /// Sets a field to a value.
    pub fn set_value(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.set(name, Some(SecretString::from(json_text(value))));
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}

/// Returns an error with the position only, because the parser's message can quote a value.
fn not_an_object(body: &str, error: &serde_json::Error) -> Error {
    let found = if error.is_data() { "is not a JSON object" } else { "is not valid JSON" };
    let what = format!("The secret {found} (line {}, column {}).", error.line(), error.column());
    let error = Error::new(Kind::InvalidSecret, what);
    if body.contains(pasted::is_typographic_quote) {
        return error.advise("Replace the typographic quotation marks “ and ” in the secret by straight ones.");
    }
    error
}

/// Returns JSON for strings, numbers, lists and maps with string keys. It cannot fail for these.
#[must_use]
pub fn json_text(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The members of a JSON object in their order, with the text of their values.
pub(crate) struct Members(pub Vec<(String, SecretString)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.push((name, SecretString::from(Box::<str>::from(value))));
                }
                Ok(Members(fields))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
