use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{State, link::last_redirect_uri, redirect::Redirect};
use crate::{
    cycle::{
        Clock, Cycle, Moved, Outcome, Store, TikTok,
        attempts::Request,
        claim::{Claimed, Held, successor_id},
        read::{Snapshot, Version},
        redeem::Redeemed,
        renew::{Ended, Start, can_be_renewed},
        trace::Step,
    },
    document::{App, Credentials, Fingerprint, Flow, Provenance, TokenFields, leaves_room_for_tokens},
    error::{Error, Kind},
};

/// What a person brings back from TikTok's consent page.
#[derive(Clone, Debug)]
pub struct Consent {
    auth_code: SecretString,
    /// Absent if the auth code came alone: whoever sends it says that they know where it is from.
    state: Option<State>,
    redirect_uri: Option<String>,
}

impl Consent {
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
    /// As [`Consent::redirected`].
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
    pub const fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }
}

impl From<Redirect> for Consent {
    fn from(Redirect { auth_code, state }: Redirect) -> Self {
        let redirect_uri = Some(state.redirect_uri().to_owned());
        Self { auth_code, state: Some(state), redirect_uri }
    }
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Exchanges an auth code for tokens, which take the place of whatever tokens the secret holds.
    ///
    /// The code can be exchanged once, so it is claimed like a refresh token, and its tokens are staged under an id that
    /// follows from it: sent once more after a crash, the same event finds them and spends nothing.
    ///
    /// # Errors
    /// When the consent does not belong to this secret, TikTok does not take the code, or the tokens are not known to be
    /// current afterwards.
    pub async fn exchange(&self, consent: &Consent) -> Result<Outcome, Error> {
        let mut snapshot = self.read().await?;
        let current = &snapshot.current;
        leaves_room_for_tokens(&current.document)?;
        let app = self.app(current).await?;
        if let Some(state) = &consent.state {
            let times = (self.clock.now(), current.credentials.authorized_at);
            state.verify((self.secret, &snapshot.arn), &app, times)?;
        }
        let outcome = match self.claim_and_exchange(&mut snapshot, &app, consent).await? {
            Exchanged::Now(outcome) => outcome,
            Exchanged::Before(version) => self.take_up(&snapshot, &app, version).await?,
            Exchanged::InProgress { until } => return Ok(Outcome::in_progress(&snapshot.current, until)),
        };
        let published = self.publish(&snapshot).await?;
        Ok(Outcome { published, ..outcome })
    }

    async fn claim_and_exchange(
        &self,
        snapshot: &mut Snapshot,
        app: &App,
        consent: &Consent,
    ) -> Result<Exchanged, Error> {
        let code = Fingerprint::of_auth_code(&consent.auth_code);
        let redirect_uri = match &consent.redirect_uri {
            Some(uri) => uri.clone(),
            None => last_redirect_uri(&snapshot.current.document)?,
        };
        self.attempts().room_for(Request::redeem(Step::Redeem, app)).await?;
        let (n, spent_before) = match self.claim(&snapshot.arn, &code, snapshot.claim.as_ref()).await? {
            Claimed::InProgress { until } => return Ok(Exchanged::InProgress { until }),
            Claimed::Finished(version) => return Ok(Exchanged::Before(version)),
            Claimed::Won { n, spent_before } => (n, spent_before),
        };
        if n > 0
            && let Some(version) = self.successor(&snapshot.arn, &code).await?
        {
            return Ok(Exchanged::Before(version));
        }
        let held = Held { arn: snapshot.arn.clone(), pair: code.clone(), n, answered: !spent_before };
        let replaced = match self.claim_what_is_replaced(snapshot, &code).await {
            Ok(replaced) => replaced,
            Err(error) => {
                self.release(held, None).await;
                return Err(error);
            }
        };
        let family = family_of(snapshot.current.credentials.flow);
        let redeemed = self.exchange_at_tiktok(family, app, &consent.auth_code, &redirect_uri).await;
        let exchanged = match &redeemed {
            Ok(redeemed) => {
                let tokens = redeemed.new_grant_fields(&snapshot.current, family, &redirect_uri);
                self.stage_new_grant(snapshot, app, &code, tokens, redeemed).await
            }
            Err(error) => Err(explained(error.clone(), family, spent_before)),
        };
        if let (Err(_), Some(replaced)) = (&exchanged, replaced) {
            self.release(replaced, None).await;
        }
        if let Err(error) = &redeemed {
            self.release(Held { answered: held.answered && !error.lost_answer(), ..held }, None).await;
        }
        exchanged.map(Exchanged::Now)
    }

