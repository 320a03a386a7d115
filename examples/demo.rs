//! Four runs of the function against stand-ins: `cargo run --example demo`.
//!
//! Starts stand-ins for Secrets Manager, TikTok and Lambda on loopback, runs the function's binary, and prints each
//! event, request and answer. Needs neither an AWS account nor a TikTok account. Exits with an error if a promise is
//! broken.

#![allow(clippy::print_stdout, reason = "showing is what a demonstration is for")]

use std::{env, io::IsTerminal, process::ExitCode};

use serde_json::{Value, json};
use stand_ins::{Fault, Function, Invocation, Outcome, When, World, build_function};

fn main() -> ExitCode {
    println!("Building the function, about ten seconds on two cores if it is not built yet…");
    let binary = match build_function("demo") {
        Ok(binary) => binary,
        Err(error) => {
            println!("The function could not be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let world = World::start();
    let function = world.function(&binary);
    let mut show = Show::new();
    show.title("tiktok-token-refresh against stand-ins on this machine");
    line(&format!("Secrets Manager at {}", world.secrets_manager.url()));
    line(&format!("TikTok          at {}", world.tiktok.url()));
    the_schedule_fires(&world, &function, &mut show);
    the_schedule_fires_again(&world, &function, &mut show);
    the_process_dies(&world, &function, &mut show);
    the_grant_is_revoked(&world, &function, &mut show);
    show.verdict()
}

/// The event of EventBridge Scheduler for the current time.
fn slot() -> Value {
    json!({"action": "refresh", "scheduled_time": jiff::Timestamp::now().to_string()})
}

fn the_schedule_fires(world: &World, function: &Function, show: &mut Show) {
    show.title("1  The schedule fires. The secret holds what a person pasted in.");
    show_secret("before", world);
    let pasted = token(world, "refresh_token");
    show.invoke(world, function, &slot());
    show_secret("after", world);
    show.promise("the access token in the secret works", works(world));
    show.promise("the advertisers are there", world_field(world, "advertiser_ids").as_array().map(Vec::len) == Some(2));
    show.promise("the refresh token was redeemed once", world.tiktok.core().redeem_count_of(&pasted) == 1);
}

fn the_schedule_fires_again(world: &World, function: &Function, show: &mut Show) {
    show.title("2  The same event comes twice: EventBridge delivers at least once.");
    let refreshed_at = world_field(world, "refreshed_at");
    let again = json!({"action": "refresh", "scheduled_time": refreshed_at});
    let redeems = world.tiktok.core().redeems().len();
    let invocation = show.invoke(world, function, &again);
    show.promise("the secret was fresh already", outcome(&invocation) == "fresh");
    show.promise("nothing was redeemed", world.tiktok.core().redeems().len() == redeems);
}

fn the_process_dies(world: &World, function: &Function, show: &mut Show) {
    show.title("3  The next day. The process dies right after TikTok's answer was staged.");
    let redeems = world.tiktok.core().redeems().len();
    world.faults.at(When::operation("PutSecretValue").detail("TIKTOK_STAGED"), Fault::KillAfter);
    let invocation = show.invoke(world, function, &json!({"action": "refresh"}));
    show.promise("the process is dead", matches!(invocation.outcome, Outcome::Crashed(_)));
    show.promise("TikTok has retired the token that AWSCURRENT still holds", !works(world));
    line("Lambda tries again a minute later:");
    let invocation = show.invoke(world, function, &json!({"action": "refresh", "if_needed": true}));
    show_secret("after", world);
    show.promise("the run went on with the staged tokens", outcome(&invocation) == "resumed");
    show.promise("nothing was redeemed twice", world.tiktok.core().redeems().len() == redeems + 1);
    show.promise("the access token in the secret works", works(world));
}

fn the_grant_is_revoked(world: &World, function: &Function, show: &mut Show) {
    show.title("4  The advertiser withdraws the consent: both tokens are dead, and only a person can help.");
    world.tiktok.core().revoke(world.grant);
    let before = world.document("AWSCURRENT");
    let invocation = show.invoke(world, function, &json!({"action": "refresh"}));
    show.promise("the invocation failed", invocation.outcome.error_type() == Some("ReauthorizationRequired"));
    show.promise("the secret is as it was", world.document("AWSCURRENT") == before);
}

fn world_field(world: &World, name: &str) -> Value {
    world.document("AWSCURRENT").map(|document| document[name].clone()).unwrap_or_default()
}

fn token(world: &World, name: &str) -> String {
    world_field(world, name).as_str().unwrap_or_default().to_owned()
}

fn works(world: &World) -> bool {
    let token = token(world, "access_token");
    world.tiktok.core().is_alive(&token)
}

fn outcome(invocation: &Invocation) -> String {
    match &invocation.outcome {
        Outcome::Response(response, _) => response["results"][0]["outcome"].as_str().unwrap_or_default().to_owned(),
        Outcome::Error { error_type, .. } | Outcome::InitError { error_type, .. } => error_type.clone(),
        Outcome::Crashed(status) => format!("the process ended: {status}"),
        Outcome::TimedOut => "timed out".to_owned(),
    }
}

/// Prints to the terminal, in color if it has colors, and counts broken promises.
struct Show {
    color: bool,
    kept: u32,
    broken: u32,
    /// The number of requests printed so far.
    shown: usize,
}

impl Show {
    fn new() -> Self {
        let color = std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { color, kept: 0, broken: 0, shown: 0 }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// Invokes the function and prints the event, its requests and its answer.
    fn invoke(&mut self, world: &World, function: &Function, event: &Value) -> Invocation {
        line(&format!("event    {event}"));
        let invocation = function.run_blocking(event.clone());
        let journal = world.faults.journal();
        for entry in &journal[self.shown..] {
            let fault = entry.fault.map(|fault| self.paint("31", &format!("  ✗ {fault}"))).unwrap_or_default();
            let detail = entry.detail.strip_prefix(world.secret_id.as_str()).unwrap_or(&entry.detail).trim();
            let ending = format!("{:<7}", entry.ending.to_string());
            let row = format!("{:<15} {:<28} {ending} {detail}", entry.service.to_string(), entry.operation);
            line(&format!("  {}{fault}", self.paint("2", &row)));
        }
        self.shown = journal.len();
        let answer = match &invocation.outcome {
            Outcome::Error { error_type, error_message } => self.paint("33", &format!("{error_type}: {error_message}")),
            Outcome::Response(..) => self.paint("36", &outcome(&invocation)),
            _ => self.paint("31", &outcome(&invocation)),
        };
        line(&format!("answer   {answer}"));
        invocation
    }

    fn promise(&mut self, what: &str, kept: bool) {
        let mark = if kept { self.paint("32", "✓") } else { self.paint("1;31", "✗ BROKEN:") };
        line(&format!("{mark} {what}"));
        *(if kept { &mut self.kept } else { &mut self.broken }) += 1;
    }

    fn verdict(&self) -> ExitCode {
        let Self { kept, broken, .. } = self;
        self.title(&format!("{kept} promises kept, {broken} broken"));
        if *broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Prints the fields of the secret, with tokens masked.
fn show_secret(when: &str, world: &World) {
    let document = world.document("AWSCURRENT").unwrap_or_default();
    for (index, (name, value)) in document.as_object().into_iter().flatten().enumerate() {
        let value = match (name.as_str(), value) {
            ("access_token" | "refresh_token" | "secret", Value::String(secret)) => masked(secret),
            ("_refresh", _) => "{…}".to_owned(),
            _ => value.to_string(),
        };
        let label = if index == 0 { when } else { "" };
        line(&format!("{label:<8} {name:<26} {value}"));
    }
}

fn line(text: &str) {
    println!("   {text}");
}

/// Shows the last four characters, which is enough to see that a token changed.
fn masked(secret: &str) -> String {
    let shown: String = secret.chars().skip(secret.chars().count().saturating_sub(4)).collect();
    format!("********{shown}")
}
