use secrecy::{ExposeSecret, SecretString};

use super::{UnverifiedState, link::last_redirect_uri, redirect::Redirect};
use crate::{
    document::{App, Fingerprint, Flow},
    error::{Error, Kind},
    refresh::{
        Outcome, Refresher, WAIT_FOR_OTHER_RUN, chain::Chain, redeem::Redeemed, replace::Replaced, version::Version,
        work::Work,
    },
    transport::{Clock, Request, Step, Store, TikTok},
};

/// What a person brings back from TikTok's consent page.
#[derive(Clone, Debug)]
pub struct AuthorizationResponse {
    auth_code: SecretString,
    /// Absent if the auth code came alone: whoever sends it says that they know where it is from.
    state: Option<UnverifiedState>,
    redirect_uri: Option<String>,
}

impl AuthorizationResponse {
    /// The whole address that the browser ended on.
    ///
    /// # Errors
    /// `InvalidEvent` if it does not bring an auth code and a state of this function's.
    pub fn redirected(address: &SecretString) -> Result<Self, Error> {
        Redirect::parse(address.expose_secret()).map(Self::from)
    }

    /// The query of the address that the browser ended on.
    ///
    /// # Errors
    /// As [`AuthorizationResponse::redirected`].
    pub fn from_query(query: &str) -> Result<Self, Error> {
        Redirect::from_query(query).map(Self::from)
    }

    /// An auth code alone, and where its consent page was told to come back to, if not where the last one was.
    ///
    /// # Errors
    /// `InvalidEvent` if it is an address or empty.
    pub fn bare(auth_code: &SecretString, redirect_uri: Option<String>) -> Result<Self, Error> {
        let code = auth_code.expose_secret().trim();
        if code.is_empty() || code.contains("://") {
            return Err(Error::new(Kind::InvalidEvent, "The 'auth_code' is not an auth code.")
                .advise("Send the whole address that the browser ended on as 'redirect_url', or the code that it holds as 'auth_code'."));
        }
        Ok(Self { auth_code: SecretString::from(code), state: None, redirect_uri })
    }

    /// What the browser handed back, if it did.
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

/// An auth code, and what it is exchanged with.
#[derive(Clone, Debug)]
pub(crate) struct AuthCode {
    code: SecretString,
    pub fingerprint: Fingerprint,
    pub redirect_uri: String,
    /// Whose endpoint takes it.
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
    /// Exchanges an auth code for tokens, which take the place of whatever tokens the secret holds.
    ///
    /// An exchange replaces the current pair as a refresh does: under the claim on it, and as its successor. The code's
    /// fingerprint goes with the tokens, so the same event finds them again after a crash, and spends nothing.
    ///
    /// # Errors
    /// When the consent does not belong to this secret, TikTok does not take the code, or the tokens are not known to be
    /// current afterwards.
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

    pub(crate) async fn exchange_code(&self, app: &App, code: &AuthCode, sent_before: bool) -> Result<Redeemed, Error> {
        let exchange = || async {
            let asked_at = self.clock.now();
            let tokens = self.tiktok.exchange(code.flow, app, &code.code, &code.redirect_uri).await?;
            Ok(Redeemed { tokens, asked_at })
        };
        let exchanged = self.timed(Step::Redeem, self.attempt(Request::redeem(Step::Redeem, app), exchange)).await;
        exchanged.map_err(|error| with_exchange_advice(error, code.flow, sent_before))
    }
}

/// Whose endpoint takes the code. Which kind of grant comes of it, only the answer tells.
const fn exchange_flow(flow: Flow) -> Flow {
    match flow {
        Flow::TtUser => Flow::TtUser,
        Flow::Business | Flow::LongTerm => Flow::Business,
    }
}

/// What TikTok's refusal of an auth code means to the person who brought it.
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
        // TikTok answers with the one or the other to a wrong app.
        (Kind::TikTokMisconfigured, Some(40000 | 40113)) => error.advise(
            "Check 'app_id' and 'secret' in the secret against the app's page in TikTok's portal; the link has to be that app's.",
        ),
        _ => error,
    }
}
