//! The traits through which a refresh reaches Secrets Manager, TikTok and the clock.
//!
//! A method is one attempt of one request. Timeouts and retries are in `Attempts`, which knows the deadline. The module
//! knows neither the AWS SDK nor reqwest, so tests and the model implement the traits too.
//!
//! Secrets Manager's rules are those of its [API
//! reference](https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html).

use std::{fmt, future::Future, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;

use crate::{
    document::{Advertiser, App, Flow},
    error::Error,
};

/// A [staging label](https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html) of Secrets
/// Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// The version that downstream jobs read.
    Current,
    /// The version of a rotation.
    Pending,
    /// The version that was AWSCURRENT before. Secrets Manager moves this label.
    Previous,
    /// The newest claim. The label keeps it: Secrets Manager deletes old versions without a label.
    Claim,
    /// The newest staged token pair. The label keeps it, too.
    Staged,
}

impl Label {
    const ALL: [Self; 5] = [Self::Current, Self::Pending, Self::Previous, Self::Claim, Self::Staged];

    /// Returns the name of the label in Secrets Manager.
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

    /// Returns the label with that name, or `None` for a label that the function does not use.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name() == name)
    }
}

/// The version to read. The label is always explicit, because emulators disagree with AWS about the default.
#[derive(Clone, Copy, Debug)]
pub enum VersionSelector<'a> {
    Label(Label),
    Id(&'a str),
}

/// A version and its content.
#[derive(Clone, Debug)]
pub struct Stored {
    pub arn: String,
    pub version_id: String,
    /// The labels that this version had when it was read. Labels that the function does not use are left out.
    pub labels: Vec<Label>,
    pub body: SecretString,
}

/// The version of each label of a secret at one moment. Labels that the function does not use are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(Label, String)>);

impl Labels {
    /// Returns the id of the version with that label.
    #[must_use]
    pub fn version(&self, label: Label) -> Option<&str> {
        self.0.iter().find(|(of, _)| *of == label).map(|(_, id)| id.as_str())
    }
}

/// Collects version ids and the names of their labels, the form in which Secrets Manager returns them.
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

/// The metadata of a secret: its labels and its tags.
#[derive(Clone, Debug)]
pub struct Description {
    pub labels: Labels,
    /// Pairs of key and value.
    pub tags: Vec<(String, String)>,
}

/// The result of a write under a version id that the caller chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// The version holds the body of this call. This attempt or an earlier one wrote it.
    Written,
    /// A version with that id and another body exists. It is unchanged.
    Taken,
}

/// The result of a compare-and-swap of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapResult {
    Swapped,
    /// The label was on another version. It has not moved.
    Conflict,
}

/// The requests about one secret.
pub trait Store {
    /// Reads a version. Returns `None` if the secret or the version does not exist.
    fn get(&self, secret: &str, which: VersionSelector<'_>) -> impl Future<Output = Result<Option<Stored>, Error>>;

    /// Counts the versions created at or after `since`, including those without a label.
    fn count_versions(&self, secret: &str, since: Timestamp) -> impl Future<Output = Result<usize, Error>>;

    /// Reads the labels and the tags of a secret. Returns `None` if the secret does not exist.
    fn describe(&self, secret: &str) -> impl Future<Output = Result<Option<Description>, Error>>;

    /// Writes a version with the id `id` and attaches `labels` to it. AWSCURRENT must not be among them. A repeated
    /// call with the same body has no effect.
    fn put(
        &self,
        secret: &str,
        id: &str,
        labels: &[Label],
        body: &SecretString,
    ) -> impl Future<Output = Result<PutResult, Error>>;

    /// Moves AWSCURRENT from version `from` to version `to`, if it is on `from`.
    fn promote(&self, secret: &str, to: &str, from: &str) -> impl Future<Output = Result<SwapResult, Error>>;

    /// Removes `label` from version `from`, if it is there.
    fn detach(&self, secret: &str, label: Label, from: &str) -> impl Future<Output = Result<SwapResult, Error>>;

    /// Moves AWSPENDING from version `from` to version `to`, if it is on `from`.
    fn move_pending(&self, secret: &str, to: &str, from: &str) -> impl Future<Output = Result<SwapResult, Error>>;
}

/// The tag that selects the secrets of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    /// The value that the tag must have. `None` accepts any value.
    pub value: Option<String>,
}

