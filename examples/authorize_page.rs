//! The authorization in a browser, on this machine: `cargo run --example authorize_page`.
//!
//! Prints a link to a stand-in of TikTok's consent page. After the consent the browser opens the function's own page.
//! Enter prints another link, and the end of the input stops the program.

#![allow(clippy::print_stdout, reason = "the links are for whoever reads them")]

use std::{
    io::{BufRead, stdin},
    process::ExitCode,
    sync::Arc,
};

use serde_json::json;
use stand_ins::{APP_ID, FunctionUrl, GrantSpec, World, build_function, tiktok::Advertiser};

fn main() -> ExitCode {
    println!("Building the function, about ten seconds on two cores if it is not built yet…");
    let binary = match build_function("authorize_page") {
        Ok(binary) => binary,
        Err(error) => {
            println!("The function could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let world = World::start();
    world.tiktok.core().choices.extend(choices());
    let function = Arc::new(world.function(&binary));
    let url = FunctionUrl::start(Arc::clone(&function));
    let redirect_uri = format!("{}callback", url.url());
    world.tiktok.core().add_redirect(APP_ID, &redirect_uri);
    println!("Open the link in a browser. Enter makes another one.");
    let mut lines = stdin().lock().lines();
    loop {
        let event = json!({"action": "authorize_url", "redirect_uri": redirect_uri});
        let invocation = function.run_blocking(event);
        println!("{}", invocation.outcome.response()["results"][0]["authorize_url"].as_str().unwrap_or_default());
        if !matches!(lines.next(), Some(Ok(_))) {
            return ExitCode::SUCCESS;
        }
    }
}

/// Returns the choices on the consent page.
fn choices() -> Vec<(String, GrantSpec)> {
    let with = |advertisers| GrantSpec { advertisers, ..GrantSpec::default() };
    let id = |n: u64| format!("{}", 7_000_000_000_000_000_001 + n);
    let many = (0..60).map(|n| Advertiser::new(&id(n), &format!("Advertiser number {}", n + 1))).collect();
    let hostile = [
        "<script>document.title = 'script ran'</script>",
        "<img src=x onerror=\"document.title = 'handler ran'\">",
        "</style><style>body { display: none }</style>",
        "&lt;b&gt;\"quoted\" & 'quoted'",
        "\u{202e}written from right to left",
    ];
    let hostile = (0..).zip(hostile).map(|(n, name)| Advertiser::new(&id(n), name)).collect();
    vec![
        ("Sixty advertisers".to_owned(), with(many)),
        ("Advertisers with markup in their names".to_owned(), with(hostile)),
        ("No advertisers".to_owned(), with(Vec::new())),
    ]
}
