//! The chain of token pairs: the current pair and the successors that were staged for it.
//!
//! A walk reads the chain from AWSCURRENT to its end. `tip` is the pair that counts; `docs/design.md` has the rules.

use crate::{
    document::{Fingerprint, Relation},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
};
use crate::{
    refresh::{Refresher, version::Version},
    transport::{Clock, Label, Store, TikTok},
};

/// The most links that one walk follows. Each link costs a request. A walk begins at AWSCURRENT, so a longer chain would
/// mean hundreds of days without a promotion.
const MAX_LINKS: usize = 256;

/// The part of the chain from the current pair to its end.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// The current version, and the versions that its pair was replaced by, in the order of the chain.
    links: Vec<Version>,
    /// The authorization that a person has rolled back from, if one has.
    abandoned: Option<u64>,
    /// The version that was staged last, if the walk has read it.
    newest_staged: Option<Version>,
}

impl Chain {
    /// A chain of the current version alone.
    pub fn of(current: Version) -> Self {
        Self { links: vec![current], abandoned: None, newest_staged: None }
    }

    fn of_links(links: Vec<Version>, previous: Option<&Version>) -> Self {
        let chain = Self { links, abandoned: None, newest_staged: None };
        let current = chain.current();
        let abandoned = previous.filter(|previous| was_rolled_back(current, previous));
        Self { abandoned: abandoned.map(|previous| previous.credentials.authorization()), ..chain }
    }

    pub fn current(&self) -> &Version {
        &self.links[0]
    }

    /// The last link, behind which the next pair is appended.
    pub fn end(&self) -> &Version {
        &self.links[self.links.len() - 1]
    }

    /// The version that was staged last, in this chain or in another one.
    pub const fn newest_staged(&self) -> Option<&Version> {
        self.newest_staged.as_ref()
    }

    /// Adds a link that was found or written behind the end.
    pub fn append(&mut self, link: Version) {
        self.links.push(link);
    }

    /// The pair that counts: the last one of the newest authorization. `None` if every pair is dead.
    ///
    /// Redeemed pairs, dead pairs and authorizations that a person rolled back from do not count.
    pub fn tip(&self, dead: &[Fingerprint]) -> Option<&Version> {
        let current = self.current().credentials.authorization();
        let is_abandoned = |of: u64| of > current && self.abandoned.is_some_and(|abandoned| of <= abandoned);
        // A pair that came beside an error and does not work does not prove that its predecessor was redeemed.
        let is_void = |link: &Version| link.credentials.is_doubtful() && dead.contains(&link.credentials.fingerprint);
        let alive = self.links.iter().enumerate().filter(|(place, link)| {
            !dead.contains(&link.credentials.fingerprint)
                && !is_abandoned(link.credentials.authorization())
                && !self.links[place + 1..].iter().any(|later| was_redeemed_from(later, link) && !is_void(later))
        });
        // `max_by_key` returns the last of several greatest.
        let counts = |link: &&Version| {
            if FaultSwitch::LastPairCounts.is_on() { 0 } else { link.credentials.authorization() }
        };
        alive.map(|(_, link)| link).max_by_key(counts)
    }

    /// The link that was exchanged for an auth code.
    pub fn of_code(&self, code: &Fingerprint) -> Option<&Version> {
        self.links.iter().find(|link| link.credentials.is_of_code(code))
    }

    pub fn contains(&self, pair: &Fingerprint) -> bool {
        self.links.iter().any(|link| link.credentials.fingerprint == *pair)
    }

    /// True if a pair is in the chain, as a link or before the current pair.
    pub fn knows(&self, pair: &Fingerprint) -> bool {
        self.contains(pair) || self.end().credentials.lineage().contains(pair)
    }

    pub fn ends_like(&self, other: &Self) -> bool {
        self.end().holds_pair_of(other.end())
    }

    pub const fn is_rolled_back(&self) -> bool {
        self.abandoned.is_some()
    }

