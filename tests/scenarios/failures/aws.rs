//! Secrets Manager or its key refuse, falter or fail.

use std::time::Duration;

use stand_ins::{Fault, GrantSpec, When, World, secrets_manager::Denial, tiktok::Renewal};

use crate::support::{CLAIM, SHORT, STAGE, Scenario, assert_failed, outcome, scheduled, side_by_side, strict};

/// Enough for a run that does not come to redeeming.
const VERY_SHORT: Duration = Duration::from_secs(3);

/// The requests of a run to Secrets Manager: the operation, and a part of what tells it from others of its kind.
const REQUESTS: [(&str, &str); 6] = [
    ("GetSecretValue", "AWSCURRENT"),
    ("ListSecretVersionIds", ""),
    ("GetSecretValue", "TIKTOK_STAGED"),
    ("PutSecretValue", CLAIM),
    ("PutSecretValue", STAGE),
    ("UpdateSecretVersionStage", ""),
];

fn denied() -> Fault {
    Fault::aws_error(400, "AccessDeniedException", "User is not authorized to perform this")
}

fn internal_error() -> Fault {
    Fault::aws_error(500, "InternalServiceError", "An error occurred on the server side.")
}

#[tokio::test]
async fn a_missing_permission_is_named_and_costs_no_token() {
    let get = "secretsmanager:GetSecretValue";
    let cases = [
        (Denial::of("GetSecretValue"), vec![get, "Grant"], 0),
        (Denial::of("ListSecretVersionIds"), vec!["secretsmanager:ListSecretVersionIds", "Grant"], 0),
        (
            Denial::of("PutSecretValue"),
            vec!["secretsmanager:PutSecretValue", "allows the secretsmanager:PutSecretValue action. Grant"],
            0,
        ),
        // The new tokens are staged by then, and the next run goes on with them.
        (Denial::of("UpdateSecretVersionStage"), vec!["secretsmanager:UpdateSecretVersionStage", "Grant"], 1),
        (Denial::of_decryption(), vec!["kms:Decrypt", "Grant"], 0),
        (Denial::broken_decryption(), vec!["DecryptionFailure", "kms:Decrypt", "enabled"], 0),
        (Denial::of_encryption(), vec!["kms:GenerateDataKey", "Grant"], 0),
        (Denial::broken_encryption(), vec!["EncryptionFailure", "kms:GenerateDataKey", "enabled"], 0),
    ];
    for (denial, says, redeemed) in cases {
        let Some(world) = strict(World::start()) else { return };
        let case = format!("{denial:?}");
        world.secrets_manager.core().deny(denial);
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "AccessDenied", "{case}");
        assert_failed(&invocation, "AccessDenied", &says);
        assert_eq!(world.redeemed(), redeemed, "{case}");
        world.secrets_manager.core().allow_everything();
        assert_eq!(world.next_run().await, if redeemed > 0 { "resumed" } else { "refreshed" }, "{case}");
        assert_eq!(world.redeemed(), 1, "nothing was redeemed twice: {case}");
    }
}

#[tokio::test]
async fn credentials_that_aws_does_not_take_are_told_from_a_missing_permission() {
    for exception in ["UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException"] {
        let world = World::start();
        let message = "The security token included in the request is invalid.";
        world.faults.at(When::operation("GetSecretValue").always(), Fault::aws_error(400, exception, message));
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "AccessDenied", &[exception, message, "credentials"]);
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn a_request_that_secrets_manager_does_not_take_is_not_called_a_missing_secret() {
    for exception in ["InvalidRequestException", "InvalidParameterException", "ValidationException"] {
        let world = World::start();
        let message = "You can't perform this operation on a managed secret.";
        world.faults.at(When::operation("GetSecretValue").always(), Fault::aws_error(400, exception, message));
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "InvalidConfiguration", &[exception, "a managed secret", "SECRET_ID"]);
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn trouble_that_passes_is_outlasted_wherever_it_strikes() {
    let troubles = || {
        [
            Fault::aws_error(400, "ThrottlingException", "Rate exceeded"),
            internal_error(),
            Fault::answer(503, "text/html", "<html>Service Unavailable</html>"),
            Fault::DropBefore,
            Fault::DropAfter,
            Fault::ResetBefore,
            Fault::ResetAfter,
            Fault::TruncatedBody,
            Fault::Garbage,
        ]
    };
    let cases = REQUESTS.into_iter().flat_map(|request| troubles().map(|trouble| (request, trouble)));
    side_by_side(cases.map(|((operation, part), trouble)| async move {
        let world = World::start();
        let case = format!("{operation} {part}: {trouble:?}");
        world.faults.at(When::operation(operation).detail(part).times(2), trouble);
        let invocation = world.lambda().run(scheduled()).await;
        assert_eq!(outcome(&invocation), "refreshed", "{case}: {:?}\n{}", invocation.outcome, world.faults.journal());
        world.assert_usable();
        assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0), "{case}");
    }))
    .await;
}

