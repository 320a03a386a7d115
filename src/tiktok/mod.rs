//! TikTok's Business API: redeem, exchange, list advertisers, read advertiser info.
//!
//! A method is one attempt of one request. TikTok's documentation, its
//! [SDK](https://github.com/tiktok/tiktok-business-api-sdk) and running clients disagree in places. So parsing accepts
//! every form that was seen, and rejects every form that could cost a token. Errors have TikTok's code and request id, without
//! secrets.

mod answer;
mod codes;

use std::{collections::HashSet, fmt, time::Instant};

pub use answer::Answer;
use codes::Reported;
use jiff::Timestamp;
use reqwest::{
    Client, RequestBuilder, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap},
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde::Serialize;
use url::Url;

use crate::{
    document::{Advertiser, App, Flow, json_text},
    error::{Error, Kind},
    http::{BodyError, Http, Preconnect, read_bounded},
    masking::masked,
    transport::{Listing, TikTok, TokenSet},
};

/// The size limit in bytes. An answer with tokens has one or two kilobytes.
const MAX_TOKEN_ANSWER: usize = 256 * 1024;
/// The size limit in bytes. A list of 10,000 advertisers has about one megabyte.
const MAX_LIST_ANSWER: usize = 4 * 1024 * 1024;

/// The longest text of TikTok in a message, in characters.
const MAX_SHOWN: usize = 200;

/// The fields of advertiser info. TikTok's full answer has addresses and telephone numbers.
const INFO_FIELDS: [&str; 6] = ["advertiser_id", "name", "currency", "display_timezone", "timezone", "status"];

/// A client of TikTok's Business API.
#[derive(Debug)]
pub struct BusinessApi {
    client: Client,
    preconnect: Preconnect,
    base: Url,
}

impl BusinessApi {
    /// Creates a client with connections of its own.
    ///
    /// # Errors
    /// `InvalidConfiguration` if the HTTP client cannot be built.
    pub fn connect(http: &Http, base: &Url) -> Result<Self, Error> {
        let client = http.client_with_preconnect();
        let (client, preconnect) =
            client.map_err(|_| Error::new(Kind::InvalidConfiguration, "The HTTP client could not be set up."))?;
        Ok(Self { client, preconnect, base: base.clone() })
    }

    /// Sends a request once, and evaluates its answer with `judge`.
    async fn send<R>(
        &self,
        request: RequestBuilder,
        call: Call<'_>,
        judge: impl FnOnce(Received) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let started = Instant::now();
        // The client cannot decompress, and a gateway may compress an answer unless this header forbids it.
        let sent = request.header(ACCEPT_ENCODING, "identity").send().await;
        let sent = sent.map_err(|error| call.not_answered(&error));
        let response =
            sent.inspect_err(|error| tracing::warn!(endpoint = call.endpoint, error = error.what(), "TikTok"))?;
        let status = response.status().as_u16();
        let log_id = header(response.headers(), "x-tt-logid").map(|id| call.without_secrets(&id, &[]));
        let (body, end) = read_bounded(response, call.limit, Answer::is_whole).await;
        let received =
            Received { status, answer: Answer::parse(&body), broken: end.err().map(|it| call.not_read(&it)) };
        tracing::info!(
            endpoint = call.endpoint,
            status,
            code = received.answer.as_ref().and_then(|answer| answer.code),
            request_id = received.answer.as_ref().and_then(|answer| call.request_id(answer)),
            log_id,
            ms = started.elapsed().as_secs_f32() * 1000.0,
            "TikTok answered"
        );
        judge(received)
    }

    /// Sends a single-use token or code, and returns the new tokens.
    async fn ask_for_tokens(
        &self,
        endpoint: &'static str,
        body: serde_json::Result<Vec<u8>>,
        secrets: &[&str],
    ) -> Result<TokenSet, Error> {
        let call = Call { endpoint, limit: MAX_TOKEN_ANSWER, secrets };
        let request = self.post(endpoint, body)?;
        let asked_at = Timestamp::now();
        self.send(request, call, |received| call.judge_tokens(received, asked_at)).await
    }

