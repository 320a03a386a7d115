//! The environment of the function, read once when it starts. Every problem is named in one message, so that one deployment
//! corrects them all.

use std::{env, ops::RangeInclusive, time::Duration};

use jiff::SignedDuration;
use url::Url;

use crate::{
    authorize::is_https_or_on_this_machine,
    error::{Error, Kind},
    http::Egress,
    transport::Tag,
};

/// TikTok's production API.
pub const DEFAULT_TIKTOK_API_URL: &str = "https://business-api.tiktok.com/open_api/v1.3/";
/// Half a day: a job that starts right before the next daily refresh of a 24-hour token still has the time it needs, and a
/// failed refresh is repaired twelve hours before anybody notices.
const DEFAULT_MIN_TOKEN_LIFETIME: Duration = Duration::from_hours(12);
/// Enough for the default rates: TikTok takes half a second for an answer, and a refresh asks it twice.
const DEFAULT_MAX_CONCURRENCY: usize = 8;
/// TikTok's default is ten for an app; one above this can follow at once, and one is left to the jobs of the same app.
const DEFAULT_TIKTOK_REQUESTS_PER_SECOND: f64 = 8.0;
/// The quota is fifty for an account in a region; ten above this can follow at once.
const DEFAULT_SECRETS_MANAGER_WRITES_PER_SECOND: f64 = 40.0;
/// From one in a quarter of an hour, which is an invocation, to as good as without a limit.
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;
/// A token that lives longer than this is not refreshed by the hourly run.
const MAX_MIN_TOKEN_LIFETIME: Duration = Duration::from_hours(365 * 24);
/// More secrets at a time need more memory than the function has, and the rate limits hold them back.
const CONCURRENCY: RangeInclusive<usize> = 1..=1_000;
/// Where the metrics are found in CloudWatch.
const DEFAULT_METRICS_NAMESPACE: &str = "TikTokTokenRefresh";

/// Which secrets the function keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Those with these names or ARNs, each once.
    Named(Vec<String>),
    /// A fleet: all that have a tag when the function looks.
    Tagged(Tag),
}

impl Secrets {
    /// The configured secret that a name or an ARN stands for.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&str> {
        let Self::Named(ids) = self else { return None };
        let ids = || ids.iter().map(String::as_str);
        ids().find(|kept| *kept == id).or_else(|| ids().find(|kept| is_arn_of(kept, id) || is_arn_of(id, kept)))
    }
}

/// Whether an ARN, whole or without the six characters that Secrets Manager adds, is one of a secret with that name.
fn is_arn_of(arn: &str, name: &str) -> bool {
    let Some((_, resource)) = arn.split_once(":secret:").filter(|_| !name.contains(":secret:")) else { return false };
    let suffix = resource.strip_prefix(name);
    suffix.is_some_and(|suffix| suffix.is_empty() || suffix.len() == "-AbCdEf".len() && suffix.starts_with('-'))
}

/// What the environment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The credentials secrets.
    pub secrets: Secrets,
    /// The base URL of TikTok's API, ending in a slash.
    pub tiktok_api_url: Url,
    /// The hourly top-up refreshes an access token that has less than this to live.
    pub min_token_lifetime: Duration,
    /// How many secrets are worked on at a time.
    pub max_concurrency: usize,
    /// How many requests TikTok is sent for each app.
    pub tiktok_requests_per_second: f64,
    /// How many writes Secrets Manager is sent.
    pub secrets_manager_writes_per_second: f64,
    /// Whether TikTok is asked for more about each advertiser than its id and its name.
    pub advertiser_info: bool,
    /// The CloudWatch namespace of the metrics.
    pub metrics_namespace: String,
    /// The name that the metrics carry as a dimension, so that two deployments stay apart.
    pub function_name: String,
    /// The proxy, and root certificates beside the public ones.
    pub egress: Egress,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// `InvalidConfiguration`, naming every variable that is missing or wrong.
    pub fn from_env() -> Result<Self, Error> {
        Self::read(|name| env::var(name).ok())
    }

    /// Reads variables from anywhere.
    ///
    /// # Errors
    /// As [`Settings::from_env`].
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(problem);
        let value = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());

        let secrets = secrets(value("SECRET_ID"), value("SECRET_TAG")).map_err(&mut note).ok();
        let url = value("TIKTOK_API_URL");
        let tiktok_api_url = base_url(url.as_deref().unwrap_or(DEFAULT_TIKTOK_API_URL)).map_err(&mut note).ok();
        let min_token_lifetime = value("MIN_TOKEN_LIFETIME")
            .map_or(Ok(DEFAULT_MIN_TOKEN_LIFETIME), |text| lifetime(&text))
            .map_err(&mut note)
            .ok();
        let max_concurrency = value("MAX_CONCURRENCY")
            .map_or(Ok(DEFAULT_MAX_CONCURRENCY), |text| concurrency(&text))
            .map_err(&mut note)
            .ok();
        let mut rate = |name: &str, default| {
            value(name).map_or(Ok(default), |text| per_second(name, &text)).map_err(&mut note).unwrap_or(default)
        };
        let tiktok_requests_per_second = rate("TIKTOK_REQUESTS_PER_SECOND", DEFAULT_TIKTOK_REQUESTS_PER_SECOND);
        let secrets_manager_writes_per_second =
            rate("SECRETS_MANAGER_WRITES_PER_SECOND", DEFAULT_SECRETS_MANAGER_WRITES_PER_SECOND);
        let advertiser_info =
            value("ADVERTISER_INFO").map_or(Ok(false), |text| switch(&text)).map_err(&mut note).unwrap_or_default();
        let metrics_namespace = namespace(value("METRICS_NAMESPACE")).map_err(&mut note).ok();
        let egress = Egress::read(value).map_err(&mut note).unwrap_or_default();

        match (secrets, tiktok_api_url, min_token_lifetime, max_concurrency, metrics_namespace) {
            (
                Some(secrets),
                Some(tiktok_api_url),
                Some(min_token_lifetime),
                Some(max_concurrency),
                Some(metrics_namespace),
            ) if problems.is_empty() => Ok(Self {
                secrets,
                tiktok_api_url,
                min_token_lifetime,
                max_concurrency,
                tiktok_requests_per_second,
                secrets_manager_writes_per_second,
                advertiser_info,
                metrics_namespace,
                function_name: value("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "local".to_owned()),
                egress,
            }),
            _ => Err(Error::new(Kind::InvalidConfiguration, format!("{}.", problems.join("; ")))),
        }
    }
}

