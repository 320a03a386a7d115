//! A turn: an event and everything that happens around it.

use super::{
    dice::Dice,
    life::{Case, Intensity},
    trouble::Trouble,
};

/// Why the function is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The daily run.
    Slot,
    /// The hourly run.
    IfNeeded,
    /// A refresh by hand.
    Refresh,
    /// A person asks for the status.
    Status,
    /// A person has authorized the app anew.
    Authorize,
}

/// The circumstances that are drawn for a turn.
#[derive(Debug)]
pub struct Turn {
    pub errand: Errand,
    /// True if Lambda starts another sandbox, for reasons of its own.
    pub restarts: bool,
    /// True if a person edits a field of theirs before the run.
    pub edits: bool,
    /// True if a person does so while it is under way.
    pub edits_meanwhile: bool,
    /// True if a second process is given the same event at the same moment.
    pub races: bool,
    /// True if the next event does not wait for the claim of a dead run to expire.
    pub at_once: bool,
    /// True if the person pastes the tokens of a new authorization into the secret.
    pub pastes: bool,
    pub troubles: Vec<Trouble>,
}

impl Turn {
    pub fn draw(mut dice: Dice, case: &Case, intensity: Intensity) -> Self {
        if intensity == Intensity::Calm {
            return Self::quiet(Errand::Refresh);
        }
        let (dice, steady) = (&mut dice, intensity == Intensity::Steady);
        let by_hand = if steady { 60 } else { 10 };
        let errand = match dice.below(100) {
            chance if chance < by_hand => Errand::Refresh,
            0..78 => Errand::Slot,
            78..93 => Errand::IfNeeded,
            93..97 => Errand::Status,
            _ => Errand::Authorize,
        };
        let races = dice.percent(4) && ![Errand::Status, Errand::Authorize].contains(&errand);
        let number = *dice.pick(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 2]);
        let mut troubles: Vec<_> = (0..number).map(|_| Trouble::draw(dice, case.flow, !steady && !races)).collect();
        // A refusal that is not true has to be told from one that is.
        if let Some(lie) = troubles.iter().position(|trouble| trouble.lies) {
            troubles = vec![troubles.swap_remove(lie)];
        }
        Self {
            errand,
            restarts: !steady && dice.percent(4),
            edits: dice.percent(6),
            edits_meanwhile: dice.percent(6),
            races,
            at_once: dice.percent(50),
            pastes: dice.percent(50),
            troubles,
        }
    }

    /// A turn that nothing disturbs.
    pub const fn quiet(errand: Errand) -> Self {
        Self {
            errand,
            restarts: false,
            edits: false,
            edits_meanwhile: false,
            races: false,
            at_once: false,
            pastes: false,
            troubles: Vec::new(),
        }
    }
}
