//! The rules that need no more than the parameters and one secret's versions to be checked.

use super::error::{Error, Exception, Result};
use super::records::Replay;
use super::versions::{AWSCURRENT, Contents, Stored};

/// The effect of an `UpdateSecretVersionStage`.
pub(super) enum Move {
    /// The label already is there.
    Nothing,
    /// Off its holder.
    Away,
    /// To this version.
    To(String),
}

pub(super) fn check_move(
    contents: &Contents,
    label: &str,
    move_to: Option<&str>,
    remove_from: Option<&str>,
    replay: Replay,
) -> Result<Move> {
    let holder = contents.holder(label);
    if let Some(target) = move_to.filter(|target| contents.version(target).is_none()) {
        return Err(Error::value_not_found("VersionId", target));
    }
    // The label is already on the target. Naming no version or the right one is no conflict; naming another one is a
    // replay.
    let in_conflict = remove_from.is_some() && remove_from != holder;
    if move_to.is_some() && move_to == holder && (!in_conflict || replay == Replay::NoOp) {
        return Ok(Move::Nothing);
    }
    match (holder, remove_from) {
        (Some(holder), None) if move_to.is_some() => Err(Error::parameter(format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently attached to version \
             {holder}, so you must explicitly reference that version in RemoveFromVersionId."
        ))),
        (holder, Some(remove_from)) if holder != Some(remove_from) => {
            Err(Error::parameter(format!("Staging label {label} isn't currently attached to version {remove_from}.")))
        }
        _ => match move_to {
            Some(target) => {
                contents.check_label_quota(&[label])?;
                Ok(Move::To(target.to_owned()))
            }
            None if remove_from.is_none() => {
                Err(Error::parameter("You must specify MoveToVersionId, RemoveFromVersionId, or both."))
            }
            None if label == AWSCURRENT => Err(Error::parameter(
                "You can only move staging label AWSCURRENT to a different secret version. It can't be completely \
                 removed.",
            )),
            None => Ok(Move::Away),
        },
    }
}

pub(super) fn select<'a>(contents: &'a Contents, version_id: Option<&str>, label: Option<&str>) -> Result<&'a Stored> {
    let wanted = match version_id {
        Some(version_id) => Some(version_id),
        None => contents.holder(label.unwrap_or(AWSCURRENT)),
    };
    let found = wanted.and_then(|id| contents.version(id));
    let version = found.ok_or_else(|| not_found(version_id, label))?;
    match label {
        Some(label) if contents.holder(label) != Some(&version.id) => Err(Error::new(
            Exception::InvalidRequest,
            "You provided a VersionStage that is not associated to the provided VersionId.",
        )),
        _ => Ok(version),
    }
}

pub(super) fn not_found(version_id: Option<impl AsRef<str>>, label: Option<&str>) -> Error {
    match version_id {
        Some(version_id) => Error::value_not_found("VersionId", version_id.as_ref()),
        None => Error::value_not_found("staging label", label.unwrap_or(AWSCURRENT)),
    }
}

pub(super) fn token_in_use(token: &str, arn: &str) -> Error {
    let message = format!(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    );
    Error::new(Exception::ResourceExists, message)
}

pub(super) fn check_token(token: &str) -> Result<()> {
    match token.chars().count() {
        0 => Err(Error::new(Exception::InvalidRequest, "You must provide a ClientRequestToken value.")),
        32..=64 => Ok(()),
        1..32 => Err(Error::constraint("clientRequestToken", "Member must have length greater than or equal to 32")),
        65.. => Err(Error::constraint("clientRequestToken", "Member must have length less than or equal to 64")),
    }
}

pub(super) fn check_name(name: &str) -> Result<()> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.is_empty() || name.len() > 512 || !name.chars().all(valid) {
        let message = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the \
            following: -/_+=.@!";
        return Err(Error::new(Exception::Validation, message));
    }
    Ok(())
}

pub(super) fn check_labels(labels: &[&str]) -> Result<()> {
    if labels.len() > 20 {
        return Err(Error::constraint("versionStages", "Member must have length less than or equal to 20"));
    }
    labels.iter().try_for_each(|label| check_label(label))
}

pub(super) fn check_label(label: &str) -> Result<()> {
    if label.is_empty() || label.len() > 256 {
        let constraint = "Member must have length between 1 and 256";
        return Err(Error::constraint("versionStage", constraint));
    }
    Ok(())
}

/// The labels of a new version. A secret's first version gets AWSCURRENT in any case.
pub(super) fn labels_with_first<'a>(contents: &Contents, labels: &[&'a str]) -> Vec<&'a str> {
    let mut labels = labels.to_vec();
    if contents.is_empty() && !labels.contains(&AWSCURRENT) {
        labels.push(AWSCURRENT);
    }
    labels
}