    fn post(&self, endpoint: &str, body: serde_json::Result<Vec<u8>>) -> Result<RequestBuilder, Error> {
        let body = Zeroizing::new(body.unwrap_or_default());
        Ok(self.client.post(self.url(endpoint)?).header(CONTENT_TYPE, "application/json").body(body.to_vec()))
    }

    /// Reads one page of the advertisers. Returns the number of pages too.
    async fn page_of_advertisers(&self, app: &App, access_token: &str, page: u32) -> Result<(Listing, u32), Error> {
        let endpoint = "oauth2/advertiser/get";
        let secret = app.secret.expose_secret();
        let mut request = self
            .client
            .get(self.url(endpoint)?)
            .query(&[("app_id", app.id.as_str()), ("secret", secret)])
            .header("Access-Token", access_token);
        if page > 1 {
            request = request.query(&[("page", page)]);
        }
        let call = Call { endpoint, limit: MAX_LIST_ANSWER, secrets: &[secret, access_token] };
        let answer = self.send(request, call, |received| call.judge_whole(received)).await?;
        let listing = answer.advertisers().map_err(|what| Error::new(Kind::TikTokUnavailable, what))?;
        Ok((listing, answer.pages()))
    }

    /// Returns the URL of an endpoint. It ends with a slash: without it TikTok answers "404 page not found".
    fn url(&self, endpoint: &str) -> Result<Url, Error> {
        let url = self.base.join(&format!("{endpoint}/"));
        url.map_err(|_| Error::new(Kind::InvalidConfiguration, "TIKTOK_API_URL is not a base URL."))
    }
}

/// Returns true if the error is the name of the HTTP status, such as `Not Found`.
fn is_reason(status: u16, error: &str) -> bool {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.is_some_and(|reason| reason.eq_ignore_ascii_case(error))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// The result of a request that was answered.
struct Received {
    status: u16,
    /// `None` if the body is no envelope.
    answer: Option<Answer>,
    /// The reason why the body is incomplete.
    broken: Option<Error>,
}

#[derive(Serialize)]
struct TokenInfo<'a> {
    app_id: &'a str,
    access_token: &'a str,
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
        self.preconnect.open(self.base.as_str());
    }

    async fn redeem(&self, flow: Flow, app: &App, refresh_token: &SecretString) -> Result<TokenSet, Error> {
        let (secret, refresh_token) = (app.secret.expose_secret(), refresh_token.expose_secret());
        let grant_type = "refresh_token";
        // Each flow has its own endpoint. A token that is sent to the wrong one can be lost, so there is no fallback.
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
        flow: Flow,
        app: &App,
        auth_code: &SecretString,
        redirect_uri: &str,
    ) -> Result<TokenSet, Error> {
        let (secret, auth_code) = (app.secret.expose_secret(), auth_code.expose_secret());
        let (endpoint, body) = if flow == Flow::TtUser {
            let grant_type = "authorization_code";
            let body = TtUserCode { client_id: &app.id, client_secret: secret, grant_type, auth_code, redirect_uri };
            ("tt_user/oauth2/token", serde_json::to_vec(&body))
        } else {
            ("oauth2/access_token", serde_json::to_vec(&BusinessCode { app_id: &app.id, secret, auth_code }))
        };
        self.ask_for_tokens(endpoint, body, &[secret, auth_code]).await
    }

    async fn advertisers(&self, app: &App, access_token: &SecretString) -> Result<Listing, Error> {
        let access_token = access_token.expose_secret();
        let (mut listing, mut pages) = self.page_of_advertisers(app, access_token, 1).await?;
        let mut known: HashSet<String> = listing.advertisers.iter().map(|advertiser| advertiser.id.clone()).collect();
        let mut page = 1;
        while page < pages {
            page += 1;
            let (next, of) = self.page_of_advertisers(app, access_token, page).await?;
            let known_before = known.len();
            known.extend(next.advertisers.iter().map(|advertiser| advertiser.id.clone()));
            // A server that ignores the page number sends the first page again and again.
            if known.len() == known_before {
                break;
            }
            listing.advertisers.extend(next.advertisers);
            listing.dropped += next.dropped;
            pages = of;
        }
        Ok(listing)
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
        let answer = self.send(request, call, |received| call.judge_whole(received)).await?;
        answer.advertiser_info().map_err(|what| Error::new(Kind::TikTokUnavailable, what))
    }

    async fn token_info(&self, app: &App, access_token: &SecretString) -> Result<(), Error> {
        let endpoint = "tt_user/token_info/get";
        let access_token = access_token.expose_secret();
        let request = self.post(endpoint, serde_json::to_vec(&TokenInfo { app_id: &app.id, access_token }))?;
        let call = Call { endpoint, limit: MAX_TOKEN_ANSWER, secrets: &[access_token] };
        let answer = self.send(request, call, |received| call.judge_whole(received)).await?;
        answer.code.map(drop).ok_or_else(|| call.not_an_answer())
    }
}

