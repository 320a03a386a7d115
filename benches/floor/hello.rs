//! The least that a Rust function on Lambda costs: the runtime, and nothing in it.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let echo = async |event: LambdaEvent<Value>| Ok::<_, lambda_runtime::Error>(event.payload);
    lambda_runtime::run(service_fn(echo)).await
}
