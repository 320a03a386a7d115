//! What the fuzz targets share: secrets that are planted into an input, and looked for in whatever may be shown of it.

use std::fmt::{Debug, Display};

use serde_json::Value;

/// What is planted. No other text has it.
pub const SECRET: &str = "zq-planted-qz";

/// Plants a secret at the end of every text in a JSON value. Names stay as they are.
pub fn plant(value: &mut Value) {
    match value {
        Value::String(text) => text.push_str(SECRET),
        Value::Array(items) => items.iter_mut().for_each(plant),
        Value::Object(fields) => fields.values_mut().for_each(plant),
        _ => {}
    }
}

/// Plants a secret into those fields of an object, wherever it is in the value, that are wanted.
pub fn plant_fields(value: &mut Value, wanted: impl Fn(&str) -> bool) {
    let fields = value.as_object_mut().into_iter().flatten();
    fields.filter(|(name, _)| wanted(name)).for_each(|(_, value)| plant(value));
}

/// Plants a secret somewhere into a text, at a place that depends on the text alone.
pub fn planted_somewhere(text: &str) -> String {
    let seed = text.bytes().fold(text.len(), |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let place = text.floor_char_boundary(seed % (text.len() + 1));
    format!("{}{SECRET}{}", &text[..place], &text[place..])
}

/// Nothing of what was planted is in what a log would show.
pub fn assert_hidden(value: &impl Debug) {
    assert_text_hides(&format!("{value:?} {value:#?}"));
}

/// The same for an error, which is shown in both ways.
pub fn assert_error_hides(error: &(impl Debug + Display)) {
    assert_hidden(error);
    assert_text_hides(&error.to_string());
}

pub fn assert_text_hides(text: &str) {
    assert!(!text.contains(SECRET), "A planted secret is shown: {text}");
}
