//! The Lambda function: reads the settings, creates the clients and starts the runtime. All logic is in the library.

use jiff::Timestamp;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use tiktok_token_refresh::{
    authorize::AuthorizationResponse,
    authorize::page::{self, Connected},
    error::{Error, Kind},
    handler::Handler,
    http::Http,
    logging,
    report::Response,
    secretsmanager::SecretsManager,
    settings::Settings,
    tiktok::BusinessApi,
    transport::{Deadline, InvocationContext, RateLimits, SystemClock},
};
use tracing::Instrument;

struct Function {
    settings: Settings,
    store: SecretsManager,
    http: Http,
}

impl Function {
    async fn start() -> Result<Self, Error> {
        let settings = Settings::from_env()?;
        let http = Http::through(&settings.egress)?;
        let store = SecretsManager::connect(&http).await?;
        Ok(Self { settings, store, http })
    }

    async fn handle(&self, event: Value, context: &Context) -> Result<Response, Error> {
        let (run, tiktok) = self.begin(context)?;
        // Boxed: the future is large and would be copied otherwise.
        Box::pin(self.handler(&run, &tiktok).handle(event)).await
    }

    async fn connect(&self, consent: AuthorizationResponse, context: &Context) -> Result<Connected, Error> {
        let (run, tiktok) = self.begin(context)?;
        Box::pin(self.handler(&run, &tiktok).connect(consent)).await
    }

    fn begin(&self, context: &Context) -> Result<(InvocationContext, BusinessApi), Error> {
        let deadline = Deadline::named(context.deadline, Timestamp::now());
        let Settings { min_token_lifetime, advertiser_info, .. } = self.settings;
        let rate_limits =
            RateLimits::new(self.settings.tiktok_requests_per_second, self.settings.secrets_manager_writes_per_second);
        let run = InvocationContext::begin(
            context.request_id.clone(),
            deadline,
            min_token_lifetime,
            advertiser_info,
            rate_limits,
        )
        .map_err(|_| Error::new(Kind::InvalidConfiguration, "The operating system gave no random numbers."))?;
        // Each invocation opens a new connection. One that was idle in a frozen sandbox may be half closed, and a
        // single-use token would be lost on it.
        let tiktok = BusinessApi::connect(&self.http, &self.settings.tiktok_api_url)?;
        Ok((run, tiktok))
    }

    fn handler<'a>(
        &'a self,
        run: &'a InvocationContext,
        tiktok: &'a BusinessApi,
    ) -> Handler<'a, SecretsManager, BusinessApi, SystemClock> {
        Handler { settings: &self.settings, store: &self.store, tiktok, clock: &SystemClock, run }
    }
}

/// If the settings are wrong, `function` is an error, which fails the invocation. A request from a browser gets an
/// error page instead.
async fn invoke(function: Result<&Function, Error>, event: Value, context: &Context) -> Result<Box<RawValue>, Error> {
    if page::is_request(&event) {
        let connect = async |consent| function?.connect(consent, context).await;
        return Ok(text(&Value::from(page::answer(&event, &context.request_id, Timestamp::now(), connect).await)));
    }
    function?.handle(event, context).await.map(|response| text(&response))
}

/// Serializes an answer with its fields in order, the most useful first. Serialization of these types cannot fail.
fn text(answer: &impl Serialize) -> Box<RawValue> {
    to_raw_value(answer).unwrap_or_default()
}

fn diagnostic(error: &Error) -> Diagnostic {
    Diagnostic { error_type: error.kind().name().to_owned(), error_message: error.to_string() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    logging::start();
    // Wrong settings fail each invocation with their own error type, which the alarms see. If they failed the start,
    // Lambda would repeat it and report another error.
    let function = Function::start().await.inspect_err(|error| tracing::error!("{error}"));
    let answer = async |LambdaEvent { payload, context }: LambdaEvent<Value>| {
        let span = tracing::info_span!("invocation", request_id = context.request_id);
        let answer = invoke(function.as_ref().map_err(Clone::clone), payload, &context).instrument(span);
        answer.await.map_err(|error| diagnostic(&error))
    };
    lambda_runtime::run(service_fn(answer)).await
}
