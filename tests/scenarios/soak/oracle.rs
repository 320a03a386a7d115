//! The checks after every turn.

use std::time::Duration;

use tiktok_token_refresh::{error::Kind, transport::Label};

use super::{
    life::Case,
    trouble::redeem,
    truth::{News, Truth},
    turn::{Errand, Turn},
};
use crate::{
    promises,
    support::{SHORT, only_result, warnings},
};
use stand_ins::{APP_ID, APP_SECRET, Ending, Entry, Invocation, Journal, Outcome, TikTok, World};

/// The endings after which the secret has to be in order.
const WELL: [&str; 7] = ["refreshed", "authorized", "verified", "kept", "fresh", "resumed", "superseded"];
/// Errors that no failure of the network, TikTok or AWS may cause.
const NEVER: [Kind; 5] =
    [Kind::InvalidEvent, Kind::InvalidConfiguration, Kind::InvalidSecret, Kind::SecretNotFound, Kind::PartialFailure];
/// Faults after which an answer that was given has not arrived.
const SPOILS: [&str; 5] = ["DropAfter", "ResetAfter", "HangAfter", "TruncatedBody", "AnswerAfterApplying"];
/// The faults that do no harm: a person who edits, and answers that take a moment.
const HARMLESS: [&str; 3] = ["RunBefore", "Delay", "SlowBody"];
/// The labels under which new tokens are written, but for those of an authorization, which is sent again when it fails.
const STAGED: [&str; 2] = [Label::Pending.name(), Label::Staged.name()];
/// The longest that a run waits before it tries again to write what must not be lost.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The message of a run about a lost answer.
const LOST: &str = "answer to an earlier attempt was lost";

/// The state before a turn.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// True if staged tokens waited.
    waits: bool,
    /// True if a run that died may be taken to be at work.
    busy: bool,
}

/// A turn, as it was seen from outside.
pub struct Seen<'a> {
    pub turn: &'a Turn,
    pub before: Before,
    pub invocations: &'a [Invocation],
    pub journal: &'a Journal,
    /// True if a refresh was asked for whatever there is.
    pub by_hand: bool,
    /// The person's field, as they left it.
    pub mine: String,
}

impl Seen<'_> {
    /// True if whatever happened is none of the function's business.
    fn is_quiet(&self) -> bool {
        self.journal.iter().filter_map(|entry| entry.fault).all(|fault| HARMLESS.contains(&fault))
    }
}

/// The ending of a turn.
#[derive(Debug, Default)]
pub struct Endings {
    /// Of each process.
    pub names: Vec<String>,
    /// True if one of them ended well.
    pub well: bool,
    pub in_progress: bool,
    /// True if a process died.
    pub died: bool,
    /// The fault that struck in the one moment that cannot be closed, once a run has reported it.
    pub window: Option<String>,
    /// The number of lost answers that cost nothing but another redeem.
    pub in_vain: usize,
    /// True if nothing disturbed the run.
    pub quiet: bool,
}

#[derive(Debug)]
struct Loss {
    why: String,
    is_said: bool,
}

/// The known facts about a secret and its grant.
#[derive(Debug)]
pub struct Oracle {
    case: &'static Case,
    truth: Truth,
    loss: Option<Loss>,
}

type Verdict<T = ()> = Result<T, String>;

fn ensure(holds: bool, what: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(what.into()) }
}

impl Oracle {
    pub fn of(case: &'static Case, world: &World) -> Self {
        let mut truth = Truth::default();
        truth.look(world, case.rotates()).expect("a secret as a person made it");
        Self { case, truth, loss: None }
    }

    pub fn before(&self, busy: bool) -> Before {
        Before { waits: self.truth.waits(), busy }
    }

