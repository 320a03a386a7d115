//! The credentials document: the JSON object in the credentials secret.
//!
//! A [`Document`] keeps each field as the text that was read, so a field that is not changed is preserved byte for
//! byte. [`Credentials`] is the typed view of it, and [`Change`] creates a new document from an old one. [`fit`] limits
//! its size, [`project`] creates the reader secrets. Errors: `InvalidSecret` with the field to correct.
//!
//! The function owns [`field::TOKENS`] and [`field::LIST`]. All other fields belong to a person or another program.

mod change;
mod credentials;
pub mod field;
mod fingerprint;
mod origin;
pub mod pasted;
mod projection;
mod raw;
mod redaction;
mod size;

pub use change::{Change, TokenFields, whole_seconds};
pub use credentials::{Advertiser, AdvertiserInfo, App, AppSource, Credentials, Flow, Relation, app_of};
pub use fingerprint::{Fingerprint, hex};
pub use origin::{Origin, Provenance};
pub use projection::{Format, Publication, Unpublishable, lost_credential, named_twice, project, publications};
pub(crate) use raw::Members;
pub use raw::{Document, json_text};
pub use redaction::secrets_in;
pub use size::{MAX_BYTES, Reduction, TOKEN_HEADROOM, fit, leaves_room_for_tokens};
