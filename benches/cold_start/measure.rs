//! One cold start, from nothing to the second refresh.

use std::{error::Error, fs, time::Duration};

use jiff::{SignedDuration, Timestamp};
use stand_ins::{GrantSpec, Journal, World, add_advertisers, secrets_manager::client::new_token};

use crate::{
    authority::Authority,
    contestants::{Contestant, Places},
    lambda::{Bootstrap, Cost, Processor, Sandbox},
    network::Front,
};

/// The first refresh of a secret, by hand.
const BY_HAND: &str = r#"{"action":"refresh"}"#;

/// The circumstances of a start.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    pub name: &'static str,
    pub round_trip: Duration,
    pub processor: Processor,
}

/// The measurements of one start.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub init: Cost,
    /// The first invocation of a process, and one more.
    pub first: Cost,
    pub warm: Cost,
    pub peak_rss_kb: u64,
    /// Of the first invocation.
    pub requests: u64,
    pub connections: u64,
    /// The upper bound of the time in which the first invocation had the only copy of a new refresh token.
    pub window: Duration,
}

/// Instructions, user space alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions {
    pub init: u64,
    pub first: u64,
    pub warm: u64,
}

/// The setting that all starts have in common.
#[derive(Clone, Copy)]
pub struct Setting<'s> {
    pub authority: &'s Authority,
    /// Has refreshed the secret the day before.
    pub function: &'s Contestant,
}

/// Stand-ins behind TLS, with a secret as it is on the usual day: refreshed before, the advertisers known.
struct Stage {
    world: World,
    secrets_manager: Front,
    tiktok: Front,
}

impl Stage {
    fn set(Setting { authority, function }: Setting<'_>, round_trip: Duration) -> Result<Self, Box<dyn Error>> {
        let spec = GrantSpec::default();
        let world = World::with_document(spec.clone(), |document| add_advertisers(document, &spec));
        let plain =
            [world.secrets_manager.address(), world.tiktok.address()].map(|address| format!("http://{address}"));
        Sandbox::start(&bootstrap(function, &world, &plain))?.invoke(BY_HAND, Processor::Whole)?;
        if world.tiktok.core().redeems().len() != 1 {
            return Err("the secret was not refreshed the day before".into());
        }
        let secrets_manager = Front::start(world.secrets_manager.address(), authority.server(), round_trip)?;
        let tiktok = Front::start(world.tiktok.address(), authority.server(), round_trip)?;
        Ok(Self { world, secrets_manager, tiktok })
    }

    /// Lets a day pass since the last refresh: its times lie a day further back in the newest staged version. Returns the
    /// event of the day's schedule.
    fn next_day(&self) -> Result<String, Box<dyn Error>> {
        let mut document = self.world.current();
        for name in ["refreshed_at", "access_token_expires_at", "advertisers_fetched_at"] {
            // What another contestant has written may have no times.
            let Some(time) = document[name].as_str() else { continue };
            document[name] = (time.parse::<Timestamp>()? - SignedDuration::from_hours(24)).to_string().into();
        }
        let (id, labels) = (new_token(), ["AWSCURRENT", "TIKTOK_STAGED"]);
        let mut core = self.world.secrets_manager.core();
        core.put_secret_value(&self.world.secret_id, &id, document.to_string().as_str().into(), &labels)
            .map_err(|error| format!("{error:?}"))?;
        drop(core);
        self.world.faults.reset();
        Ok(format!(r#"{{"action":"refresh","scheduled_time":"{}"}}"#, Timestamp::now()))
    }

    fn bootstrap(&self, contestant: &Contestant) -> Bootstrap {
        let ports = [self.secrets_manager.port(), self.tiktok.port()];
        bootstrap(contestant, &self.world, &ports.map(|port| format!("https://localhost:{port}")))
    }

    fn connections(&self) -> u64 {
        self.secrets_manager.connections() + self.tiktok.connections()
    }
}

fn bootstrap(contestant: &Contestant, world: &World, [aws, tiktok]: &[String; 2]) -> Bootstrap {
    let mut bootstrap = contestant.bootstrap.clone();
    let variables = [
        ("SECRET_ID", world.secret_id.clone()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.clone()),
        ("TIKTOK_API_URL", format!("{tiktok}/open_api/v1.3/")),
    ];
    bootstrap.variables.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    bootstrap
}

/// Starts a contestant cold and invokes it twice.
pub fn sample(contestant: &Contestant, setting: Setting<'_>, conditions: Conditions) -> Result<Sample, Box<dyn Error>> {
    let stage = Stage::set(setting, conditions.round_trip)?;
    let mut sandbox = Sandbox::start(&stage.bootstrap(contestant))?;
    let first = sandbox.invoke(&stage.next_day()?, conditions.processor)?;
    let (journal, connections) = (stage.world.faults.journal(), stage.connections());
    let (requests, window) = (journal.len() as u64, window(&journal));
    let warm = sandbox.invoke(&stage.next_day()?, conditions.processor)?;
    let redeems = stage.world.tiktok.core().redeems().len();
    if contestant.works && redeems != 3 {
        return Err(format!("{} did not redeem in each of two invocations", contestant.name).into());
    }
    Ok(Sample { init: sandbox.init, first, warm, peak_rss_kb: sandbox.peak_rss_kb()?, requests, connections, window })
}

/// From TikTok's taking of the old refresh token to Secrets Manager's taking of the new one: both ends as the servers see
/// them, so that both ways over the line are in it.
fn window(journal: &Journal) -> Duration {
    let redeemed = journal.of("oauth2/refresh_token").next();
    let staged = redeemed.and_then(|redeemed| journal.of("PutSecretValue").find(|put| put.ordinal > redeemed.ordinal));
    redeemed.zip(staged).map_or(Duration::ZERO, |(redeemed, staged)| staged.at.saturating_sub(redeemed.at))
}

/// Counts instructions, under valgrind.
pub fn instructions(
    contestant: &Contestant,
    setting: Setting<'_>,
    places: &Places,
) -> Result<Instructions, Box<dyn Error>> {
    let mut total = [0; 3];
    for (invocations, total) in total.iter_mut().enumerate() {
        *total = count(contestant, setting, places, invocations)?;
    }
    let [init, first, warm] = total;
    Ok(Instructions { init, first: first.saturating_sub(init), warm: warm.saturating_sub(first) })
}

/// The instructions from the start of a process to the end of so many invocations.
fn count(
    contestant: &Contestant,
    setting: Setting<'_>,
    places: &Places,
    invocations: usize,
) -> Result<u64, Box<dyn Error>> {
    let log = places.work.join("cachegrind.log");
    let _ = fs::remove_file(&log);
    let stage = Stage::set(setting, Duration::ZERO)?;
    let mut bootstrap = stage.bootstrap(contestant);
    let valgrind = [
        "/usr/bin/env".to_owned(),
        "valgrind".to_owned(),
        "--tool=cachegrind".to_owned(),
        "--cache-sim=no".to_owned(),
        "--cachegrind-out-file=/dev/null".to_owned(),
        format!("--log-file={}", log.display()),
    ];
    bootstrap.command.splice(0..0, valgrind);
    let mut sandbox = Sandbox::start(&bootstrap)?;
    for _ in 0..invocations {
        sandbox.invoke(&stage.next_day()?, Processor::Whole)?;
    }
    sandbox.terminate()?;
    let log = fs::read_to_string(&log)?;
    let line = log.lines().find_map(|line| line.split_once("refs:")).ok_or("valgrind counted nothing")?;
    Ok(line.1.trim().replace(',', "").parse()?)
}
