//! What may come in. An event that is not understood to the last field is an error that names what is not: a misspelt
//! option must not silently be a refresh.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{
    cycle::{Consent, LinkRequest, MAX_VALIDITY_HOURS, RotationStep, Trigger, VALIDITY},
    error::{Error, Kind},
};

/// What an invocation is asked to do.
#[derive(Clone, Debug)]
pub enum Event {
    Refresh(Refresh),
    Status {
        /// Other secrets than the configured ones.
        secret_ids: Vec<String>,
    },
    /// A link to TikTok's consent page.
    AuthorizeUrl {
        /// Which secret it is for; needed where several are configured.
        secret_id: Option<String>,
        request: LinkRequest,
    },
    /// What the consent page brought back.
    Exchange {
        /// Which secret it is for; without it the one that the link was made for.
        secret_id: Option<String>,
        brought: Brought,
    },
    Rotation(Rotation),
}

/// What a person brings back from the consent page, as it was sent.
#[derive(Clone, Debug)]
pub enum Brought {
    /// The whole address that the browser ended on, which holds an auth code.
    RedirectUrl(SecretString),
    /// An auth code alone, and where its consent page was told to come back to.
    AuthCode { auth_code: SecretString, redirect_uri: Option<String> },
}

impl Brought {
    /// Understands it.
    ///
    /// # Errors
    /// `InvalidEvent` if it is not what it should be.
    pub fn consent(self) -> Result<Consent, Error> {
        match self {
            Self::RedirectUrl(address) => Consent::redirected(&address),
            Self::AuthCode { auth_code, redirect_uri } => Consent::bare(&auth_code, redirect_uri),
        }
    }
}

/// A step of a rotation, as Secrets Manager asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub step: RotationStep,
    /// The secret that is rotated, whether it is a configured one or not.
    pub secret_id: String,
    /// The id of the version that Secrets Manager has created for this rotation.
    pub token: String,
}

/// A refresh, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    pub trigger: Trigger,
    /// Other secrets than the configured ones.
    pub secret_ids: Vec<String>,
    /// Read, plan and check; spend and write nothing.
    pub dry_run: bool,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// `InvalidEvent`, naming the field or the action that is not understood.
    pub fn parse(event: Value) -> Result<Self, Error> {
        let Value::Object(fields) = event else {
            return Err(invalid("The event is not a JSON object."));
        };
        if fields.contains_key("detail-type") {
            return scheduled_event(&fields);
        }
        if fields.contains_key("Step") {
            return rotation(fields).map(Self::Rotation);
        }
        let mut fields = Fields(fields);
        let action = fields.text("action")?;
        let event = match action.as_deref() {
            None | Some("refresh") => Self::Refresh(refresh(&mut fields)?),
            Some("status") => Self::Status { secret_ids: fields.secret_ids()? },
            Some("authorize_url") => authorize_url(&mut fields)?,
            Some("exchange") => exchange(&mut fields)?,
            Some(action) => {
                return Err(invalid(format!("The event's action {action:?} is not one that the function knows.")));
            }
        };
        fields.nothing_left()?;
        Ok(event)
    }
}

fn refresh(fields: &mut Fields) -> Result<Refresh, Error> {
    let slot = fields.text("scheduled_time")?.map(|time| slot("scheduled_time", &time)).transpose()?;
    let if_needed = fields.flag("if_needed")?;
    let trigger = match (slot, if_needed) {
        (Some(_), true) => {
            return Err(invalid("The event has both 'scheduled_time' and 'if_needed'; each asks for something else."));
        }
        (Some(slot), false) => Trigger::Slot(slot),
        (None, true) => Trigger::IfNeeded,
        (None, false) => Trigger::Now,
    };
    Ok(Refresh { trigger, secret_ids: fields.secret_ids()?, dry_run: fields.flag("dry_run")? })
}

fn authorize_url(fields: &mut Fields) -> Result<Event, Error> {
    let request = LinkRequest { redirect_uri: fields.text("redirect_uri")?, valid_for: fields.validity()? };
    Ok(Event::AuthorizeUrl { secret_id: fields.secret_id()?, request })
}

fn exchange(fields: &mut Fields) -> Result<Event, Error> {
    let redirect_uri = fields.text("redirect_uri")?;
    let brought = match (fields.secret("redirect_url")?, fields.secret("auth_code")?) {
        (Some(_), Some(_)) => {
            return Err(invalid("The event has both 'redirect_url' and 'auth_code'; the former holds the latter."));
        }
        (Some(_), None) if redirect_uri.is_some() => {
            return Err(invalid("The event's 'redirect_uri' goes with 'auth_code'; a 'redirect_url' says it itself."));
        }
        (Some(address), None) => Brought::RedirectUrl(address),
        (None, Some(auth_code)) => Brought::AuthCode { auth_code, redirect_uri },
        (None, None) => return Err(invalid("The event has neither 'redirect_url' nor 'auth_code' to exchange.")),
    };
    Ok(Event::Exchange { secret_id: fields.secret_id()?, brought })
}

