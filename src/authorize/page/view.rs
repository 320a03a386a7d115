//! The HTML of the pages.

use super::{Connected, html::Html};
use crate::{
    document::Flow,
    error::{Error, Kind},
    refresh::Outcome,
};

/// The number of advertisers on a page. The secret has all of them.
const MAX_ADVERTISERS: usize = 50;
/// The number of advertisers that are visible at first.
const MAX_UNFOLDED: usize = 10;

/// The only style sheet. The policy of the answer allows it by its hash.
const STYLE: &str = include_str!("style.css");

const TICK: &str = "<path d=\"M4 13l5 5L20 6\"/>";
const EXCLAMATION_MARK: &str = "<path d=\"M12 5v9M12 18.5v.5\"/>";
const CROSS: &str = "<path d=\"M6 6l12 12M18 6L6 18\"/>";

/// The page for every other request. It shows nothing about the function.
pub const NOT_FOUND: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>404 Not Found</title>\
     <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"></head><body><h1>404 Not Found</h1></body></html>";

/// Returns the page after a successful exchange.
pub fn connected(connected: &Connected, reference: &str) -> String {
    let Connected { secret_id, outcome, advertisers } = connected;
    let mut html = match outcome.advertisers {
        0 => begin("TikTok is connected without advertisers", "attention", EXCLAMATION_MARK),
        _ => begin("TikTok is connected", "connected", TICK),
    };
    html.markup("<p>The secret <code>").text(name(secret_id)).markup("</code> holds a working access token");
    match outcome.advertisers {
        0 => html
            .markup(", but the authorization has no advertisers. Jobs find an empty list. ")
            .markup("To change that, authorize again with a new link, and tick the accounts.</p>"),
        1 => html.markup(" for one advertiser.</p>"),
        number => html.markup(" for ").number(number).markup(" advertisers.</p>"),
    };
    let removed: Vec<Row<'_>> = outcome.advertisers_removed.iter().map(|id| (None, id.as_str())).collect();
    list(&mut html, "No longer connected", &removed);
    let advertisers = advertisers.as_deref().filter(|_| outcome.advertisers > 0).unwrap_or_default();
    let rows: Vec<Row<'_>> = advertisers.iter().map(|it| (it.name.as_deref(), it.id.as_str())).collect();
    list(&mut html, "Advertisers", &rows);
    html.markup("<h2>Until when</h2><ul>");
    until_when(&mut html, outcome);
    html.markup("</ul><h2>What next</h2><ul><li>Jobs read <code>access_token</code> and <code>advertiser_ids</code> from this secret. ")
        .markup("The schedule keeps it fresh.</li>")
        .markup("<li>You may close this page. Its link does not work again.</li></ul>");
    if !outcome.warnings.is_empty() {
        html.markup("<h2>Please note</h2><ul>");
        for warning in &outcome.warnings {
            html.markup("<li>").text(warning).markup("</li>");
        }
        html.markup("</ul>");
    }
    end(html, reference)
}

/// An advertiser's name, if it is known, and id.
type Row<'a> = (Option<&'a str>, &'a str);

fn list(html: &mut Html, heading: &'static str, all: &[Row<'_>]) {
    if all.is_empty() {
        return;
    }
    html.markup("<h2>").markup(heading).markup("</h2>");
    let shown = &all[..all.len().min(MAX_ADVERTISERS)];
    let (first, folded) = shown.split_at(shown.len().min(MAX_UNFOLDED));
    rows(html, first);
    if !folded.is_empty() {
        html.markup("<details><summary>").number(folded.len()).markup(" more</summary>");
        rows(html, folded);
        html.markup("</details>");
    }
    if let Some(more @ 1..) = all.len().checked_sub(MAX_ADVERTISERS) {
        html.markup("<p><small>and ").number(more).markup(" more, which are not shown here.</small></p>");
    }
}

