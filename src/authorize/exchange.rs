//! The exchange of an auth code. Input: an [`AuthorizationResponse`]. Output: the outcome. Errors: an invalid state, a
//! rejected code, or tokens that are not known to be current.

use secrecy::{ExposeSecret, SecretString};

use super::{UnverifiedState, link::last_redirect_uri, redirect::Redirect};
use crate::{
    document::{App, Fingerprint, Flow},
    error::{Error, Kind},
    refresh::{Outcome, Refresher, WAIT_FOR_OTHER_RUN, chain::Chain, replace::Replaced, version::Version, work::Work},
    transport::{Clock, Step, Store, TikTok, TokenSet},
};

/// The result of a consent: an auth code, and its state.
#[derive(Clone, Debug)]
pub struct AuthorizationResponse {
    auth_code: SecretString,
    /// `None` for an auth code without its address. Its sender vouches for it.
    state: Option<UnverifiedState>,
    redirect_uri: Option<String>,
}

impl AuthorizationResponse {
    /// Parses the address of the browser.
    ///
    /// # Errors
    /// `InvalidEvent` if it has no auth code, or no state of this function.
    pub fn redirected(address: &SecretString) -> Result<Self, Error> {
        Redirect::parse(address.expose_secret()).map(Self::from)
    }

    /// Parses the query of the browser's address.
    ///
    /// # Errors
    /// As [`AuthorizationResponse::redirected`].
    pub fn from_query(query: &str) -> Result<Self, Error> {
        Redirect::from_query(query).map(Self::from)
    }

    /// Accepts an auth code without its address. The redirect URI is the one of the last authorization, if it is
    /// `None`.
    ///
    /// # Errors
    /// `InvalidEvent` if the code is empty or an address.
    pub fn bare(auth_code: &SecretString, redirect_uri: Option<String>) -> Result<Self, Error> {
        let code = auth_code.expose_secret().trim();
        if code.is_empty() || code.contains("://") {
            return Err(Error::new(Kind::InvalidEvent, "The 'auth_code' is not an auth code.")
                .advise("Send the whole address that the browser ended on as 'redirect_url', or the code that it holds as 'auth_code'."));
        }
        Ok(Self { auth_code: SecretString::from(code), state: None, redirect_uri })
    }

    /// Returns the state, if there is one.
    #[must_use]
    pub const fn state(&self) -> Option<&UnverifiedState> {
        self.state.as_ref()
    }
}

impl From<Redirect> for AuthorizationResponse {
    fn from(Redirect { auth_code, state }: Redirect) -> Self {
        let redirect_uri = Some(state.redirect_uri().to_owned());
        Self { auth_code, state: Some(state), redirect_uri }
    }
}

/// An auth code and the values of its exchange.
#[derive(Clone, Debug)]
pub(crate) struct AuthCode {
    code: SecretString,
    pub fingerprint: Fingerprint,
    pub redirect_uri: String,
    /// The flow whose endpoint accepts the code.
    pub flow: Flow,
}

impl AuthCode {
    fn of(consent: &AuthorizationResponse, current: &Version) -> Result<Self, Error> {
        let redirect_uri = match &consent.redirect_uri {
            Some(uri) => uri.clone(),
            None => last_redirect_uri(&current.document)?,
        };
        Ok(Self {
            code: consent.auth_code.clone(),
            fingerprint: Fingerprint::of_auth_code(&consent.auth_code),
            redirect_uri,
            flow: exchange_flow(current.credentials.flow),
        })
    }
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Exchanges an auth code for tokens, which replace the tokens of the secret.
    ///
    /// It claims the current pair and stages the new one as its successor, as a refresh does. The document stores the
    /// fingerprint of the code, so a repeated event returns the same result.
    ///
    /// # Errors
    /// If the state is not for this secret, TikTok rejects the code, or the tokens are not known to be current.
    pub async fn exchange(&self, consent: &AuthorizationResponse) -> Result<Outcome, Error> {
        let mut current = self.timed(Step::Read, self.read_current()).await?;
        if let Some(state) = &consent.state {
            let app = self.app(&current).await?;
            let times = (self.clock.now(), current.credentials.authorized_at);
            state.verify((self.secret, &current.arn), &app, times)?;
        }
        let (outcome, found, promoted) = loop {
            let code = AuthCode::of(consent, &current)?;
            if current.credentials.is_of_code(&code.fingerprint) {
                break (Outcome::fresh(&current), current.clone(), current);
            }
            match self.replace(Chain::of(current.clone()), Work::Exchange(&code)).await? {
                Replaced::Done(outcome, version) => break (outcome, current, version),
                Replaced::Rejected(rejection) => return Err(self.give_back(rejection).await),
                Replaced::InProgress { until } if !self.can_wait() => return Ok(Outcome::in_progress(&current, until)),
                Replaced::InProgress { .. } => self.clock.sleep(WAIT_FOR_OTHER_RUN).await,
            }
            current = self.timed(Step::Read, self.read_current()).await?;
        };
        let published = self.publish(&found, &promoted).await?;
        Ok(Outcome { published, ..outcome })
    }

    pub(crate) async fn exchange_code(&self, app: &App, code: &AuthCode, sent_before: bool) -> Result<TokenSet, Error> {
        let requests = self.requests();
        let exchange = requests.exchange(code.flow, app, &code.code, &code.redirect_uri);
        self.timed(Step::Redeem, exchange).await.map_err(|error| with_exchange_advice(error, code.flow, sent_before))
    }
}

/// Returns the flow whose endpoint accepts the code. The answer shows the kind of grant.
const fn exchange_flow(flow: Flow) -> Flow {
    match flow {
        Flow::TtUser => Flow::TtUser,
        Flow::Business | Flow::LongTerm => Flow::Business,
    }
}

/// Adds the advice for a rejected auth code.
fn with_exchange_advice(error: Error, flow: Flow, sent_before: bool) -> Error {
    let kind = error.kind();
    match (kind, error.code()) {
        (Kind::ReauthorizationRequired, _) if error.lost_answer() || sent_before => {
            error.context("The answer to an earlier attempt was lost, most likely with the tokens in it")
        }
        (Kind::ReauthorizationRequired, _) => {
            let time = if flow == Flow::TtUser { "10 minutes" } else { "an hour" };
            error.context(format_args!("TikTok does not take the auth code, which works once and for {time} at most"))
        }
        // TikTok answers with either code if the app is wrong.
        (Kind::TikTokMisconfigured, Some(40000 | 40113)) => error.advise(
            "Check 'app_id' and 'secret' in the secret against the app's page in TikTok's portal; the link has to be that app's.",
        ),
        _ => error,
    }
}
