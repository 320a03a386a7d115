//! The journal: all requests to the stand-ins, in order.

use std::fmt;
use std::time::Duration;

/// The server of a request.
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

/// The end of a request, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not answered yet, or the client disconnected first.
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
    /// The caller: the access key id of the signature. Empty for TikTok.
    pub caller: String,
    /// The server's number for the connection that the request came over.
    pub connection: u64,
    /// The time of arrival since the last reset.
    pub at: Duration,
    /// The fault it met.
    pub fault: Option<&'static str>,
    /// True if the server carried the request out, even if it did not answer.
    pub applied: bool,
    /// The end of the request.
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

/// A copy of all entries, with queries for tests. It prints as a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal(pub Vec<Entry>);

impl Journal {
    /// Returns the number of requests of this operation.
    pub fn count(&self, operation: &str) -> usize {
        self.of(operation).count()
    }

    /// Returns the number of requests of this operation that were carried out.
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

    /// Returns true if every request only read from Secrets Manager.
    pub fn is_reading_alone(&self) -> bool {
        self.0.iter().all(|entry| ["GetSecretValue", "DescribeSecret"].contains(&entry.operation.as_str()))
    }

    /// Returns the number of requests with a fault.
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
