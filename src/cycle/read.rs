//! Reading a secret: what is current, and beside it what waits and what is claimed.
//!
//! Most days there is nothing beside it, and the answer that brings the current version says so: it names the labels on it.
//! Tokens are staged with `TIKTOK_CLAIM`, the label of the claim that they were redeemed under, and every claim and every
//! stage after that takes it away again. While it is on the version that is current, that version is all there is to read.
//! Otherwise `DescribeSecret` tells where the labels are, and each version that may have something to say is read.
//!
//! # Why the label can be believed
//!
//! - It comes to a version when that is staged, by the run that holds the claim on the tokens that were spent for it, and the
//!   version becomes current by compare-and-swap from the one that this run had read. What others wrote in between is one of
//!   these: a claim on other tokens, which are not current then; somebody's version that is current, which makes the swap
//!   fail, and what is rebased is written without the label; or a new grant.
//! - A new grant could lose the label to a refresh that had looked before it was there. So an exchange claims the tokens that
//!   it is going to replace, too, and moves AWSCURRENT to a copy where somebody else has done so already.
//! - Who has seen the label, and does not win the first claim on these tokens, is late, and looks around after all.
//! - Who has looked around, and redeems although a new grant waits, because TikTok does not take its token yet, leaves the
//!   label where it is.
//! - A write that arrives when its run is over takes the label with it.
//!
//! # What a look around may miss
//!
//! - A version never changes. So one that is read by the id that `DescribeSecret` told is what its label would have yielded
//!   at that moment. (The one version that is filled later is a rotation's. Empty, it is none; filled, it is staged tokens
//!   like any other.)
//! - A label is passed over because of what the **current** document says of the version that it is on, or because it is on
//!   that document's own version. Both stay true for ever, whenever the label was seen there. See [`Unread`].
//! - A label that has moved meanwhile goes unseen. That is to read a moment too early, as every run may: a claim is won by
//!   writing it, never by seeing none, and AWSCURRENT moves by compare-and-swap from the version that was read. What
//!   was staged under a claim is found by whoever meets that claim.
//! - Labels that are newer than the document show tokens that are current by now, or a claim on the document's pair
//!   that is finished. The run goes on with them and, at the swap, finds them current.

use super::{
    Clock, Cycle, Description, Label, Labels, Store, Stored, TikTok, Which,
    attempts::Request,
    claim::{Claim, successor_id},
    trace::Step,
};
use crate::{
    document::{App, AppSource, Credentials, Document, Fingerprint, Provenance, TokenFields, app_of},
    error::{Error, Kind},
};

/// A version of the credentials secret, understood.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub id: String,
    pub document: Document,
    pub credentials: Credentials,
}

impl Version {
    pub fn of(stored: &Stored) -> Result<Self, Error> {
        Self::new(stored.version_id.clone(), Document::parse(&stored.body)?)
    }

    pub fn new(id: String, document: Document) -> Result<Self, Error> {
        let credentials = Credentials::of(&document)?;
        Ok(Self { id, document, credentials })
    }

    /// These tokens, as they are to be written over those of another version; none if a person put them here.
    pub fn tokens_over(&self, current: &Self) -> Option<(TokenFields, Provenance)> {
        let is_new_grant = self.credentials.authorized_at != current.credentials.authorized_at;
        let fields = if is_new_grant { TokenFields::of_new_grant } else { TokenFields::of };
        Some((fields(&self.document), Provenance::of(&self.credentials)?))
    }
}

/// The versions that have to be read beside the current one to know whether something waits or is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread<'l> {
    pub pending: Option<&'l str>,
    pub staged: Option<&'l str>,
    pub grant: Option<&'l str>,
    pub claim: Option<&'l str>,
}

impl<'l> Unread<'l> {
    /// What the labels leave open, seen from the current version. Of tokens that a person pasted in nothing is known, nor is
    /// it of a document that a release before this one wrote: then every version with a label is read.
    pub fn of(arn: &str, current: &Version, labels: &'l Labels) -> Self {
        let elsewhere = |label| labels.version(label).filter(|id| *id != current.id);
        let grant = current.credentials.origin.as_ref().and_then(|origin| origin.grant.as_deref());
        let spent = current.credentials.lineage().last();
        let is_settled = |id: &str| Some(id) == grant || spent.as_ref().is_some_and(|it| id == successor_id(arn, it));
        Self {
            pending: elsewhere(Label::Pending),
            staged: elsewhere(Label::Staged).filter(|id| !is_settled(id)),
            grant: elsewhere(Label::Grant).filter(|id| Some(*id) != grant),
            claim: elsewhere(Label::Claim).filter(|id| !is_settled(id)),
        }
    }

