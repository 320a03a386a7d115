//! The credentials document: a person's fields survive, and the function's fields always fit.

mod app;
mod pasted;
mod properties;
mod size;
mod unknown_fields;
