//! The credentials document: the JSON object that the credentials secret holds.
//!
//! A person owns some of its fields, the function others ([`field::TOKENS`], [`field::LIST`]), and all other fields are
//! unknown to this project. So a document keeps every field as the text it arrived as: a field that is not changed is
//! preserved byte for byte. [`Credentials`] is the typed view that the cycle works with, [`Change`] the only way to
//! make a new document from an old one.

mod change;
mod credentials;
pub mod field;
mod fingerprint;
pub mod pasted;
mod projection;
mod raw;
mod redaction;
mod size;

pub use change::{Change, Provenance, TokenFields, whole_seconds};
pub use credentials::{Advertiser, AdvertiserInfo, App, AppSource, Credentials, Flow, Origin, Relation, app_of};
pub use fingerprint::{Fingerprint, hex};
pub use projection::{Format, Publication, Unpublishable, lost_credential, named_twice, project, publications};
pub use raw::{Document, json_text};
pub use redaction::secrets_in;
pub use size::{MAX_BYTES, Reduction, TOKEN_HEADROOM, fit, leaves_room_for_tokens};