    /// The authorization number of a pair's successor. After a roll-back it is greater than every number before it.
    pub fn authorization_of(&self, pair: &Version) -> u64 {
        let own = pair.credentials.authorization();
        self.abandoned.map_or(own, |abandoned| own.max(abandoned.saturating_add(1)))
    }

    /// The number of a new authorization: milliseconds since 1970, and greater than every number before it.
    pub fn next_authorization(&self, now: jiff::Timestamp) -> u64 {
        let known = self.links.iter().map(|link| link.credentials.authorization()).chain(self.abandoned).max();
        let now = u64::try_from(now.as_millisecond()).unwrap_or_default();
        known.map_or(now, |known| now.max(known.saturating_add(1)))
    }
}

/// True if a link is of the same grant as one before it: a grant has one pair at a time.
fn was_redeemed_from(later: &Version, link: &Version) -> bool {
    let (later, link) = (&later.credentials, &link.credentials);
    let redeemed = later.provenance().and_then(|provenance| provenance.redeemed.as_ref());
    redeemed == Some(&link.fingerprint) || later.authorization() == link.authorization()
}

/// True if a person moved AWSCURRENT from a newer authorization to an older one. No run does that.
fn was_rolled_back(current: &Version, previous: &Version) -> bool {
    let (current, previous) = (&current.credentials, &previous.credentials);
    current.relation(previous) == Relation::Later && previous.authorization() > current.authorization()
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Follows the chain from the current pair to its end.
    ///
    /// Where Secrets Manager has deleted a link, the walk goes on at the newest staged version or AWSPREVIOUS.
    ///
    /// # Errors
    /// When a version cannot be read.
    pub(crate) async fn walk(&self, current: &Version) -> Result<Chain, Error> {
        let next = current.successor_id();
        let (next, staged, previous) = tokio::join!(
            self.read_version(&next),
            self.read_labeled(Label::Staged),
            self.read_labeled(Label::Previous)
        );
        let (staged, previous) = (staged?, previous?);
        let mut links = vec![current.clone()];
        let mut next = next?;
        loop {
            while let Some(link) = next.take().filter(|link| !is_known(&links, link)) {
                if links.len() == MAX_LINKS {
                    return Err(endless());
                }
                next = self.read_version(&link.successor_id()).await?;
                links.push(link);
            }
            let labeled = [&staged, &previous].into_iter().flatten();
            let further = labeled.filter(|version| !is_known(&links, version) && is_behind(&links, version));
            let Some(link) = further.max_by_key(|version| version.credentials.place()) else { break };
            next = Some(link.clone());
        }
        let chain = Chain::of_links(links, previous.as_ref());
        // Labels move one after the other, and reads lag. A pair that was replaced meanwhile was not rolled back.
        let is_moving = chain.is_rolled_back() && self.read_current().await?.id != current.id;
        tracing::info!(
            secret_id = self.secret,
            links = chain.links.len() - 1,
            rolled_back = chain.is_rolled_back(),
            "followed the chain"
        );
        let chain = Chain { newest_staged: staged, ..chain };
        Ok(if is_moving { Chain { abandoned: None, ..chain } } else { chain })
    }
}

fn is_known(links: &[Version], version: &Version) -> bool {
    links.iter().any(|link| link.holds_pair_of(version))
}

/// True if a version stands behind the last link that is known, in the same chain.
fn is_behind(links: &[Version], version: &Version) -> bool {
    let end = &links[links.len() - 1].credentials;
    let is_same_chain = end.relation(&version.credentials) != Relation::Unrelated;
    is_same_chain && version.credentials.provenance().is_some() && version.credentials.place() > end.place()
}

fn endless() -> Error {
    Error::new(Kind::InvalidSecret, "The secret's chain of token pairs has no end.")
        .advise("Authorize the app again and put the new tokens into the secret: they begin a chain of their own.")
}
