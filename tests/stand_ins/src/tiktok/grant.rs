//! Grants: the consent of an advertiser or an account holder, and the behavior of its tokens.

use std::time::Duration;

/// TikTok's two flows, each with its own endpoints. A token of one flow does not work in the other, and can be lost
/// there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flow {
    /// `oauth2/…`: advertisers.
    #[default]
    Business,
    /// `tt_user/oauth2/…`: TikTok account holders.
    TtUser,
}

/// The behavior of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Renewal {
    /// Not at all: there is no refresh token, and the access token lives until it is revoked.
    LongTerm,
    /// By a refresh token that stays the same.
    SameRefreshToken,
    /// Both tokens stay the same, and the access token's lifetime begins anew.
    SamePair,
    /// By a refresh token that is used up and replaced each time.
    Rotating {
        /// True if a used refresh token revokes every token of the grant.
        reuse_revokes: bool,
    },
}

/// The delay until a new access token is accepted. Until then TikTok answers with 40105.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// At once.
    #[default]
    Immediate,
    /// After so many uses.
    Uses(u32),
    /// After so much time.
    Time(Duration),
}

/// An advertiser that a grant covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Advertiser {
    /// The id, of up to 19 digits.
    pub id: String,
    /// The name.
    pub name: String,
}

impl Advertiser {
    /// An advertiser.
    pub fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned() }
    }
}

/// A consent and the behavior of its tokens. The default is the worst behavior that TikTok may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrantSpec {
    /// The flow.
    pub flow: Flow,
    /// The behavior of a refresh.
    pub renewal: Renewal,
    /// True if a refresh ends the previous access token.
    pub old_access_token_dies: bool,
    /// The delay until new access tokens are accepted.
    pub propagation: Propagation,
    /// The lifetime of an access token, unless it is long-term.
    pub access_lifetime: Duration,
    /// The lifetime of refresh tokens from the consent. A refresh does not extend it.
    pub refresh_lifetime: Duration,
    /// The advertisers.
    pub advertisers: Vec<Advertiser>,
    /// The permissions, by TikTok's numbers.
    pub scope: Vec<u64>,
}

impl Default for GrantSpec {
    fn default() -> Self {
        Self {
            flow: Flow::Business,
            renewal: Renewal::Rotating { reuse_revokes: false },
            old_access_token_dies: true,
            propagation: Propagation::Immediate,
            access_lifetime: Duration::from_hours(24),
            refresh_lifetime: Duration::from_hours(365 * 24),
            advertisers: vec![
                Advertiser::new("7000000000000000001", "First Advertiser"),
                Advertiser::new("7000000000000000002", "Zweite Werbung GmbH"),
            ],
            // One above 2^53, as TikTok really sends.
            scope: vec![4, 300, 9_007_199_254_740_995],
        }
    }
}

impl GrantSpec {
    /// The default with another flow.
    pub fn of(flow: Flow) -> Self {
        Self { flow, ..Self::default() }
    }

    /// A long-term grant of the Marketing API.
    pub fn long_term() -> Self {
        Self { renewal: Renewal::LongTerm, ..Self::default() }
    }
}

/// A grant, in the order of consents from 0.
pub type GrantId = usize;

/// The result of a consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The grant.
    pub grant: GrantId,
    /// The first access token.
    pub access_token: String,
    /// The first refresh token; none if the grant is long-term.
    pub refresh_token: Option<String>,
}

/// The result of a token endpoint, before it becomes JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The grant.
    pub grant: GrantId,
    /// The flow.
    pub flow: Flow,
    /// The new access token.
    pub access_token: String,
    /// The refresh token that is valid from now on.
    pub refresh_token: Option<String>,
    /// The lifetime of the access token. `None` if it is long-term.
    pub expires_in: Option<Duration>,
    /// The remaining lifetime of refresh tokens.
    pub refresh_token_expires_in: Option<Duration>,
    /// The permissions.
    pub scope: Vec<u64>,
    /// The ids of the advertisers.
    pub advertiser_ids: Vec<String>,
}
