//! Stand-ins for Secrets Manager and TikTok that stay until they are stopped: `cargo run --example stand_ins`.
//!
//! For trying the function by hand under `cargo lambda watch`. Prints the variables by which the function finds them, then
//! `READY`.

#![allow(clippy::print_stdout, reason = "the variables are for the shell that reads them")]

#[path = "../tests/stand_ins/mod.rs"]
mod stand_ins;

use stand_ins::World;

fn main() {
    let world = World::start();
    for (name, value) in world.function_env() {
        println!("{name}={value}");
    }
    println!("READY");
    loop {
        std::thread::park();
    }
}
