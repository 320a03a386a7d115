//! The status of the reader secrets, and the warnings about them.

use secrecy::ExposeSecret;
use serde::Serialize;

use super::warnings::{Urgency, Warning};
use crate::{
    document::{App, Format, Publication, Unpublishable, project, publications},
    error::Error,
};
use crate::{
    refresh::{Refresher, publish::is_itself, version::Version},
    transport::{Clock, Label, Step, Store, TikTok, VersionSelector},
};

/// The status of a reader secret.
#[derive(Clone, Debug, Serialize)]
pub struct ReaderStatus {
    pub secret_id: String,
    pub format: Format,
    pub state: ReaderState,
}

/// The content of a reader secret compared with the credentials secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderState {
    /// The content matches.
    UpToDate,
    /// The content differs.
    OutOfDate,
    /// The secret is empty or does not exist, which cannot be told apart.
    Empty,
    /// The reader secret or the app's credentials could not be read.
    Unknown,
}

impl<S: Store, T: TikTok, C: Clock> Refresher<'_, S, T, C> {
    /// Returns the status of each reader secret, and warnings about what a run would write or fail on.
    pub(crate) async fn reader_statuses(&self, current: &Version) -> (Vec<ReaderStatus>, Vec<Warning>) {
        let (mut seen, mut warnings) = (Vec::new(), Vec::new());
        let app = self.app(current).await;
        warnings.extend(app.as_ref().err().map(|error| (Urgency::RunsFail, error.to_string())));
        let readers = publications(&current.document).unwrap_or_else(|error| {
            warnings.push((Urgency::RunsFail, error.to_string()));
            Vec::new()
        });
        for reader in readers {
            let reader = match reader {
                Ok(reader) => reader,
                Err(Unpublishable { reader, error }) => {
                    warnings.push((Urgency::RunsFail, format!("The {reader}: {error}")));
                    continue;
                }
            };
            let unknown = reader.warning(&current.credentials.advertisers);
            warnings.extend(unknown.map(|warning| (Urgency::OutOfDate, warning)));
            let state = self.reader_state(current, &reader, app.as_ref().ok()).await;
            let Publication { secret_id, format, .. } = reader;
            let (state, warning) = state.map_or_else(
                |error| {
                    (
                        ReaderState::Unknown,
                        Some((Urgency::RunsFail, format!("The reader secret '{secret_id}': {error}"))),
                    )
                },
                |state| (state, state.warning(&secret_id).map(|warning| (Urgency::OutOfDate, warning))),
            );
            warnings.extend(warning);
            seen.push(ReaderStatus { secret_id, format, state });
        }
        (seen, warnings)
    }

    async fn reader_state(
        &self,
        current: &Version,
        reader: &Publication,
        app: Option<&App>,
    ) -> Result<ReaderState, Error> {
        // No retries: a missing part is better than a status that takes long.
        let current_value = VersionSelector::Label(Label::Current);
        let Some(stored) = self.requests().get_once(Step::Read, &reader.secret_id, current_value).await? else {
            return Ok(ReaderState::Empty);
        };
        if stored.arn == current.arn {
            return Err(is_itself());
        }
        if reader.format.needs_app() && app.is_none() {
            return Ok(ReaderState::Unknown);
        }
        let expected = project(reader, &current.document, &current.credentials, app);
        if stored.body.expose_secret() == expected.expose_secret() {
            return Ok(ReaderState::UpToDate);
        }
        self.check_that_nothing_is_lost(&stored, &expected, current).await?;
        Ok(ReaderState::OutOfDate)
    }
}

impl ReaderState {
    fn warning(self, secret: &str) -> Option<String> {
        match self {
            Self::UpToDate | Self::Unknown => None,
            Self::OutOfDate => Some(format!("The reader secret '{secret}' is out of date. The next run writes it.")),
            Self::Empty => Some(format!(
                "The reader secret '{secret}' has no value, or does not exist. The next run writes it if it exists."
            )),
        }
    }
}
