//! One invocation, from its event to its report.

use std::{future::Future, io::Write};

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cycle::{Clock, Consent, Cycle, Outcome, Rotated, Run, State, Store, TikTok, Trace, Trigger},
    error::{Error, Kind},
    event::{Event, Refresh, Rotation},
    page::Connected,
    report::{self, Ending, Response},
    settings::Settings,
};

/// The function, with everything that lives as long as an invocation.
#[derive(Debug)]
pub struct Handler<'a, S, T, C> {
    pub settings: &'a Settings,
    pub store: &'a S,
    pub tiktok: &'a T,
    pub clock: &'a C,
    pub run: &'a Run,
}

impl<S: Store, T: TikTok, C: Clock> Handler<'_, S, T, C> {
    /// Does what the event asks for.
    ///
    /// # Errors
    /// Whenever a secret is not known to be usable afterwards: a failed secret is a failed invocation, because alarms and
    /// retries look at nothing else.
    pub async fn handle(&self, event: Value) -> Result<Response, Error> {
        match Event::parse(event).inspect_err(log_refusal)? {
            Event::Refresh(refresh) => {
                let ids = self.secret_ids(&refresh.secret_ids);
                self.for_each(ids, |id| self.refresh(id, &refresh)).await
            }
            Event::Status { secret_ids } => {
                let ids = self.secret_ids(&secret_ids);
                report::picture(&self.endings(ids, |id| async move { self.cycle(id).status().await }).await)
            }
            Event::Rotation(rotation) => {
                let ids = std::slice::from_ref(&rotation.secret_id);
                self.for_each(ids, |id| self.rotate(id, &rotation)).await
            }
            Event::AuthorizeUrl { secret_id, request } => {
                let (id, request) = (self.one_secret(secret_id.as_deref())?, &request);
                let link =
                    |id| async move { self.cycle(id).authorize_url(request, &self.settings.tiktok_api_url).await };
                self.for_each(&[id.to_owned()], link).await
            }
            Event::Exchange { secret_id, brought } => {
                let consent = brought.consent().inspect_err(log_refusal)?;
                let named = secret_id.as_deref().or(consent.state().map(State::secret_id));
                let id = self.one_secret(named)?;
                self.for_each(&[id.to_owned()], |id| self.exchange(id, &consent)).await
            }
        }
    }

    fn secret_ids<'i>(&'i self, asked_for: &'i [String]) -> &'i [String] {
        if asked_for.is_empty() { &self.settings.secret_ids } else { asked_for }
    }

    /// The one secret that an authorisation is for.
    fn one_secret<'i>(&'i self, named: Option<&'i str>) -> Result<&'i str, Error> {
        match (named, self.settings.secret_ids.as_slice()) {
            (Some(id), _) => Ok(id),
            (None, [id]) => Ok(id),
            (None, ids) => Err(Error::new(
                Kind::InvalidEvent,
                format!("The function keeps {} secrets, and the event does not say which one is meant.", ids.len()),
            )
            .advise("Name it in the event's field 'secret_id'.")),
        }
    }

    fn cycle<'i>(&'i self, id: &'i str) -> Cycle<'i, S, T, C> {
        Cycle::new(self.store, self.tiktok, self.clock, self.run, id)
    }

    async fn for_each<'i, R, F>(&'i self, ids: &'i [String], work: impl Fn(&'i str) -> F) -> Result<Response, Error>
    where
        R: Serialize,
        F: Future<Output = Result<R, Error>>,
    {
        report::respond(&self.endings(ids, work).await)
    }

    /// Works on several secrets at a time. One that fails does not stop the others.
    async fn endings<'i, R, F>(&'i self, ids: &'i [String], work: impl Fn(&'i str) -> F) -> Vec<Ending<R>>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let work = |id: &'i String| {
            let result = work(id);
            // The future of a cycle is large; on the heap it stays where it is.
            Box::pin(async { Ending { secret_id: id.clone(), result: result.await } })
        };
        let endings: Vec<Ending<R>> =
            stream::iter(ids).map(work).buffered(self.settings.max_concurrency).collect().await;
        for Ending { secret_id, result } in &endings {
            if let Err(error) = result {
                tracing::error!(secret_id, error_type = error.kind().name(), code = error.code(), "{error}");
            }
        }
        endings
    }

    async fn refresh(&self, id: &str, refresh: &Refresh) -> Result<Outcome, Error> {
        let cycle = self.cycle(id);
        // TikTok's connection opens while the secret is read. The hourly top-up mostly finds that there is nothing to do.
        if refresh.trigger != Trigger::IfNeeded {
            self.tiktok.prepare();
        }
        if refresh.dry_run {
            return cycle.dry_run(refresh.trigger).await;
        }
        let result = cycle.refresh(refresh.trigger).await;
        self.concluded(&cycle, id, result)
    }

    /// Exchanges what a person brought back from TikTok's consent page.
    async fn exchange(&self, id: &str, consent: &Consent) -> Result<Outcome, Error> {
        let cycle = self.cycle(id);
        match cycle.exchange(consent).await {
            // Not counted: who sent the wrong code is looking at the answer, and nobody is to be woken for it.
            Err(error) => Err(self.with_command(id, error)),
            outcome => self.concluded(&cycle, id, outcome),
        }
    }

    /// Exchanges what a browser brought to the function's own page.
    ///
    /// # Errors
    /// When the consent is for a secret that this function does not keep, and as an exchange.
    pub async fn connect(&self, consent: Consent) -> Result<Connected, Error> {
        let named = consent.state().map(State::secret_id).unwrap_or_default();
        // Of the configured ones alone, and by their names: anybody may ask.
        let Some(id) = self.settings.secret_ids.iter().find(|id| *id == named) else {
            return Err(Error::new(Kind::InvalidEvent, "The link was not made for a secret of this function's."));
        };
        let outcome = self.exchange(id, &consent).await?;
        let advertisers = self.cycle(id).advertisers().await.ok();
        Ok(Connected { secret_id: id.clone(), outcome, advertisers })
    }

    /// Logs and counts how the work on the tokens of a secret ended.
    fn concluded(
        &self,
        cycle: &Cycle<'_, S, T, C>,
        id: &str,
        result: Result<Outcome, Error>,
    ) -> Result<Outcome, Error> {
        let result = result.map_err(|error| self.with_command(id, error));
        let ending = Ending { secret_id: id.to_owned(), result };
        if let Ok(outcome) = &ending.result {
            log(id, outcome);
        }
        self.measure(&ending, cycle.trace());
        ending.result
    }

    /// A step that fails counts as a failed refresh, the last one as what the refresh came to, the others as nothing.
    async fn rotate(&self, id: &str, rotation: &Rotation) -> Result<Rotated, Error> {
        let Rotation { step, token, .. } = rotation;
        let (rotated, trace) = Cycle::rotate(self.store, self.tiktok, self.clock, self.run, id, *step, token).await;
        let rotated = rotated.map_err(|error| self.with_command(id, error));
        let counted = match &rotated {
            Ok(rotated) => {
                tracing::info!(secret_id = id, step = step.name(), version_id = rotated.version_id, "rotated");
                rotated.refresh.clone().inspect(|outcome| log(id, outcome)).map(Ok)
            }
            Err(error) => Some(Err(error.clone())),
        };
        if let Some(result) = counted {
            self.measure(&Ending { secret_id: id.to_owned(), result }, &trace);
        }
        rotated
    }

    fn measure(&self, ending: &Ending<Outcome>, trace: &Trace) {
        let (namespace, function) = (&self.settings.metrics_namespace, &self.settings.function_name);
        let metrics = report::metrics(namespace, function, ending, trace, self.clock.now());
        // CloudWatch reads metrics from lines of the log. There is nobody to tell when standard output is closed.
        let _ = writeln!(std::io::stdout(), "{metrics}");
    }

    /// Names the very command that begins an authorisation, where one is needed.
    fn with_command(&self, id: &str, error: Error) -> Error {
        if error.kind() != Kind::ReauthorizationRequired {
            return error;
        }
        let mut event = json!({"action": "authorize_url"});
        if self.settings.secret_ids != [id] {
            event["secret_id"] = id.into();
        }
        let function = &self.settings.function_name;
        let command = format!(
            "Run: aws lambda invoke --function-name {function} --cli-binary-format raw-in-base64-out --payload '{event}' /dev/stdout"
        );
        let advice = format!("{} {command}", error.advice());
        error.advise(advice)
    }
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
