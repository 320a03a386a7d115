//! A snapshot of every message that a user can see: errors, warnings, statuses, pages and the log. A review shows each
//! change, and one test checks the words of all.

use std::{collections::BTreeSet, env, fs, path::Path, str::FromStr};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const SNAPSHOT: &str = "tests/scenarios/people/messages.txt";

/// Words that the project has another word for.
const OTHER_WORDS: [&str; 4] = ["authoris", "whoever", "serialis", "is not a text"];

/// The texts in the sources that have at least two words, as they stand there: placeholders are not filled in.
fn messages() -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    collect_from(Path::new("src"), &mut messages);
    messages
}

fn collect_from(folder: &Path, messages: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect_from(&path, messages);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            let source = fs::read_to_string(&path).expect("a text");
            let tokens = TokenStream::from_str(&source).expect("Rust");
            collect(tokens, messages);
        }
    }
}

fn collect(tokens: TokenStream, messages: &mut BTreeSet<String>) {
    let (mut is_attribute, mut is_test) = (false, false);
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => is_attribute = true,
            TokenTree::Punct(punct) if punct.as_char() == '!' && is_attribute => {}
            TokenTree::Group(group) if is_attribute => {
                is_attribute = false;
                is_test |= group.stream().to_string().replace(' ', "") == "cfg(test)";
            }
            // The body of a module of tests.
            TokenTree::Group(group) if is_test && group.delimiter() == Delimiter::Brace => is_test = false,
            TokenTree::Punct(punct) if punct.as_char() == ';' => (is_attribute, is_test) = (false, false),
            TokenTree::Group(group) => collect(group.stream(), messages),
            TokenTree::Literal(literal) => {
                is_attribute = false;
                let text = syn::parse_str::<syn::LitStr>(&literal.to_string()).map(|literal| literal.value());
                messages.extend(text.ok().map(|text| without_markup(&text)).filter(|text| is_message(text)));
            }
            _ => is_attribute = false,
        }
    }
}

/// The text of a piece of a page, on one line.
fn without_markup(text: &str) -> String {
    let mut is_markup = false;
    let mut keep = |character: &char| {
        is_markup |= *character == '<';
        let is_text = !is_markup;
        is_markup &= *character != '>';
        is_text
    };
    let text: String = if text.contains("</") || text.starts_with('<') {
        text.chars().filter(|character| keep(character)).collect()
    } else {
        text.to_owned()
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_message(text: &str) -> bool {
    text.split(' ').filter(|word| word.chars().any(char::is_alphabetic)).count() > 1
}

#[test]
fn every_message_that_a_user_can_see_stands_in_the_snapshot() {
    let messages = messages();
    assert!(messages.len() > 200, "the sources were found");
    if env::var_os("UPDATE_MESSAGES").is_some() {
        let lines: Vec<&str> = messages.iter().map(String::as_str).collect();
        fs::write(SNAPSHOT, lines.join("\n") + "\n").expect("the snapshot");
    }
    let snapshot = fs::read_to_string(SNAPSHOT).expect("the snapshot");
    let snapshot: BTreeSet<&str> = snapshot.lines().collect();
    let messages: BTreeSet<&str> = messages.iter().map(String::as_str).collect();
    let (new, gone): (Vec<_>, Vec<_>) =
        (messages.difference(&snapshot).collect(), snapshot.difference(&messages).collect());
    assert!(
        new.is_empty() && gone.is_empty(),
        "the snapshot is out of date; `UPDATE_MESSAGES=1 cargo test --test scenarios messages` writes it.\nnew: {new:#?}\ngone: {gone:#?}"
    );
}

#[test]
fn the_messages_use_the_words_of_the_project() {
    for message in messages() {
        let lower = message.to_lowercase();
        for word in OTHER_WORDS {
            assert!(!lower.contains(word), "{word:?} in {message:?}");
        }
    }
}