impl Tag {
    /// Returns true if the tag is among `tags`, the pairs of key and value of a secret.
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

/// A secret in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    pub arn: String,
    pub labels: Labels,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    pub secrets: Vec<Listed>,
    /// The token that requests the next page. `None` on the last page.
    pub next: Option<String>,
}

/// The requests about many secrets.
pub trait Directory {
    /// Lists the secrets with a tag. `page` is the token of the page before, or `None` for the first one.
    fn list(&self, tag: &Tag, page: Option<&str>) -> impl Future<Output = Result<Page, Error>>;

    /// Reads AWSCURRENT of up to 20 secrets. Secrets that cannot be read are left out.
    fn read_many(&self, arns: &[&str]) -> impl Future<Output = Result<Vec<Stored>, Error>>;
}

/// TikTok's answer to a redeemed refresh token or an exchanged auth code.
#[derive(Clone, Debug)]
pub struct TokenSet {
    /// The time just before the request. The lifetimes count from it.
    pub asked_at: Timestamp,
    pub access_token: SecretString,
    /// `None` if TikTok returned no refresh token. The old one is used again then.
    pub refresh_token: Option<SecretString>,
    pub expires_in: Option<Duration>,
    pub refresh_token_expires_in: Option<Duration>,
    /// The JSON of the answer, unchanged: names separated by commas, or a list of numbers that can exceed a float.
    pub scope: Option<String>,
    pub open_id: Option<String>,
    /// The advertisers that the answer names. Empty if it names none.
    pub advertiser_ids: Vec<String>,
    /// Sentences about unexpected parts of the answer.
    pub warnings: Vec<String>,
    /// An error that TikTok reported beside the tokens. The run fails with it unless a check proves that the tokens
    /// work.
    pub reported_error: Option<Error>,
}

/// TikTok's answer to a request for the advertisers of an access token.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub advertisers: Vec<Advertiser>,
    /// The number of entries without an id, which are left out.
    pub dropped: usize,
}

impl From<Vec<Advertiser>> for Listing {
    fn from(advertisers: Vec<Advertiser>) -> Self {
        Self { advertisers, dropped: 0 }
    }
}

/// The requests to TikTok's Business API.
pub trait TikTok {
    /// Opens a connection in the background, because a request follows soon.
    fn prepare(&self) {}

    /// Redeems a refresh token at the endpoint of its flow.
    fn redeem(
        &self,
        flow: Flow,
        app: &App,
        refresh_token: &SecretString,
    ) -> impl Future<Output = Result<TokenSet, Error>>;

    /// Exchanges an auth code. [`Flow::TtUser`] has an endpoint of its own; the other flows use the one of
    /// [`Flow::Business`].
    fn exchange(
        &self,
        flow: Flow,
        app: &App,
        auth_code: &SecretString,
        redirect_uri: &str,
    ) -> impl Future<Output = Result<TokenSet, Error>>;

    /// Lists the advertisers that an access token may read. An answer proves that the token works.
    fn advertisers(&self, app: &App, access_token: &SecretString) -> impl Future<Output = Result<Listing, Error>>;

    /// Reads the scope of an account holder's access token, which has no advertisers. An answer proves that the token
    /// works.
    fn token_info(&self, app: &App, access_token: &SecretString) -> impl Future<Output = Result<(), Error>>;

    /// Reads currency, time zone and status of up to 100 advertisers, TikTok's limit for one request. Advertisers that
    /// TikTok does not return are left out.
    fn advertiser_info(
        &self,
        access_token: &SecretString,
        ids: &[&str],
    ) -> impl Future<Output = Result<Vec<Advertiser>, Error>>;
}

/// The current time and timers.
pub trait Clock {
    fn now(&self) -> Timestamp;

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;

    /// Returns the output of `future`, or `None` if it takes longer than `limit`.
    fn timeout<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}
