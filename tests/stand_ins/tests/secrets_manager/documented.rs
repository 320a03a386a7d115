//! The rules of the API reference and the user guide of AWS Secrets Manager, tested over the wire.

use serde_json::json;
use stand_ins::secrets_manager::client::new_token;

use crate::{
    desk::{Desk, sorted, text, unique_name},
    emulators::keeps,
};

const REFUSED: &[&str] = &["InvalidParameterException", "InvalidRequestException"];
const INVALID: &[&str] = &["InvalidParameterException", "InvalidRequestException", "ValidationException"];

/// A rule is a test; its body gets a server of its own.
macro_rules! rules {
    ($(async fn $rule:ident($desk:ident) $body:block)+) => {
        $(#[tokio::test]
        async fn $rule() {
            keeps(stringify!($rule), |$desk| async move $body).await;
        })+
    };
}

// CreateSecret
rules! {
    async fn the_token_of_a_creation_is_the_id_of_the_first_version(desk) {
        let token = new_token();
        let secret = desk.secret_with(json!({ "ClientRequestToken": token })).await;
        assert_eq!(secret.first, token);
        assert_eq!(desk.labels(&secret.name).await, [(token, vec!["AWSCURRENT".to_owned()])].into());
    }

    async fn a_creation_repeated_with_its_token_and_value_succeeds(desk) {
        let secret = desk.secret().await;
        let input = json!({ "Name": secret.name, "ClientRequestToken": secret.first, "SecretString": "v1" });
        assert_eq!(desk.done("CreateSecret", input).await["ARN"], json!(secret.arn));
    }

    async fn a_creation_repeated_with_another_value_is_refused(desk) {
        let secret = desk.secret().await;
        let input = json!({ "Name": secret.name, "ClientRequestToken": secret.first, "SecretString": "other" });
        desk.refused("CreateSecret", input, &["ResourceExistsException"]).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }

    async fn a_name_that_exists_is_refused(desk) {
        let secret = desk.secret().await;
        let input = json!({ "Name": secret.name, "ClientRequestToken": new_token(), "SecretString": "v2" });
        desk.refused("CreateSecret", input, &["ResourceExistsException"]).await;
    }

    async fn a_name_with_other_characters_is_refused(desk) {
        let input = json!({ "Name": format!("bad name!{}", new_token()), "ClientRequestToken": new_token(), "SecretString": "v1" });
        desk.refused("CreateSecret", input, INVALID).await;
    }

    async fn a_key_that_does_not_exist_is_refused(desk) {
        let key = format!("arn:aws:kms:eu-west-1:123456789012:key/{}", new_token());
        let input = json!({
            "Name": unique_name(), "ClientRequestToken": new_token(), "SecretString": "v1", "KmsKeyId": key,
        });
        desk.refused("CreateSecret", input, INVALID).await;
    }

    async fn an_arn_ends_with_six_characters_and_is_found_without_them(desk) {
        let secret = desk.secret().await;
        let (partial, suffix) = secret.arn.rsplit_once('-').expect("a suffix");
        assert_eq!(suffix.len(), 6, "{}", secret.arn);
        assert_eq!(desk.at(&secret.arn, "AWSCURRENT").await, "v1");
        assert_eq!(desk.at(partial, "AWSCURRENT").await, "v1");
    }

    async fn a_secret_without_a_value_has_no_version(desk) {
        let name = unique_name();
        desk.done("CreateSecret", json!({ "Name": name, "ClientRequestToken": new_token() })).await;
        desk.refused("GetSecretValue", json!({ "SecretId": name }), &["ResourceNotFoundException"]).await;
    }
}