fn secrets(ids: Option<String>, tag: Option<String>) -> Result<Secrets, String> {
    match (ids, tag) {
        (Some(_), Some(_)) => Err("SECRET_ID and SECRET_TAG are both set; set one of them".to_owned()),
        (None, Some(tag)) => self::tag(&tag).map(Secrets::Tagged),
        (ids, None) => match secret_ids(ids.as_deref().unwrap_or_default()) {
            ids if ids.is_empty() => Err("SECRET_ID is missing; set it to the name or ARN of the credentials secret, or to several separated by commas, or set SECRET_TAG for all secrets with a tag".to_owned()),
            ids => Ok(Secrets::Named(ids)),
        },
    }
}

/// A key alone, or with the value that the tag must have.
fn tag(text: &str) -> Result<Tag, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
        None => (text, None),
    };
    // AWS's own limits.
    if key.is_empty() || key.chars().count() > 128 || value.as_ref().is_some_and(|value| value.chars().count() > 256) {
        return Err("SECRET_TAG must be the key of a tag, or its key, an equals sign and its value".to_owned());
    }
    Ok(Tag { key: key.to_owned(), value })
}

fn secret_ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The app's secret travels in requests to this address, so it is https, or a stand-in on this very machine.
fn base_url(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("TIKTOK_API_URL is not a URL ({error})"))?;
    if !is_https_or_on_this_machine(&url) {
        return Err(
            "TIKTOK_API_URL must begin with https; http is allowed for addresses on this machine alone".to_owned()
        );
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("TIKTOK_API_URL must be a base URL, without a query, a fragment or a user".to_owned());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.filter(|duration| *duration <= MAX_MIN_TOKEN_LIFETIME).ok_or_else(|| {
        let most = MAX_MIN_TOKEN_LIFETIME.as_secs() / 3_600;
        format!("MIN_TOKEN_LIFETIME must be a duration such as 12h or 90m, from 0s to {most}h")
    })
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| CONCURRENCY.contains(number));
    number.ok_or_else(|| {
        format!("MAX_CONCURRENCY must be a whole number from {} to {}", CONCURRENCY.start(), CONCURRENCY.end())
    })
}

fn per_second(name: &str, text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| RATES.contains(number));
    number.ok_or_else(|| format!("{name} must be a number from {} to {}", RATES.start(), RATES.end()))
}

fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "ADVERTISER_INFO must be true or false".to_owned())
}

/// CloudWatch's own rules for a namespace.
fn namespace(text: Option<String>) -> Result<String, String> {
    let text = text.unwrap_or_else(|| DEFAULT_METRICS_NAMESPACE.to_owned());
    let allowed = |c: char| c.is_ascii_alphanumeric() || " .-_/#:".contains(c);
    if text.len() > 255 || !text.chars().all(allowed) || text.starts_with("AWS/") || text.starts_with(':') {
        return Err(
            "METRICS_NAMESPACE must be a CloudWatch namespace: up to 255 of A-Z a-z 0-9 . - _ / # : and spaces, not beginning with AWS/ or a colon"
                .to_owned(),
        );
    }
    Ok(text)
}
