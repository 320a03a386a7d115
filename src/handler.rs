//! One invocation, from its event to its report.

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

/// The function, with everything that lives as long as an invocation.
#[derive(Debug)]
pub struct Handler<'a, S, T, C> {
    pub settings: &'a Settings,
    pub store: &'a S,
    pub tiktok: &'a T,
    pub clock: &'a C,
    pub run: &'a InvocationContext,
}

/// What is done with one of several secrets. On the heap: the future of a cycle is large, and stays there where it is.
type Work<'w> = dyn Fn(&'w str) -> Pin<Box<dyn Future<Output = Result<SecretResult, Error>> + 'w>> + 'w;

impl<S: Store + Directory, T: TikTok, C: Clock> Handler<'_, S, T, C> {
    /// Does what the event asks for.
    ///
    /// # Errors
    /// Whenever a secret is not known to be usable afterwards: a failed secret is a failed invocation, because alarms and
    /// retries look at nothing else.
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

    /// The secrets that an event is about: those that it names, or all that the function keeps.
    async fn secret_ids<'i>(&'i self, asked_for: &'i [String]) -> Result<Cow<'i, [String]>, Error> {
        match &self.settings.secrets {
            _ if !asked_for.is_empty() => Ok(asked_for.into()),
            Secrets::Named(ids) => Ok(ids.into()),
            Secrets::Tagged(tag) => self.fleet(tag).all().await.inspect_err(log_refusal).map(Cow::from),
        }
    }

    /// Each secret once. A name and an ARN may stand for the same one; only where they may is it looked up.
    async fn distinct<'i>(&self, ids: Cow<'i, [String]>) -> Cow<'i, [String]> {
        let is_clear = |id: &String| !ids.iter().any(|other| other != id && may_name_one_secret(id, other));
        if ids.iter().all(is_clear) {
            return ids;
        }
        let (mut distinct, mut arns) = (Vec::new(), HashSet::new());
        for id in ids.iter() {
            // One that cannot be read is kept: its own run says what is wrong with it.
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

    /// The one secret that an authorization is for.
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

    /// Refreshes what needs it of all secrets with a tag.
    async fn refresh_fleet(&self, tag: &Tag, refresh: &Refresh) -> Result<Response, Error> {
        let agenda = self.fleet(tag).agenda(refresh.trigger).await.inspect_err(log_refusal)?;
        let Agenda { mut failing, mut due, fresh } = agenda;
        tracing::info!(%tag, fresh = fresh.number, failing = failing.len(), due = due.len(), "looked through the fleet");
        let at_a_time = self.settings.max_concurrency;
        let others_wait = failing.len() + due.len() > at_a_time;
        // Places of their own: those that cannot be helped take their time, and the others have to go on meanwhile.
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

    /// Works on several secrets at a time. One that fails does not stop the others.
    async fn for_each<'i>(&self, ids: &'i [String], work: &Work<'i>) -> Tally {
        let (tally, at_a_time) = (RefCell::new(Tally::default()), self.settings.max_concurrency);
        self.work_through((ids, &Semaphore::new(at_a_time)), ids.len() > at_a_time, &tally, work).await;
        tally.into_inner()
    }

    /// Where a person corrects the id of a secret.
    fn setting_of(&self, id: &str) -> &'static str {
        match &self.settings.secrets {
            Secrets::Named(ids) if ids.iter().any(|named| named == id) => "SECRET_ID",
            Secrets::Named(_) => "the secret's id in the event",
            Secrets::Tagged(_) => "the secret's id in the event, or SECRET_TAG",
        }
    }

    /// Works on as many secrets at a time as there are places.
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
        // TikTok's connection opens while the secret is read. The hourly top-up mostly finds that there is nothing to do.
        if refresh.trigger != Trigger::IfNeeded {
            self.tiktok.prepare();
        }
        if refresh.dry_run {
            return Ok(SecretResult::outcome(id, &refresher.dry_run(refresh.trigger).await?));
        }
        let result = refresher.refresh(refresh.trigger).await;
        Ok(SecretResult::outcome(id, &self.finish(&refresher, id, result)?))
    }

    /// Exchanges what a person brought back from TikTok's consent page.
    async fn exchange(&self, id: &str, consent: &AuthorizationResponse) -> Result<Outcome, Error> {
        let refresher = self.refresher(id);
        match refresher.exchange(consent).await {
            // Not counted: who sent the wrong code is looking at the answer, and nobody is to be woken for it.
            Err(error) => Err(self.with_authorize_command(id, error)),
            outcome => self.finish(&refresher, id, outcome),
        }
    }

    /// Exchanges what a browser brought to the function's own page.
    ///
    /// # Errors
    /// When the consent is for a secret that this function does not keep, and as an exchange.
    pub async fn connect(&self, consent: AuthorizationResponse) -> Result<Connected, Error> {
        let named = consent.state().map(UnverifiedState::secret_id).unwrap_or_default();
        let Some(id) = self.configured(named).await else {
            return Err(Error::new(Kind::InvalidEvent, "This link was not issued for a secret of this function."));
        };
        let outcome = self.exchange(id, &consent).await?;
        let advertisers = self.refresher(id).advertisers().await.ok();
        Ok(Connected { secret_id: id.to_owned(), outcome, advertisers })
    }

    /// The secret of this function that a name or an ARN stands for. The page does not say why it is none.
    async fn configured<'i>(&'i self, id: &'i str) -> Option<&'i str> {
        match &self.settings.secrets {
            secrets @ Secrets::Named(_) => secrets.named(id),
            Secrets::Tagged(_) if id.is_empty() => None,
            Secrets::Tagged(tag) => self.refresher(id).has_tag(tag).await.unwrap_or(false).then_some(id),
        }
    }

    /// Logs and counts how the work on the tokens of a secret ended.
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

    /// A step that fails counts as a failed refresh, the last one as what the refresh came to, the others as nothing.
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

    /// Where the metrics of this function are found: a namespace, and the function's name.
    fn source(&self) -> (&str, &str) {
        (&self.settings.metrics_namespace, &self.settings.function_name)
    }

    /// Names the very command that begins an authorization, where one is needed.
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

/// Whether two ids may name one secret: an ARN ends in the name, a hyphen and six random characters.
fn may_name_one_secret(one: &str, other: &str) -> bool {
    let name = |id: &str| id.split_once(":secret:").map_or(id, |(_, name)| name).to_owned();
    let is_named = |full: &str, short: &str| {
        full.strip_prefix(short)
            .is_some_and(|rest| rest.is_empty() || rest.len() == "-AbCdEf".len() && rest.starts_with('-'))
    };
    let (one, other) = (name(one), name(other));
    is_named(&one, &other) || is_named(&other, &one)
}

/// CloudWatch reads metrics from lines of the log.
fn print(metrics: &str) {
    // There is nobody to tell when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{metrics}");
}

/// An event that nothing is done for.
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
