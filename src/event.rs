//! The events of the function.
//!
//! [`Event::parse`] reads a JSON value and returns the event. An unknown action or field is an `InvalidEvent` error
//! with its name, because a misspelled option must not start a refresh. `docs/events.md` and `event.schema.json`
//! describe every event.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::{
    authorize::{AuthorizationResponse, LinkRequest, MAX_VALIDITY_HOURS, VALIDITY},
    document::pasted,
    error::{Error, Kind},
    refresh::Trigger,
    rotation::RotationStep,
};

/// The actions and their fields.
const ACTIONS: [(&str, &[&str]); 4] = [
    ("refresh", &["scheduled_time", "if_needed", "secret_ids", "dry_run"]),
    ("status", &["secret_ids"]),
    ("authorize_url", &["secret_id", "redirect_uri", "valid_for_hours"]),
    ("exchange", &["secret_id", "redirect_url", "auth_code", "redirect_uri"]),
];

/// The task of an invocation.
#[derive(Clone, Debug)]
pub enum Event {
    Refresh(Refresh),
    Status {
        /// Secrets to use instead of the configured ones.
        secret_ids: Vec<String>,
    },
    /// Create a link to TikTok's consent page.
    AuthorizeUrl {
        /// The secret. Required if several are configured.
        secret_id: Option<String>,
        request: LinkRequest,
    },
    /// Exchange an auth code.
    Exchange {
        /// The secret. Without it, the secret of the link.
        secret_id: Option<String>,
        input: ConsentInput,
    },
    Rotation(Rotation),
}

/// The result of a consent, as a person sent it.
#[derive(Clone, Debug)]
pub enum ConsentInput {
    /// The whole address of the browser. It contains the auth code.
    RedirectUrl(SecretString),
    /// An auth code, and the redirect URI of its link.
    AuthCode { auth_code: SecretString, redirect_uri: Option<String> },
}

impl ConsentInput {
    /// Parses the address or the code.
    ///
    /// # Errors
    /// `InvalidEvent` if it is not valid.
    pub fn consent(self) -> Result<AuthorizationResponse, Error> {
        match self {
            Self::RedirectUrl(address) => AuthorizationResponse::redirected(&address),
            Self::AuthCode { auth_code, redirect_uri } => {
                AuthorizationResponse::bare(&decoded(&auth_code)?, redirect_uri)
            }
        }
    }
}

/// Decodes an auth code. A browser shows it percent-encoded, and TikTok's codes have no percent sign.
fn decoded(auth_code: &SecretString) -> Result<SecretString, Error> {
    let wrong = |what: &str| {
        invalid(format!("The 'auth_code' {what}."))
            .advise("Copy the whole address that the browser ended on, and send it as 'redirect_url'.")
    };
    let mut code = pasted::trimmed(auth_code.expose_secret()).to_owned();
    if let Some(what) = piece_of_an_address(&code) {
        return Err(wrong(what));
    }
    for _ in 0..pasted::MAX_ENCODINGS {
        code = pasted::percent_decoded(&code).ok_or_else(|| {
            wrong("has a percent sign that two hexadecimal digits do not follow: a part of it is missing")
        })?;
    }
    let is_plain = code.chars().all(|character| character.is_ascii_graphic());
    if is_plain {
        Ok(SecretString::from(code))
    } else {
        Err(wrong("has a blank or another character that no code has"))
    }
}

/// Returns the problem of a code that still has other parts of the address.
fn piece_of_an_address(code: &str) -> Option<&'static str> {
    if code.contains("&amp;") {
        return Some("was copied from HTML: it has '&amp;' in it");
    }
    let is_parameter = |name: &&str| code.strip_prefix(*name).is_some_and(|rest| rest.starts_with('='));
    let is_piece =
        code.starts_with('?') || code.contains('&') || ["auth_code", "code", "state"].iter().any(is_parameter);
    is_piece.then_some("is a piece of an address, not an auth code alone")
}

