//! Reading the credentials secret: the current version, and others by id.

use crate::{
    document::{App, AppSource, Credentials, Document, Provenance, TokenFields, app_of},
    error::{Error, Kind},
    fault_switch::FaultSwitch,
};
use crate::{
    refresh::{
        Refresher,
        ids::{claim_id, successor_id},
    },
    transport::{Clock, Description, Label, Step, Store, Stored, TikTok, VersionSelector},
};

/// A version of the credentials secret that was read and parsed.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub arn: String,
    pub id: String,
    pub document: Document,
    pub credentials: Credentials,
    /// True if `TIKTOK_STAGED` is on it: nothing was staged after it.
    pub is_newest_staged: bool,
}

impl Version {
    pub fn of(stored: &Stored) -> Result<Self, Error> {
        let version = Self::new(stored.arn.clone(), stored.version_id.clone(), Document::parse(&stored.body)?)?;
        Ok(Self { is_newest_staged: stored.labels.contains(&Label::Staged), ..version })
    }

    pub fn new(arn: String, id: String, document: Document) -> Result<Self, Error> {
        let credentials = Credentials::of(&document)?;
        Ok(Self { arn, id, document, credentials, is_newest_staged: false })
    }

    /// The id of the version that holds the successor of this version's pair, if there is one.
    pub fn successor_id(&self) -> String {
        successor_id(&self.arn, &self.credentials.fingerprint)
    }

    /// The id of the claim with that number on this version's pair.
    pub fn claim_id(&self, attempt: u32) -> String {
        claim_id(&self.claim_key(), &self.credentials.fingerprint, attempt)
    }

    /// The part of a claim's id that names the secret. Versions that hold the same pair share it.
    pub fn claim_key(&self) -> String {
        if FaultSwitch::ClaimOnVersion.is_on() { format!("{}#{}", self.arn, self.id) } else { self.arn.clone() }
    }

    pub fn holds_pair_of(&self, other: &Self) -> bool {
        self.credentials.fingerprint == other.credentials.fingerprint
    }

    /// The token fields of this version, for the document of another one. `None` if a person put the tokens here.
    pub fn tokens_over(&self, current: &Self) -> Option<(TokenFields, Provenance)> {
        let is_new_grant = self.credentials.authorized_at != current.credentials.authorized_at;
        let fields = if is_new_grant { TokenFields::of_new_grant } else { TokenFields::of };
        Some((fields(&self.document), self.credentials.provenance()?.clone()))
    }
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Reads a version of this secret as it is stored.
    pub(crate) async fn get(&self, which: VersionSelector<'_>) -> Result<Option<Stored>, Error> {
        self.requests().get(Step::Read, self.secret, which).await
    }

    /// Reads the current version, of which the metrics are going to tell.
    pub(crate) async fn read_current(&self) -> Result<Version, Error> {
        let stored = self.get(VersionSelector::Label(Label::Current)).await?.ok_or_else(|| no_value(self.secret))?;
        let current = Version::of(&stored)?;
        self.trace.sees(&current.credentials);
        Ok(current)
    }

    /// Reads a version by id; one that is not there, or is no credentials document, is none.
    pub(crate) async fn read_version(&self, id: &str) -> Result<Option<Version>, Error> {
        self.read_document(VersionSelector::Id(id)).await
    }

    /// Reads the version that a label is on; one that is not there, or is no credentials document, is none.
    pub(crate) async fn read_labeled(&self, label: Label) -> Result<Option<Version>, Error> {
        self.read_document(VersionSelector::Label(label)).await
    }

    async fn read_document(&self, which: VersionSelector<'_>) -> Result<Option<Version>, Error> {
        match self.get(which).await {
            Ok(stored) => Ok(stored.and_then(|stored| Version::of(&stored).ok())),
            Err(error) if error.kind() == Kind::InvalidSecret => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn describe(&self) -> Result<Description, Error> {
        let described = self.requests().describe(self.secret).await?;
        described.ok_or_else(|| no_value(self.secret))
    }

    /// The app's credentials, wherever they are.
    pub(crate) async fn app(&self, version: &Version) -> Result<App, Error> {
        let id = match &version.credentials.app {
            AppSource::Inline(app) => return Ok(app.clone()),
            AppSource::Secret(id) => id,
        };
        let stored = self.requests().get(Step::Read, id, VersionSelector::Label(Label::Current)).await;
        let named = |error: Error| {
            let what = format_args!("The secret '{id}' that 'app_secret_id' names");
            error.named_in("'app_secret_id'").context(what)
        };
        let stored = stored.map_err(named)?.ok_or_else(|| named(no_value(id)))?;
        Document::parse(&stored.body).and_then(|document| app_of(&document)).map_err(named)
    }

    /// Fails if a secret holds no tokens that its flow works with. Tokens that were removed stay removed: the error names
    /// the version that still has some.
    pub(crate) async fn ensure_tokens(&self, current: &Version) -> Result<(), Error> {
        let Err(error) = current.credentials.has_tokens() else { return Ok(()) };
        if current.credentials.has_any_token() {
            return Err(error);
        }
        let (staged, previous) = tokio::join!(self.read_labeled(Label::Staged), self.read_labeled(Label::Previous));
        let candidates = [staged, previous].into_iter().filter_map(|read| read.ok().flatten());
        let newest = candidates
            .filter(|version| version.credentials.has_any_token())
            .max_by_key(|version| (version.credentials.authorization(), version.credentials.place()));
        Err(match newest {
            None => error,
            Some(version) => error.advise(restore_advice(self.secret, &current.id, &version.id)),
        })
    }
}

/// The advice where the tokens were removed and another version still has them.
fn restore_advice(secret: &str, current: &str, with_tokens: &str) -> String {
    format!(
        "Authorize the app again with the event {{\"action\":\"authorize_url\"}}. Or, if the tokens were removed by mistake, bring back version {with_tokens}, which still has tokens: aws secretsmanager update-secret-version-stage --secret-id {secret} --version-stage AWSCURRENT --move-to-version-id {with_tokens} --remove-from-version-id {current}"
    )
}

fn no_value(secret: &str) -> Error {
    let what = format!("The secret '{secret}' does not exist in this account and region, or has no value yet.");
    Error::new(Kind::SecretNotFound, what)
}
