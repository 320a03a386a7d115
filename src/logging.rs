//! What is logged, and in which format: Lambda's own settings decide.

use std::env;

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging to standard output, honouring `AWS_LAMBDA_LOG_LEVEL` and `AWS_LAMBDA_LOG_FORMAT`.
///
/// Dependencies are heard from WARN on, whatever the level is: at DEBUG and TRACE the HTTP client logs URLs, one of which
/// holds the app's secret, and the Lambda runtime logs whole events, among them the addresses that browsers come with.
/// A release build does not even have those lines in it: Cargo.toml takes everything below INFO out.
pub fn start() {
    let level = level(env::var("AWS_LAMBDA_LOG_LEVEL").ok().as_deref());
    let filter = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target(env!("CARGO_CRATE_NAME"), level)
        // The runtime repeats every error of the handler in a form of its own.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF);
    let json = env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let layer = if json {
        // CloudWatch filters on `timestamp`, `level` and whatever stands at the top.
        fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        // Lambda puts the time in front of plain lines itself.
        fmt::layer().with_ansi(false).without_time().boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}

fn level(name: Option<&str>) -> LevelFilter {
    match name.map(str::to_ascii_uppercase).as_deref() {
        Some("TRACE") => Level::TRACE.into(),
        Some("DEBUG") => Level::DEBUG.into(),
        Some("WARN") => Level::WARN.into(),
        // Nothing of this project's is worse than an error.
        Some("ERROR" | "FATAL") => Level::ERROR.into(),
        _ => Level::INFO.into(),
    }
}