/// The context of a request for its errors. It also parses answers without a connection.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The path. Errors show nothing else of the URL, because a query can contain the app's secret.
    pub endpoint: &'static str,
    pub limit: usize,
    /// The secrets of the request, which TikTok's message may repeat.
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
            BodyError::Broken(_) | BodyError::Cut => "broke off in the middle",
            BodyError::TooLarge => "is larger than any answer to this request",
        };
        Error::new(Kind::TikTokUnavailable, format!("TikTok's answer {what} ({}).", self.endpoint)).with_lost_answer()
    }

    /// Parses the envelope.
    ///
    /// # Errors
    /// If the HTTP status is an error by itself, or the body is no envelope.
    pub fn read(self, status: u16, body: &[u8]) -> Result<Answer, Error> {
        self.envelope(status, Answer::parse(body))
    }

    /// Returns the answer if it reports success. TikTok sends most errors with HTTP 200 and a code other than zero.
    ///
    /// # Errors
    /// The kind of error for TikTok's code or the OAuth error.
    pub fn judge(self, answer: Answer) -> Result<Answer, Error> {
        if answer.is_success() { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    /// Returns the tokens of an answer, even if it also reports an error. A check decides whether they work.
    ///
    /// # Errors
    /// If the answer has no tokens.
    pub fn tokens(self, status: u16, body: &[u8], asked_at: Timestamp) -> Result<TokenSet, Error> {
        self.judge_tokens(Received { status, answer: Answer::parse(body), broken: None }, asked_at)
    }

    fn judge_tokens(self, received: Received, asked_at: Timestamp) -> Result<TokenSet, Error> {
        let Received { status, answer, broken } = received;
        let grant = answer.as_ref().map(|answer| answer.grant(asked_at));
        let is_cut = answer.as_ref().is_none_or(|answer| answer.cut);
        // A cut answer that has the tokens and reports success is a success.
        let is_well = (200..=299).contains(&status) && answer.as_ref().is_some_and(Answer::is_success);
        let judged = self.envelope(status, answer).and_then(|answer| self.judge(answer));
        let error = match (grant, judged) {
            (Some(Ok(grant)), Ok(_)) => return Ok(grant),
            (Some(Ok(grant)), Err(_)) if is_well => return Ok(grant),
            (Some(Ok(mut grant)), Err(error)) => {
                let what = error.what();
                grant.warnings.push(format!("TikTok reported an error beside tokens that work all the same. {what}"));
                grant.reported_error = Some(error);
                return Ok(grant);
            }
            (Some(Err(what)), Ok(_)) => Error::new(Kind::TikTokUnavailable, what).with_lost_answer(),
            (None, Ok(_)) => self.not_an_answer(),
            (_, Err(error)) => error,
        };
        Err(broken.filter(|_| is_cut).unwrap_or(error))
    }

    /// Evaluates an answer that must be complete. A connection that breaks after the envelope does not matter.
    fn judge_whole(self, received: Received) -> Result<Answer, Error> {
        let Received { status, answer, broken } = received;
        match broken {
            Some(error) if answer.as_ref().is_none_or(|answer| answer.cut) => Err(error),
            _ => self.judge(self.envelope(status, answer)?),
        }
    }

    fn envelope(self, status: u16, answer: Option<Answer>) -> Result<Answer, Error> {
        let endpoint = self.endpoint;
        // A gateway's code is the HTTP status, and its error the name of it.
        let of_gateway = answer.as_ref().and_then(|answer| match answer.code {
            Some(code) => u16::try_from(code).ok().filter(|code| (300..=599).contains(code)),
            None => answer.oauth_error.as_deref().is_some_and(|error| is_reason(status, error)).then_some(status),
        });
        let (answer, status) = match of_gateway {
            Some(code) if status != 429 => (None, code),
            _ => (answer, status),
        };
        match (answer, status) {
            (_, 429) => Err(Error::new(Kind::TikTokThrottled, format!("TikTok asks to wait: HTTP 429 ({endpoint})."))),
            (Some(answer), 200..=299 | 400..=499) if !answer.is_success() => Ok(answer),
            (Some(answer), 500..=599) if !answer.is_success() && answer.code.is_some() => Ok(answer),
            (Some(answer), 200..=299) if answer.cut => Err(self.not_read(&BodyError::Cut)),
            (Some(answer), 200..=299) => Ok(answer),
            (None, 200..=299) => Err(self.not_an_answer()),
            // The request took too long, or came too early: a gateway may have passed it on.
            (_, 300..=499) if ![408, 425].contains(&status) => {
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

    fn not_an_answer(self) -> Error {
        let what = format!("TikTok's answer is not what its API answers ({}).", self.endpoint);
        Error::new(Kind::TikTokUnavailable, what).with_lost_answer()
    }

    fn refusal(self, answer: &Answer) -> Error {
        let own = answer.secrets();
        let message = self.without_secrets(answer.message.as_deref().unwrap_or("no message"), &own);
        let request = self.request_id(answer).map(|id| format!(", request {id}")).unwrap_or_default();
        let endpoint = self.endpoint;
        let known;
        let (error, reported) = match (answer.code, answer.oauth_error.as_deref()) {
            (Some(code), _) => {
                let what = format!("TikTok answered with code {code} \"{message}\" ({endpoint}{request}).");
                (Error::new(codes::kind_of(code, &message), what).with_code(code), Reported::Code(code))
            }
            (None, name) => {
                let name = name.unwrap_or_default();
                known = name.trim().to_ascii_lowercase().replace([' ', '-'], "_");
                // Names have about 20 characters.
                let shown: String = self.without_secrets(name, &own).chars().take(40).collect();
                let what = format!("TikTok answered with the error {shown} \"{message}\" ({endpoint}{request}).");
                (Error::new(codes::kind_of_name(&known), what), Reported::Name(&known))
            }
        };
        let error = match codes::advice(&reported, endpoint, &message) {
            Some(advice) => error.advise(advice),
            None => error,
        };
        // An internal error can occur after TikTok used up the token.
        if error.kind() == Kind::TikTokUnavailable { error.with_lost_answer() } else { error }
    }

    fn request_id(self, answer: &Answer) -> Option<String> {
        let own = answer.secrets();
        answer.request_id.as_deref().map(|id| self.without_secrets(id, &own))
    }

    /// Returns TikTok's text as one line, without the secrets of the request and of the answer.
    fn without_secrets(self, text: &str, own: &[SecretString]) -> String {
        let secrets: Vec<&str> =
            self.secrets.iter().copied().chain(own.iter().map(ExposeSecret::expose_secret)).collect();
        masked(text, &secrets, MAX_SHOWN)
    }
}
