//! What TikTok tells of advertisers beside their names: wanted by some, and never worth a token.
//!
//! It is asked for when the new tokens are staged already, once, for as long as the deadline leaves ample room. Whatever
//! goes wrong costs a warning: what was known before stays.

use std::collections::HashMap;

use secrecy::SecretString;

use super::{
    Clock, Cycle, Store, TikTok,
    attempts::Request,
    check::{Checked, Listed},
    trace::Step,
};
use crate::{
    document::{Advertiser, App, Credentials},
    error::{Error, Kind},
};

/// How many advertisers TikTok takes in one request.
const AT_A_TIME: usize = 100;

/// With more advertisers nothing is asked. An advertiser takes at least 170 bytes with these facts, its id in the list of
/// ids included, so those of more than 385 do not fit into a secret of 65,536. This is the next number of whole requests.
const MAX_ADVERTISERS: usize = 4 * AT_A_TIME;

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Checks an access token, and looks its advertisers up.
    pub(super) async fn check_and_look_up(&self, app: &App, credentials: &Credentials) -> Checked {
        let checked = self.check(app, credentials).await;
        self.look_up(app, checked, credentials).await
    }

    /// Adds to a list that was fetched with these credentials what TikTok tells of its advertisers, if the deployment wants
    /// that. Not to be called while tokens wait to be staged.
    pub(super) async fn look_up(&self, app: &App, checked: Checked, credentials: &Credentials) -> Checked {
        match (checked, &credentials.access_token) {
            (Checked::Works(listed), Some(token)) if self.run.advertiser_info && !listed.advertisers.is_empty() => {
                let looked_up = self.with_info(app, token, listed.advertisers, &credentials.advertisers);
                Checked::Works(self.timed(Step::Info, looked_up).await)
            }
            (checked, _) => checked,
        }
    }

    async fn with_info(
        &self,
        app: &App,
        token: &SecretString,
        mut list: Vec<Advertiser>,
        known: &[Advertiser],
    ) -> Listed {
        if list.len() > MAX_ADVERTISERS {
            let warning = format!(
                "Currency, time zone and status of {} advertisers would not fit into the secret, and were not asked for. Set ADVERTISER_INFO to false.",
                list.len()
            );
            return Listed { advertisers: list, warning: Some(warning), left_out: true };
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
        Listed { advertisers: list, warning, left_out: false }
    }

    /// What TikTok tells before it takes too long, and the last error that kept it from telling more.
    async fn info_of(&self, app: &App, token: &SecretString, list: &[Advertiser]) -> (Vec<Advertiser>, Option<Error>) {
        let request = Request::info(Step::Info, app);
        let (mut found, mut refused) = (Vec::new(), None);
        let ids: Vec<&str> = list.iter().map(|advertiser| advertiser.id.as_str()).collect();
        let ask = async {
            // One request after the other: the app's limit by the second is for what matters more.
            for ids in ids.chunks(AT_A_TIME) {
                self.attempts().turn(request).await?;
                let asked_at = self.clock.now();
                let answer = self.tiktok.advertiser_info(token, ids).await;
                match answer.inspect_err(|error| _ = self.attempts().note(request, error, asked_at)) {
                    Ok(some) => found.extend(some),
                    // One deleted advertiser is enough for a refusal; the next hundred may be told about.
                    Err(error) if error.kind() == Kind::TikTokMisconfigured => refused = Some(error),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let asked = self.attempts().once(request, ask).await;
        (found, asked.err().or(refused))
    }
}

fn reason(error: &Error) -> String {
    match error.kind() {
        // The check has just shown that the token works, so nobody needs to authorise anything.
        Kind::ReauthorizationRequired => error.what().to_owned(),
        _ => error.to_string(),
    }
}