/// A step of a rotation, in Secrets Manager's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub step: RotationStep,
    /// The secret to rotate. It need not be a configured one.
    pub secret_id: String,
    /// The id of the version that Secrets Manager created for the rotation.
    pub token: String,
}

/// A refresh and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    pub trigger: Trigger,
    /// Secrets to use instead of the configured ones.
    pub secret_ids: Vec<String>,
    /// Reads, plans and checks, but redeems and writes nothing.
    pub dry_run: bool,
}

impl Event {
    /// Parses an event.
    ///
    /// # Errors
    /// `InvalidEvent` with the unknown field or action.
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
        let action = action.as_deref().unwrap_or("refresh");
        let Some((_, known)) = ACTIONS.iter().find(|(name, _)| *name == action) else {
            let actions = pasted::listed(ACTIONS.map(|(name, _)| name));
            return Err(invalid(format!("The event has an unknown action {action:?}; the actions are {actions}.")));
        };
        // Checked first, because a misspelled field explains why another field is missing.
        fields.are_known(action, known)?;
        match action {
            "status" => Ok(Self::Status { secret_ids: fields.secret_ids()? }),
            "authorize_url" => authorize_url(&mut fields),
            "exchange" => exchange(&mut fields),
            _ => refresh(&mut fields).map(Self::Refresh),
        }
    }
}

fn refresh(fields: &mut Fields) -> Result<Refresh, Error> {
    let scheduled = fields.text("scheduled_time")?.map(|time| scheduled_time("scheduled_time", &time)).transpose()?;
    let if_needed = fields.flag("if_needed")?;
    let trigger = match (scheduled, if_needed) {
        (Some(_), true) => {
            return Err(invalid("The event has both 'scheduled_time' and 'if_needed'; only one of them can be given."));
        }
        (Some(time), false) => Trigger::Scheduled(time),
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
    let input = match (fields.secret("redirect_url")?, fields.secret("auth_code")?) {
        (Some(_), Some(_)) => {
            return Err(invalid("The event has both 'redirect_url' and 'auth_code'.")
                .advise("Send 'redirect_url' alone: the auth code is in it."));
        }
        (Some(_), None) if redirect_uri.is_some() => {
            return Err(invalid("The event has both 'redirect_url' and 'redirect_uri'.")
                .advise("Remove 'redirect_uri': it belongs to an 'auth_code' that is sent alone."));
        }
        (Some(address), None) => ConsentInput::RedirectUrl(address),
        (None, Some(auth_code)) => ConsentInput::AuthCode { auth_code, redirect_uri },
        (None, None) => return Err(invalid("The event has neither 'redirect_url' nor 'auth_code' to exchange.")),
    };
    Ok(Event::Exchange { secret_id: fields.secret_id()?, input })
}

/// Parses the event of a classic EventBridge rule with a schedule. AWS may add fields.
fn scheduled_event(fields: &Map<String, Value>) -> Result<Event, Error> {
    if fields.get("detail-type").and_then(Value::as_str) != Some("Scheduled Event") {
        return Err(invalid("The event comes from EventBridge, but its 'detail-type' is not \"Scheduled Event\"."));
    }
    let time = fields.get("time").and_then(Value::as_str);
    let time = time.ok_or_else(|| invalid("The Scheduled Event has no 'time'."))?;
    Ok(Event::Refresh(Refresh {
        trigger: Trigger::Scheduled(scheduled_time("time", time)?),
        secret_ids: Vec::new(),
        dry_run: false,
    }))
}

/// Parses the event of a rotation. AWS adds fields, such as `RotationToken`.
fn rotation(fields: Map<String, Value>) -> Result<Rotation, Error> {
    let mut fields = Fields(fields);
    let mut required = |name: &str| {
        let text = fields.text(name)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| invalid(format!("The rotation event has no '{name}'.")))
    };
    let (step, secret_id, token) = (required("Step")?, required("SecretId")?, required("ClientRequestToken")?);
    let named = |known: &RotationStep| known.name() == step;
    let step = RotationStep::ALL.into_iter().find(named).ok_or_else(|| {
        invalid(format!(
            "The rotation event's 'Step' {step:?} is unknown; the steps are {}.",
            pasted::listed(RotationStep::ALL.map(RotationStep::name))
        ))
    })?;
    // The limits of a `ClientRequestToken`.
    if !(32..=64).contains(&token.chars().count()) {
        return Err(invalid("The rotation event's 'ClientRequestToken' does not have 32 to 64 characters."));
    }
    Ok(Rotation { step, secret_id, token })
}

