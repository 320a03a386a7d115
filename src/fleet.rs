//! A fleet: all secrets with one tag.
//!
//! [`Fleet::agenda`] lists the secrets page by page, reads their values in batches and returns the secrets that need a
//! run, in order. Of a secret without a need it keeps nothing but its expiry times. Errors: the list cannot be read, or
//! no secret has the tag.
//!
//! AWS's list can be minutes old, so it decides only about the order and about fresh secrets. A run reads each secret
//! again. The next run continues a refresh that the list does not show yet.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use crate::{
    document::{Flow, publications},
    error::{Error, Kind},
};
use crate::{
    refresh::{
        Trigger,
        ids::claim_id,
        plan::{Plan, Situation, plan},
        version::Version,
    },
    transport::{Attempts, Clock, Directory, InvocationContext, Label, Labels, Listed, Request, Step, Stored, Tag},
};

/// The number of values in one answer: the limit of `BatchGetSecretValue`.
const BATCH: usize = 20;
/// The number of batches read in parallel. An answer takes tens of milliseconds, and the quota is 100 a second.
const BATCHES_AT_A_TIME: usize = 4;

/// The number of claims that a refresh normally makes at most: two failed and released attempts, and the one that
/// succeeded.
const CLAIMS_OF_A_REFRESH: u32 = 5;

/// All secrets with one tag.
#[derive(Debug)]
pub struct Fleet<'a, S, C> {
    pub store: &'a S,
    pub clock: &'a C,
    pub run: &'a InvocationContext,
    pub tag: &'a Tag,
}

/// The secrets of a fleet, by their need.
#[derive(Debug, Default)]
pub struct Agenda {
    /// The ARNs of secrets whose last run did not finish, or whose access token has expired.
    pub failing: Vec<String>,
    /// The ARNs of the other secrets that need a run. Those that expire first come first.
    pub due: Vec<String>,
    /// The secrets that need nothing.
    pub fresh: Fresh,
}

/// The number of fresh secrets and their first expiry times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fresh {
    pub number: usize,
    /// The time at which the first of their access tokens expires.
    pub access_token_expires_at: Option<Timestamp>,
    /// The time at which the first of their refresh tokens expires.
    pub refresh_token_expires_at: Option<Timestamp>,
}

/// The need of one secret.
enum Finding {
    Fresh { access_token_expires_at: Option<Timestamp>, refresh_token_expires_at: Option<Timestamp> },
    Failing,
    Due(Urgency),
}

/// The order of the secrets that are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// The lifetime of the access token is not known.
    Unknown,
    Ends(Timestamp),
    /// The access token does not expire, or is fresh, and the run only publishes.
    NotUrgent,
}