// GetSecretValue
rules! {
    async fn a_secret_that_is_not_there_is_not_found(desk) {
        let input = json!({ "SecretId": unique_name() });
        desk.refused("GetSecretValue", input, &["ResourceNotFoundException"]).await;
    }

    async fn a_version_id_that_is_not_there_is_not_found(desk) {
        let secret = desk.secret().await;
        let input = json!({ "SecretId": secret.name, "VersionId": new_token() });
        desk.refused("GetSecretValue", input, &["ResourceNotFoundException"]).await;
    }

    async fn a_label_that_is_not_there_is_not_found(desk) {
        let secret = desk.secret().await;
        let input = json!({ "SecretId": secret.name, "VersionStage": "NOT_THERE" });
        desk.refused("GetSecretValue", input, &["ResourceNotFoundException"]).await;
    }

    async fn a_version_without_a_label_is_read_by_its_id(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &[]).await;
        desk.put(&secret.name, "v3", &[]).await;
        let read = desk.done("GetSecretValue", json!({ "SecretId": secret.name, "VersionId": secret.first })).await;
        assert_eq!(text(&read["SecretString"]), "v1");
    }
}

// PutSecretValue
rules! {
    async fn the_token_of_a_put_is_the_version_id(desk) {
        let (secret, token) = (desk.secret().await, new_token());
        let put = desk.put_as(&secret.name, &token, "v2", &["AWSPENDING"]).await.expect("a put");
        assert_eq!((text(&put["VersionId"]), &put["VersionStages"]), (token, &json!(["AWSPENDING"])));
    }

    async fn a_put_under_another_label_leaves_awscurrent(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
        assert_eq!(desk.at(&secret.name, "AWSPENDING").await, "v2");
    }

    async fn a_put_repeated_with_its_token_and_value_is_ignored(desk) {
        let secret = desk.secret().await;
        let token = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        let again = desk.put_as(&secret.name, &token, "v2", &["AWSPENDING"]).await.expect("ignored");
        assert_eq!(text(&again["VersionId"]), token);
    }

    async fn a_put_repeated_after_the_labels_moved_on_does_not_bring_them_back(desk) {
        let secret = desk.secret().await;
        let token = desk.put(&secret.name, "v2", &["MINE"]).await;
        let newer = desk.put(&secret.name, "v3", &["OTHER"]).await;
        desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, "MINE", Some(&newer), Some(&token))).await;
        let _ = desk.put_as(&secret.name, &token, "v2", &["MINE"]).await;
        assert_eq!(desk.at(&secret.name, "MINE").await, "v3");
    }

    async fn a_put_repeated_with_another_value_is_refused_and_changes_nothing(desk) {
        let secret = desk.secret().await;
        let token = desk.put(&secret.name, "v2", &["MINE"]).await;
        let refused = desk.put_as(&secret.name, &token, "other", &["MINE"]).await.expect_err("the token is taken");
        assert_eq!(refused.exception, "ResourceExistsException");
        assert_eq!(desk.at(&secret.name, "MINE").await, "v2");
    }

    async fn a_put_of_awspending_repeated_with_another_value_is_refused_and_changes_nothing(desk) {
        let secret = desk.secret().await;
        let token = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        let refused = desk.put_as(&secret.name, &token, "other", &["AWSPENDING"]).await.expect_err("the token is taken");
        assert_eq!(refused.exception, "ResourceExistsException");
        assert_eq!(desk.at(&secret.name, "AWSPENDING").await, "v2");
    }

    async fn a_second_put_of_awspending_moves_the_label(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        let second = desk.put(&secret.name, "v3", &["AWSPENDING"]).await;
        assert_eq!(desk.labels(&secret.name).await[&second], ["AWSPENDING"]);
        assert_eq!(desk.count(&secret.name, "AWSPENDING").await, 1);
    }

    async fn a_put_under_a_new_label_attaches_it(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &["MINE"]).await;
        assert_eq!(desk.at(&secret.name, "MINE").await, "v2");
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }

    async fn a_put_of_awscurrent_takes_awsprevious_along(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &[]).await;
        desk.put(&secret.name, "v3", &[]).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v3");
        assert_eq!(desk.at(&secret.name, "AWSPREVIOUS").await, "v2");
        assert_eq!(desk.count(&secret.name, "AWSCURRENT").await, 1);
        assert_eq!(desk.count(&secret.name, "AWSPREVIOUS").await, 1);
    }

    async fn a_put_leaves_other_labels_where_they_are(desk) {
        let secret = desk.secret().await;
        desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, "MINE", Some(&secret.first), None)).await;
        desk.put(&secret.name, "v2", &[]).await;
        assert_eq!(desk.at(&secret.name, "MINE").await, "v1");
    }

    async fn a_token_of_fewer_than_32_characters_is_refused(desk) {
        let secret = desk.secret().await;
        let refused = desk.put_as(&secret.name, "short", "v2", &[]).await.expect_err("too short");
        assert!(INVALID.contains(&refused.exception.as_str()), "{refused}");
    }

    async fn a_value_of_65536_bytes_is_stored(desk) {
        let (secret, value) = (desk.secret().await, "x".repeat(65_536));
        desk.put(&secret.name, &value, &[]).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, value);
    }

    async fn a_value_of_65537_bytes_is_refused(desk) {
        let secret = desk.secret().await;
        let refused = desk.put_as(&secret.name, &new_token(), &"x".repeat(65_537), &[]).await.expect_err("too long");
        assert!(INVALID.contains(&refused.exception.as_str()), "{refused}");
    }

    async fn a_value_that_is_both_text_and_bytes_is_refused(desk) {
        let secret = desk.secret().await;
        let input = json!({
            "SecretId": secret.name, "ClientRequestToken": new_token(), "SecretString": "v2", "SecretBinary": "djI=",
        });
        desk.refused("PutSecretValue", input, INVALID).await;
    }

    async fn a_secret_has_at_most_20_labels(desk) {
        let secret = desk.secret().await;
        // AWSCURRENT is one of them.
        for number in 1..20 {
            let label = format!("LABEL{number}");
            desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, &label, Some(&secret.first), None)).await;
        }
        let one_more = Desk::move_label(&secret.name, "LABEL20", Some(&secret.first), None);
        desk.refused("UpdateSecretVersionStage", one_more, &["LimitExceededException"]).await;
    }
}

