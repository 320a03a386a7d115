//! The Lambda function: settings, clients, runtime. No logic.

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tiktok_token_refresh::{
    cycle::{Deadline, Run, SystemClock},
    error::{Error, Kind},
    handler::Handler,
    http::Http,
    logging,
    report::Response,
    settings::Settings,
    store::SecretsManager,
    tiktok::BusinessApi,
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
        let http = Http::new();
        let store = SecretsManager::connect(&http).await?;
        Ok(Self { settings, store, http })
    }

    async fn invoke(&self, event: LambdaEvent<Value>) -> Result<Response, Error> {
        let LambdaEvent { payload, context } = event;
        let deadline = Deadline::named(context.deadline, Timestamp::now());
        let span = tracing::info_span!("invocation", request_id = context.request_id);
        let Settings { min_token_lifetime, advertiser_info, .. } = self.settings;
        let run = Run::begin(context.request_id, deadline, min_token_lifetime, advertiser_info)
            .map_err(|_| Error::new(Kind::InvalidConfiguration, "The operating system gave no random numbers."))?;
        let handler = Handler {
            settings: &self.settings,
            store: &self.store,
            tiktok: &BusinessApi::connect(&self.http, &self.settings.tiktok_api_url)?,
            clock: &SystemClock,
            run: &run,
        };
        handler.handle(payload).instrument(span).await
    }
}

fn diagnostic(error: &Error) -> Diagnostic {
    Diagnostic { error_type: error.kind().name().to_owned(), error_message: error.to_string() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    logging::start();
    // Wrong settings fail every invocation with their own name, which alarms see, and not the start of the process, which
    // Lambda would repeat and report as something else.
    let function = Function::start().await.inspect_err(|error| tracing::error!("{error}"));
    let invoke = async |event| match &function {
        Ok(function) => function.invoke(event).await.map_err(|error| diagnostic(&error)),
        Err(error) => Err(diagnostic(error)),
    };
    lambda_runtime::run(service_fn(invoke)).await
}
