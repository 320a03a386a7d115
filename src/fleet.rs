//! A fleet: every secret with a tag, looked through before the first of them is worked on.
//!
//! The list comes by pages and the values by batches, and both are dropped when they have been looked at: what stays of a
//! secret is its ARN, if there is something to do for it.
//!
//! AWS's list may be minutes old. So it decides nothing but the order and what is left alone: the cycle reads each secret
//! that there is something to do for by itself, and one that a run left unfinished a moment ago has the next run.

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

/// How many values Secrets Manager gives in one answer.
const BATCH: usize = 20;
/// How many batches are asked for at a time: they answer in tens of milliseconds, and a hundred a second are allowed.
const BATCHES_AT_A_TIME: usize = 4;

/// The claims of a refresh that count as usual: two attempts failed before it, and each was released.
const CLAIMS_OF_A_REFRESH: u32 = 5;

/// All secrets that have a tag.
#[derive(Debug)]
pub struct Fleet<'a, S, C> {
    pub store: &'a S,
    pub clock: &'a C,
    pub run: &'a InvocationContext,
    pub tag: &'a Tag,
}

/// What there is to do in a fleet.
#[derive(Debug, Default)]
pub struct Agenda {
    /// The secrets that an earlier run did not bring to an end, or whose access token is over.
    pub failing: Vec<String>,
    /// The others that need something, the soonest first that ends.
    pub due: Vec<String>,
    /// Those that need nothing.
    pub fresh: Fresh,
}

/// What there is to know of secrets that need nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fresh {
    pub number: usize,
    /// When the first of their access tokens ends.
    pub access_token_expires_at: Option<Timestamp>,
    /// When the first of their refresh tokens ends.
    pub refresh_token_expires_at: Option<Timestamp>,
}

/// What a look at a secret tells.
enum Finding {
    Fresh { access_token_expires_at: Option<Timestamp>, refresh_token_expires_at: Option<Timestamp> },
    Failing,
    Due(Urgency),
}

/// The order in which secrets have their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// Nobody knows how long its access token lasts.
    Unknown,
    Ends(Timestamp),
    /// Its token does not end, or is fresh, and only the reader secrets are to be looked after.
    NotUrgent,
}

impl<S: Directory, C: Clock> Fleet<'_, S, C> {
    /// The ARNs of all of them.
    ///
    /// # Errors
    /// When they cannot be listed, or there are none.
    pub async fn all(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        self.for_each_page(async |page| all.extend(page.into_iter().map(|listed| listed.arn))).await?;
        if all.is_empty() { Err(self.nothing_found()) } else { Ok(all) }
    }

    /// Sees what there is to do.
    ///
    /// # Errors
    /// When they cannot be listed, or there are none.
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
            // A secret that is created meanwhile moves others to the next page.
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
            // To know them saves requests. The cycle reads each by itself and says what is wrong with it.
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

    /// What a secret needs, as far as its current value and the places of its labels tell.
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

/// Whether a run has claimed the current pair, or staged another one, and did not get to the end.
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