    /// True if a run has said that only a person can go on.
    pub fn needs_a_person(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| loss.is_said)
    }

    /// True if an earlier run has not come to its end.
    pub fn has_unfinished_work(&self) -> bool {
        self.truth.waits() || self.truth.unstored.is_some()
    }

    /// A person has put the tokens of a new grant into the secret.
    pub fn pasted(&mut self, world: &World) -> Verdict {
        self.truth.look(world, self.case.rotates())?;
        self.loss = None;
        ensure(self.truth.works && self.truth.renews, "what a person has pasted works")
    }

    /// Judges a turn.
    pub fn judge(&mut self, world: &World, seen: &Seen<'_>) -> Verdict<Endings> {
        let news = self.truth.look(world, self.case.rotates())?;
        self.document(seen)?;
        seen.invocations.iter().try_for_each(|invocation| sound(invocation, seen, &world.tiktok.core()))?;
        let broken = promises::always(&world.tiktok.core(), seen.journal);
        ensure(broken.is_empty(), broken.join("; "))?;
        self.redeems(seen, &news)?;
        let mut endings = self.endings(seen)?;
        endings.window = self.losses(seen)?;
        endings.in_vain = if self.case.rotates() { 0 } else { news.unstored };
        self.state(seen, &endings)?;
        Ok(endings)
    }

    /// AWSCURRENT is one complete document, and what is the person's is as they left it.
    fn document(&self, seen: &Seen<'_>) -> Verdict {
        let current = &self.truth.current;
        ensure(current.mine == seen.mine, format!("the person's field is {}, and was {}", current.mine, seen.mine))?;
        ensure(current.app == (APP_ID.to_owned(), APP_SECRET.to_owned()), "the app is another one")
    }

    /// Checks that the requests that redeem a token had to be sent to TikTok.
    fn redeems(&mut self, seen: &Seen<'_>, news: &News) -> Verdict {
        // Where two people ask for a refresh, one run finishes what waits, and the other may find that done.
        let two_ask = seen.turn.races && seen.by_hand;
        let had_to = !seen.before.waits || two_ask || seen.turn.errand == Errand::Authorize;
        ensure(
            news.redeems == 0 || had_to,
            "tokens waited in the secret, and a refresh token was redeemed all the same",
        )?;
        let quiet = seen.is_quiet();
        ensure(news.redeems <= 1 || !quiet || seen.invocations.len() > 1, "one refresh is enough")?;
        if news.unstored > 0 {
            let why =
                why_unstored(seen, self.case).ok_or("TikTok's answer is nowhere, and nothing stood in its way")?;
            if self.truth.lost() {
                self.loss = Some(Loss { why, is_said: false });
            }
        }
        ensure(news.refused == 0 || self.loss.is_some(), "TikTok was sent a refresh token that was used up")
    }

    fn endings(&self, seen: &Seen<'_>) -> Verdict<Endings> {
        let names: Vec<_> = seen.invocations.iter().map(name).collect();
        let is = |wanted: &str| names.iter().any(|name| name == wanted);
        let quiet = seen.is_quiet();
        let (well, in_progress) = (names.iter().any(|name| WELL.contains(&name.as_str())), is("in_progress"));
        let fails = |name: &String| Kind::ALL.iter().any(|kind| kind.name() == name);
        let fails = names.iter().any(fails);
        ensure(!in_progress || seen.before.busy || names.len() > 1, "nobody else is at work")?;
        ensure(!is("crashed") || seen.journal.iter().any(|entry| entry.ending == Ending::Killed), "it died by itself")?;
        let lies = seen.turn.troubles.iter().any(|trouble| trouble.lies);
        let may_end = self.loss.is_some() || lies || seen.turn.errand == Errand::Authorize;
        ensure(!is(Kind::ReauthorizationRequired.name()) || may_end, "the grant is as good as ever")?;
        ensure(!quiet || !fails || self.loss.is_some() || may_end, "nothing disturbed a run that failed")?;
        let is_free = quiet && !seen.before.busy && self.loss.is_none();
        ensure(!is_free || names.len() == 1 || well, "of two runs that nothing disturbed one has to do the work")?;
        let died = is("crashed");
        Ok(Endings { names, well, in_progress, died, quiet, ..Endings::default() })
    }

    /// The run that finds a lost answer reports it. Returns the reason, the first time.
    fn losses(&mut self, seen: &Seen<'_>) -> Verdict<Option<String>> {
        if !self.truth.lost() {
            self.loss = None;
            return Ok(None);
        }
        let Some(loss) = &mut self.loss else {
            return Err("a refresh token was lost, and nothing was in the way".into());
        };
        let says = |invocation: &Invocation| match &invocation.outcome {
            Outcome::Error { error_type, error_message } => {
                error_type == Kind::ReauthorizationRequired.name() && error_message.contains(LOST)
            }
            Outcome::Response(..) => name(invocation) == "kept" && warnings(invocation).contains(LOST),
            _ => false,
        };
        let is_said = seen.invocations.iter().any(says);
        let is_silent = seen.invocations.iter().all(|it| ["in_progress", "status"].contains(&name(it).as_str()));
        let has_to_say = seen.is_quiet() && !is_silent && seen.turn.errand != Errand::Authorize;
        ensure(is_said || !has_to_say, "a refresh token was lost, and the run does not say so")?;
        let first = is_said && !loss.is_said;
        loss.is_said |= is_said;
        Ok(first.then(|| loss.why.clone()))
    }

    /// The secret works, or there is a reason that the next run can do away with or has named.
    fn state(&self, seen: &Seen<'_>, endings: &Endings) -> Verdict {
        let truth = &self.truth;
        let in_order = truth.works && truth.renews && !truth.waits();
        if endings.well {
            let is_said = self.loss.as_ref().is_some_and(|loss| loss.is_said);
            let kept = truth.works && is_said;
            // Of two who ask for a refresh, one may be done before the other begins, which then loses an answer and says so.
            let by_the_other = seen.turn.races && seen.by_hand && is_said;
            return ensure(
                in_order || kept || by_the_other,
                "it ended well, and the secret does not hold the newest tokens",
            );
        }
        if endings.names.iter().any(|name| name == "status") {
            let writes = ["PutSecretValue", "UpdateSecretVersionStage"];
            let wrote = seen.journal.iter().any(|entry| writes.contains(&entry.operation.as_str()));
            return ensure(!wrote, "who looks writes nothing");
        }
        ensure(in_order || self.has_unfinished_work(), "the secret does not work, and nothing is there to mend it")
    }
}

