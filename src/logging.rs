//! Logging to standard output. Lambda's variables set the level and the format.

use std::env;

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging. `AWS_LAMBDA_LOG_LEVEL` and `AWS_LAMBDA_LOG_FORMAT` set the level and the format.
///
/// Dependencies log at WARN and above only. At DEBUG the HTTP client logs URLs with the app's secret, and the Lambda
/// runtime logs whole events. Cargo.toml removes everything below INFO from release builds.
pub fn start() {
    let level = level(env::var("AWS_LAMBDA_LOG_LEVEL").ok().as_deref());
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // The runtime logs every error of the handler again, in another form.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let json = env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let layer = if json {
        // CloudWatch filters by `timestamp`, `level` and other fields at the top level.
        fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        // Lambda adds the time to plain lines.
        fmt::layer().with_ansi(false).without_time().boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}

fn level(name: Option<&str>) -> LevelFilter {
    match name.map(str::to_ascii_uppercase).as_deref() {
        Some("TRACE") => Level::TRACE.into(),
        Some("DEBUG") => Level::DEBUG.into(),
        Some("WARN") => Level::WARN.into(),
        // The function logs nothing above ERROR.
        Some("ERROR" | "FATAL") => Level::ERROR.into(),
        _ => Level::INFO.into(),
    }
}
