//! Currency, time zone and status of advertisers, where the deployment asks for them.
//!
//! They are looked up after the new tokens are staged, once, and only while the deadline leaves ample time. A failure is a
//! warning, and the known facts stay.

use std::collections::{HashMap, VecDeque};

use secrecy::SecretString;

use crate::{
    document::{Advertiser, App, Credentials},
    error::{Error, Kind},
};
use crate::{
    refresh::{
        Refresher,
        check::{Checked, Listed},
    },
    transport::{Clock, Step, Store, TikTok},
};

/// The most advertisers that TikTok takes in one request.
const AT_A_TIME: usize = 100;

/// The most advertisers that are looked up. Each takes at least 170 bytes with these facts and its id in the list of ids, so
/// more than 385 do not fit into a secret of 65,536 bytes. This is the next number of whole requests.
const MAX_ADVERTISERS: usize = 4 * AT_A_TIME;

/// The most further requests to find the advertisers that TikTok refuses: enough to halve a hundred down to one.
const MORE_REQUESTS: usize = 14;

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Checks an access token and looks its advertisers up.
    pub(crate) async fn check_and_look_up(&self, app: &App, credentials: &Credentials) -> Checked {
        let checked = self.check(app, credentials).await;
        self.look_up(app, checked, credentials).await
    }

    /// Adds the facts to a list that was fetched with these credentials, if the deployment asks for them. Called only after
    /// new tokens are staged.
    pub(crate) async fn look_up(&self, app: &App, checked: Checked, credentials: &Credentials) -> Checked {
        match (checked, &credentials.access_token) {
            (Checked::Works(listed), Some(token)) if self.run.advertiser_info && !listed.advertisers.is_empty() => {
                let looked_up = self.with_info(app, token, listed, &credentials.advertisers);
                Checked::Works(self.timed(Step::Info, looked_up).await)
            }
            (checked, _) => checked,
        }
    }

    async fn with_info(
        &self,
        app: &App,
        token: &SecretString,
        Listed { advertisers: mut list, warning: before, .. }: Listed,
        known: &[Advertiser],
    ) -> Listed {
        let joined = |warning: Option<String>| {
            let both: Vec<_> = before.iter().cloned().chain(warning).collect();
            (!both.is_empty()).then(|| both.join(" "))
        };
        if list.len() > MAX_ADVERTISERS {
            let warning = format!(
                "Currency, time zone and status of {} advertisers would not fit into the secret, and were not asked for. Set ADVERTISER_INFO to false.",
                list.len()
            );
            return Listed { advertisers: list, warning: joined(Some(warning)), left_out: true };
        }
        let (found, error) = self.info_of(app, token, &list).await;
        let mut found: HashMap<_, _> = found.into_iter().map(|it| (it.id.clone(), it)).collect();
        let missing = list.iter().filter(|advertiser| !found.contains_key(&advertiser.id)).count();
        for advertiser in &mut list {
            let before = || known.iter().find(|it| it.id == advertiser.id).cloned();
            if let Some(it) = found.remove(&advertiser.id).or_else(before) {
                advertiser.info = it.info;
                // The list that proves the token has the say: two sources would take turns in the secret.
                advertiser.name = advertiser.name.take().or(it.name);
            }
        }
        let warning = (missing > 0 || error.is_some()).then(|| {
            let why = error.map_or_else(|| "TikTok's answer left them out.".to_owned(), |error| reason(&error));
            let all = list.len();
            format!("Currency, time zone and status of {missing} of {all} advertisers are as they were before: {why}")
        });
        Listed { advertisers: list, warning: joined(warning), left_out: false }
    }

    /// The facts that TikTok gave in time, and the last error.
    async fn info_of(&self, app: &App, token: &SecretString, list: &[Advertiser]) -> (Vec<Advertiser>, Option<Error>) {
        let (mut found, mut refused) = (Vec::new(), None);
        let ids: Vec<&str> = list.iter().map(|advertiser| advertiser.id.as_str()).collect();
        let ask = async {
            // One request after the other: redeems and checks need the app's rate limit more.
            let mut waiting: VecDeque<Vec<&str>> = ids.chunks(AT_A_TIME).map(<[_]>::to_vec).collect();
            let mut more = MORE_REQUESTS;
            while let Some(ids) = waiting.pop_front() {
                match self.requests().advertiser_info(app, token, &ids).await {
                    Ok(some) => found.extend(some),
                    // One deleted advertiser is enough for a refusal, and the others may still have facts.
                    Err(error) if error.kind() == Kind::TikTokMisconfigured => {
                        let others = others(&ids, &error);
                        if let Some(left) = more.checked_sub(others.len()) {
                            more = left;
                            others.into_iter().rev().for_each(|ids| waiting.push_front(ids));
                        }
                        refused = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let asked = self.requests().within_info_time(app, ask).await;
        (found, asked.err().or(refused))
    }
}

/// The advertisers to look up after a refusal: all but those that it names, or two halves if it names none. None if the
/// refusal is not about advertisers.
fn others<'a>(ids: &[&'a str], refusal: &Error) -> Vec<Vec<&'a str>> {
    let said = refusal.quoted();
    let (named, others): (Vec<&str>, Vec<&str>) = ids.iter().copied().partition(|id| said.contains(id));
    let is_about_advertisers = said.to_ascii_lowercase().contains("advertiser");
    match (named.is_empty(), is_about_advertisers) {
        (false, _) if others.is_empty() => Vec::new(),
        (false, _) => vec![others],
        (true, true) if ids.len() > 1 => ids.chunks(ids.len().div_ceil(2)).map(<[_]>::to_vec).collect(),
        (true, _) => Vec::new(),
    }
}

fn reason(error: &Error) -> String {
    match error.kind() {
        // The check has just shown that the token works, so the advice to authorize again would be wrong.
        Kind::ReauthorizationRequired => error.what().to_owned(),
        _ => error.to_string(),
    }
}
