//! The credentials document: what a person owns in it survives, and what the function writes always fits.

mod app;
mod pasted;
mod properties;
mod size;
mod unknown_fields;
