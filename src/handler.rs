//! One invocation.
//!
//! Input: an event. Output: the response; one line of metrics for each secret; log messages. Error: any secret that is
//! not known to be usable afterwards fails the invocation, because alarms and retries only see failed invocations.

use std::{borrow::Cow, cell::RefCell, collections::HashSet, future::Future, io::Write, pin::Pin, slice};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    authorize::page::Connected,
    authorize::{AuthorizationResponse, UnverifiedState},
    error::{Error, Kind},
    event::{Event, Refresh, Rotation},
    fleet::{Agenda, Fleet, Fresh},
    refresh::{Outcome, Refresher, Trigger},
    report::{self, Response, SecretResult, Tally},
    rotation::Rotated,
    settings::{Secrets, Settings},
    transport::{Clock, Directory, InvocationContext, Store, TIME_FOR_A_REFRESH, Tag, TikTok, Trace},
};

/// The function during one invocation.
#[derive(Debug)]
pub struct Handler<'a, S, T, C> {
    pub settings: &'a Settings,
    pub store: &'a S,
    pub tiktok: &'a T,
    pub clock: &'a C,
    pub run: &'a InvocationContext,
}

/// The work on one secret. The future is boxed, because it is large and would be copied otherwise.
type Work<'w> = dyn Fn(&'w str) -> Pin<Box<dyn Future<Output = Result<SecretResult, Error>> + 'w>> + 'w;

