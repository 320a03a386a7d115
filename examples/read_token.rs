//! Reads the token as docs/consumers.md shows: `cargo run --example read_token`.
//!
//! The snippet between the two lines is that page's, which CI checks. What the example adds is a client that has what this
//! project has anyway, so that nothing more is compiled for it.

#![allow(clippy::print_stdout, reason = "the secret of a stand-in, for the check that reads it")]

// docs/consumers.md: rust
use aws_sdk_secretsmanager::Client;
use serde_json::Value;

/// What the reader secret holds now. `client` is `Client::new(&aws_config::load_from_env().await)`.
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
