//! The shared code of the fuzz targets. It plants secrets into an input, and looks for them in all that may be shown of it.

use std::{
    fmt::{Debug, Display},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

/// The secret that is planted into an input. It is made of the input itself, so that no input has it already. A fuzzer
/// learns every text that it is compared with. It would put the text where it may be shown, such as in the name of a field.
pub struct Plant {
    seed: u64,
    text: String,
}

impl Plant {
    pub fn of(input: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        input.hash(&mut hasher);
        let seed = hasher.finish();
        Self { seed, text: format!("zq{seed:016x}qz") }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Puts it at the end of every text in a JSON value. Names stay as they are.
    pub fn into_texts(&self, value: &mut Value) {
        match value {
            Value::String(text) => text.push_str(&self.text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.into_texts(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.into_texts(field)),
            _ => {}
        }
    }

    /// Puts it into those fields of an object that are wanted, wherever it is in their values.
    pub fn into_fields(&self, value: &mut Value, wanted: impl Fn(&str) -> bool) {
        let fields = value.as_object_mut().into_iter().flatten();
        fields.filter(|(name, _)| wanted(name)).for_each(|(_, value)| self.into_texts(value));
    }

    /// Puts it somewhere into a text, at a place that depends on the input alone.
    pub fn somewhere(&self, text: &str) -> String {
        let place = self.seed % (text.len() as u64 + 1);
        let place = text.floor_char_boundary(usize::try_from(place).expect("a place in the text"));
        format!("{}{}{}", &text[..place], self.text, &text[place..])
    }

    /// It is not in what a log would show.
    pub fn is_hidden(&self, value: &impl Debug) {
        self.is_not_in(&format!("{value:?} {value:#?}"));
    }

    /// The same for an error, which is shown in both ways.
    pub fn is_hidden_by_error(&self, error: &(impl Debug + Display)) {
        self.is_hidden(error);
        self.is_not_in(&error.to_string());
    }

    pub fn is_not_in(&self, text: &str) {
        assert!(!text.contains(&self.text), "A planted secret is shown: {text}");
    }
}
