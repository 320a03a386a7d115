//! What the cycle needs of the world: a store, TikTok, and a clock. The cycle knows neither the AWS SDK nor reqwest; tests
//! and the model checker put their own worlds behind these traits.
//!
//! A method is one attempt at one request. Waiting, repeating and giving up are the cycle's business, because only the
//! cycle knows the deadline and what may be sent twice.

use std::{fmt, future::Future, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    document::{Advertiser, App, Flow},
    error::Error,
};

/// A staging label of Secrets Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// What downstream jobs read.
    Current,
    /// The version of a rotation.
    Pending,
    /// What was current before.
    Previous,
    /// The newest claim: Secrets Manager deletes versions without a label.
    Claim,
    /// The newest pair that was staged, for the same reason.
    Staged,
}

impl Label {
    const ALL: [Self; 5] = [Self::Current, Self::Pending, Self::Previous, Self::Claim, Self::Staged];

    /// The label as Secrets Manager knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
            Self::Previous => "AWSPREVIOUS",
            Self::Claim => "TIKTOK_CLAIM",
            Self::Staged => "TIKTOK_STAGED",
        }
    }

    /// The label of that name; none if the cycle does not use it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name() == name)
    }
}

/// Which version of a secret to read. Never "the default one": emulators disagree with AWS on what that is.
#[derive(Clone, Copy, Debug)]
pub enum VersionSelector<'a> {
    Label(Label),
    Id(&'a str),
}

/// A version as it was read.
#[derive(Clone, Debug)]
pub struct Stored {
    pub arn: String,
    pub version_id: String,
    /// Those that were on this version at that moment, as far as the cycle uses them.
    pub labels: Vec<Label>,
    pub body: SecretString,
}

/// Which version of a secret each label is on, all at one moment. Labels that the cycle does not use are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(Label, String)>);

impl Labels {
    /// The version that a label is on.
    #[must_use]
    pub fn version(&self, label: Label) -> Option<&str> {
        self.0.iter().find(|(of, _)| *of == label).map(|(_, id)| id.as_str())
    }
}

/// From version ids and the names of the labels on each, as Secrets Manager tells them of a secret.
impl<Id: AsRef<str>, Names: IntoIterator<Item: AsRef<str>>> FromIterator<(Id, Names)> for Labels {
    fn from_iter<Versions: IntoIterator<Item = (Id, Names)>>(versions: Versions) -> Self {
        let mut labels = Vec::new();
        for (id, names) in versions {
            for name in names {
                labels.extend(Label::named(name.as_ref()).map(|label| (label, id.as_ref().to_owned())));
            }
        }
        Self(labels)
    }
}

/// What Secrets Manager tells of a secret beside its values.
#[derive(Clone, Debug)]
pub struct Description {
    pub labels: Labels,
    /// Keys and values.
    pub tags: Vec<(String, String)>,
}

/// What became of a write under an id that the caller chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// The version holds our body, by this attempt or an earlier one.
    Written,
    /// The id is taken by another body, which stays as it is.
    Taken,
}

/// What became of a compare-and-swap of AWSCURRENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapResult {
    Swapped,
    /// AWSCURRENT was not where the caller thought it was.
    Conflict,
}

/// Secrets Manager.
pub trait Store {
    /// Reads a version; `None` if the secret or the version does not exist.
    fn get(&self, secret: &str, which: VersionSelector<'_>) -> impl Future<Output = Result<Option<Stored>, Error>>;

    /// Counts the versions of a secret that were created at or after that time, those without a label too.
    fn count_versions(&self, secret: &str, since: Timestamp) -> impl Future<Output = Result<usize, Error>>;

    /// Tells where the labels of a secret are, and its tags; `None` if it does not exist.
    fn describe(&self, secret: &str) -> impl Future<Output = Result<Option<Description>, Error>>;

    /// Writes a version under an id, and puts labels on it, but not AWSCURRENT. Repeating it with the same body is harmless.
    fn put(
        &self,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> impl Future<Output = Result<PutResult, Error>>;

    /// Moves AWSCURRENT from one version to another, if it is on the first.
    fn promote(&self, secret: &str, to: &str, from: &str) -> impl Future<Output = Result<SwapResult, Error>>;

    /// Takes a label off a version, if it is on that.
    fn detach(&self, secret: &str, label: Label, from: &str) -> impl Future<Output = Result<SwapResult, Error>>;

    /// Moves AWSPENDING from one version to another, if it is on the first.
    fn move_pending(&self, secret: &str, to: &str, from: &str) -> impl Future<Output = Result<SwapResult, Error>>;
}

/// A tag that secrets have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    /// The value that it must have; any, if there is none here.
    pub value: Option<String>,
}

impl Tag {
    /// Whether it is among the tags of a secret, which are keys and values.
    pub fn is_among<'t>(&self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> bool {
        let fits = |value: &str| self.value.as_ref().is_none_or(|expected| expected == value);
        tags.into_iter().any(|(key, value)| key == self.key && fits(value))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// A secret of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    pub arn: String,
    pub labels: Labels,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub secrets: Vec<Listed>,
    /// What to name to get the next part; none on the last one.
    pub next: Option<String>,
}

/// Secrets Manager, where it tells of many secrets at once.
pub trait Directory {
    /// A page of the secrets that have a tag.
    fn list(&self, tag: &Tag, page: Option<&str>) -> impl Future<Output = Result<Page, Error>>;