fn rows(html: &mut Html, rows: &[Row<'_>]) {
    html.markup("<ul class=\"list\">");
    for (name, id) in rows {
        html.markup("<li>");
        if let Some(name) = name {
            // Isolated, so that a right-to-left name does not reorder the text around it.
            html.markup("<bdi>").text(name).markup("</bdi>");
        }
        html.markup("<code>").text(id).markup("</code></li>");
    }
    html.markup("</ul>");
}

fn until_when(html: &mut Html, outcome: &Outcome) {
    if outcome.flow == Flow::LongTerm {
        html.markup("<li>This access token has no end. It works until the advertiser withdraws it, and is checked every day.</li>");
        return;
    }
    html.markup("<li>The access token is renewed every day");
    if let Some(time) = outcome.access_token_expires_at {
        html.markup("; this one lasts until ").time(time, true);
    }
    html.markup(".</li><li>The authorization ");
    match outcome.refresh_token_expires_at {
        Some(time) => {
            html.markup("ends on ").time(time, false).markup(". Before that day, authorize again with a new link.")
        }
        None => html.markup("has no end that TikTok names."),
    };
    html.markup("</li>");
}

/// Returns the page after a failed exchange.
pub fn failed(error: &Error, reference: &str) -> String {
    let title = if error.kind() == Kind::InvalidEvent { "This link does not work" } else { "TikTok is not connected" };
    let (what, advice) = sentences(error);
    failure_page(title, what, advice, reference)
}

/// Returns the page after a declined consent.
pub fn declined(reference: &str) -> String {
    let what = "TikTok sent you back without an authorization, because it was declined or TikTok refused it. Nothing was changed.";
    failure_page("TikTok is not connected", what, "To connect, open the link again.", reference)
}

/// Returns the page while another request exchanges the code.
pub fn in_progress(reference: &str) -> String {
    let what = "Your browser sent this authorization twice, and the first request is not finished.";
    failure_page(
        "One moment",
        what,
        "Wait a minute, then reload this page. It says when the authorization took place.",
        reference,
    )
}

/// Returns the sentences that anyone may read. AWS's errors name accounts, roles and secrets, so those are only logged.
/// TikTok's errors follow a verified link.
fn sentences(error: &Error) -> (&str, &str) {
    match error.kind() {
        Kind::InvalidEvent => (
            error.what(),
            "Nothing was changed. If an earlier visit ended with TikTok connected, you are done. Otherwise ask for a new link.",
        ),
        Kind::ReauthorizationRequired => (error.what(), "Ask for a new link, and open it while it is valid."),
        Kind::TikTokMisconfigured | Kind::TikTokThrottled | Kind::TikTokUnavailable | Kind::NewTokenRejected => {
            (error.what(), error.advice())
        }
        _ => (
            "The function could not work with its secret.",
            "Its log says why, under the reference below. After that is corrected, reload this page, or ask for a new link.",
        ),
    }
}

fn failure_page(title: &'static str, what: &str, advice: &str, reference: &str) -> String {
    let mut html = begin(title, "failed", CROSS);
    html.markup("<p>").text(what).markup("</p><h2>What to do</h2><p>").text(advice).markup("</p>");
    end(html, reference)
}

fn begin(title: &'static str, class: &'static str, icon: &'static str) -> Html {
    let mut html = Html::default();
    html.markup("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>")
        .markup(title)
        .markup("</title><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
        .markup("<meta name=\"robots\" content=\"noindex\"><style>")
        .markup(STYLE)
        .markup("</style></head><body class=\"")
        .markup(class)
        .markup(
            "\"><main><article><svg viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.5\" ",
        )
        .markup("stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\">")
        .markup(icon)
        .markup("</svg><h1>")
        .markup(title)
        .markup("</h1>");
    html
}

fn end(mut html: Html, reference: &str) -> String {
    html.markup("</article><footer>tiktok-token-refresh · reference <code>")
        .text(reference)
        .markup("</code></footer></main></body></html>");
    html.finish()
}

/// Returns the name of a secret. An ARN shows the account, and ends in a hyphen and six characters.
fn name(secret_id: &str) -> &str {
    let Some((_, name)) = secret_id.split_once(":secret:") else { return secret_id };
    name.rsplit_once('-').map_or(name, |(name, _)| name)
}
