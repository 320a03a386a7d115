//! What was asked of the stand-ins, in the order in which it came.

use std::fmt;
use std::time::Duration;

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// AWS Secrets Manager.
    SecretsManager,
    /// TikTok's Business API.
    TikTok,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SecretsManager => "secrets-manager",
            Self::TikTok => "tiktok",
        })
    }
}

/// How a request ended, as the client could see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not yet, or the client went away first.
    Open,
    /// With this HTTP status.
    Status(u16),
    /// The connection was closed or reset instead of an answer.
    Dropped,
    /// The function's process was killed, then the connection closed.
    Killed,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.pad("open"),
            Self::Status(status) => f.pad(&status.to_string()),
            Self::Dropped => f.pad("dropped"),
            Self::Killed => f.pad("killed"),
        }
    }
}

/// One request. It never holds a token, a secret or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The place in the order of all requests to both servers, from 1.
    pub ordinal: u64,
    /// The server that was asked.
    pub service: Service,
    /// Secrets Manager's action, or TikTok's path after `/open_api/v1.3/` without slashes at its ends.
    pub operation: String,
    /// The secret with its labels and version ids, or which token of which grant.
    pub detail: String,
    /// Who asked: the access key id of the signature; empty for TikTok.
    pub caller: String,
    /// The server's number for the connection that the request came over.
    pub connection: u64,
    /// When it came, counted from the last reset.
    pub at: Duration,
    /// The fault it met.
    pub fault: Option<&'static str>,
    /// Whether the server carried it out, answered or not.
    pub applied: bool,
    /// How it ended.
    pub ending: Ending,
    /// The exception's name or the non-zero TikTok code that was answered.
    pub code: Option<String>,
}

impl Entry {
    /// The label that the request names, if it names one.
    pub fn label(&self) -> Option<&str> {
        self.detail.split(' ').find(|word| word.starts_with("AWS") || word.starts_with("TIKTOK_"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ordinal, service, operation, detail, at, ending, .. } = self;
        write!(f, "{ordinal:>3} {:>9.3}s {service:<15} {operation:<28} {ending:<7}", at.as_secs_f64())?;
        for extra in [self.code.as_deref(), self.fault].into_iter().flatten() {
            write!(f, " [{extra}]")?;
        }
        write!(f, " {detail}")
    }
}

/// A copy of all entries, with the questions that tests ask of it. Prints as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal(pub Vec<Entry>);

impl Journal {
    /// How many requests named this operation.
    pub fn count(&self, operation: &str) -> usize {
        self.of(operation).count()
    }

    /// How many requests of this operation were carried out.
    pub fn applied(&self, operation: &str) -> usize {
        self.of(operation).filter(|entry| entry.applied).count()
    }

    /// The requests of one operation, in order.
    pub fn of<'a>(&'a self, operation: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.operation == operation)
    }

    /// The operations in order, by name.
    pub fn operations(&self) -> Vec<&str> {
        self.0.iter().map(|entry| entry.operation.as_str()).collect()
    }

    /// Whether secrets were looked at, and nothing else was asked of anybody.
    pub fn is_reading_alone(&self) -> bool {
        self.0.iter().all(|entry| ["GetSecretValue", "DescribeSecret"].contains(&entry.operation.as_str()))
    }

    /// How many requests met a fault.
    pub fn faults(&self) -> usize {
        self.0.iter().filter(|entry| entry.fault.is_some()).count()
    }
}

impl std::ops::Deref for Journal {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.0
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