    /// Whether nothing waits and nothing is claimed, as far as the labels tell.
    pub fn is_nothing(&self) -> bool {
        self.pending.or(self.staged).or(self.grant).or(self.claim).is_none()
    }
}

/// What the label AWSPENDING is on, seen from AWSCURRENT.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Nobody has looked.
    Unseen,
    None,
    /// The tokens that are current already.
    Done,
    /// Tokens that were made of the current ones: a run died before it promoted them. That its grant is newer does not count:
    /// the label may have been forgotten on a version for long, and a new grant has a label of its own.
    Descendant(Version),
    /// Tokens of this function's that descend from others than the current ones: somebody's newer ones took their place.
    Superseded,
    /// Not this function's work.
    Foreign,
}

impl Pending {
    pub fn of(stored: Option<&Stored>, current: &Version) -> Self {
        let Some(stored) = stored else { return Self::None };
        if stored.version_id == current.id {
            return Self::Done;
        }
        let Ok(version) = Version::of(stored) else { return Self::Foreign };
        if version.credentials.fingerprint == current.credentials.fingerprint {
            Self::Done
        } else if version.credentials.descends_from(&current.credentials.fingerprint) {
            Self::Descendant(version)
        } else if version.credentials.origin.is_some() {
            Self::Superseded
        } else {
            Self::Foreign
        }
    }

    /// The label for a staged version: somebody else's pending version keeps theirs.
    pub const fn label_to_stage_under(&self) -> Label {
        match self {
            Self::Foreign | Self::Unseen => Label::Staged,
            _ => Label::Pending,
        }
    }
}

/// What `TIKTOK_GRANT` is on, seen from AWSCURRENT: the tokens of the latest authorisation, as they were staged.
#[derive(Clone, Debug)]
pub(super) enum Authorized {
    /// Nobody has looked.
    Unseen,
    /// There is none, or it cannot be read yet.
    None,
    /// It has nothing to add: the current tokens are its own, or take its place.
    Settled(String),
    /// Its tokens take the place of the current ones, and it was not brought to its end.
    Waiting(Version),
}

impl Authorized {
    fn of(stored: Option<&Stored>, current: &Version) -> Self {
        match stored.map(Version::of) {
            Some(Ok(grant)) if grant.credentials.follow(&current.credentials) => Self::Waiting(grant),
            Some(Ok(grant)) => Self::Settled(grant.id),
            Some(Err(_)) | None => Self::None,
        }
    }
}

/// The secret as a run found it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub arn: String,
    pub current: Version,
    pub pending: Pending,
    /// As [`Pending::Descendant`], under the label that stands in for AWSPENDING.
    pub staged: Option<Version>,
    pub grant: Authorized,
    /// The latest claim; none if something came of it.
    pub claim: Option<Claim>,
}

impl Snapshot {
    /// The tokens that wait to be promoted: of the newest grant, if several do.
    pub fn waiting(&self) -> Option<&Version> {
        let pending = if let Pending::Descendant(pending) = &self.pending { Some(pending) } else { None };
        let grant = if let Authorized::Waiting(grant) = &self.grant { Some(grant) } else { None };
        let all = [pending, self.staged.as_ref(), grant].into_iter().flatten();
        all.reduce(|one, other| if other.credentials.follow(&one.credentials) { other } else { one })
    }

    /// Whether everything beside the current version was looked at, or its labels alone, which said that there is nothing.
    pub const fn is_whole(&self) -> bool {
        !matches!(self.grant, Authorized::Unseen)
    }

    /// The latest claim on the tokens that are to be redeemed next.
    pub fn claim_on_next(&self) -> Option<&Claim> {
        let next = self.waiting().unwrap_or(&self.current);
        self.claim.as_ref().filter(|claim| claim.fingerprint == next.credentials.fingerprint.as_str())
    }

    /// Whether a new grant waits, and still does when tokens of that lineage are current.
    pub fn leaves_waiting(&self, lineage: &[Fingerprint]) -> bool {
        matches!(&self.grant, Authorized::Waiting(grant) if !lineage.contains(&grant.credentials.fingerprint))
    }

    /// The authorisation that has nothing to add to what is redeemed from these tokens.
    pub fn settled_grant(&self, spent: &Credentials) -> Option<String> {
        match &self.grant {
            Authorized::Settled(id) => Some(id.clone()),
            Authorized::Waiting(grant) if !grant.credentials.follow(spent) => Some(grant.id.clone()),
            Authorized::Waiting(_) | Authorized::None | Authorized::Unseen => spent.origin.as_ref()?.grant.clone(),
        }
    }
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Reads what is current and, unless its labels say that there is nothing else, what waits and what is claimed.
    pub(super) async fn read(&self) -> Result<Snapshot, Error> {
        self.timed(Step::Read, async {
            let (arn, current, labels) = self.find().await?;
            if current.credentials.origin.is_some() && labels.contains(&Label::Claim) {
                let pending = if labels.contains(&Label::Pending) { Pending::Done } else { Pending::Unseen };
                return Ok(Snapshot { arn, current, pending, staged: None, grant: Authorized::Unseen, claim: None });
            }
            self.look_around(arn, current).await
        })
        .await
    }

