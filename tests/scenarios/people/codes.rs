//! Auth codes and addresses as people copy them.

use std::time::Duration;

use serde_json::json;
use stand_ins::{APP_ID, GrantSpec, World};
use url::Url;

use crate::{
    authorize::{authorize_url, consent, exchange, link},
    support::{Scenario, assert_failed, outcome},
};

const HOUR: Duration = Duration::from_hours(1);

fn encoded(code: &str) -> String {
    code.replace('%', "%25").replace('*', "%2A").replace('!', "%21")
}

#[tokio::test]
async fn an_auth_code_is_understood_as_the_address_bar_shows_it() {
    let world = World::start();
    let function = world.lambda();
    let ways: [fn(&str) -> String; 7] = [
        str::to_owned,
        encoded,
        |code| encoded(code).to_lowercase(),
        |code| encoded(&encoded(code)),
        |code| format!("  {}\r\n", encoded(code)),
        |code| format!("\"{code}\""),
        |code| format!("\u{feff}'{}' ", encoded(code)),
    ];
    for (number, way) in ways.iter().enumerate() {
        let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), HOUR);
        assert!(code.contains(['*', '!']), "codes have what browsers encode: {code}");
        let invocation = function.run(json!({"action": "exchange", "auth_code": way(&code)})).await;
        assert_eq!(outcome(&invocation), "authorized", "way {number}");
        world.assert_usable();
    }
}

#[tokio::test]
async fn an_address_that_a_tool_encoded_once_more_is_understood() {
    let world = World::start();
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let address = consent(&world, &link, GrantSpec::default());
    assert!(address.contains('%'), "{address}");
    let invocation = function.run(exchange(&address.replace('%', "%25"))).await;
    assert_eq!(outcome(&invocation), "authorized");
    world.assert_usable();
}

#[tokio::test]
async fn an_auth_code_of_any_form_is_sent_as_it_was_given() {
    let world = World::start();
    let function = world.lambda();
    for code in ["0123456789abcdef0123456789abcdef01234567", "a+b/c==", "a-b_c.d~e*0!1"] {
        let year = Duration::from_hours(365 * 24);
        world.tiktok.core().authorize_by_this_code(code, APP_ID, GrantSpec::default(), year);
        let invocation = function.run(json!({"action": "exchange", "auth_code": code})).await;
        assert_eq!(outcome(&invocation), "authorized", "{code}");
    }
}

#[tokio::test]
async fn a_piece_of_an_address_in_place_of_a_code_is_refused_and_nothing_is_spent() {
    let world = World::start();
    let function = world.lambda();
    let code = world.tiktok.core().authorize_by_code(APP_ID, GrantSpec::default(), HOUR);
    let before = world.current();
    for (piece, says) in [
        (format!("auth_code={code}"), "a piece of an address"),
        (format!("?auth_code={code}&state=x"), "a piece of an address"),
        (format!("{code}&code=x&state=y"), "a piece of an address"),
        (format!("{code}&amp;code=x"), "'&amp;'"),
        (format!("{}%2", encoded(&code)), "a part of it is missing"),
        (format!("{}%", encoded(&code)), "a part of it is missing"),
        (format!("{code}%zz"), "a part of it is missing"),
        (format!("{code} {code}"), "a blank"),
        (format!("{code}%0A{code}"), "a blank"),
        (format!("{code}\u{2026}"), "no code has"),
        ("\" \"".to_owned(), "not an auth code"),
    ] {
        let invocation = function.run(json!({"action": "exchange", "auth_code": piece})).await;
        assert_failed(&invocation, "InvalidEvent", &[says, "'redirect_url'"]);
    }
    let journal = world.faults.journal();
    assert!(journal.is_empty(), "neither AWS nor TikTok was asked\n{journal}");
    assert_eq!(world.current(), before);
    let invocation = function.run(json!({"action": "exchange", "auth_code": code})).await;
    assert_eq!(outcome(&invocation), "authorized", "the code was not spent");
}

#[tokio::test]
async fn an_address_that_was_cut_or_copied_from_html_is_refused_and_is_to_be_copied_again() {
    let world = World::start();
    let function = world.lambda();
    let link = link(&function, authorize_url()).await;
    let whole = consent(&world, &link, GrantSpec::default());
    let state = whole.split_once("state=").expect("a state").1.to_owned();
    let (said, _) = state.split_once('.').expect("two parts");
    let first = whole.replacen(&format!("&state={state}"), "", 1).replacen('?', &format!("?state={state}&"), 1);
    world.faults.reset();
    for (address, says) in [
        (whole.replace('&', "&amp;"), "'&amp;' in place of '&'"),
        (first.replace('&', "&amp;"), "'&amp;' in place of '&'"),
        (whole[..whole.len() - 1].to_owned(), "incomplete"),
        (whole[..whole.len() - 20].to_owned(), "incomplete"),
        (format!("{}%2", &whole[..whole.len() - 3]), "incomplete"),
        (whole.replace(&state, said), "incomplete"),
        (whole.replace(&state, &format!("{state}...")), "incomplete"),
        (whole.replace(&state, &format!("{state}…")), "incomplete"),
        (whole.replace(&state, ""), "the address was cut"),
        (whole.split("&state").next().expect("the rest").to_owned(), "the address was cut"),
        (first.split("&auth_code").next().expect("the rest").to_owned(), "the address was cut"),
    ] {
        let invocation = function.run(exchange(&address)).await;
        assert_failed(&invocation, "InvalidEvent", &[says, "Copy the"]);
    }
    assert_failed(&function.run(exchange(link.as_str())).await, "InvalidEvent", &["link to the consent page", "Open"]);
    let journal = world.faults.journal();
    assert!(journal.is_empty(), "neither AWS nor TikTok was asked\n{journal}");
    let code = whole.find("auth_code=").expect("a code") + "auth_code=".len() + 3;
    for inside in [" ", "\u{200b}", "\n  "] {
        let address = format!("{}{inside}{}", &whole[..code], &whole[code..]);
        assert_failed(&function.run(exchange(&address)).await, "InvalidEvent", &["no code has", "in one piece"]);
    }
    let journal = world.faults.journal();
    assert!(journal.is_empty(), "neither AWS nor TikTok was asked\n{journal}");
    for address in [format!("<{whole}>"), format!("{whole} {whole}")] {
        assert_failed(&function.run(exchange(&address)).await, "InvalidEvent", &["Copy"]);
    }
    // A terminal breaks long lines, and a chat puts quotation marks around them.
    let (start, end) = whole.split_at(60);
    let invocation = function.run(exchange(&format!("“{start}\r\n{end}”\n"))).await;
    assert_eq!(outcome(&invocation), "authorized", "the code was not spent");
}

#[tokio::test]
async fn a_link_that_is_made_in_the_second_after_an_exchange_works() {
    let world = World::start();
    let function = world.lambda();
    for _ in 0..3 {
        let link: Url = link(&function, authorize_url()).await;
        let address = consent(&world, &link, GrantSpec::default());
        assert_eq!(outcome(&function.run(exchange(&address)).await), "authorized");
        let replayed = consent(&world, &link, GrantSpec::default());
        assert_failed(&function.run(exchange(&replayed)).await, "InvalidEvent", &["was used"]);
    }
    world.assert_usable();
}
