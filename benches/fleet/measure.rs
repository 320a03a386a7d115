//! One fleet, refreshed twice: when everything is due, and when nothing is.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    path::Path,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use nix::{time::clock_getcpuclockid, unistd::Pid};
use serde_json::{Value, json};
use stand_ins::{
    APP_ID, Fault, Function, FunctionConfig, GrantSpec, Invocation, Limit, Outcome, Service, When, World,
    add_advertisers,
    secrets_manager::{AWSCURRENT, Body},
};

use crate::cases::{Case, LONGEST, Limits};

const TAG: &str = "fleet=ads";
const REDEEM: &str = "oauth2/refresh_token";
const LIST: &str = "oauth2/advertiser/get";
const PROMOTE: &str = "UpdateSecretVersionStage";

/// Secrets Manager answers in tens of milliseconds within a region, TikTok in hundreds.
const AWS_LATENCY: Duration = Duration::from_millis(20);
const TIKTOK_LATENCY: Duration = Duration::from_millis(300);

/// The limits of TikTok for an app by default, in a second and in a minute, and the limit of AWS for an account.
const TIKTOK_PER_SECOND: usize = 10;
const TIKTOK_PER_MINUTE: Limit = Limit { requests: 600, window: Duration::from_mins(1), pause: Duration::from_mins(5) };
const AWS_WRITES_PER_SECOND: usize = 50;

/// The measurements of one fleet.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When everything was due.
    pub first: Pass,
    /// When nothing was. None if that time did not come: some were skipped, or fail.
    pub again: Option<Pass>,
    /// The number of secrets that hold a new and working token after the first pass.
    pub refreshed: usize,
    /// When the last of them had it.
    pub last_refresh: Duration,
    /// The greatest number of requests to TikTok, and of writes to Secrets Manager, in any one second.
    pub most: [usize; 2],
    /// The number of requests that a limit refused.
    pub refused: u64,
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Pass {
    pub wall: Duration,
    /// Processor time; the start of the process is in the first pass's.
    pub cpu: Duration,
    /// The most memory that the process ever held.
    pub peak_kb: u64,
    pub requests: BTreeMap<String, usize>,
    /// Requests to TikTok.
    pub tiktok: usize,
    /// Connections that a request came over, to both services.
    pub connections: usize,
    pub log_bytes: usize,
    /// The ending of the invocation, in a word.
    pub ending: String,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, again, refreshed, refused, .. } = self;
        let wall = first.wall.as_secs_f64();
        write!(f, "{refreshed} refreshed in {wall:.2} s ({}), {refused} refused", first.ending)?;
        let fresh = |again: &Pass| write!(f, "; again in {:.2} s", again.wall.as_secs_f64());
        again.as_ref().map_or(Ok(()), fresh)
    }
}

/// Sets a fleet up, lets the function refresh it in a process of its own, and once more.
pub fn sample(bootstrap: &Path, case: &Case) -> Result<Sample, Box<dyn Error>> {
    let world = refreshed_before(bootstrap, case)?;
    let before = tokens(&world);
    prepare(&world, case);
    let function = start(bootstrap, &world, case.limits);
    let first = pass(&world, &function, case, Duration::ZERO)?;
    let last_refresh = world.faults.journal().of(PROMOTE).filter(|entry| entry.applied).map(|entry| entry.at).max();
    let refreshed = refreshed(&world, &before);
    if refreshed + case.failing < case.secrets && first.wall + Duration::from_secs(30) < case.timeout {
        return Err(format!("{refreshed} were refreshed, and there was time for more: {}", first.ending).into());
    }
    let again = (refreshed == case.secrets).then(|| pass(&world, &function, case, first.cpu)).transpose()?;
    let (tiktok, aws) = (world.tiktok.core(), world.secrets_manager.core());
    let (tiktok, aws) = (tiktok.rate_of(APP_ID), aws.write_rate());
    Ok(Sample {
        first,
        again,
        refreshed,
        last_refresh: last_refresh.unwrap_or_default(),
        most: [tiktok.greatest, aws.greatest],
        refused: tiktok.refused + aws.refused,
    })
}

/// A fleet as it is on the usual day: the function has refreshed it before, and the advertisers are known.
fn refreshed_before(bootstrap: &Path, case: &Case) -> Result<World, Box<dyn Error>> {
    let usual = Case { limits: Limits::Lifted, timeout: LONGEST, failing: 0, ..*case };
    let spec = GrantSpec::default();
    let world = World::fleet_with_documents(case.secrets, TAG, 1, &spec, |document| add_advertisers(document, &spec));
    let before = tokens(&world);
    let function = start(bootstrap, &world, usual.limits);
    pass(&world, &function, &usual, Duration::ZERO)?;
    if refreshed(&world, &before) < case.secrets {
        return Err("the fleet was not refreshed the day before".into());
    }
    a_day_passes(&world);
    world.tiktok.core().count_anew();
    world.secrets_manager.core().count_anew();
    Ok(world)
}

