//! The outcome of a run on one secret, as the response, the logs and the metrics report it.

use jiff::Timestamp;
use serde::Serialize;

use crate::refresh::{
    check::{Checked, Listed},
    plan::Plan,
    version::Version,
};
use crate::{
    document::{Advertiser, Credentials, Flow, Reduction},
    error::Error,
};

/// The kind of a successful outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// New tokens were redeemed and are current.
    Refreshed,
    /// A person authorized the app, and the tokens of that authorization are current.
    Authorized,
    /// The long-term token works.
    Verified,
    /// The refresh token was rejected, the access token still works.
    Kept,
    /// There was nothing to do.
    Fresh,
    /// Tokens that an earlier run had staged are current.
    Resumed,
    /// Tokens that were put into the secret meanwhile are current.
    Superseded,
    /// Another run is at work.
    InProgress,
    /// Nothing was redeemed or written, as asked.
    DryRun,
}

impl OutcomeKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Refreshed,
        Self::Authorized,
        Self::Verified,
        Self::Kept,
        Self::Fresh,
        Self::Resumed,
        Self::Superseded,
        Self::InProgress,
        Self::DryRun,
    ];

    /// Its name in metrics: in the response it is the same in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refreshed => "Refreshed",
            Self::Authorized => "Authorized",
            Self::Verified => "Verified",
            Self::Kept => "Kept",
            Self::Fresh => "Fresh",
            Self::Resumed => "Resumed",
            Self::Superseded => "Superseded",
            Self::InProgress => "InProgress",
            Self::DryRun => "DryRun",
        }
    }

    /// True if TikTok usually issued or accepted the current access token in a run with this outcome.
    const fn proves_tokens(self) -> bool {
        matches!(self, Self::Refreshed | Self::Authorized | Self::Verified | Self::Kept | Self::Resumed)
    }
}

/// The report of a run on one secret. It never holds a token.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub outcome: OutcomeKind,
    pub flow: Flow,
    /// The version that is AWSCURRENT.
    pub version_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    pub refreshed_at: Option<Timestamp>,
    pub access_token_expires_at: Option<Timestamp>,
    pub refresh_token_expires_at: Option<Timestamp>,
    pub advertisers: usize,
    pub advertisers_added: Vec<String>,
    pub advertisers_removed: Vec<String>,
    /// True if the list is older than the tokens.
    pub advertisers_stale: bool,
    /// True if ids, names or facts that were asked for are missing because the secret would have become too large.
    pub advertisers_reduced: bool,
    /// The reader secrets that were written.
    pub published: Vec<String>,
    pub warnings: Vec<String>,
    /// True if TikTok issued or accepted the current access token in this run.
    #[serde(skip)]
    pub proven: bool,
}

impl Outcome {
    pub(crate) fn new(outcome: OutcomeKind, version: &Version) -> Self {
        let credentials = &version.credentials;
        Self {
            outcome,
            flow: credentials.flow,
            version_id: version.id.clone(),
            plan: None,
            refreshed_at: credentials.refreshed_at,
            access_token_expires_at: credentials.access_token_expires_at,
            refresh_token_expires_at: credentials.refresh_token_expires_at,
            advertisers: credentials.advertisers.len(),
            advertisers_added: Vec::new(),
            advertisers_removed: Vec::new(),
            advertisers_stale: credentials.list_is_stale(),
            advertisers_reduced: false,
            published: Vec::new(),
            warnings: Vec::new(),
            proven: outcome.proves_tokens(),
        }
    }

    /// The same for a run that did not call TikTok.
    pub(crate) fn unproven(self) -> Self {
        Self { proven: false, ..self }
    }

    pub(crate) fn fresh(current: &Version) -> Self {
        Self::new(OutcomeKind::Fresh, current)
    }

    pub(crate) fn superseded(current: &Version) -> Self {
        Self::new(OutcomeKind::Superseded, current).warn(
            "Other tokens were put into the secret meanwhile. They are current, and the tokens of this run are not used.".to_owned(),
        )
    }

    pub(crate) fn in_progress(current: &Version, until: Timestamp) -> Self {
        Self::new(OutcomeKind::InProgress, current)
            .warn(format!("Another run is refreshing this secret. Its claim ends at {until}."))
    }

    pub(crate) fn dry_run(current: &Version, plan: &Plan, checked: Checked) -> Self {
        let outcome = Self { plan: Some(plan.to_string()), ..Self::new(OutcomeKind::DryRun, current) };
        match AdvertiserUpdate::of(&current.credentials, checked) {
            Ok(update) => {
                let listed = update.fetched.as_deref().unwrap_or(&current.credentials.advertisers);
                let advertisers_added = missing_from(&current.credentials.advertisers, listed);
                Self { advertisers_added, ..outcome.with_update(current, current, update) }
            }
            Err(rejection) => outcome.warn(format!("The current access token does not work: {}", rejection.what())),
        }
    }

    pub(crate) fn warn(mut self, warning: String) -> Self {
        self.warnings.push(warning);
        self
    }

