//! TikTok's Business API, as far as the cycle needs it: redeeming a refresh token, listing the advertisers, and looking up
//! what else is known of them.
//!
//! What TikTok documents, what its SDK does and what running clients report do not always agree, so reading is tolerant
//! wherever two shapes have been seen, and strict where a mistake would cost a token.

mod answer;
mod codes;

use std::{
    cell::Cell,
    fmt,
    time::{Instant, SystemTime},
};

pub use answer::Answer;
use reqwest::{Client, RequestBuilder, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::Serialize;
use url::{Url, form_urlencoded::byte_serialize};

use crate::{
    cycle::{Grant, TikTok},
    document::{Advertiser, App, Flow, json_text},
    error::{Error, Kind},
    http::{Ahead, BodyError, Http, MAX_AGE, read_bounded},
};

/// An answer with tokens has one or two kilobytes.
const MAX_TOKEN_ANSWER: usize = 256 * 1024;
/// A list of ten thousand advertisers has about one megabyte.
const MAX_LIST_ANSWER: usize = 4 * 1024 * 1024;

/// What is asked for about each advertiser: TikTok's whole answer holds addresses and telephone numbers.
const INFO_FIELDS: [&str; 6] = ["advertiser_id", "name", "currency", "display_timezone", "timezone", "status"];

/// A client of TikTok's Business API.
#[derive(Debug)]
pub struct BusinessApi {
    client: Client,
    ahead: Ahead,
    base: Url,
    /// When the last request was answered, unless it was not.
    answered: Cell<Option<SystemTime>>,
}

impl BusinessApi {
    /// A client with connections of its own.
    ///
    /// # Errors
    /// `InvalidConfiguration` when no HTTP client can be built.
    pub fn connect(http: &Http, base: &Url) -> Result<Self, Error> {
        let client = http.client_ahead();
        let (client, ahead) =
            client.map_err(|_| Error::new(Kind::InvalidConfiguration, "The HTTP client could not be set up."))?;
        Ok(Self { client, ahead, base: base.clone(), answered: Cell::new(None) })
    }

    /// Whether another invocation may use it: a connection that idled in a frozen sandbox may be half closed, and a request
    /// that carries a single-use token must not be the one to find out.
    ///
    /// So it has one connection, over which TikTok answered a moment ago. Of several, nobody knows which was idle for how
    /// long: only the wall clock certainly goes on in a frozen sandbox, and the client goes by another.
    pub fn is_trusted(&self) -> bool {
        let idle = self.answered.get().map(|answered| answered.elapsed());
        self.ahead.connections() == 1 && idle.is_some_and(|idle| idle.is_ok_and(|idle| idle < MAX_AGE))
    }

    /// Sends a request once and reads its answer.
    async fn send(&self, request: RequestBuilder, call: Call<'_>) -> Result<Answer, Error> {
        let started = Instant::now();
        self.answered.set(None);
        let sent = request.send().await.map_err(|error| call.not_answered(&error));
        let response =
            sent.inspect_err(|error| tracing::warn!(endpoint = call.endpoint, error = error.what(), "TikTok"))?;
        let status = response.status();
        let log_id = header(response.headers(), "x-tt-logid").map(|id| call.without_secrets(&id));
        let body = read_bounded(response, call.limit).await.map_err(|error| call.not_read(&error));
        self.answered.set(body.is_ok().then(SystemTime::now));
        let answer = body.and_then(|body| call.read(status.as_u16(), &body));
        let request_id = answer.as_ref().ok().and_then(|answer| call.request_id(answer));
        tracing::info!(
            endpoint = call.endpoint,
            status = status.as_u16(),
            code = answer.as_ref().ok().map(|answer| answer.code),
            request_id,
            log_id,
            ms = started.elapsed().as_secs_f32() * 1000.0,
            "TikTok answered"
        );
        answer.and_then(|answer| call.judge(answer))
    }

    /// Sends what TikTok takes once, and reads the tokens that it gives for it.
    async fn ask_for_tokens(
        &self,
        endpoint: &'static str,
        body: serde_json::Result<Vec<u8>>,
        secrets: &[&str],
    ) -> Result<Grant, Error> {
        let body = Zeroizing::new(body.unwrap_or_default());
        let request =
            self.client.post(self.url(endpoint)?).header("Content-Type", "application/json").body(body.to_vec());
        let answer = self.send(request, Call { endpoint, limit: MAX_TOKEN_ANSWER, secrets }).await?;
        answer.grant().map_err(|what| Error::new(Kind::TikTokUnavailable, what).with_lost_answer())
    }

    /// A path under the base URL. It ends in a slash: without it TikTok answers "404 page not found".
    fn url(&self, endpoint: &str) -> Result<Url, Error> {
        let url = self.base.join(&format!("{endpoint}/"));
        url.map_err(|_| Error::new(Kind::InvalidConfiguration, "TIKTOK_API_URL is not a base URL."))
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

#[derive(Serialize)]
struct BusinessRefresh<'a> {
    app_id: &'a str,
    secret: &'a str,
    grant_type: &'static str,
    refresh_token: &'a str,
}

#[derive(Serialize)]
struct TtUserRefresh<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    grant_type: &'static str,
    refresh_token: &'a str,
}

#[derive(Serialize)]
struct BusinessCode<'a> {
    app_id: &'a str,
    secret: &'a str,
    auth_code: &'a str,
}

