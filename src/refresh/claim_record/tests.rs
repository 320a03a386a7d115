//! The state of a claim, as another run and its own run see it.

use super::*;

const EXPIRES: &str = "2026-11-22T03:01:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn claim(purpose: Purpose, released: bool) -> Claim {
    Claim {
        attempt: 0,
        fingerprint: Fingerprint::of(None, None),
        nonce: "ours".to_owned(),
        claimed_by: "run".to_owned(),
        claimed_at: time("2026-11-22T03:00:00Z"),
        expires_at: time(EXPIRES),
        result_version_id: "result".to_owned(),
        purpose,
        code: None,
        released,
        answered: released,
        failures: 0,
        failed: None,
    }
}

#[test]
fn a_claim_holds_until_it_is_released_or_its_time_and_the_grace_are_over() {
    use ClaimState::{Held, Ours, Over};
    use Purpose::{Append, Exchange, Refresh};
    let until = time(EXPIRES);
    let [before, at_its_end, in_grace, after] =
        ["2026-11-22T03:00:59Z", EXPIRES, "2026-11-22T03:01:09.999Z", "2026-11-22T03:01:10Z"];
    for (name, purpose, released, nonce, now, expected) in [
        ("another run's", Refresh, false, "another", before, Held { until }),
        ("another run's, at its end by this clock", Refresh, false, "another", at_its_end, Held { until }),
        ("another run's, while clocks may differ", Refresh, false, "another", in_grace, Held { until }),
        ("another run's, past the grace", Refresh, false, "another", after, Over),
        ("another run's, released", Refresh, true, "another", before, Over),
        ("our own", Refresh, false, "ours", before, Ours),
        ("our own, in grace", Refresh, false, "ours", in_grace, Ours),
        ("our own, past the grace", Refresh, false, "ours", after, Over),
        ("our own, released", Refresh, true, "ours", before, Over),
        ("an exchange's", Exchange, false, "another", before, Held { until }),
        ("an exchange's has no grace", Exchange, false, "another", at_its_end, Over),
        ("an exchange's, withdrawn", Exchange, true, "another", before, Over),
        ("our own exchange's", Exchange, false, "ours", before, Ours),
        ("a mark behind a pair", Append, true, "another", before, Over),
    ] {
        assert_eq!(claim(purpose, released).state(nonce, time(now)), expected, "{name}");
    }
}

#[test]
fn a_claim_is_unfinished_until_its_run_has_said_that_it_did_its_work() {
    use Purpose::{Append, Exchange, Refresh};
    let failed = || Some(Box::new(Failed::new(&Error::new(Kind::TikTokUnavailable, "No."), time(EXPIRES), None)));
    for (name, purpose, released, failed, expected) in [
        ("at work or dead", Refresh, false, None, true),
        ("released after a failure", Refresh, true, failed(), true),
        ("released in good order", Refresh, true, None, false),
        ("an exchange's", Exchange, false, None, false),
        ("a mark behind a pair", Append, false, None, false),
    ] {
        assert_eq!(Claim { failed, ..claim(purpose, released) }.is_unfinished(), expected, "{name}");
    }
}