impl<S: Store + Directory, T: TikTok, C: Clock> Handler<'_, S, T, C> {
    /// Handles an event.
    ///
    /// # Errors
    /// If the event is invalid, or if a secret is not known to be usable afterwards.
    pub async fn handle(&self, event: Value) -> Result<Response, Error> {
        match Event::parse(event).inspect_err(log_refusal)? {
            Event::Refresh(refresh) => self.refresh_all(&refresh).await,
            Event::Status { secret_ids } => {
                let ids = self.distinct(self.secret_ids(&secret_ids).await?).await;
                let look: &Work<'_> =
                    &|id| Box::pin(async move { Ok(SecretResult::of(id, &self.refresher(id).status().await?)) });
                self.for_each(&ids, look).await.into_partial_response()
            }
            Event::Rotation(rotation) => {
                let (ids, rotation) = (slice::from_ref(&rotation.secret_id), &rotation);
                let rotate: &Work<'_> =
                    &|id| Box::pin(async move { Ok(SecretResult::of(id, &self.rotate(id, rotation).await?)) });
                self.for_each(ids, rotate).await.respond()
            }
            Event::AuthorizeUrl { secret_id, request } => {
                let (id, request) = (self.one_secret(secret_id.as_deref())?.to_owned(), &request);
                let link: &Work<'_> = &|id| {
                    Box::pin(async move {
                        let link = self.refresher(id).authorize_url(request, &self.settings.tiktok_api_url).await?;
                        Ok(SecretResult::of(id, &link))
                    })
                };
                self.for_each(&[id], link).await.respond()
            }
            Event::Exchange { secret_id, input } => {
                let consent = input.consent().inspect_err(log_refusal)?;
                let named = secret_id.as_deref().or(consent.state().map(UnverifiedState::secret_id));
                let (id, consent) = (self.one_secret(named)?.to_owned(), &consent);
                let exchange: &Work<'_> =
                    &|id| Box::pin(async move { Ok(SecretResult::outcome(id, &self.exchange(id, consent).await?)) });
                self.for_each(&[id], exchange).await.respond()
            }
        }
    }

    /// Returns the secrets that the event names, or all configured secrets.
    async fn secret_ids<'i>(&'i self, asked_for: &'i [String]) -> Result<Cow<'i, [String]>, Error> {
        match &self.settings.secrets {
            _ if !asked_for.is_empty() => Ok(asked_for.into()),
            Secrets::Named(ids) => Ok(ids.into()),
            Secrets::Tagged(tag) => self.fleet(tag).all().await.inspect_err(log_refusal).map(Cow::from),
        }
    }

    /// Removes duplicates. A name and an ARN can be the same secret; only then does it read the ARN.
    async fn distinct<'i>(&self, ids: Cow<'i, [String]>) -> Cow<'i, [String]> {
        let is_clear = |id: &String| !ids.iter().any(|other| other != id && may_name_one_secret(id, other));
        if ids.iter().all(is_clear) {
            return ids;
        }
        let (mut distinct, mut arns) = (Vec::new(), HashSet::new());
        for id in ids.iter() {
            // A secret that cannot be read is kept. Its own run reports the error.
            let arn = if is_clear(id) { None } else { self.refresher(id).arn().await.ok() };
            if arns.insert(arn.unwrap_or_else(|| id.clone())) {
                distinct.push(id.clone());
            }
        }
        distinct.into()
    }

    const fn fleet<'i>(&'i self, tag: &'i Tag) -> Fleet<'i, S, C> {
        Fleet { store: self.store, clock: self.clock, run: self.run, tag }
    }

    /// Returns the secret of an authorization: the named one, or the only configured one.
    fn one_secret<'i>(&'i self, named: Option<&'i str>) -> Result<&'i str, Error> {
        let kept = match (named, &self.settings.secrets) {
            (Some(id), _) => return Ok(id),
            (None, Secrets::Named(ids)) => match ids.as_slice() {
                [id] => return Ok(id),
                ids => format!("{} secrets", ids.len()),
            },
            (None, Secrets::Tagged(tag)) => format!("every secret with the tag {tag}"),
        };
        let what = format!("The function keeps {kept}, and the event does not say which one is meant.");
        Err(Error::new(Kind::InvalidEvent, what).advise("Name it in the event's field 'secret_id'."))
    }

    fn refresher<'i>(&'i self, id: &'i str) -> Refresher<'i, S, T, C> {
        Refresher::new(self.store, self.tiktok, self.clock, self.run, id)
    }

    async fn refresh_all(&self, refresh: &Refresh) -> Result<Response, Error> {
        if let Secrets::Tagged(tag) = &self.settings.secrets
            && refresh.secret_ids.is_empty()
            && !refresh.dry_run
        {
            return self.refresh_fleet(tag, refresh).await;
        }
        let ids = self.distinct(self.secret_ids(&refresh.secret_ids).await?).await;
        let others_wait = ids.len() > self.settings.max_concurrency;
        let work: &Work<'_> = &|id| Box::pin(self.refresh(id, refresh, others_wait));
        let tally = self.for_each(&ids, work).await;
        if others_wait {
            self.measure_fleet(&Fresh::default(), &tally);
        }
        tally.respond()
    }

    /// Refreshes the secrets with the tag that need it.
    async fn refresh_fleet(&self, tag: &Tag, refresh: &Refresh) -> Result<Response, Error> {
        let agenda = self.fleet(tag).agenda(refresh.trigger).await.inspect_err(log_refusal)?;
        let Agenda { mut failing, mut due, fresh } = agenda;
        tracing::info!(%tag, fresh = fresh.number, failing = failing.len(), due = due.len(), "looked through the fleet");
        let at_a_time = self.settings.max_concurrency;
        let others_wait = failing.len() + due.len() > at_a_time;
        // Failing secrets get a quarter of the permits, so that they do not slow down the others.
        let for_failing = failing.len().min(at_a_time.div_ceil(4));
        if for_failing == at_a_time {
            failing.append(&mut due);
        }
        let (failing_permits, permits) = (Semaphore::new(for_failing), Semaphore::new(at_a_time - for_failing));
        let tally = RefCell::new(Tally::default());
        let work: &Work<'_> = &|id| Box::pin(self.refresh(id, refresh, others_wait));
        tokio::join!(self.work_through((&failing, &failing_permits), others_wait, &tally, work), async {
            self.work_through((&due, &permits), others_wait, &tally, work).await;
            failing_permits.add_permits(at_a_time - for_failing);
        });
        let mut tally = tally.into_inner();
        tally.add_fresh(fresh.number);
        self.measure_fleet(&fresh, &tally);
        tally.respond()
    }

    /// Works on several secrets in parallel. The failure of one does not stop the others.
    async fn for_each<'i>(&self, ids: &'i [String], work: &Work<'i>) -> Tally {
        let (tally, at_a_time) = (RefCell::new(Tally::default()), self.settings.max_concurrency);
        self.work_through((ids, &Semaphore::new(at_a_time)), ids.len() > at_a_time, &tally, work).await;
        tally.into_inner()
    }

    /// Returns the place where a user corrects the id of the secret.
    fn setting_of(&self, id: &str) -> &'static str {
        match &self.settings.secrets {
            Secrets::Named(ids) if ids.iter().any(|named| named == id) => "SECRET_ID",
            Secrets::Named(_) => "the secret's id in the event",
            Secrets::Tagged(_) => "the secret's id in the event, or SECRET_TAG",
        }
    }

    /// Works on the secrets in parallel, one for each permit. Skips those for which no time is left.
    async fn work_through<'i>(
        &self,
        (ids, permits): (&'i [String], &Semaphore),
        others_wait: bool,
        tally: &RefCell<Tally>,
        work: &Work<'i>,
    ) {
        let one = async |(index, id): (usize, &'i String)| {
            let _permit = permits.acquire().await;
            if others_wait && self.run.deadline.remaining(self.clock.now()) < TIME_FOR_A_REFRESH {
                return tally.borrow_mut().skip(id);
            }
            let result = work(id).await.map_err(|error| error.named_in(self.setting_of(id))).inspect_err(|error| {
                tracing::error!(secret_id = id, error_type = error.kind().name(), code = error.code(), "{error}");
            });
            tally.borrow_mut().add(index, id, result);
        };
        stream::iter(ids.iter().enumerate())
            .map(one)
            .buffer_unordered(self.settings.max_concurrency)
            .collect::<()>()
            .await;
    }

    async fn refresh(&self, id: &str, refresh: &Refresh, others_wait: bool) -> Result<SecretResult, Error> {
        let refresher = self.refresher(id);
        let refresher = if others_wait { refresher.with_retry_budget() } else { refresher };
        // TikTok's connection opens while the secret is read. The hourly run rarely needs it.
        if refresh.trigger != Trigger::IfNeeded {
            self.tiktok.prepare();
        }
        if refresh.dry_run {
            return Ok(SecretResult::outcome(id, &refresher.dry_run(refresh.trigger).await?));
        }
        let result = refresher.refresh(refresh.trigger).await;
        Ok(SecretResult::outcome(id, &self.finish(&refresher, id, result)?))
    }

    /// Exchanges the auth code of a consent.
    async fn exchange(&self, id: &str, consent: &AuthorizationResponse) -> Result<Outcome, Error> {
        let refresher = self.refresher(id);
        match refresher.exchange(consent).await {
            // A wrong code is not a failed refresh, so the alarms do not count it. Its sender sees the answer.
            Err(error) => Err(self.with_authorize_command(id, error)),
            outcome => self.finish(&refresher, id, outcome),
        }
    }

    /// Exchanges the auth code that a browser brought to the function's page.
    ///
    /// # Errors
    /// If the link was for another function's secret, or if the exchange fails.
    pub async fn connect(&self, consent: AuthorizationResponse) -> Result<Connected, Error> {
        let named = consent.state().map(UnverifiedState::secret_id).unwrap_or_default();
        let Some(id) = self.configured(named).await else {
            return Err(Error::new(Kind::InvalidEvent, "This link was not issued for a secret of this function."));
        };
        let outcome = self.exchange(id, &consent).await?;
        let advertisers = self.refresher(id).advertisers().await.ok();
        Ok(Connected { secret_id: id.to_owned(), outcome, advertisers })
    }

    /// Returns the configured secret with that name or ARN. `None` hides the reason from the page.
    async fn configured<'i>(&'i self, id: &'i str) -> Option<&'i str> {
        match &self.settings.secrets {
            secrets @ Secrets::Named(_) => secrets.named(id),
            Secrets::Tagged(_) if id.is_empty() => None,
            Secrets::Tagged(tag) => self.refresher(id).has_tag(tag).await.unwrap_or(false).then_some(id),
        }
    }

    /// Logs and counts the result of a refresh or an exchange.
    fn finish(
        &self,
        refresher: &Refresher<'_, S, T, C>,
        id: &str,
        result: Result<Outcome, Error>,
    ) -> Result<Outcome, Error> {
        let result = result.map_err(|error| self.with_authorize_command(id, error));
        if let Ok(outcome) = &result {
            log(id, outcome);
        }
        self.measure(id, &result, refresher.trace());
        result
    }

    /// Runs a step of a rotation. A failed step counts as a failed refresh, and the last step counts with its own
    /// outcome. Other steps are not counted.
    async fn rotate(&self, id: &str, rotation: &Rotation) -> Result<Rotated, Error> {
        let Rotation { step, token, .. } = rotation;
        let (rotated, trace) = Refresher::rotate(self.store, self.tiktok, self.clock, self.run, id, *step, token).await;
        let rotated = rotated.map_err(|error| self.with_authorize_command(id, error));
        let counted = match &rotated {
            Ok(rotated) => {
                tracing::info!(secret_id = id, step = step.name(), version_id = rotated.version_id, "rotated");
                rotated.refresh.clone().inspect(|outcome| log(id, outcome)).map(Ok)
            }
            Err(error) => Some(Err(error.clone())),
        };
        if let Some(result) = counted {
            self.measure(id, &result, &trace);
        }
        rotated
    }

    fn measure(&self, id: &str, result: &Result<Outcome, Error>, trace: &Trace) {
        print(&report::metrics(self.source(), id, result, trace, self.clock.now()));
    }

    fn measure_fleet(&self, fresh: &Fresh, tally: &Tally) {
        print(&report::fleet_metrics(self.source(), fresh, tally, self.clock.now()));
    }

    /// Returns the namespace and the function name of the metrics.
    fn source(&self) -> (&str, &str) {
        (&self.settings.metrics_namespace, &self.settings.function_name)
    }

    /// Adds the command that starts an authorization to an error that asks for one.
    fn with_authorize_command(&self, id: &str, error: Error) -> Error {
        if error.kind() != Kind::ReauthorizationRequired {
            return error;
        }
        let mut event = json!({"action": "authorize_url"});
        if !matches!(&self.settings.secrets, Secrets::Named(ids) if *ids == [id]) {
            event["secret_id"] = id.into();
        }
        let function = &self.settings.function_name;
        let command = format!(
            "Run: aws lambda invoke --function-name {function} --payload fileb:///dev/stdin /dev/stdout <<<'{event}'"
        );
        let advice = format!("{} {command}", error.advice());
        error.advise(advice)
    }
}