// UpdateSecretVersionStage
rules! {
    async fn awscurrent_is_not_moved_without_naming_its_holder(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        let input = Desk::move_label(&secret.name, "AWSCURRENT", Some(&second), None);
        desk.refused("UpdateSecretVersionStage", input, REFUSED).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }

    async fn awscurrent_is_not_moved_from_a_version_that_does_not_hold_it(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["ONE"]).await;
        let third = desk.put(&secret.name, "v3", &["TWO"]).await;
        let input = Desk::move_label(&secret.name, "AWSCURRENT", Some(&third), Some(&second));
        desk.refused("UpdateSecretVersionStage", input, REFUSED).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }

    async fn awscurrent_moves_from_the_version_that_holds_it(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, "AWSCURRENT", Some(&second), Some(&secret.first))).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v2");
    }

    async fn a_read_without_a_label_is_of_awscurrent_after_it_moved(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, "AWSCURRENT", Some(&second), Some(&secret.first))).await;
        assert_eq!(text(&desk.done("GetSecretValue", json!({ "SecretId": secret.name })).await["SecretString"]), "v2");
    }

    async fn awsprevious_follows_awscurrent(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, "AWSCURRENT", Some(&second), Some(&secret.first))).await;
        assert_eq!(desk.at(&secret.name, "AWSPREVIOUS").await, "v1");
    }

    async fn a_move_that_is_repeated_leaves_one_label(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["AWSPENDING"]).await;
        let input = Desk::move_label(&secret.name, "AWSCURRENT", Some(&second), Some(&secret.first));
        desk.done("UpdateSecretVersionStage", input.clone()).await;
        // Refused or ignored: AWS's documentation allows both.
        let _ = desk.call("UpdateSecretVersionStage", input).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v2");
        assert_eq!(desk.count(&secret.name, "AWSCURRENT").await, 1);
    }

    async fn a_move_to_a_version_that_is_not_there_moves_nothing(desk) {
        let secret = desk.secret().await;
        let input = Desk::move_label(&secret.name, "AWSCURRENT", Some(&new_token()), Some(&secret.first));
        desk.refused("UpdateSecretVersionStage", input, &["ResourceNotFoundException", "InvalidParameterException"]).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }

    async fn awscurrent_is_not_taken_off(desk) {
        let secret = desk.secret().await;
        let input = Desk::move_label(&secret.name, "AWSCURRENT", None, Some(&secret.first));
        desk.refused("UpdateSecretVersionStage", input, REFUSED).await;
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }

    async fn a_label_of_ones_own_is_not_moved_without_naming_its_holder(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &["MINE"]).await;
        let input = Desk::move_label(&secret.name, "MINE", Some(&secret.first), None);
        desk.refused("UpdateSecretVersionStage", input, REFUSED).await;
        assert_eq!(desk.at(&secret.name, "MINE").await, "v2");
        assert_eq!(desk.count(&secret.name, "MINE").await, 1);
    }

    async fn a_label_that_is_attached_twice_is_there_once(desk) {
        let secret = desk.secret().await;
        let input = Desk::move_label(&secret.name, "MINE", Some(&secret.first), None);
        desk.done("UpdateSecretVersionStage", input.clone()).await;
        let _ = desk.call("UpdateSecretVersionStage", input).await;
        assert_eq!(desk.count(&secret.name, "MINE").await, 1);
    }

    async fn a_label_of_ones_own_is_taken_off(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &["MINE"]).await;
        desk.done("UpdateSecretVersionStage", Desk::move_label(&secret.name, "MINE", None, Some(&second))).await;
        assert_eq!(desk.count(&secret.name, "MINE").await, 0);
    }
}