#[tokio::test]
async fn trouble_that_stays_ends_as_an_error_before_the_deadline_and_spends_nothing() {
    let cases = [
        ("GetSecretValue", "AWSCURRENT", VERY_SHORT),
        ("ListSecretVersionIds", "", SHORT),
        ("PutSecretValue", CLAIM, SHORT),
    ];
    side_by_side(cases.map(|(operation, part, limit)| async move {
        let world = World::start();
        world.faults.at(When::operation(operation).detail(part).always(), internal_error());
        let invocation = world.lambda().invoke(scheduled(), limit).await;
        let says = [operation, "InternalServiceError", ". Nothing to do yet: the next run tries again."];
        assert_failed(&invocation, "SecretsManagerUnavailable", &says);
        assert_eq!(world.redeemed(), 0, "{operation} {part}");
        assert_eq!(world.next_run().await, "refreshed");
    }))
    .await;
}

#[tokio::test]
async fn staged_tokens_wait_until_they_can_be_promoted() {
    let world = World::start();
    world.faults.at(When::operation("UpdateSecretVersionStage"), denied());
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "AccessDenied");
    world.faults.at(When::operation("UpdateSecretVersionStage").always(), internal_error());
    let invocation = world.lambda().invoke(scheduled(), SHORT).await;
    assert_failed(&invocation, "SecretsManagerUnavailable", &["UpdateSecretVersionStage"]);
    assert_eq!(world.next_run().await, "resumed");
    assert_eq!(world.redeemed(), 1);
}

#[tokio::test]
async fn a_promotion_that_is_refused_although_nobody_was_faster_is_tried_again_until_the_deadline() {
    let refusal = || Fault::aws_error(400, "InvalidParameterException", "The version stage is attached elsewhere.");
    let promotion = || When::operation("UpdateSecretVersionStage");
    let world = World::start();
    world.faults.at(promotion(), refusal());
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();

    let world = World::start();
    world.faults.at(promotion().always(), refusal());
    let invocation = world.lambda().invoke(scheduled(), SHORT).await;
    assert_failed(&invocation, "DeadlineExceeded", &["the step 'promote'"]);
    assert_eq!(world.next_run().await, "resumed");
    assert_eq!(world.redeemed(), 1);
}

#[tokio::test]
async fn a_claim_that_is_called_taken_is_read_and_an_own_one_counts() {
    let claim = || When::operation("PutSecretValue").detail(CLAIM);
    let taken = || Fault::aws_error(400, "ResourceExistsException", "A version with this token exists.");
    let Some(world) = strict(World::start()) else { return };
    world.faults.at(claim(), taken().after_applying());
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();

    // One that cannot be read yet was written a moment ago, so its run may be at work for some seconds.
    let Some(world) = strict(World::start()) else { return };
    world.faults.at(claim(), taken());
    let invocation = world.lambda().run(scheduled()).await;
    assert_eq!(outcome(&invocation), "in_progress");
    let until = crate::support::warnings(&invocation);
    let until = until.split_whitespace().find_map(|word| word.trim_end_matches('.').parse::<jiff::Timestamp>().ok());
    assert!(until.expect("a time") > jiff::Timestamp::now(), "{until:?}");
    assert_eq!(world.redeemed(), 0);
}

#[tokio::test]
async fn what_tiktok_rejects_under_an_own_claim_is_called_lost_only_where_an_earlier_one_was() {
    for was_spent_before in [false, true] {
        let Some(world) = strict(World::start()) else { return };
        let claim = || When::operation("PutSecretValue").detail(CLAIM);
        if was_spent_before {
            world.faults.at(When::operation("oauth2/refresh_token"), Fault::KillBefore);
            world.lambda().run(scheduled()).await;
            world.let_the_claim_expire().await;
        }
        world.tiktok.core().revoke(world.grant);
        let taken = Fault::aws_error(400, "ResourceExistsException", "A version with this token exists.");
        world.faults.at(claim(), taken.after_applying());
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "ReauthorizationRequired", &["40107"]);
        let said = format!("{:?}", invocation.outcome);
        assert_eq!(said.contains("earlier attempt was lost"), was_spent_before, "{said}");
    }
}

#[tokio::test]
async fn a_refusal_to_store_new_tokens_is_not_believed_as_long_as_there_is_time() {
    let world = World::start();
    world.faults.at(When::operation("PutSecretValue").detail(STAGE).times(3), denied());
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();
    assert_eq!((world.redeemed(), world.faults.unfired()), (1, 0));
}

#[tokio::test]
async fn new_tokens_that_cannot_be_stored_until_the_deadline_are_an_error_that_says_so() {
    let cases = [(denied(), "AccessDenied"), (internal_error(), "SecretsManagerUnavailable")];
    side_by_side(cases.map(|(trouble, kind)| async move {
        let world = World::with(GrantSpec { renewal: Renewal::SameRefreshToken, ..GrantSpec::default() });
        world.faults.at(When::operation("PutSecretValue").detail(STAGE).always(), trouble);
        let invocation = world.lambda().invoke(scheduled(), SHORT).await;
        let says =
            ["new tokens that could not be stored", "PutSecretValue", "The next run tries the old refresh token"];
        assert_failed(&invocation, kind, &says);
        assert_eq!(world.next_run().await, "refreshed");
    }))
    .await;
}
