//! Reads the token as in docs/consumers.md: `cargo run --example read_token`.
//!
//! CI compares the snippet between the two lines with that page. The client uses this project's own dependencies, so
//! that the example compiles nothing more.

#![allow(clippy::print_stdout, reason = "the secret of a stand-in, for the check that reads it")]

// docs/consumers.md: rust
use aws_sdk_secretsmanager::Client;
use serde_json::Value;

/// Reads the reader secret. `client` is `Client::new(&aws_config::load_from_env().await)`.
async fn tiktok_secret(client: &Client) -> Result<Value, Box<dyn std::error::Error>> {
    let value = client.get_secret_value().secret_id("tiktok/ads/reader").version_stage("AWSCURRENT").send().await?;
    Ok(serde_json::from_str(value.secret_string().unwrap_or_default())?)
}
// docs/consumers.md: end

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
        .http_client(tiktok_token_refresh::http::Http::new().sdk_client()?)
        .credentials_provider(aws_config::environment::EnvironmentVariableCredentialsProvider::new())
        .load()
        .await;
    println!("{}", tiktok_secret(&Client::new(&config)).await?);
    Ok(())
}