    /// Adds the changes of the list between two versions, and the warning of the check.
    pub(crate) fn with_update(mut self, before: &Version, after: &Version, update: AdvertiserUpdate) -> Self {
        let (before, after) = (&before.credentials.advertisers, &after.credentials.advertisers);
        let listed = update.fetched.as_deref().unwrap_or(after);
        self.advertisers = listed.len();
        // A list that was cut to fit is compared as it was stored.
        self.advertisers_added = missing_from(before, after);
        self.advertisers_removed = missing_from(listed, before);
        self.advertisers_reduced = update.left_out;
        // Only the check proves tokens that an earlier run staged.
        self.proven &= update.works || self.outcome != OutcomeKind::Resumed;
        self.warnings.extend(update.warning);
        self
    }

    pub(crate) fn with_reduction(mut self, reduction: Option<Reduction>) -> Self {
        let what = match reduction {
            None => return self,
            Some(Reduction::WithoutInfo) => "their currencies, time zones and statuses were left out".to_owned(),
            Some(Reduction::ToIds) => "their names were left out".to_owned(),
            Some(Reduction::Cut { missing }) => format!("their names and {missing} ids were left out"),
        };
        self.advertisers_reduced = true;
        let all = self.advertisers;
        self.warn(format!("With all {all} advertisers the secret would be larger than Secrets Manager takes: {what}."))
    }
}

fn missing_from(list: &[Advertiser], of: &[Advertiser]) -> Vec<String> {
    // A set, since the lists of an agency have thousands of entries.
    let known: std::collections::HashSet<_> = list.iter().map(|advertiser| &advertiser.id).collect();
    of.iter().filter(|advertiser| !known.contains(&advertiser.id)).map(|advertiser| advertiser.id.clone()).collect()
}

/// The advertiser list after a check.
#[derive(Default)]
pub(crate) struct AdvertiserUpdate {
    /// The list to write; `None` if the old one stays.
    pub fetched: Option<Vec<Advertiser>>,
    pub warning: Option<String>,
    /// True if facts about the advertisers were not asked for, because they would not fit into the secret.
    pub left_out: bool,
    /// True if TikTok accepted the access token.
    works: bool,
}

impl AdvertiserUpdate {
    /// The list after a check of a token that was refreshed or verified.
    ///
    /// # Errors
    /// TikTok's rejection of the token.
    pub fn of(before: &Credentials, checked: Checked) -> Result<Self, Error> {
        match checked {
            Checked::Unknown(error) if before.flow == Flow::TtUser => {
                let warning = format!("The access token could not be checked: {}", error.what());
                Ok(Self { warning: Some(warning), ..Self::default() })
            }
            Checked::Works(listed) if listed.advertisers.is_empty() && !before.advertisers.is_empty() => {
                Ok(Self::works(
                    None,
                    "TikTok listed no advertisers, and the old list was kept. If there are none, remove 'advertisers' and 'advertiser_ids' from the secret.",
                ))
            }
            checked => Self::of_check(checked),
        }
    }

    /// The list after a check of a new authorization, which replaces the earlier list. `granted` are the advertisers that
    /// TikTok's answer to the auth code names, if any.
    ///
    /// # Errors
    /// TikTok's rejection of the token.
    pub fn of_authorization(checked: Checked, granted: Option<Vec<Advertiser>>) -> Result<Self, Error> {
        match (checked, granted) {
            (Checked::Works(listed), None) if listed.advertisers.is_empty() => Ok(Self::works(
                Some(Vec::new()),
                "The authorization has no advertisers, so the list is empty now. Authorize the app again, and tick the accounts that the jobs read.",
            )),
            (Checked::Works(listed), Some(granted)) if listed.advertisers.is_empty() => Ok(Self::works(
                Some(granted),
                "TikTok listed no advertisers, although the authorization names some. The list holds those.",
            )),
            (Checked::Unknown(error), Some(granted)) => {
                Ok(Self { fetched: Some(granted), ..Self::unknown(&error, "so new ones have no names yet") })
            }
            (checked, _) => Self::of_check(checked),
        }
    }

    fn of_check(checked: Checked) -> Result<Self, Error> {
        match checked {
            Checked::Rejected(error) => Err(error),
            Checked::Proven => Ok(Self { works: true, ..Self::default() }),
            Checked::Works(Listed { advertisers, warning, left_out }) => {
                Ok(Self { fetched: Some(advertisers), warning, left_out, works: true })
            }
            Checked::Unknown(error) => Ok(Self::unknown(&error, "and the old list was kept")),
        }
    }

    fn works(fetched: Option<Vec<Advertiser>>, warning: &str) -> Self {
        Self { fetched, warning: Some(warning.to_owned()), left_out: false, works: true }
    }

    fn unknown(error: &Error, consequence: &str) -> Self {
        let warning = format!("The advertisers could not be listed, {consequence}: {}", error.what());
        Self { fetched: None, warning: Some(warning), left_out: false, works: false }
    }
}
