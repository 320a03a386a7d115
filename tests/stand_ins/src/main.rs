//! Stand-ins for Secrets Manager and TikTok that stay until they are stopped: `cargo run -p stand-ins`.
//!
//! For trying the function by hand under `cargo lambda watch`: every event of the folder `events` succeeds as it is. Prints
//! the variables by which the function finds them, an
//! auth code as a redirect would bring it, then `READY`.

#![allow(clippy::print_stdout, reason = "the variables are for the shell that reads them")]

use std::time::Duration;

use stand_ins::{APP_ID, GrantSpec, World};

fn main() {
    let world = World::of_the_events();
    for (name, value) in world.function_env() {
        println!("{name}={value}");
    }
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), Duration::from_hours(1));
    println!("TIKTOK_AUTH_CODE={code}");
    println!("READY");
    loop {
        std::thread::park();
    }
}