// DescribeSecret, ListSecretVersionIds, UpdateSecret
rules! {
    async fn a_description_names_versions_with_a_label_only(desk) {
        let secret = desk.secret().await;
        let second = desk.put(&secret.name, "v2", &[]).await;
        let third = desk.put(&secret.name, "v3", &[]).await;
        assert_eq!(sorted(desk.labels(&secret.name).await.into_keys()), sorted([second, third]));
    }

    async fn a_list_of_versions_hides_those_without_a_label_unless_asked(desk) {
        let secret = desk.secret().await;
        desk.put(&secret.name, "v2", &[]).await;
        desk.put(&secret.name, "v3", &[]).await;
        let count = |list: &serde_json::Value| list["Versions"].as_array().map_or(0, Vec::len);
        let labeled = desk.done("ListSecretVersionIds", json!({ "SecretId": secret.name })).await;
        let all = desk.done("ListSecretVersionIds", json!({ "SecretId": secret.name, "IncludeDeprecated": true })).await;
        assert_eq!((count(&labeled), count(&all)), (2, 3));
        assert_eq!(labeled["ARN"], json!(secret.arn));
    }

    async fn an_update_of_the_description_keeps_value_and_tags(desk) {
        let secret = desk.secret_with(json!({ "Tags": [{ "Key": "a", "Value": "b" }] })).await;
        let updated = desk.done("UpdateSecret", json!({ "SecretId": secret.name, "Description": "d" })).await;
        assert!(updated.get("VersionId").is_none(), "{updated}");
        let described = desk.done("DescribeSecret", json!({ "SecretId": secret.name })).await;
        assert_eq!((text(&described["Description"]), described["Tags"].as_array().map(Vec::len)), ("d".to_owned(), Some(1)));
        assert_eq!(desk.at(&secret.name, "AWSCURRENT").await, "v1");
    }
}