#[derive(Serialize)]
struct TtUserCode<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    grant_type: &'static str,
    auth_code: &'a str,
    redirect_uri: &'a str,
}

impl TikTok for BusinessApi {
    fn prepare(&self) {
        self.ahead.open(self.base.as_str());
    }

    async fn redeem(&self, flow: Flow, app: &App, refresh_token: &SecretString) -> Result<Grant, Error> {
        let (secret, refresh_token) = (app.secret.expose_secret(), refresh_token.expose_secret());
        let grant_type = "refresh_token";
        // Each family has an endpoint of its own, and neither ever stands in for the other: a token that is sent to the
        // wrong one may be burned.
        let (endpoint, body) = match flow {
            Flow::Business => {
                let body = BusinessRefresh { app_id: &app.id, secret, grant_type, refresh_token };
                ("oauth2/refresh_token", serde_json::to_vec(&body))
            }
            Flow::TtUser => {
                let body = TtUserRefresh { client_id: &app.id, client_secret: secret, grant_type, refresh_token };
                ("tt_user/oauth2/refresh_token", serde_json::to_vec(&body))
            }
            Flow::LongTerm => {
                return Err(Error::new(Kind::TikTokMisconfigured, "A long-term token has nothing to redeem."));
            }
        };
        self.ask_for_tokens(endpoint, body, &[secret, refresh_token]).await
    }

    async fn exchange(
        &self,
        family: Flow,
        app: &App,
        auth_code: &SecretString,
        redirect_uri: &str,
    ) -> Result<Grant, Error> {
        let (secret, auth_code) = (app.secret.expose_secret(), auth_code.expose_secret());
        let (endpoint, body) = if family == Flow::TtUser {
            let grant_type = "authorization_code";
            let body = TtUserCode { client_id: &app.id, client_secret: secret, grant_type, auth_code, redirect_uri };
            ("tt_user/oauth2/token", serde_json::to_vec(&body))
        } else {
            ("oauth2/access_token", serde_json::to_vec(&BusinessCode { app_id: &app.id, secret, auth_code }))
        };
        self.ask_for_tokens(endpoint, body, &[secret, auth_code]).await
    }

    async fn advertisers(&self, app: &App, access_token: &SecretString) -> Result<Vec<Advertiser>, Error> {
        let endpoint = "oauth2/advertiser/get";
        let (secret, access_token) = (app.secret.expose_secret(), access_token.expose_secret());
        let request = self
            .client
            .get(self.url(endpoint)?)
            .query(&[("app_id", app.id.as_str()), ("secret", secret)])
            .header("Access-Token", access_token);
        let call = Call { endpoint, limit: MAX_LIST_ANSWER, secrets: &[secret, access_token] };
        let answer = self.send(request, call).await?;
        answer.advertisers().map_err(|what| Error::new(Kind::TikTokUnavailable, what))
    }

    async fn advertiser_info(&self, access_token: &SecretString, ids: &[&str]) -> Result<Vec<Advertiser>, Error> {
        let endpoint = "advertiser/info";
        let access_token = access_token.expose_secret();
        let request = self
            .client
            .get(self.url(endpoint)?)
            .query(&[("advertiser_ids", json_text(ids)), ("fields", json_text(&INFO_FIELDS))])
            .header("Access-Token", access_token);
        let call = Call { endpoint, limit: MAX_LIST_ANSWER, secrets: &[access_token] };
        let answer = self.send(request, call).await?;
        answer.advertiser_info().map_err(|what| Error::new(Kind::TikTokUnavailable, what))
    }
}

