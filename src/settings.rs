//! The environment variables of the function, read once at its start.
//!
//! [`Settings::from_env`] returns the settings, or one `InvalidConfiguration` error that names every wrong variable.
//! `docs/configuration.md` describes each variable.

use std::{env, ops::RangeInclusive, time::Duration};

use jiff::SignedDuration;
use url::Url;

use crate::{
    authorize::is_https_or_on_this_machine,
    document::pasted,
    error::{Error, Kind},
    http::Egress,
    transport::Tag,
};

/// TikTok's production API.
pub const DEFAULT_TIKTOK_API_URL: &str = "https://business-api.tiktok.com/open_api/v1.3/";
/// Half a day. A job that starts just before the daily run still has half of a 24-hour token. A failed refresh is
/// repaired 12 hours before a job fails.
const DEFAULT_MIN_TOKEN_LIFETIME: Duration = Duration::from_hours(12);
/// Enough for the default rates: a refresh sends TikTok two requests of half a second each.
const DEFAULT_MAX_CONCURRENCY: usize = 8;
/// TikTok's limit at the default tier is 10 a second for an app. The burst can add one request, and one is left for the
/// jobs of the app.
const DEFAULT_TIKTOK_REQUESTS_PER_SECOND: f64 = 8.0;
/// The quota is 50 a second for an account in a Region. The burst can add ten requests.
const DEFAULT_SECRETS_MANAGER_WRITES_PER_SECOND: f64 = 40.0;
/// From one request an invocation (15 minutes) to practically unlimited.
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;
/// The hourly run does not refresh a token that lives longer than this.
const MAX_MIN_TOKEN_LIFETIME: Duration = Duration::from_hours(365 * 24);
/// More secrets in parallel need more memory than the function has, and the rate limits slow them down.
const CONCURRENCY: RangeInclusive<usize> = 1..=1_000;
/// The default CloudWatch namespace.
const DEFAULT_METRICS_NAMESPACE: &str = "TikTokTokenRefresh";

/// The secrets that the function refreshes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Secrets with these names or ARNs, without duplicates.
    Named(Vec<String>),
    /// A fleet: all secrets with this tag at the time of the run.
    Tagged(Tag),
}

impl Secrets {
    /// Returns the configured secret with that name or ARN.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&str> {
        let Self::Named(ids) = self else { return None };
        let ids = || ids.iter().map(String::as_str);
        ids().find(|kept| *kept == id).or_else(|| ids().find(|kept| is_arn_of(kept, id) || is_arn_of(id, kept)))
    }
}

/// Returns true if `arn` is the ARN of the secret `name`, with or without its six random characters.
fn is_arn_of(arn: &str, name: &str) -> bool {
    let Some((_, resource)) = arn.split_once(":secret:").filter(|_| !name.contains(":secret:")) else { return false };
    let suffix = resource.strip_prefix(name);
    suffix.is_some_and(|suffix| suffix.is_empty() || suffix.len() == "-AbCdEf".len() && suffix.starts_with('-'))
}

/// The settings of the function.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The credentials secrets.
    pub secrets: Secrets,
    /// The base URL of TikTok's API. It ends with a slash.
    pub tiktok_api_url: Url,
    /// The hourly run refreshes an access token that expires within this time.
    pub min_token_lifetime: Duration,
    /// The number of secrets in progress at once.
    pub max_concurrency: usize,
    /// The rate limit for requests to TikTok, for each app.
    pub tiktok_requests_per_second: f64,
    /// The rate limit for writes to Secrets Manager.
    pub secrets_manager_writes_per_second: f64,
    /// True if the function asks TikTok for each advertiser's currency, time zone and status.
    pub advertiser_info: bool,
    /// The CloudWatch namespace of the metrics.
    pub metrics_namespace: String,
    /// The dimension of the metrics, which tells two deployments apart.
    pub function_name: String,
    /// The proxy and the additional root certificates.
    pub egress: Egress,
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// `InvalidConfiguration` with every variable that is missing or wrong.
    pub fn from_env() -> Result<Self, Error> {
        Self::read(|name| env::var(name).ok())
    }

    /// Reads the variables that `variable` returns.
    ///
    /// # Errors
    /// As [`Settings::from_env`].
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(problem);
        // Quotation marks come from a `.env` file, and invisible characters from a web page.
        let value = |name: &str| {
            variable(name).map(|value| pasted::trimmed(&value).to_owned()).filter(|value| !value.is_empty())
        };

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

/// Parses `KEY` or `KEY=VALUE`.
fn tag(text: &str) -> Result<Tag, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
        None => (text, None),
    };
    // The limits of [AWS tags](https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Tag.html).
    if key.is_empty() || key.chars().count() > 128 || value.as_ref().is_some_and(|value| value.chars().count() > 256) {
        return Err("SECRET_TAG must be the key of a tag, or its key, an equals sign and its value".to_owned());
    }
    Ok(Tag { key: key.to_owned(), value })
}

fn secret_ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in text.split(',').map(pasted::trimmed).filter(|id| !id.is_empty()) {
        if !ids.iter().any(|known| known == id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// Parses the base URL. It must use https, because requests carry the app's secret; http is accepted for loopback
/// addresses.
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

/// Checks the namespace by [CloudWatch's
/// rules](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html).
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