impl<S: Directory, C: Clock> Fleet<'_, S, C> {
    /// Returns the ARNs of all secrets with the tag.
    ///
    /// # Errors
    /// If the list cannot be read or is empty.
    pub async fn all(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        self.for_each_page(async |page| all.extend(page.into_iter().map(|listed| listed.arn))).await?;
        if all.is_empty() { Err(self.nothing_found()) } else { Ok(all) }
    }

    /// Returns the secrets that need a run for this trigger.
    ///
    /// # Errors
    /// If the list cannot be read or is empty.
    pub async fn agenda(&self, trigger: Trigger) -> Result<Agenda, Error> {
        let (mut agenda, mut due) = (Agenda::default(), Vec::new());
        self.for_each_page(async |page| {
            for (arn, finding) in self.inspect_page(&page, trigger).await {
                match finding {
                    Finding::Failing => agenda.failing.push(arn),
                    Finding::Due(urgency) => due.push((urgency, arn)),
                    Finding::Fresh { access_token_expires_at, refresh_token_expires_at } => {
                        agenda.fresh.add(access_token_expires_at, refresh_token_expires_at);
                    }
                }
            }
        })
        .await?;
        due.sort_unstable();
        agenda.due = due.into_iter().map(|(_, arn)| arn).collect();
        if agenda.failing.is_empty() && agenda.due.is_empty() && agenda.fresh.number == 0 {
            return Err(self.nothing_found());
        }
        Ok(agenda)
    }

    async fn for_each_page(&self, mut visit: impl AsyncFnMut(Vec<Listed>)) -> Result<(), Error> {
        let (mut next, mut seen): (Option<String>, HashSet<String>) = (None, HashSet::new());
        loop {
            let list = || self.store.list(self.tag, next.as_deref());
            let page = self.attempts().attempt(Request::read(Step::Read), list).await?;
            // A secret that is created during the listing can move others to the next page, so they appear twice.
            visit(page.secrets.into_iter().filter(|listed| seen.insert(listed.arn.clone())).collect()).await;
            let Some(token) = page.next else { return Ok(()) };
            next = Some(token);
        }
    }

    async fn inspect_page(&self, page: &[Listed], trigger: Trigger) -> Vec<(String, Finding)> {
        let batches = stream::iter(page.chunks(BATCH)).map(|batch| Box::pin(self.inspect_batch(batch, trigger)));
        batches.buffer_unordered(BATCHES_AT_A_TIME).concat().await
    }

    async fn inspect_batch(&self, batch: &[Listed], trigger: Trigger) -> Vec<(String, Finding)> {
        let arns: Vec<&str> = batch.iter().map(|listed| listed.arn.as_str()).collect();
        let read = || self.store.read_many(&arns);
        let values = self.attempts().attempt(Request::read(Step::Read), read).await.unwrap_or_else(|error| {
            // A batch only saves requests. A run reads each secret by itself and reports its error.
            tracing::warn!(error_type = error.kind().name(), secrets = arns.len(), "reading a batch: {error}");
            Vec::new()
        });
        let values: HashMap<&str, &Stored> = values.iter().map(|stored| (stored.arn.as_str(), stored)).collect();
        let inspect = |listed: &Listed| {
            let finding = values.get(listed.arn.as_str()).map(|stored| self.inspect(stored, &listed.labels, trigger));
            (listed.arn.clone(), finding.unwrap_or(Finding::Failing))
        };
        batch.iter().map(inspect).collect()
    }

    /// Returns the need of a secret, from its current value and its labels.
    fn inspect(&self, stored: &Stored, labels: &Labels, trigger: Trigger) -> Finding {
        let Ok(current) = Version::of(stored) else { return Finding::Failing };
        let now = self.clock.now();
        if is_unfinished(&current, labels) || current.credentials.access_token_has_expired(now) {
            return Finding::Failing;
        }
        let credentials = &current.credentials;
        let has_readers = || !publications(&current.document).is_ok_and(|readers| readers.is_empty());
        match plan(Situation::of(credentials), trigger, now, self.run.min_token_lifetime) {
            Plan::Skip(_) if has_readers() => Finding::Due(Urgency::NotUrgent),
            Plan::Skip(_) => Finding::Fresh {
                access_token_expires_at: credentials.access_token_expires_at,
                refresh_token_expires_at: credentials.refresh_token_expires_at,
            },
            _ if credentials.flow == Flow::LongTerm => Finding::Due(Urgency::NotUrgent),
            _ => Finding::Due(credentials.access_token_expires_at.map_or(Urgency::Unknown, Urgency::Ends)),
        }
    }

    const fn attempts(&self) -> Attempts<'_, C> {
        Attempts { clock: self.clock, run: self.run, has_retry_budget: true }
    }

    fn nothing_found(&self) -> Error {
        let what = format!("No secret in this account and region has the tag {}.", self.tag);
        Error::new(Kind::SecretNotFound, what).advise("Tag the credentials secrets, or correct SECRET_TAG.")
    }
}

/// Returns true if a run claimed the current pair or staged a successor and did not finish.
fn is_unfinished(current: &Version, labels: &Labels) -> bool {
    let is_elsewhere = |label| labels.version(label).filter(|id| *id != current.id);
    let redeemed = current.credentials.lineage().last();
    let is_own_claim = |id: &str| {
        redeemed.as_ref().is_some_and(|it| (0..CLAIMS_OF_A_REFRESH).any(|n| id == claim_id(&current.arn, it, n)))
    };
    is_elsewhere(Label::Claim).is_some_and(|id| !is_own_claim(id)) || is_elsewhere(Label::Staged).is_some()
}

impl Fresh {
    fn add(&mut self, access_token_expires_at: Option<Timestamp>, refresh_token_expires_at: Option<Timestamp>) {
        let soonest = |one: Option<Timestamp>, other| one.into_iter().chain(other).min();
        self.number += 1;
        self.access_token_expires_at = soonest(self.access_token_expires_at, access_token_expires_at);
        self.refresh_token_expires_at = soonest(self.refresh_token_expires_at, refresh_token_expires_at);
    }
}