/// The outcome, or the type of the error.
fn name(invocation: &Invocation) -> String {
    match &invocation.outcome {
        Outcome::Response(..) => only_result(invocation)["outcome"].as_str().unwrap_or("status").to_owned(),
        Outcome::Error { error_type, .. } | Outcome::InitError { error_type, .. } => error_type.clone(),
        Outcome::Crashed(_) => "crashed".to_owned(),
        Outcome::TimedOut => "timed out".to_owned(),
    }
}

/// An invocation ends in time, by a name that stays, and shows no secret.
fn sound(invocation: &Invocation, seen: &Seen<'_>, tiktok: &TikTok) -> Verdict {
    let in_time = invocation.duration < SHORT && invocation.outcome != Outcome::TimedOut;
    ensure(in_time, format!("it took {:?}", invocation.duration))?;
    if let Some(error) = invocation.outcome.error_type() {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == error);
        ensure(kind.is_some_and(|kind| !NEVER.contains(&kind)), format!("{error} is no name for this trouble"))?;
    }
    let shown = promises::secrets_are_not_shown(tiktok, invocation);
    ensure(shown.is_empty(), format!("{shown:?} {:?}", seen.turn.errand))?;
    Ok(())
}

/// Why an answer of TikTok's is in no version: the reasons that cannot be removed.
fn why_unstored(seen: &Seen<'_>, case: &Case) -> Option<String> {
    let redeems: Vec<_> = seen.journal.of(redeem(case.flow)).filter(|entry| entry.applied).collect();
    let spoiled = |entry: &&Entry| entry.fault.filter(|fault| SPOILS.contains(fault));
    if let Some(fault) = redeems.iter().find_map(spoiled) {
        return Some(format!("the answer did not arrive: {fault} at {}", redeem(case.flow)));
    }
    let since = &seen.journal[usize::try_from(redeems.last()?.ordinal).expect("a place in the journal") - 1..];
    if let Some(killed) = since.iter().find(|entry| entry.ending == Ending::Killed) {
        let label = STAGED.into_iter().find(|label| killed.detail.contains(label)).unwrap_or_default();
        let at = format!("{} {label}", killed.operation);
        return Some(format!("killed: {} at {}", killed.fault.unwrap_or_default(), at.trim_end()));
    }
    let stages: Vec<_> = since.iter().filter(|entry| STAGED.iter().any(|label| entry.detail.contains(label))).collect();
    let barred = stages.iter().all(|entry| entry.fault.is_some() && !entry.applied);
    let until_the_end = stages.last().is_some_and(|entry| entry.at + LONGEST_PAUSE > SHORT);
    (barred && until_the_end).then(|| "the answer could not be written until the deadline".to_owned())
}
