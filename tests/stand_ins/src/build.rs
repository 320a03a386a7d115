//! The function's binary, for examples: tests get it from Cargo.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The function's package, and its directory.
const PACKAGE: &str = "tiktok-token-refresh";
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Builds the function as the example of this name, which is running, was built, and says where it is. `TEST_BOOTSTRAP` names
/// one that is built already.
pub fn build_function(example: &str) -> Result<PathBuf, String> {
    if let Some(built) = env::var_os("TEST_BOOTSTRAP") {
        return Ok(built.into());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Named beside the binary, the example makes Cargo choose the same features, and nothing is compiled twice.
    command.args(["build", "--quiet", "--bin", PACKAGE, "--example", example]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // `cargo run` tells the example about its package. A build script that reads these variables would run anew with them,
    // and so would all that depends on it.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let status = command.current_dir(DIRECTORY).status().map_err(|error| error.to_string())?;
    let example = env::current_exe().map_err(|error| error.to_string())?;
    // target/debug/examples/demo stands beside target/debug/tiktok-token-refresh.
    let directory = example.ancestors().nth(2).ok_or("an example has two directories above it")?;
    if status.success() { Ok(directory.join(PACKAGE)) } else { Err(status.to_string()) }
}
