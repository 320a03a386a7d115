//! The failures of a turn.

use std::time::Duration;

use super::dice::Dice;
use crate::support::{CLAIM, STAGE};
use stand_ins::{Fault, Flow, When};

/// The requests whose answers get lost: the labels tell the writes apart.
const AWS: [(&str, &str); 5] = [
    ("GetSecretValue", "AWSCURRENT"),
    ("ListSecretVersionIds", ""),
    ("PutSecretValue", CLAIM),
    ("PutSecretValue", STAGE),
    ("UpdateSecretVersionStage", ""),
];
const LIST: &str = "oauth2/advertiser/get";
/// The requests of an undisturbed refresh, and a few that failures add.
const REQUESTS: u64 = 10;

/// A fault, and which requests it strikes.
#[derive(Debug)]
pub struct Trouble {
    pub when: When,
    pub fault: Fault,
    /// A refusal that is not true. What follows from it is right, and looks like the end of a grant.
    pub lies: bool,
}

/// The endpoint at which a grant's refresh token is redeemed.
pub const fn redeem(flow: Flow) -> &'static str {
    match flow {
        Flow::Business => "oauth2/refresh_token",
        Flow::TtUser => "tt_user/oauth2/refresh_token",
    }
}

impl Trouble {
    /// One fault. A process that is to live long is not killed.
    pub fn draw(dice: &mut Dice, flow: Flow, kills: bool) -> Self {
        let (when, fault, lies) = match dice.below(100) {
            0..50 => (When::any().nth(1 + dice.below(REQUESTS)), on_the_wire(dice, kills), false),
            50..60 => (When::operation(redeem(flow)), on_the_wire(dice, kills), false),
            60..80 => {
                let (operation, detail) = dice.pick(&AWS);
                (When::operation(operation).detail(detail), of_aws(dice), false)
            }
            80..88 => (When::operation(redeem(flow)), of_tiktok(dice), false),
            88..96 => (When::operation(LIST), of_tiktok(dice), false),
            96..98 => (When::operation(redeem(flow)), Fault::tiktok(40107, "Refresh token is invalid."), true),
            _ => (When::operation(LIST), Fault::tiktok(40105, "Access token is incorrect."), true),
        };
        // Time is all that these cost, and it must not be all that there is.
        let waits = matches!(fault, Fault::Hang | Fault::HangAfter | Fault::Delay(_) | Fault::SlowBody(_));
        let when = match dice.below(100) {
            _ if waits => when,
            0..75 => when,
            75..99 => when.times(2 + dice.below(3)),
            // Until the deadline.
            _ => when.always(),
        };
        Self { when, fault, lies }
    }
}

fn on_the_wire(dice: &mut Dice, kills: bool) -> Fault {
    let moment = Duration::from_millis(dice.below(300));
    if kills && dice.percent(15) {
        return if dice.percent(50) { Fault::KillBefore } else { Fault::KillAfter };
    }
    // Each that hangs costs the seconds for which an answer is waited for.
    if dice.percent(3) {
        return if dice.percent(50) { Fault::Hang } else { Fault::HangAfter };
    }
    let faults = [
        Fault::Delay(moment),
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::TruncatedBody,
        Fault::SlowBody(moment),
        Fault::Garbage,
        Fault::WrongContentType,
    ];
    dice.pick(&faults).clone()
}

fn of_aws(dice: &mut Dice) -> Fault {
    let html = Fault::answer(503, "text/html", "<html>Service Unavailable</html>");
    let internal = Fault::aws_error(500, "InternalServiceError", "An error occurred on the server side.");
    let faults = [
        Fault::aws_error(400, "ThrottlingException", "Rate exceeded"),
        Fault::aws_error(400, "AccessDeniedException", "User is not authorized to perform this"),
        Fault::aws_error(400, "DecryptionFailure", "Secrets Manager can't decrypt the protected secret text."),
        html.clone(),
        html.after_applying(),
        internal.clone(),
        internal.after_applying(),
    ];
    dice.pick(&faults).clone()
}

fn of_tiktok(dice: &mut Dice) -> Fault {
    let html = Fault::answer(502, "text/html", "<html>Bad Gateway</html>");
    let busy = Fault::tiktok(50000, "Internal error.");
    let faults = [
        Fault::tiktok(40100, "Requests made too frequently."),
        Fault::tiktok(40002, "A field is invalid."),
        html.clone(),
        html.after_applying(),
        busy.clone(),
        busy.after_applying(),
    ];
    dice.pick(&faults).clone()
}