fn scheduled_time(name: &str, time: &str) -> Result<Timestamp, Error> {
    if time.starts_with('<') {
        let what =
            format!("The event's '{name}' is still the placeholder {time}: only EventBridge Scheduler fills it in.");
        return Err(invalid(what).advise("Give a time such as \"2026-11-22T03:00:00Z\", or leave the field out."));
    }
    time.parse().ok().filter(|_| is_rfc3339(time)).ok_or_else(|| {
        invalid(format!("The event's '{name}' is not a time in RFC 3339, such as \"2026-11-22T03:00:00Z\"."))
    })
}

/// Accepts only the form of the event's schema. jiff reads more forms, in which a typing error can be another time.
fn is_rfc3339(time: &str) -> bool {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c.to_ascii_uppercase() }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    match rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches('0')) {
        "Z" => true,
        "+00:00" | "-00:00" => time[time.len() - "00:00".len()..] < *"24",
        _ => false,
    }
}

/// The fields that were not read yet.
struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(format!("The event's '{name}' must be a string."))),
        }
    }

    fn secret(&mut self, name: &str) -> Result<Option<SecretString>, Error> {
        Ok(self.text(name)?.map(SecretString::from))
    }

    fn flag(&mut self, name: &str) -> Result<bool, Error> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(invalid(format!("The event's '{name}' must be true or false."))),
        }
    }

    /// Returns the validity of a link.
    fn validity(&mut self) -> Result<Duration, Error> {
        let Some(hours) = self.0.remove("valid_for_hours") else { return Ok(VALIDITY) };
        let duration =
            hours.as_u64().filter(|hours| (1..=MAX_VALIDITY_HOURS).contains(hours)).map(Duration::from_hours);
        duration.ok_or_else(|| {
            invalid(format!("The event's 'valid_for_hours' must be a whole number from 1 to {MAX_VALIDITY_HOURS}."))
        })
    }

    fn secret_id(&mut self) -> Result<Option<String>, Error> {
        match self.text("secret_id")? {
            Some(id) if pasted::trimmed(&id).is_empty() => Err(invalid("The event's 'secret_id' is empty.")),
            id => Ok(id.map(|id| pasted::trimmed(&id).to_owned())),
        }
    }

    /// Returns the ids without duplicates.
    fn secret_ids(&mut self) -> Result<Vec<String>, Error> {
        let wrong = || invalid("The event's 'secret_ids' must be a list of one or more names or ARNs of secrets.");
        let ids = match self.0.remove("secret_ids") {
            None => return Ok(Vec::new()),
            Some(Value::Array(ids)) if !ids.is_empty() => ids,
            Some(_) => return Err(wrong()),
        };
        let mut each: Vec<String> = Vec::new();
        for id in &ids {
            let id = id.as_str().map(pasted::trimmed).filter(|id| !id.is_empty()).ok_or_else(wrong)?;
            if !each.iter().any(|known| known == id) {
                each.push(id.to_owned());
            }
        }
        Ok(each)
    }

    fn are_known(&self, action: &str, known: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let known = pasted::listed(known.iter().copied());
                Err(invalid(format!("The event has an unknown field {name:?}; the fields of {action} are {known}.")))
            }
        }
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(Kind::InvalidEvent, what)
}