/// Returns true if two ids can name one secret. An ARN ends in the name, a hyphen and six random characters.
fn may_name_one_secret(one: &str, other: &str) -> bool {
    let name = |id: &str| id.split_once(":secret:").map_or(id, |(_, name)| name).to_owned();
    let is_named = |full: &str, short: &str| {
        full.strip_prefix(short)
            .is_some_and(|rest| rest.is_empty() || rest.len() == "-AbCdEf".len() && rest.starts_with('-'))
    };
    let (one, other) = (name(one), name(other));
    is_named(&one, &other) || is_named(&other, &one)
}

/// Writes metrics to the log, where CloudWatch reads them.
fn print(metrics: &str) {
    // If standard output is closed, the error cannot be reported either.
    let _ = writeln!(std::io::stdout(), "{metrics}");
}

/// Logs an event that was rejected.
fn log_refusal(error: &Error) {
    tracing::error!(error_type = error.kind().name(), "{error}");
}

fn log(id: &str, outcome: &Outcome) {
    for warning in &outcome.warnings {
        tracing::warn!(secret_id = id, "{warning}");
    }
    tracing::info!(
        secret_id = id,
        outcome = outcome.outcome.name(),
        version_id = outcome.version_id,
        advertisers = outcome.advertisers,
        access_token_expires_at = outcome.access_token_expires_at.map(tracing::field::display),
        "done"
    );
}
