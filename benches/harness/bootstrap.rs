//! The function as it is deployed, for every benchmark.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

const FUNCTION: &str = env!("CARGO_PKG_NAME");

/// The binary that `BOOTSTRAP` names, or a release build.
pub fn find(target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    if let Some(bootstrap) = env::var_os("BOOTSTRAP") {
        return Ok(PathBuf::from(bootstrap));
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // By itself: beside a bench or an example it would get the features of their dependencies.
    cargo.args(["build", "--quiet", "--locked", "--release", "--bin", FUNCTION]);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(target.join("release").join(FUNCTION)) } else { Err(status.to_string().into()) }
}

/// The folder that Cargo builds in.
pub fn target() -> Result<PathBuf, Box<dyn Error>> {
    let root = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    Ok(env::var_os("CARGO_TARGET_DIR").map_or_else(root, PathBuf::from).canonicalize()?)
}