fn start(bootstrap: &Path, world: &World, limits: Limits) -> Function {
    let mut variables = world.function_env();
    if limits == Limits::Lifted {
        let lifted = ["TIKTOK_REQUESTS_PER_SECOND", "SECRETS_MANAGER_WRITES_PER_SECOND"];
        variables.extend(lifted.map(|name| (name.to_owned(), "1000000".to_owned())));
    }
    Function::start(FunctionConfig::new(bootstrap, variables))
}

/// Moves the time at which tokens were refreshed back to the scheduled time of the day before: tokens of this minute are
/// due for nothing, and TikTok's rejection of them is not believed at once.
fn a_day_passes(world: &World) {
    let at = Timestamp::now() - SignedDuration::from_hours(24);
    let aged = |body: &str| {
        let mut document: Value = serde_json::from_str(body).ok()?;
        *document.get_mut("refreshed_at")? = at.strftime("%FT%TZ").to_string().into();
        Some(document.to_string())
    };
    for member in &world.members {
        world.secrets_manager.core().rewrite(&member.secret_id, aged);
    }
}

/// Makes secrets fail, and lets the services be as the case wants them.
fn prepare(world: &World, case: &Case) {
    for (number, member) in world.members.iter().step_by(case.secrets / case.failing.max(1)).enumerate() {
        match number {
            number if number >= case.failing => break,
            number if number % 2 == 0 => {
                let its_own = format!("grant {} refresh", member.grant);
                world.faults.at(When::operation(REDEEM).detail(&its_own).always(), Fault::Hang);
            }
            _ => world.tiktok.core().revoke(member.grant),
        }
    }
    if case.limits == Limits::Kept {
        let mut tiktok = world.tiktok.core();
        tiktok.set_rate_limit(Some(TIKTOK_PER_SECOND));
        tiktok.set_minute_limit(Some(TIKTOK_PER_MINUTE));
        world.secrets_manager.core().set_write_quota(Some(AWS_WRITES_PER_SECOND));
        let aws = ["ListSecrets", "BatchGetSecretValue", "DescribeSecret", "GetSecretValue", "PutSecretValue", PROMOTE];
        for (operations, latency) in [(&aws[..], AWS_LATENCY), (&[REDEEM, LIST][..], TIKTOK_LATENCY)] {
            for operation in operations {
                world.faults.at(When::operation(operation).always(), Fault::Delay(latency));
            }
        }
    }
}

fn pass(world: &World, function: &Function, case: &Case, used: Duration) -> Result<Pass, Box<dyn Error>> {
    world.faults.reset();
    let slot = Timestamp::now() - SignedDuration::from_hours(1);
    let event = json!({"action": "refresh", "scheduled_time": slot.to_string()});
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let Invocation { outcome, logs, duration, peak_rss_kb, .. } =
        runtime.block_on(function.invoke(event, case.timeout));
    let ending = match outcome {
        Outcome::Response(..) => "Response".to_owned(),
        Outcome::Error { error_type, .. } if case.failing > 0 || duration > case.timeout / 2 => error_type,
        Outcome::Error { error_type, error_message } => {
            return Err(format!("{error_type}: {}", error_message.chars().take(500).collect::<String>()).into());
        }
        other => return Err(format!("the function ended badly: {other:?}").into()),
    };
    let journal = world.faults.journal();
    let mut requests = BTreeMap::new();
    for entry in journal.iter() {
        *requests.entry(entry.operation.clone()).or_default() += 1;
    }
    let pid = function.pid().ok_or("the function has gone away")?;
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(Pass {
        wall: duration,
        cpu: Duration::from(clock.now()?).saturating_sub(used),
        peak_kb: peak_rss_kb.ok_or("Linux tells no peak")?,
        requests,
        tiktok: journal.iter().filter(|entry| entry.service == Service::TikTok).count(),
        connections: journal.iter().map(|entry| (entry.service, entry.connection)).collect::<BTreeSet<_>>().len(),
        log_bytes: logs.iter().map(|line| line.len() + 1).sum(),
        ending,
    })
}

/// The access token that each secret gives to who reads it.
fn tokens(world: &World) -> Vec<String> {
    let core = world.secrets_manager.core();
    let token = |secret_id: &str| {
        let version = core.labeled(secret_id, AWSCURRENT)?;
        let document: Value = serde_json::from_str(version.body.as_ref().and_then(Body::as_str)?).ok()?;
        Some(document["access_token"].as_str()?.to_owned())
    };
    world.members.iter().map(|member| token(&member.secret_id).unwrap_or_default()).collect()
}

/// Returns the number of secrets that hold another token than before, and one that works.
fn refreshed(world: &World, before: &[String]) -> usize {
    let (now, tiktok) = (tokens(world), world.tiktok.core());
    now.iter().zip(before).filter(|(now, before)| now != before && tiktok.is_alive(now)).count()
}
