//! The link to TikTok's consent page. Input: a [`LinkRequest`] and the secret. Output: a [`Link`]. Errors: an address
//! that is not valid.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Serialize;
use url::{Host, Url};

use super::UnverifiedState;
use crate::{
    document::{App, Credentials, Document, Flow, field, whole_seconds},
    error::{Error, Kind},
    refresh::Refresher,
    transport::{Clock, Step, Store, TikTok},
};

/// The default validity of a link. TikTok's auth code is valid for an hour, too.
pub const VALIDITY: Duration = Duration::from_hours(1);
/// A link for a customer has to survive a weekend.
pub const MAX_VALIDITY_HOURS: u64 = 7 * 24;
/// The default redirect URI. Nothing answers there, because only the address is needed.
pub const DEFAULT_REDIRECT_URI: &str = "https://localhost:8080";
/// The longest wait before a link is created.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// The path of TikTok's consent page.
const CONSENT_PAGE: &str = "/portal/auth";

/// The options of a link.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    /// A redirect URI that is registered for the app. `None` uses the one of the last authorization.
    pub redirect_uri: Option<String>,
    pub valid_for: Duration,
}

/// A link to TikTok's consent page.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    pub authorize_url: String,
    pub redirect_uri: String,
    pub expires_at: Timestamp,
    /// The next step for the user.
    pub next: String,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Creates a link. It stores nothing. `api` is the base URL of TikTok's API.
    ///
    /// # Errors
    /// If the secret cannot be read, or an address in it or in the request is not valid.
    pub async fn authorize_url(&self, request: &LinkRequest, api: &Url) -> Result<Link, Error> {
        let current = self.timed(Step::Read, self.read_current()).await?;
        let app = self.app(&current).await?;
        let redirect_uri = match &request.redirect_uri {
            Some(uri) => checked_redirect_uri(uri, Kind::InvalidEvent)?,
            None => last_redirect_uri(&current.document)?,
        };
        let page = consent_page(&current.document, &current.credentials, &app, api)?;
        self.wait_for_next_second(current.credentials.authorized_at).await;
        let now = whole_seconds(self.clock.now());
        let expires_at = now + request.valid_for;
        let secret = (self.secret, current.arn.as_str());
        let state = UnverifiedState::mint(secret, &redirect_uri, (now, expires_at), &self.run.nonce, &app);
        let next = format!(
            "Open authorize_url in a browser, log in to TikTok and confirm. The browser ends on an address that begins with {redirect_uri}. If that is this function's own page, you are done. Otherwise send the whole address at once as {{\"action\":\"exchange\",\"redirect_url\":\"…\"}}."
        );
        Ok(Link { authorize_url: with_query(page, &redirect_uri, &state), redirect_uri, expires_at, next })
    }

    /// Waits for the second after the authorization. A link of the same second would count as used.
    async fn wait_for_next_second(&self, authorized_at: Option<Timestamp>) {
        let Some(next) = authorized_at.map(|at| whole_seconds(at) + SignedDuration::from_secs(1)) else { return };
        let wait = Duration::try_from(next.duration_since(self.clock.now())).unwrap_or_default();
        if !wait.is_zero() && wait <= MAX_WAIT {
            self.clock.sleep(wait).await;
        }
    }
}

/// Returns the redirect URI of the last authorization, or the default.
pub(crate) fn last_redirect_uri(document: &Document) -> Result<String, Error> {
    text(document, field::REDIRECT_URI)?
        .map_or_else(|| Ok(DEFAULT_REDIRECT_URI.to_owned()), |uri| checked_redirect_uri(&uri, Kind::InvalidSecret))
}

fn consent_page(document: &Document, credentials: &Credentials, app: &App, api: &Url) -> Result<Url, Error> {
    let Some(own) = text(document, field::AUTHORIZATION_URL)? else {
        if credentials.flow == Flow::TtUser {
            let what = "The flow 'tt_user' needs the address of TikTok's consent page, which depends on the app's permissions, and the secret does not hold it.";
            return Err(Error::new(Kind::InvalidSecret, what).advise(
                "Copy the authorization URL for TikTok account holders from the app's page in TikTok's portal into the field 'authorization_url'.",
            ));
        }
        let mut page = api.clone();
        page.set_path(CONSENT_PAGE);
        page.query_pairs_mut().append_pair("app_id", &app.id);
        return Ok(page);
    };
    let wrong = |what: &str| {
        Error::new(Kind::InvalidSecret, format!("The field 'authorization_url' {what}."))
            .advise("Copy it again from the app's page in TikTok's portal, or remove it.")
    };
    let page = Url::parse(&own).map_err(|_| wrong("is not an address"))?;
    let is_tiktoks = match page.host() {
        Some(Host::Domain(name)) => page.scheme() == "https" && (name == "tiktok.com" || name.ends_with(".tiktok.com")),
        _ => false,
    };
    if !is_tiktoks && page.origin() != api.origin() {
        return Err(wrong("must be an https address of TikTok's"));
    }
    let names_another_app =
        page.query_pairs().any(|(name, value)| ["app_id", "client_key"].contains(&&*name) && value != app.id);
    if names_another_app { Err(wrong("belongs to another app")) } else { Ok(page) }
}

/// Sets `redirect_uri` and `state` in the query of the consent page.
fn with_query(mut page: Url, redirect_uri: &str, state: &str) -> String {
    let mine = ["redirect_uri", "state"];
    let kept: Vec<(String, String)> =
        page.query_pairs().into_owned().filter(|(name, _)| !mine.contains(&name.as_str())).collect();
    page.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state);
    page.into()
}

/// Checks a redirect URI and returns it unchanged. TikTok compares it as text.
fn checked_redirect_uri(uri: &str, kind: Kind) -> Result<String, Error> {
    let wrong = |what: &str| {
        Error::new(kind, format!("The 'redirect_uri' {what}.")).advise(
            "Give one of the redirect URLs that are registered for the app, such as \"https://localhost:8080\".",
        )
    };
    let uri = uri.trim();
    let url = Url::parse(uri).map_err(|_| wrong("is not an address"))?;
    if !is_https_or_on_this_machine(&url) {
        return Err(wrong("must begin with https; http is allowed for addresses on the browser's own machine alone"));
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not have a fragment or a user"));
    }
    Ok(uri.to_owned())
}

/// Returns true if the URL uses https or stays on this machine.
#[must_use]
pub fn is_https_or_on_this_machine(url: &Url) -> bool {
    let on_this_machine = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && on_this_machine
}

/// Returns a field that has an address.
fn text(document: &Document, name: &str) -> Result<Option<String>, Error> {
    let Some(json) = document.get(name) else { return Ok(None) };
    let value: Option<String> = serde_json::from_str(json.expose_secret())
        .map_err(|_| Error::new(Kind::InvalidSecret, format!("The field '{name}' must be a string.")))?;
    Ok(value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()))
}