    /// Reads AWSCURRENT of up to twenty secrets. Those that cannot be read are left out.
    fn read_many(&self, arns: &[&str]) -> impl Future<Output = Result<Vec<Stored>, Error>>;
}

/// What TikTok answered to a redeemed refresh token or an exchanged auth code.
#[derive(Clone, Debug)]
pub struct TokenSet {
    pub access_token: SecretString,
    /// Absent if TikTok did not give a new one: the old one goes on.
    pub refresh_token: Option<SecretString>,
    /// Lifetimes, counted from the moment of the answer.
    pub expires_in: Option<Duration>,
    pub refresh_token_expires_in: Option<Duration>,
    /// A text of comma-separated names or a list of numbers, some too large for a float: kept as the JSON that came.
    pub scope: Option<String>,
    pub open_id: Option<String>,
    /// What the grant covers, where the answer says so; empty otherwise.
    pub advertiser_ids: Vec<String>,
    /// What was odd about the answer, in sentences for a person.
    pub warnings: Vec<String>,
    /// An error that TikTok reported beside the tokens. Unless a check proves that they work, it is what the request came to.
    pub reported_error: Option<Error>,
}

/// What TikTok answered to a request for the advertisers of a token.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub advertisers: Vec<Advertiser>,
    /// How many entries were left out because they have no id.
    pub dropped: usize,
}

impl From<Vec<Advertiser>> for Listing {
    fn from(advertisers: Vec<Advertiser>) -> Self {
        Self { advertisers, dropped: 0 }
    }
}

/// TikTok's Business API.
pub trait TikTok {
    /// Says that a request is likely to follow in a moment, so that a connection can be opened meanwhile.
    fn prepare(&self) {}

    /// Spends a refresh token at the endpoint of its flow.
    fn redeem(
        &self,
        flow: Flow,
        app: &App,
        refresh_token: &SecretString,
    ) -> impl Future<Output = Result<TokenSet, Error>>;

    /// Exchanges an auth code at the endpoint of a family: [`Flow::TtUser`] or, for all others, [`Flow::Business`].
    fn exchange(
        &self,
        flow: Flow,
        app: &App,
        auth_code: &SecretString,
        redirect_uri: &str,
    ) -> impl Future<Output = Result<TokenSet, Error>>;

    /// Lists the advertisers that an access token may read, which also proves that the token works.
    fn advertisers(&self, app: &App, access_token: &SecretString) -> impl Future<Output = Result<Listing, Error>>;

    /// Asks what an account holder's access token is for, which proves that the token works: such a token has no advertisers
    /// to list.
    fn token_info(&self, app: &App, access_token: &SecretString) -> impl Future<Output = Result<(), Error>>;

    /// Looks up what TikTok knows of some advertisers; those that it does not tell about are left out. TikTok takes at most
    /// a hundred ids in one request.
    fn advertiser_info(
        &self,
        access_token: &SecretString,
        ids: &[&str],
    ) -> impl Future<Output = Result<Vec<Advertiser>, Error>>;
}

/// Time, as a value that goes in.
pub trait Clock {
    fn now(&self) -> Timestamp;

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// The output of `future`, or `None` if it takes longer than that.
    fn timeout<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}
