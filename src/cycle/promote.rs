use std::time::Duration;

use super::{
    Clock, Cycle, Moved, Store, TikTok,
    read::{Snapshot, Version},
    trace::Step,
};
use crate::{
    document::{Change, Document, Reduction, fit},
    error::{Error, Kind},
};

/// The wait before AWSCURRENT is looked at again when a conflict was reported and the read shows none: reads lag writes.
const READ_LAG: Duration = Duration::from_millis(200);

/// How often that is waited for: reads lag by moments, and not by ten seconds.
const MAX_LAGS: u32 = 50;

/// Where AWSCURRENT ended up.
#[derive(Debug)]
pub(super) enum Promoted {
    /// On a version that holds what this run has to say.
    Ours { version: Version, reduction: Option<Reduction> },
    /// On tokens that somebody else put there meanwhile.
    Theirs(Version),
}

impl<S: Store, T: TikTok, C: Clock> Cycle<'_, S, T, C> {
    /// Makes AWSCURRENT hold a change, by compare-and-swap from the version that the change was made for.
    ///
    /// `staged` is promoted as it is where it is just what the change makes of the current version. Otherwise the change is
    /// rebased: applied to what is current by now, and written as another version.
    pub(super) async fn promote(
        &self,
        snapshot: &Snapshot,
        change: &Change,
        staged: Option<Version>,
    ) -> Result<Promoted, Error> {
        self.timed(Step::Promote, self.promote_from(snapshot, change, staged)).await
    }

    async fn promote_from(
        &self,
        snapshot: &Snapshot,
        change: &Change,
        mut staged: Option<Version>,
    ) -> Result<Promoted, Error> {
        let (mut base, mut lags) = (snapshot.current.clone(), 0);
        loop {
            let (next, reduction) = fit(change.apply(&base.document, &base.id)?)?;
            let version = match staged.take() {
                Some(staged) if same_content(&staged, &next) => staged,
                _ => self.write(snapshot, next).await?,
            };
            if self.swap(Step::Promote, self.secret, &version.id, &base.id).await? == Moved::Moved {
                return Ok(Promoted::Ours { version, reduction });
            }
            let current = self.read_current().await?;
            match standing(change, &version, &base, &current) {
                Standing::Promoted => return Ok(Promoted::Ours { version: current, reduction }),
                Standing::Newer => return Ok(Promoted::Theirs(current)),
                Standing::Ancestor if current.id == base.id && lags == MAX_LAGS => {
                    let what = "Secrets Manager does not move AWSCURRENT from the version that it is on.";
                    return Err(Error::new(Kind::SecretsManagerUnavailable, what));
                }
                Standing::Ancestor if current.id == base.id => {
                    lags += 1;
                    self.clock.sleep(READ_LAG).await;
                    staged = Some(version);
                }
                Standing::Ancestor => base = current,
            }
        }
    }
}

pub(super) fn same_content(version: &Version, document: &Document) -> bool {
    use secrecy::ExposeSecret;
    version.document.to_body().expose_secret() == document.to_body().expose_secret()
}

/// What is current after a conflict, as this run has to see it.
enum Standing {
    /// What this run wanted is there: its answer was lost, or another run did the same.
    Promoted,
    /// Something that this run's change still belongs on top of.
    Ancestor,
    /// Somebody's newer tokens.
    Newer,
}

fn standing(change: &Change, ours: &Version, base: &Version, current: &Version) -> Standing {
    let fingerprint = &current.credentials.fingerprint;
    if current.id == ours.id {
        return Standing::Promoted;
    }
    let is_ancestor = match &change.tokens {
        Some(_) if *fingerprint == ours.credentials.fingerprint => return Standing::Promoted,
        // A person has authorised the app: whatever is there gives way, unless somebody authorised it later still, or it is
        // what these very tokens were redeemed for.
        Some((_, provenance)) if provenance.authorizes => {
            current.credentials.authorized_at < ours.credentials.authorized_at
        }
        Some(_) => ours.credentials.follow(&current.credentials),
        // A list belongs to the tokens it was fetched with.
        None => *fingerprint == base.credentials.fingerprint,
    };
    if is_ancestor { Standing::Ancestor } else { Standing::Newer }
}
