//! The names of the fields in a credentials document. Where TikTok has a name, it is TikTok's.

pub const APP_ID: &str = "app_id";
pub const SECRET: &str = "secret";
/// Another name for `secret`, which TikTok's portal and some connectors use.
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
/// The time of the last authorization, which tells a newer grant from an older one.
pub const AUTHORIZED_AT: &str = "authorized_at";
/// The redirect URI of the last authorization. The next one uses it too.
pub const REDIRECT_URI: &str = "redirect_uri";
/// The address of TikTok's consent page, if it is not the default one.
pub const AUTHORIZATION_URL: &str = "authorization_url";
/// The reader secrets to write.
pub const PUBLISH: &str = "publish";
/// The position of the token pair in its chain. Private to this project.
pub const ORIGIN: &str = "_refresh";

/// The fields of an answer with tokens. They always change together.
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

/// The other fields that an authorization writes. A refresh does not change them, and a person may.
pub const GRANT: [&str; 2] = [FLOW, REDIRECT_URI];

/// The fields of the advertiser list.
pub const LIST: [&str; 3] = [ADVERTISER_IDS, ADVERTISERS, ADVERTISERS_FETCHED_AT];
