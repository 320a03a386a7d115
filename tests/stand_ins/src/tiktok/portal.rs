//! The portal's consent page, `/portal/auth`, on the same origin as the API.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hyper::{Method, StatusCode};
use url::Url;

use super::super::wire::Answer;
use super::core::TikTok;
use super::http::parse_query;

/// The page with the choice, and where its buttons lead.
const AUTH: &str = "/portal/auth";
const DECISION: &str = "/portal/decision";
/// The validity of TikTok's auth codes.
const CODE_LIFETIME: Duration = Duration::from_hours(1);

/// Answers a browser, if the path is one of the portal's.
pub(super) fn answer(core: &mut TikTok, method: &Method, path: &str, query: &str) -> Option<Answer> {
    if method != Method::GET || ![AUTH, DECISION].contains(&path) {
        return None;
    }
    let query = parse_query(query);
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let (app_id, redirect_uri) = (text("app_id"), text("redirect_uri"));
    let Some(target) = Url::parse(redirect_uri).ok().filter(|_| core.takes_redirect(app_id, redirect_uri)) else {
        let body = "<h1>Something is wrong</h1><p>The app does not exist, or the redirect URL is not one of it.</p>";
        return Some(page(StatusCode::BAD_REQUEST, body));
    };
    Some(if path == AUTH { consent(core, &query) } else { decision(core, &query, target) })
}

fn consent(core: &TikTok, query: &BTreeMap<String, String>) -> Answer {
    let mut body = format!("<h1>Authorize</h1><form action=\"{DECISION}\">");
    for (name, value) in query {
        let _ = write!(body, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value));
    }
    for (number, (label, _)) in core.choices.iter().enumerate() {
        let checked = if number == 0 { " checked" } else { "" };
        let input = format!("<input type=\"radio\" name=\"choice\" value=\"{number}\"{checked}>");
        let _ = write!(body, "<p><label>{input} {}</label></p>", escaped(label));
    }
    body.push_str("<p><button name=\"decision\" value=\"allow\">Allow</button> ");
    body.push_str("<button name=\"decision\" value=\"deny\">Deny</button></p></form>");
    page(StatusCode::OK, &body)
}

fn decision(core: &mut TikTok, query: &BTreeMap<String, String>, mut target: Url) -> Answer {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let choice = text("choice").parse::<usize>().ok().and_then(|number| core.choices.get(number).cloned());
    match choice.filter(|_| text("decision") == "allow") {
        Some((_, grant)) => {
            let auth_code = core.authorize_by_code(text("app_id"), grant, CODE_LIFETIME);
            // TikTok sends a `code` too. It is not the one to exchange.
            target.query_pairs_mut().append_pair("auth_code", &auth_code).append_pair("code", "not-the-auth-code");
        }
        None => {
            target.query_pairs_mut().append_pair("error", "access_denied");
        }
    }
    target.query_pairs_mut().append_pair("state", text("state"));
    page(StatusCode::FOUND, "").with_header("location", target.as_str())
}

fn page(status: StatusCode, body: &str) -> Answer {
    let test =
        "<p><strong>This is a test page, not TikTok.</strong> No account is connected here, whatever you choose.</p>";
    let head = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>TikTok for Business (stand-in)</title>\
        <meta name=\"viewport\" content=\"width=device-width\">";
    Answer::new(status.as_u16(), "text/html; charset=utf-8", format!("{head}{test}{body}"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}