    async fn stage_new_grant(
        &self,
        snapshot: &Snapshot,
        app: &App,
        code: &Fingerprint,
        tokens: TokenFields,
        redeemed: &Redeemed,
    ) -> Result<Outcome, Error> {
        let provenance = Provenance {
            authorizes: true,
            grant: Some(successor_id(&snapshot.arn, code)),
            ..Provenance::after(&snapshot.current.credentials, &self.run.request_id, redeemed.asked_at)
        };
        self.stage_and_finish(snapshot, app, code, (tokens, provenance), redeemed).await
    }

    /// Keeps refreshes of the tokens that are going to be replaced from promoting theirs unawares.
    ///
    /// Their tokens take the label `TIKTOK_CLAIM` away from the new grant's, and if this run dies before it has promoted
    /// those, nobody looks for them. So no refresh begins while this run has the claim on the same tokens. If somebody else
    /// has it, AWSCURRENT is moved to a copy: a compare-and-swap from the version that they have read fails, and what they
    /// write over the copy does not have the label.
    async fn claim_what_is_replaced(&self, snapshot: &mut Snapshot, code: &Fingerprint) -> Result<Option<Held>, Error> {
        loop {
            let Snapshot { arn, current, claim, .. } = &*snapshot;
            if !can_be_renewed(current) {
                return Ok(None);
            }
            let pair = current.credentials.fingerprint.clone();
            if let Claimed::Won { n, spent_before } = self.claim(arn, &pair, claim.as_ref()).await? {
                return Ok(Some(Held { arn: arn.clone(), pair, n, answered: !spent_before }));
            }
            let copy = self.write_copy(arn, current, code).await?;
            if self.swap(Step::Promote, self.secret, &copy.id, &current.id).await? == Moved::Moved {
                snapshot.current = copy;
                return Ok(None);
            }
            snapshot.current = self.read_current().await?;
        }
    }

    async fn exchange_at_tiktok(
        &self,
        family: Flow,
        app: &App,
        auth_code: &SecretString,
        redirect_uri: &str,
    ) -> Result<Redeemed, Error> {
        let exchange = || async {
            let asked_at = self.clock.now();
            let grant = self.tiktok.exchange(family, app, auth_code, redirect_uri).await?;
            Ok(Redeemed { grant, asked_at })
        };
        self.timed(Step::Redeem, self.attempt(Request::redeem(Step::Redeem, app), exchange)).await
    }

    /// Goes on with tokens that the code was exchanged for by a run before this one.
    async fn take_up(&self, snapshot: &Snapshot, app: &App, version: Version) -> Result<Outcome, Error> {
        let current = &snapshot.current.credentials;
        if is_or_descends_from(current, &version.credentials) {
            return Ok(Outcome::fresh(&snapshot.current));
        }
        if version.credentials.flow == Flow::LongTerm
            && let Some(outcome) = self.resume(snapshot, app, &version).await?
        {
            return Ok(outcome);
        }
        match self.renew(snapshot, Start::Resume(version)).await? {
            Ended::Done(outcome) => Ok(outcome),
            Ended::InProgress { until } => Ok(Outcome::in_progress(&snapshot.current, until)),
            Ended::Rejected(rejection) => Err(self.give_back(rejection).await),
        }
    }
}

enum Exchanged {
    Now(Outcome),
    /// The code was exchanged by a run before this one, and this version holds the answer.
    Before(Version),
    InProgress {
        until: Timestamp,
    },
}

/// Whose endpoint takes the code. Which kind of grant comes of it, only the answer tells.
const fn family_of(flow: Flow) -> Flow {
    match flow {
        Flow::TtUser => Flow::TtUser,
        Flow::Business | Flow::LongTerm => Flow::Business,
    }
}

fn is_or_descends_from(current: &Credentials, ours: &Credentials) -> bool {
    current.fingerprint == ours.fingerprint || current.descends_from(&ours.fingerprint)
}

/// What TikTok's refusal of an auth code means to the person who brought it.
fn explained(error: Error, family: Flow, spent_before: bool) -> Error {
    let kind = error.kind();
    match (kind, error.code()) {
        (Kind::ReauthorizationRequired, _) if error.lost_answer() || spent_before => {
            error.context("The answer to an earlier attempt was lost, most likely with the tokens in it")
        }
        (Kind::ReauthorizationRequired, _) => {
            let time = if family == Flow::TtUser { "10 minutes" } else { "an hour" };
            error.context(format_args!("TikTok does not take the auth code, which works once and for {time} at most"))
        }
        // TikTok answers with the one or the other to a wrong app.
        (Kind::TikTokMisconfigured, Some(40000 | 40113)) => error.advise(
            "Check 'app_id' and 'secret' in the secret against the app's page in TikTok's portal; the link has to be that app's.",
        ),
        _ => error,
    }
}
