use super::{Clock, Cycle, Label, Store, Stored, TikTok, Which, attempts::Request, claim::Claim, trace::Step};
use crate::{
    document::{App, AppSource, Credentials, Document, app_of},
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
}

/// What the label AWSPENDING is on, seen from AWSCURRENT.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    None,
    /// The tokens that are current already.
    Done,
    /// Tokens that take the place of the current ones: a run died before it promoted them.
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
        } else if version.credentials.follow(&current.credentials) {
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
            Self::Foreign => Label::Staged,
            _ => Label::Pending,
        }
    }
}

/// The secret as a run found it.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub arn: String,
    pub current: Version,
    pub pending: Pending,
    /// The tokens of an authorisation that was not brought to its end.
    pub grant: Option<Version>,
    pub claim: Option<Claim>,
}

impl Snapshot {
    /// The tokens that wait to be promoted: of the newest grant, if several do.
    pub fn waiting(&self) -> Option<&Version> {
        let staged = if let Pending::Descendant(staged) = &self.pending { Some(staged) } else { None };
        let is_newer = |grant: &&Version| {
            staged.is_none_or(|staged| grant.credentials.authorized_at > staged.credentials.authorized_at)
        };
        self.grant.as_ref().filter(is_newer).or(staged)
    }
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Reads what is current, what waits and what is claimed, all at once.
    pub(super) async fn read(&self) -> Result<Snapshot, Error> {
        let labels = async {
            tokio::join!(
                self.get(Which::Label(Label::Current)),
                self.get(Which::Label(Label::Pending)),
                self.get(Which::Label(Label::Grant)),
                self.get(Which::Label(Label::Claim)),
            )
        };
        let (current, pending, grant, claim) = self.timed(Step::Read, labels).await;
        let current = current?.ok_or_else(|| no_value(self.secret))?;
        let version = Version::of(&current)?;
        self.trace.sees(&version.credentials);
        let pending = Pending::of(pending?.as_ref(), &version);
        if matches!(pending, Pending::Foreign) {
            tracing::warn!(
                secret_id = self.secret,
                "the version labelled AWSPENDING is not this function's and is left alone"
            );
        }
        let grant = grant?.as_ref().and_then(|stored| Version::of(stored).ok());
        let grant = grant.filter(|grant| grant.credentials.follow(&version.credentials));
        let claim = claim?.as_ref().and_then(Claim::read);
        Ok(Snapshot { arn: current.arn, current: version, pending, grant, claim })
    }

    /// Reads the current version alone.
    pub(super) async fn read_current(&self) -> Result<Version, Error> {
        let stored = self.get(Which::Label(Label::Current)).await?;
        Version::of(&stored.ok_or_else(|| no_value(self.secret))?)
    }

    /// Reads a version of this function's by id; one that is not there, or not understood, is none.
    pub(super) async fn read_version(&self, id: &str) -> Result<Option<Version>, Error> {
        let stored = self.get(Which::Id(id)).await?;
        Ok(stored.and_then(|stored| Version::of(&stored).ok()))
    }

    pub(super) async fn get(&self, which: Which<'_>) -> Result<Option<Stored>, Error> {
        self.attempt(Request::store(Step::Read), || self.store.get(self.secret, which)).await
    }

    /// The app's credentials, wherever they are.
    pub(super) async fn app(&self, version: &Version) -> Result<App, Error> {
        let id = match &version.credentials.app {
            AppSource::Inline(app) => return Ok(app.clone()),
            AppSource::Secret(id) => id,
        };
        let read = || self.store.get(id, Which::Label(Label::Current));
        let stored = self.attempt(Request::store(Step::Read), read).await;
        let named = |error: Error| error.context(format_args!("The secret '{id}' that 'app_secret_id' names"));
        let stored = stored.map_err(named)?.ok_or_else(|| no_value(id))?;
        Document::parse(&stored.body).and_then(|document| app_of(&document)).map_err(named)
    }
}

fn no_value(secret: &str) -> Error {
    let what = format!("The secret '{secret}' does not exist in this account and region, or has no value yet.");
    Error::new(Kind::SecretNotFound, what)
}