// ListSecrets, BatchGetSecretValue, DeleteSecret
rules! {
    async fn a_list_is_filtered_by_tag_and_paged(desk) {
        let (tag, names) = tagged(&desk, 3).await;
        let filters = json!([{ "Key": "tag-key", "Values": [tag] }]);
        let list = desk.done("ListSecrets", json!({ "Filters": filters })).await;
        let found = list["SecretList"].as_array().into_iter().flatten().map(|entry| text(&entry["Name"]));
        assert_eq!(sorted(found), sorted(names));
        let page = desk.done("ListSecrets", json!({ "Filters": filters, "MaxResults": 2 })).await;
        assert_eq!(page["SecretList"].as_array().map(Vec::len), Some(2));
        assert!(page["NextToken"].is_string());
    }

    async fn a_batch_names_the_ids_that_it_did_not_find(desk) {
        let (secret, missing) = (desk.secret().await, unique_name());
        let batch = desk.done("BatchGetSecretValue", json!({ "SecretIdList": [secret.name, missing] })).await;
        assert_eq!(batch["SecretValues"].as_array().map(Vec::len), Some(1));
        assert_eq!(batch["Errors"][0]["ErrorCode"], "ResourceNotFoundException");
    }

    async fn a_batch_has_at_most_20_ids(desk) {
        let ids: Vec<_> = (0..21).map(|_| unique_name()).collect();
        desk.refused("BatchGetSecretValue", json!({ "SecretIdList": ids }), INVALID).await;
    }

    async fn a_batch_by_filter_returns_the_others_when_one_has_no_value(desk) {
        let (tag, _) = tagged(&desk, 3).await;
        let empty = json!({
            "Name": unique_name(), "ClientRequestToken": new_token(), "Tags": [{ "Key": tag, "Value": "yes" }],
        });
        desk.done("CreateSecret", empty).await;
        let filters = json!([{ "Key": "tag-key", "Values": [tag] }]);
        let batch = desk.done("BatchGetSecretValue", json!({ "Filters": filters })).await;
        assert_eq!(batch["SecretValues"].as_array().map(Vec::len), Some(3));
    }

    async fn a_batch_by_filter_leaves_out_secrets_that_are_marked_for_deletion(desk) {
        let (tag, names) = tagged(&desk, 2).await;
        desk.done("DeleteSecret", json!({ "SecretId": names[0], "RecoveryWindowInDays": 7 })).await;
        let filters = json!([{ "Key": "tag-key", "Values": [tag] }]);
        let batch = desk.done("BatchGetSecretValue", json!({ "Filters": filters })).await;
        assert_eq!(batch["SecretValues"].as_array().map(Vec::len), Some(1));
    }

    async fn a_secret_that_is_marked_for_deletion_is_not_read(desk) {
        let secret = deleted(&desk).await;
        desk.refused("GetSecretValue", json!({ "SecretId": secret }), &["InvalidRequestException"]).await;
    }

    async fn a_secret_that_is_marked_for_deletion_is_not_written(desk) {
        let secret = deleted(&desk).await;
        let refused = desk.put_as(&secret, &new_token(), "v2", &[]).await.expect_err("it is marked");
        assert_eq!(refused.exception, "InvalidRequestException");
    }

    async fn the_labels_of_a_secret_that_is_marked_for_deletion_do_not_move(desk) {
        let secret = desk.secret().await;
        desk.done("DeleteSecret", json!({ "SecretId": secret.name, "RecoveryWindowInDays": 7 })).await;
        let input = Desk::move_label(&secret.name, "MINE", Some(&secret.first), None);
        desk.refused("UpdateSecretVersionStage", input, &["InvalidRequestException"]).await;
    }

    async fn a_secret_that_is_restored_is_as_it_was(desk) {
        let secret = deleted(&desk).await;
        desk.done("RestoreSecret", json!({ "SecretId": secret })).await;
        assert_eq!(desk.at(&secret, "AWSCURRENT").await, "v1");
    }
}

/// Secrets with a tag of their own: its key, and their names.
async fn tagged(desk: &Desk, count: usize) -> (String, Vec<String>) {
    let tag = format!("rule-{}", &new_token()[..8]);
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(desk.secret_with(json!({ "Tags": [{ "Key": tag, "Value": "yes" }] })).await.name);
    }
    (tag, names)
}

/// A secret that was just marked for deletion.
async fn deleted(desk: &Desk) -> String {
    let secret = desk.secret().await;
    desk.done("DeleteSecret", json!({ "SecretId": secret.name, "RecoveryWindowInDays": 7 })).await;
    secret.name
}