/// One request, as its errors have to speak of it. It needs no connection to read an answer.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The path, which is all of the URL that is ever shown: the query of a list holds the app's secret.
    pub endpoint: &'static str,
    pub limit: usize,
    /// What the request carried and TikTok's message might repeat.
    pub secrets: &'a [&'a str],
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("endpoint", &self.endpoint).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Call<'_> {
    fn not_answered(self, error: &reqwest::Error) -> Error {
        let endpoint = self.endpoint;
        if error.is_connect() {
            return Error::new(Kind::TikTokUnavailable, format!("No connection to TikTok ({endpoint})."));
        }
        if error.is_builder() {
            let what = format!(
                "The request to TikTok ({endpoint}) could not be made: a token or an app id has characters that cannot be sent."
            );
            return Error::new(Kind::InvalidSecret, what);
        }
        Error::new(Kind::TikTokUnavailable, format!("TikTok closed the connection without an answer ({endpoint})."))
            .with_lost_answer()
    }

    fn not_read(self, error: &BodyError) -> Error {
        let what = match error {
            BodyError::Broken(_) => "broke off in the middle",
            BodyError::TooLarge => "is larger than any answer to this request",
        };
        Error::new(Kind::TikTokUnavailable, format!("TikTok's answer {what} ({}).", self.endpoint)).with_lost_answer()
    }

    /// Reads the envelope.
    ///
    /// # Errors
    /// A status that says all there is to say, or something else than an envelope.
    pub fn read(self, status: u16, body: &[u8]) -> Result<Answer, Error> {
        let endpoint = self.endpoint;
        match (Answer::parse(body), status) {
            (_, 429) => Err(Error::new(Kind::TikTokThrottled, format!("TikTok asks to wait: HTTP 429 ({endpoint})."))),
            (Some(answer), 200..=299) => Ok(answer),
            (Some(answer), 400..=499) if answer.code != 0 => Ok(answer),
            (None, 200..=299) => {
                let what = format!("TikTok's answer is not what its API answers ({endpoint}).");
                Err(Error::new(Kind::TikTokUnavailable, what).with_lost_answer())
            }
            (_, 300..=499) => {
                let what = format!("The address did not answer as TikTok's API does: HTTP {status} ({endpoint}).");
                Err(Error::new(Kind::TikTokMisconfigured, what)
                    .advise("Check TIKTOK_API_URL, and whatever stands between the function and TikTok."))
            }
            _ => {
                let what = format!("TikTok failed with HTTP {status} ({endpoint}).");
                Err(Error::new(Kind::TikTokUnavailable, what).with_lost_answer())
            }
        }
    }

    /// Nearly every error arrives as HTTP 200 with a code that is not zero.
    ///
    /// # Errors
    /// What TikTok's code stands for.
    pub fn judge(self, answer: Answer) -> Result<Answer, Error> {
        if answer.code == 0 {
            return Ok(answer);
        }
        let message = self.without_secrets(answer.message.as_deref().unwrap_or("no message"));
        let kind = codes::kind_of(answer.code, &message);
        let request = self.request_id(&answer).map(|id| format!(", request {id}")).unwrap_or_default();
        let what = format!("TikTok answered with code {} \"{message}\" ({}{request}).", answer.code, self.endpoint);
        let error = Error::new(kind, what).with_code(answer.code);
        let error = codes::advice(answer.code).map_or_else(|| error.clone(), |advice| error.clone().advise(advice));
        // An internal error may have struck after the token was taken.
        Err(if kind == Kind::TikTokUnavailable { error.with_lost_answer() } else { error })
    }

    fn request_id(self, answer: &Answer) -> Option<String> {
        answer.request_id.as_deref().map(|id| self.without_secrets(id))
    }

    /// A text of TikTok's without what the request carried, and not longer than a line.
    fn without_secrets(self, text: &str) -> String {
        // What cannot be printed goes first: it must not stand between the halves of a secret.
        let text = printable(text);
        // Ids are mostly shorter than any secret, which no spelling makes shorter: to spell it takes more than to compare.
        let length = text.len();
        let secrets = self.secrets.iter().filter(|secret| printable(secret).len() <= length);
        let spellings = secrets.flat_map(|secret| spellings(secret)).map(|secret| printable(&secret));
        let hide =
            |text: Zeroizing<String>, secret: Zeroizing<String>| Zeroizing::new(text.replace(secret.as_str(), "***"));
        let text = spellings.filter(|secret| !secret.is_empty()).fold(text, hide);
        text.chars().take(200).collect()
    }
}

fn printable(text: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(text.to_owned());
    text.retain(|c| !c.is_control());
    text
}

/// A secret as it may stand in a message: as it is, or as a quoted URL or a quoted body spells it.
fn spellings(secret: &str) -> [Zeroizing<String>; 4] {
    let in_json = json_text(secret);
    let in_query: String = byte_serialize(secret.as_bytes()).collect();
    let in_url = in_query.replace('+', "%20");
    [secret.to_owned(), in_json.trim_matches('"').to_owned(), in_query, in_url].map(Zeroizing::new)
}
