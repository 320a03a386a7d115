//! One invocation, from its event to its report.

use std::{future::Future, io::Write};

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cycle::{Clock, Cycle, Outcome, Run, Store, TikTok, Trigger},
    error::Error,
    event::{Event, Refresh},
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
        let event = Event::parse(event);
        match event.inspect_err(|error| tracing::error!(error_type = error.kind().name(), "{error}"))? {
            Event::Refresh(refresh) => {
                let ids = self.secret_ids(&refresh.secret_ids);
                self.for_each(ids, |id| self.refresh(id, &refresh)).await
            }
            Event::Status { secret_ids } => {
                let ids = self.secret_ids(&secret_ids);
                self.for_each(ids, |id| async move { self.cycle(id).status().await }).await
            }
        }
    }

    fn secret_ids<'i>(&'i self, asked_for: &'i [String]) -> &'i [String] {
        if asked_for.is_empty() { &self.settings.secret_ids } else { asked_for }
    }

    fn cycle<'i>(&'i self, id: &'i str) -> Cycle<'i, S, T, C> {
        Cycle::new(self.store, self.tiktok, self.clock, self.run, id)
    }

    /// Works on several secrets at a time. One that fails does not stop the others.
    async fn for_each<'i, R, F>(&'i self, ids: &'i [String], work: impl Fn(&'i str) -> F) -> Result<Response, Error>
    where
        R: Serialize,
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
        report::respond(&endings)
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
        let ending = Ending { secret_id: id.to_owned(), result: cycle.refresh(refresh.trigger).await };
        if let Ok(outcome) = &ending.result {
            log(id, outcome);
        }
        let (namespace, function) = (&self.settings.metrics_namespace, &self.settings.function_name);
        let metrics = report::metrics(namespace, function, &ending, cycle.trace(), self.clock.now());
        // CloudWatch reads metrics from lines of the log. There is nobody to tell when standard output is closed.
        let _ = writeln!(std::io::stdout(), "{metrics}");
        ending.result
    }
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
