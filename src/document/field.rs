//! The names of the fields: TikTok's own where TikTok has one.

pub const APP_ID: &str = "app_id";
pub const SECRET: &str = "secret";
/// What TikTok's portal and some connectors call `secret`.
pub const APP_SECRET: &str = "app_secret";
pub const APP_SECRET_ID: &str = "app_secret_id";
pub const FLOW: &str = "flow";
pub const REFRESH_TOKEN: &str = "refresh_token";
pub const ACCESS_TOKEN: &str = "access_token";
pub const ACCESS_TOKEN_EXPIRES_AT: &str = "access_token_expires_at";
pub const REFRESH_TOKEN_EXPIRES_AT: &str = "refresh_token_expires_at";
pub const REFRESHED_AT: &str = "refreshed_at";
pub const SCOPE: &str = "scope";
pub const OPEN_ID: &str = "open_id";
pub const ADVERTISER_IDS: &str = "advertiser_ids";
pub const ADVERTISERS: &str = "advertisers";
pub const ADVERTISERS_FETCHED_AT: &str = "advertisers_fetched_at";
/// When a person last authorized the app: which of two pairs of tokens belongs to the newer grant.
pub const AUTHORIZED_AT: &str = "authorized_at";
/// Where the last authorization came back to: the next one goes the same way.
pub const REDIRECT_URI: &str = "redirect_uri";
/// The address of TikTok's consent page, where it is not the usual one.
pub const AUTHORIZATION_URL: &str = "authorization_url";
/// The reader secrets to fill.
pub const PUBLISH: &str = "publish";
/// Private to this project: where the tokens in the document came from.
pub const ORIGIN: &str = "_refresh";

/// What an answer of TikTok's token endpoints fills. These travel together: half of one answer is no use to anybody.
pub const TOKENS: [&str; 8] = [
    REFRESH_TOKEN,
    ACCESS_TOKEN,
    ACCESS_TOKEN_EXPIRES_AT,
    REFRESH_TOKEN_EXPIRES_AT,
    REFRESHED_AT,
    AUTHORIZED_AT,
    SCOPE,
    OPEN_ID,
];

/// What an authorization decides beside its tokens, and a refresh leaves alone: a person may change it at any time.
pub const GRANT: [&str; 2] = [FLOW, REDIRECT_URI];

/// What the list of advertisers fills.
pub const LIST: [&str; 3] = [ADVERTISER_IDS, ADVERTISERS, ADVERTISERS_FETCHED_AT];
