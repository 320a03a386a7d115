//! The versions of one secret and the staging labels on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Error, Exception, Result};

/// The label that a read without label or version means.
pub const AWSCURRENT: &str = "AWSCURRENT";
/// The label that follows when AWSCURRENT moves.
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";
/// The label of a version that is still being prepared.
pub const AWSPENDING: &str = "AWSPENDING";

const MAX_BODY_BYTES: usize = 65_536;
const MAX_LABELS: usize = 20;
const YOUNGEST_PRUNED: Duration = Duration::from_hours(24);

/// A secret value. Sharing it keeps a copy of a whole Secrets Manager cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// `SecretString`.
    String(Arc<str>),
    /// `SecretBinary`, kept as the base64 text that travels.
    Binary(Arc<str>),
}

impl Body {
    /// The `SecretString`, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    pub(super) fn check_size(&self) -> Result<()> {
        let (field, bytes) = match self {
            Self::String(text) => ("secretString", text.len()),
            Self::Binary(text) => ("secretBinary", text.trim_end_matches('=').len() * 3 / 4),
        };
        if bytes == 0 {
            return Err(Error::constraint(field, "Member must have length greater than or equal to 1"));
        }
        if bytes > MAX_BODY_BYTES {
            return Err(Error::constraint(field, "Member must have length less than or equal to 65536"));
        }
        Ok(())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

/// A version as tests look at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The `VersionId`, which is the `ClientRequestToken` that created it.
    pub id: String,
    /// The value. `None` in a version that a rotation created and no run has written yet.
    pub body: Option<Body>,
    /// When it was created, from the Unix epoch.
    pub created: Duration,
    /// Its staging labels, sorted. A version without any is deprecated.
    pub labels: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub id: String,
    pub body: Option<Body>,
    pub created: Duration,
}

/// Versions and labels. A label maps to one version, so it cannot sit on two.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    versions: Vec<Stored>,
    labels: BTreeMap<String, String>,
    // Removed by AWS, kept for assertions.
    pruned: Vec<Stored>,
}

impl Contents {
    pub fn version(&self, id: &str) -> Option<&Stored> {
        self.versions.iter().find(|version| version.id == id)
    }

    pub fn version_mut(&mut self, id: &str) -> Option<&mut Stored> {
        self.versions.iter_mut().find(|version| version.id == id)
    }

    pub fn versions_mut(&mut self) -> impl Iterator<Item = &mut Stored> {
        self.versions.iter_mut()
    }

    pub fn holder(&self, label: &str) -> Option<&str> {
        self.labels.get(label).map(String::as_str)
    }

    pub fn labels_of(&self, id: &str) -> Vec<String> {
        self.labels.iter().filter(|(_, holder)| *holder == id).map(|(label, _)| label.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    pub fn add(&mut self, version: Stored) {
        self.versions.push(version);
    }

    /// Puts a label on a version, off any other. AWSPREVIOUS follows AWSCURRENT.
    pub fn attach(&mut self, label: &str, id: &str) {
        let before = self.labels.insert(label.to_owned(), id.to_owned());
        match before {
            Some(before) if label == AWSCURRENT && before != id => {
                self.labels.insert(AWSPREVIOUS.to_owned(), before);
            }
            _ => {}
        }
    }

    pub fn detach(&mut self, label: &str) {
        self.labels.remove(label);
    }

    /// Checks that these labels fit beside those of the secret.
    pub fn check_label_quota(&self, labels: &[&str]) -> Result<()> {
        let new = labels.iter().filter(|label| !self.labels.contains_key(**label)).count();
        if self.labels.len() + new > MAX_LABELS {
            let message = format!("You've exceeded the maximum of {MAX_LABELS} staging labels for a secret.");
            return Err(Error::new(Exception::LimitExceeded, message));
        }
        Ok(())
    }

    /// Makes room for one more version, at the cost of the oldest that have no label and are a day old.
    pub fn make_room(&mut self, limit: usize, now: Duration) -> Result<()> {
        while self.versions.len() >= limit {
            let oldest = self.versions.iter().position(|version| {
                version.created + YOUNGEST_PRUNED <= now && !self.labels.values().any(|holder| *holder == version.id)
            });
            let Some(oldest) = oldest else {
                let message = format!("You've exceeded the maximum of {limit} versions for a secret.");
                return Err(Error::new(Exception::LimitExceeded, message));
            };
            self.pruned.push(self.versions.remove(oldest));
        }
        Ok(())
    }

    /// All versions in the order of their creation, pruned ones first.
    pub fn history(&self) -> Vec<Version> {
        self.pruned.iter().chain(&self.versions).map(|version| self.view(version)).collect()
    }

    /// The versions that AWS still has, in the order of their creation.
    pub fn present(&self) -> Vec<Version> {
        self.versions.iter().map(|version| self.view(version)).collect()
    }

    pub fn view(&self, version: &Stored) -> Version {
        let Stored { id, body, created } = version.clone();
        let labels = self.labels_of(&id);
        Version { id, body, created, labels }
    }
}