/// The event of a classic EventBridge rule with a schedule. Its fields are AWS's, so unknown ones are not an error.
fn scheduled_event(fields: &Map<String, Value>) -> Result<Event, Error> {
    if fields.get("detail-type").and_then(Value::as_str) != Some("Scheduled Event") {
        return Err(invalid("The event comes from EventBridge, but its 'detail-type' is not \"Scheduled Event\"."));
    }
    let time = fields.get("time").and_then(Value::as_str);
    let time = time.ok_or_else(|| invalid("The Scheduled Event has no 'time'."))?;
    Ok(Event::Refresh(Refresh { trigger: Trigger::Slot(slot("time", time)?), secret_ids: Vec::new(), dry_run: false }))
}

/// The event of a rotation. Its other fields are AWS's, such as `RotationToken`, so unknown ones are not an error.
fn rotation(fields: Map<String, Value>) -> Result<Rotation, Error> {
    let mut fields = Fields(fields);
    let mut required = |name: &str| {
        let text = fields.text(name)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| invalid(format!("The rotation event has no '{name}'.")))
    };
    let (step, secret_id, token) = (required("Step")?, required("SecretId")?, required("ClientRequestToken")?);
    let named = |known: &RotationStep| known.name() == step;
    let step = RotationStep::ALL
        .into_iter()
        .find(named)
        .ok_or_else(|| invalid(format!("The rotation event's 'Step' {step:?} is not one that the function knows.")))?;
    // What Secrets Manager takes as the id of a version.
    if !(32..=64).contains(&token.chars().count()) {
        return Err(invalid("The rotation event's 'ClientRequestToken' does not have 32 to 64 characters."));
    }
    Ok(Rotation { step, secret_id, token })
}

fn slot(name: &str, time: &str) -> Result<Timestamp, Error> {
    if time.starts_with('<') {
        let what =
            format!("The event's '{name}' is still the placeholder {time}: only EventBridge Scheduler fills it in.");
        return Err(invalid(what).advise("Give a time such as \"2026-11-22T03:00:00Z\", or leave the field out."));
    }
    time.parse().ok().filter(|_| is_rfc3339(time)).ok_or_else(|| {
        invalid(format!("The event's '{name}' is not a time in RFC 3339, such as \"2026-11-22T03:00:00Z\"."))
    })
}

/// Of the forms that jiff reads, the one that the event's schema allows: in others a typing error may mean another time.
fn is_rfc3339(time: &str) -> bool {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c.to_ascii_uppercase() }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    match rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches('0')) {
        "Z" => true,
        "+00:00" | "-00:00" => time[time.len() - "00:00".len()..] < *"24",
        _ => false,
    }
}

/// The fields that have not been asked for yet.
struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(format!("The event's '{name}' is not a text."))),
        }
    }

    fn secret(&mut self, name: &str) -> Result<Option<SecretString>, Error> {
        Ok(self.text(name)?.map(SecretString::from))
    }

    fn flag(&mut self, name: &str) -> Result<bool, Error> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(invalid(format!("The event's '{name}' is neither true nor false."))),
        }
    }

    /// How long a link is good for.
    fn validity(&mut self) -> Result<Duration, Error> {
        let Some(hours) = self.0.remove("valid_for_hours") else { return Ok(VALIDITY) };
        let duration =
            hours.as_u64().filter(|hours| (1..=MAX_VALIDITY_HOURS).contains(hours)).map(Duration::from_hours);
        duration.ok_or_else(|| {
            invalid(format!("The event's 'valid_for_hours' is not a whole number from 1 to {MAX_VALIDITY_HOURS}."))
        })
    }

    fn secret_id(&mut self) -> Result<Option<String>, Error> {
        match self.text("secret_id")? {
            Some(id) if id.trim().is_empty() => Err(invalid("The event's 'secret_id' is empty.")),
            id => Ok(id),
        }
    }

    fn secret_ids(&mut self) -> Result<Vec<String>, Error> {
        let wrong = || invalid("The event's 'secret_ids' is not a list of names or ARNs of secrets.");
        match self.0.remove("secret_ids") {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) if !ids.is_empty() => {
                let text = |id| match id {
                    Value::String(id) if !id.trim().is_empty() => Ok(id),
                    _ => Err(wrong()),
                };
                ids.into_iter().map(text).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    fn nothing_left(self) -> Result<(), Error> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!("The event has a field {name:?} that the function does not know."))),
        }
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidEvent, what)
}
