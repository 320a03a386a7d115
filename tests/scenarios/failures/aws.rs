//! Secrets Manager or KMS deny, fail or are slow.

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
async fn a_promotion_that_is_refused_although_nobody_was_faster_is_tried_again_for_as_long_as_reads_may_lag() {
    let message = "Staging label AWSCURRENT is currently attached to version 1, so you must explicitly reference it.";
    let refusal = || Fault::aws_error(400, "InvalidParameterException", message);
    let promotion = || When::operation("UpdateSecretVersionStage");
    let world = World::start();
    world.faults.at(promotion(), refusal());
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    world.assert_usable();

    let world = World::start();
    world.faults.at(promotion().always(), refusal());
    // Ten seconds of waiting, and a hundred requests between them.
    let invocation = world.lambda().invoke(scheduled(), Duration::from_mins(1)).await;
    assert_failed(&invocation, "SecretsManagerUnavailable", &["does not move AWSCURRENT"]);
    let swaps = world.faults.journal().count("UpdateSecretVersionStage");
    assert!(swaps < 60, "{swaps} swaps");
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

#[tokio::test]
async fn a_refusal_that_is_no_conflict_is_shown_and_not_tried_again() {
    for message in ["You can't move a staging label of this secret.", "Invalid value."] {
        let world = World::start();
        let refusal = Fault::aws_error(400, "InvalidParameterException", message);
        world.faults.at(When::operation("UpdateSecretVersionStage").always(), refusal);
        let invocation = world.lambda().run(scheduled()).await;
        let says = ["UpdateSecretVersionStage", "InvalidParameterException", message.trim_end_matches('.')];
        assert_failed(&invocation, "InvalidConfiguration", &says);
        assert_eq!(world.faults.journal().count("UpdateSecretVersionStage"), 1);
        assert_eq!(world.next_run().await, "resumed");
        assert_eq!(world.redeemed(), 1);
    }
}

#[tokio::test]
async fn a_conflict_in_words_that_nobody_knows_is_one_where_the_label_has_moved() {
    let Some(world) = strict(World::start()) else { return };
    let (client, secret, before) = (world.secrets_manager.client(), world.secret_id.clone(), world.current());
    let edit = Fault::run_before(move || {
        let mut edited = before.clone();
        edited["mine"] = serde_json::json!("edited");
        let (client, secret) = (client.clone(), secret.clone());
        async move { drop(client.put(&secret, &edited.to_string()).await.expect("a person may write")) }
    });
    let conflict = Fault::aws_error(400, "InvalidParameterException", "Conflict.");
    world.faults.at(When::operation("UpdateSecretVersionStage"), conflict);
    world.faults.at(When::operation("oauth2/advertiser/get"), edit);
    assert_eq!(outcome(&world.lambda().run(scheduled()).await), "refreshed");
    assert_eq!((world.field("mine").as_str(), world.faults.unfired()), ("edited", 0));
    world.assert_usable();
}

#[tokio::test]
async fn a_write_that_is_refused_shows_what_aws_said_and_what_to_do() {
    for (exception, message, kind, says) in [
        (
            "InvalidRequestException",
            "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
            "InvalidConfiguration",
            "stop-replication-to-replica",
        ),
        (
            "InvalidRequestException",
            "You can't perform this operation on a secret that is managed by another service.",
            "InvalidConfiguration",
            "a secret of your own",
        ),
        (
            "InvalidParameterException",
            "The parameter VersionStages can't have more than 20 labels.",
            "InvalidConfiguration",
            "what the message names",
        ),
        (
            "ValidationException",
            "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536",
            "InvalidConfiguration",
            "what the message names",
        ),
        (
            "PreconditionNotMetException",
            "The request failed because you did not complete all the prerequisite steps.",
            "InvalidConfiguration",
            "what the message names",
        ),
        (
            "LimitExceededException",
            "You've exceeded the limit of 100 versions for this secret.",
            "SecretLimitExceeded",
            "after a day",
        ),
    ] {
        let world = World::start();
        let refusal = Fault::aws_error(400, exception, message);
        world.faults.at(When::operation("PutSecretValue").detail(CLAIM).always(), refusal);
        let invocation = world.lambda().run(scheduled()).await;
        let said = message.trim_end_matches('.');
        assert_failed(
            &invocation,
            kind,
            &["PutSecretValue", exception, said, says].map(|it| {
                if kind == "SecretLimitExceeded" && it == "PutSecretValue" { "no more versions" } else { it }
            }),
        );
        let puts = world.faults.journal().count("PutSecretValue");
        assert_eq!((puts, world.redeemed()), (1, 0), "{exception}: nothing was spent, and nothing tried again");
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn an_explicit_deny_is_named_as_such_and_a_grant_is_not_the_advice() {
    let explicit = |policy: &str| format!("with an explicit deny in a {policy}");
    let implicit = |policy: &str| format!("because no {policy} allows the secretsmanager:PutSecretValue action");
    for (how, names, says) in [
        (explicit("resource-based policy"), "explicit deny in a resource-based policy", "get-resource-policy"),
        (
            explicit("service control policy"),
            "explicit deny in a service control policy",
            "administrators of the organization",
        ),
        (
            explicit("resource control policy"),
            "explicit deny in a resource control policy",
            "administrators of the organization",
        ),
        (
            explicit("permissions boundary"),
            "explicit deny in a permissions boundary",
            "permissions boundary of the function's role",
        ),
        (
            explicit("VPC endpoint policy"),
            "explicit deny in a VPC endpoint policy",
            "VPC endpoint that the function's subnets use",
        ),
        (explicit("session policy"), "explicit deny in a session policy", "session policy"),
        (
            "with an explicit deny in an identity-based policy".to_owned(),
            "explicit deny in an identity-based policy",
            "policies of the function's role",
        ),
        ("with an explicit deny".to_owned(), "explicit deny", "Remove the Deny statement"),
        (
            "because it is explicitly denied by a service control policy".to_owned(),
            "explicit deny in a service control policy",
            "administrators of the organization",
        ),
        (
            implicit("service control policy"),
            "no service control policy allows it",
            "Allow secretsmanager:PutSecretValue in the service control policy",
        ),
        (implicit("permissions boundary"), "no permissions boundary allows it", "in the permissions boundary"),
        (implicit("VPC endpoint policy"), "no VPC endpoint policy allows it", "VPC endpoint"),
    ] {
        let world = World::start();
        let message = format!(
            "User: arn:aws:sts::123456789012:assumed-role/role/function is not authorized to perform: secretsmanager:PutSecretValue on resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:x {how}"
        );
        world
            .faults
            .at(When::operation("PutSecretValue").always(), Fault::aws_error(400, "AccessDeniedException", &message));
        let invocation = world.lambda().run(scheduled()).await;
        assert_failed(&invocation, "AccessDenied", &[names, says, "secretsmanager:PutSecretValue"]);
        let said = crate::evidence::error_message(&invocation);
        assert!(!said.contains("Grant"), "{how}: {said}");
        assert_eq!(world.next_run().await, "refreshed", "{how}");
    }
}

#[tokio::test]
async fn a_key_whose_policy_denies_its_use_is_named_as_such() {
    let world = World::start();
    let message = "User: arn:aws:sts::123456789012:assumed-role/role/function is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:123456789012:key/1 with an explicit deny in a resource-based policy";
    world
        .faults
        .at(When::operation("PutSecretValue").always(), Fault::aws_error(400, "AccessDeniedException", message));
    let invocation = world.lambda().run(scheduled()).await;
    assert_failed(
        &invocation,
        "AccessDenied",
        &["explicit deny in a resource-based policy", "the policy of the secret's KMS key"],
    );
    assert!(!crate::evidence::error_message(&invocation).contains("Grant"));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_from_the_secret() {
    for (exception, message) in [
        ("KMSDisabledException", "arn:aws:kms:eu-west-1:123456789012:key/1 is disabled."),
        ("KMSInvalidStateException", "arn:aws:kms:eu-west-1:123456789012:key/1 is pending deletion."),
        ("InvalidRequestException", "The KMS key arn:aws:kms:eu-west-1:123456789012:key/1 is pending deletion."),
        ("AccessDeniedException", "Access to KMS is not allowed"),
    ] {
        let world = World::start();
        world.faults.at(When::operation("GetSecretValue").always(), Fault::aws_error(400, exception, message));
        let invocation = world.lambda().run(scheduled()).await;
        let says = ["The key that encrypts", exception, "see that the key is enabled"];
        assert_failed(&invocation, "AccessDenied", &says);
        assert_eq!(world.next_run().await, "refreshed", "{message}");
    }
    // The name of a secret may have these letters too.
    let world = World::start();
    let message = "User: x is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:eu-west-1:123456789012:secret:KMS/x because no identity-based policy allows it";
    let denied = Fault::aws_error(400, "AccessDeniedException", message);
    world.faults.at(When::operation("GetSecretValue").always(), denied);
    let says = ["Grant secretsmanager:GetSecretValue on this secret"];
    assert_failed(&world.lambda().run(scheduled()).await, "AccessDenied", &says);
}

#[tokio::test]
async fn a_refusal_that_is_not_secrets_managers_is_not_called_an_outage_of_aws() {
    for (status, body) in [(403, "<html>Forbidden by the proxy</html>"), (404, "not found"), (407, ""), (400, "{}")] {
        let world = World::start();
        world.faults.at(When::operation("GetSecretValue").always(), Fault::answer(status, "text/html", body));
        let invocation = world.lambda().run(scheduled()).await;
        let says = [&format!("HTTP {status}"), "not by Secrets Manager", "Check HTTPS_PROXY"];
        assert_failed(&invocation, "InvalidConfiguration", &says);
        assert_eq!(world.next_run().await, "refreshed");
    }
}

#[tokio::test]
async fn an_error_names_the_place_where_the_id_of_the_secret_stands() {
    let world = World::with_document(GrantSpec::default(), |document| {
        document["publish"] = serde_json::json!([{"secret_id": "tiktok/no-such-reader"}]);
    });
    let function = world.lambda();
    let event = serde_json::json!({"action": "refresh", "secret_ids": ["tiktok/no-such-secret"]});
    let said = crate::evidence::error_message(&function.run(event).await).to_owned();
    assert!(said.contains("the secret's id in the event") && !said.contains("SECRET_ID"), "{said}");

    let said = crate::evidence::error_message(&function.run(scheduled()).await).to_owned();
    assert!(
        said.contains("tiktok/no-such-reader") && said.contains("'publish'") && !said.contains("SECRET_ID"),
        "{said}"
    );
    let managed =
        Fault::aws_error(400, "InvalidRequestException", "You can't perform this operation on a managed secret.");
    world.faults.at(When::operation("GetSecretValue").detail("tiktok/no-such-reader"), managed);
    let said = crate::evidence::error_message(&function.run(scheduled()).await).to_owned();
    assert!(said.contains("Correct the field 'publish'") && !said.contains("SECRET_ID"), "{said}");

    let world = World::with_document(GrantSpec::default(), |document| {
        document.as_object_mut().expect("an object").remove("secret");
        document["app_secret_id"] = serde_json::json!("tiktok/no-such-app");
    });
    let said = crate::evidence::error_message(&world.lambda().run(scheduled()).await).to_owned();
    assert!(said.contains("tiktok/no-such-app") && said.contains("correct 'app_secret_id'"), "{said}");
    assert!(!said.contains("SECRET_ID"), "{said}");

    let world = World::empty();
    let said = crate::evidence::error_message(&world.lambda().run(scheduled()).await).to_owned();
    assert!(said.contains("correct SECRET_ID"), "{said}");
}
