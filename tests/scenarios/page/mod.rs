//! Authorization through the function's page, with the events of a Function URL. `tests/end_to_end/browser` tests it with a
//! real browser.

mod refused;
mod shown;

use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, http::request::Builder};
use serde_json::{Value, json};
use stand_ins::{APP_ID, Function, GrantSpec, Invocation, Outcome, World, lambda::url_event};
use url::Url;

use crate::support::Scenario;

/// The host of a Function URL, as Lambda makes them.
pub const HOST: &str = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws";
const HOUR: Duration = Duration::from_hours(1);

/// A function that is open to browsers.
pub struct Site {
    pub world: World,
    pub function: Function,
}

/// The response that a browser gets.
#[derive(Debug)]
pub struct Page {
    pub status: u64,
    pub headers: Value,
    pub body: String,
}

impl Site {
    pub fn start() -> Self {
        Self::of(World::start())
    }

    pub fn of(world: World) -> Self {
        let function = world.lambda();
        Self { world, function }
    }

    /// The state of a link that the function makes.
    pub async fn state(&self) -> String {
        self.state_for(&format!("https://{HOST}/callback")).await
    }

    pub async fn state_for(&self, redirect_uri: &str) -> String {
        let invocation = self.function.run(json!({"action": "authorize_url", "redirect_uri": redirect_uri})).await;
        let link = invocation.outcome.response()["results"][0]["authorize_url"].as_str().expect("a link").to_owned();
        let link = Url::parse(&link).expect("an address");
        link.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned()
    }

    /// A person consents to this.
    pub fn code(&self, spec: GrantSpec) -> String {
        self.world.tiktok.core().authorize_by_code(APP_ID, spec, HOUR)
    }

    /// The query of a redirect that nothing is wrong with.
    pub async fn redirect(&self) -> String {
        redirect(&self.code(GrantSpec::default()), &self.state().await)
    }

    /// Goes to the callback as a browser does.
    pub async fn visit(&self, query: &str) -> Page {
        self.ask(browser(query)).await
    }

    pub async fn ask(&self, request: Request<Bytes>) -> Page {
        page(&self.function.run(url_event(&request)).await)
    }

    /// Everything that a refused request must leave as it is: what was asked of others, and every version of the secret.
    pub fn footprint(&self) -> (usize, String) {
        let spent = self.world.faults.journal().iter().filter(|entry| entry.operation.starts_with("oauth2")).count();
        // Without the times: there are emulators that make them up anew for each look.
        let versions = self.world.versions().into_iter().map(|version| (version.id, version.body, version.labels));
        (spent, format!("{:?}", versions.collect::<Vec<_>>()))
    }

    /// The number of requests that reached AWS or TikTok, without the test's own.
    pub fn requests(&self) -> usize {
        self.world.faults.journal().len()
    }
}

/// The page that the browser gets. A failed invocation would be nothing.
#[track_caller]
pub fn page(invocation: &Invocation) -> Page {
    let Outcome::Response(response, _) = &invocation.outcome else {
        panic!("the invocation failed, which rings an alarm: {:?}", invocation.outcome);
    };
    Page {
        status: response["statusCode"].as_u64().expect("a status"),
        headers: response["headers"].clone(),
        body: response["body"].as_str().expect("a body").to_owned(),
    }
}

/// The query that TikTok sends a browser back with.
pub fn redirect(code: &str, state: &str) -> String {
    format!("auth_code={code}&code=not-the-auth-code&state={state}")
}

/// A browser that TikTok has sent here.
pub fn browser(query: &str) -> Request<Bytes> {
    from_browser(Request::get(format!("/callback?{query}"))).body(Bytes::new()).expect("a request")
}

pub fn from_browser(request: Builder) -> Builder {
    request
        .header("host", HOST)
        .header("user-agent", "Mozilla/5.0")
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-user", "?1")
        .header("sec-fetch-dest", "document")
}