    /// Reads what is current, what waits and what is claimed, wherever the labels of the current version are.
    pub(super) async fn read_whole(&self) -> Result<Snapshot, Error> {
        self.timed(Step::Read, async {
            let (arn, current, _) = self.find().await?;
            self.look_around(arn, current).await
        })
        .await
    }

    /// Reads what the labels of a secret with that current version leave open, all at once.
    pub(super) async fn look_around(&self, arn: String, current: Version) -> Result<Snapshot, Error> {
        let labels = &self.describe().await?.labels;
        let unread = Unread::of(&arn, &current, labels);
        if !unread.is_nothing() {
            tracing::info!(secret_id = self.secret, ?unread, "reading what may wait or be claimed");
        }
        let (pending, staged, grant, claim) = tokio::join!(
            self.get_labelled(unread.pending),
            self.get_labelled(unread.staged),
            self.get_labelled(unread.grant),
            self.get_labelled(unread.claim)
        );
        let is_promoted = labels.version(Label::Pending) == Some(&current.id);
        let pending = if is_promoted { Pending::Done } else { Pending::of(pending?.as_ref(), &current) };
        if matches!(pending, Pending::Foreign) {
            tracing::warn!(
                secret_id = self.secret,
                "the version labelled AWSPENDING is not this function's and is left alone"
            );
        }
        let staged = match Pending::of(staged?.as_ref(), &current) {
            Pending::Descendant(staged) => Some(staged),
            _ => None,
        };
        let grant = match (unread.grant, labels.version(Label::Grant)) {
            (None, Some(settled)) => Authorized::Settled(settled.to_owned()),
            _ => Authorized::of(grant?.as_ref(), &current),
        };
        let claim = claim?.as_ref().and_then(Claim::read);
        Ok(Snapshot { arn, current, pending, staged, grant, claim })
    }

    /// The secret's ARN, its current version, of which the metrics are going to tell, and the labels on that.
    pub(super) async fn find(&self) -> Result<(String, Version, Vec<Label>), Error> {
        let stored = self.get_current().await?;
        let current = Version::of(&stored)?;
        self.trace.sees(&current.credentials);
        Ok((stored.arn, current, stored.labels))
    }

    /// Reads the current version alone.
    pub(super) async fn read_current(&self) -> Result<Version, Error> {
        Version::of(&self.get_current().await?)
    }

    async fn get_current(&self) -> Result<Stored, Error> {
        self.get(Which::Label(Label::Current)).await?.ok_or_else(|| no_value(self.secret))
    }

    pub(super) async fn describe(&self) -> Result<Description, Error> {
        let described = self.attempt(Request::read(Step::Read), || self.store.describe(self.secret)).await?;
        described.ok_or_else(|| no_value(self.secret))
    }

    /// Reads the version that a label was seen on, if one is to be read.
    async fn get_labelled(&self, id: Option<&str>) -> Result<Option<Stored>, Error> {
        match id {
            Some(id) => self.get(Which::Id(id)).await,
            None => Ok(None),
        }
    }

    /// Reads a version of this function's by id; one that is not there, or not understood, is none.
    pub(super) async fn read_version(&self, id: &str) -> Result<Option<Version>, Error> {
        let stored = self.get(Which::Id(id)).await?;
        Ok(stored.and_then(|stored| Version::of(&stored).ok()))
    }

    /// The app's credentials, wherever they are.
    pub(super) async fn app(&self, version: &Version) -> Result<App, Error> {
        let id = match &version.credentials.app {
            AppSource::Inline(app) => return Ok(app.clone()),
            AppSource::Secret(id) => id,
        };
        let stored = self.get_from(Step::Read, id, Which::Label(Label::Current)).await;
        let named = |error: Error| {
            let what = format_args!("The secret '{id}' that 'app_secret_id' names");
            error.named_in("'app_secret_id'").context(what)
        };
        let stored = stored.map_err(named)?.ok_or_else(|| named(no_value(id)))?;
        Document::parse(&stored.body).and_then(|document| app_of(&document)).map_err(named)
    }
}

fn no_value(secret: &str) -> Error {
    let what = format!("The secret '{secret}' does not exist in this account and region, or has no value yet.");
    Error::new(Kind::SecretNotFound, what)
}
