//! Actions as JSON: reads a request's members, calls the state machine, writes what it returns.

use std::iter;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::core::SecretsManager;
use super::error::{Error, Exception, Result};
use super::listing::{Failed, Filter, Page};
use super::records::{NewSecret, SecretEntry, SecretValue, Tags, Written};
use super::versions::{Body, Version};

/// Carries out one action.
pub(super) fn act(sm: &mut SecretsManager, action: &str, input: &Value) -> Result<Value> {
    let input = Input::new(input)?;
    match action {
        "CreateSecret" => create(sm, &input),
        "GetSecretValue" => {
            let id = input.required("SecretId")?;
            sm.get_secret_value(id, input.text("VersionId")?, input.text("VersionStage")?).map(value)
        }
        "PutSecretValue" => put(sm, &input),
        "UpdateSecretVersionStage" => {
            let (id, label) = (input.required("SecretId")?, input.required("VersionStage")?);
            let (to, from) = (input.text("MoveToVersionId")?, input.text("RemoveFromVersionId")?);
            sm.update_secret_version_stage(id, label, to, from).map(|written| arn_and_name(&written.arn, &written.name))
        }
        "DescribeSecret" => {
            sm.describe_secret(input.required("SecretId")?).map(|found| description(&found, "VersionIdsToStages"))
        }
        "ListSecretVersionIds" => list_versions(sm, &input),
        "ListSecrets" => list_secrets(sm, &input),
        "BatchGetSecretValue" => batch_get(sm, &input),
        "DeleteSecret" => delete(sm, &input),
        "RestoreSecret" => {
            sm.restore_secret(input.required("SecretId")?).map(|written| arn_and_name(&written.arn, &written.name))
        }
        "UpdateSecret" => update(sm, &input),
        "TagResource" => sm.tag_resource(input.required("SecretId")?, input.tags()?).map(|()| json!({})),
        _ => Err(Error::new(Exception::UnknownOperation, "")),
    }
}

/// Returns the text that the fault plan's `detail` matches: the ids of the secrets as requested, then labels, joined by
/// a plus for one write, and version ids.
pub(super) fn detail(input: &Value) -> String {
    let text = |member: &str| input.get(member).and_then(Value::as_str);
    let id = text("SecretId").or(text("Name")).unwrap_or_default();
    let listed = input.get("SecretIdList").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let name = |id: &str| id.rsplit_once(":secret:").map_or(id, |(_, name)| name).to_owned();
    let mut parts: Vec<String> = iter::once(id).chain(listed).map(name).collect();
    let labels = input.get("VersionStages").and_then(Value::as_array).into_iter().flatten();
    parts.push(labels.filter_map(Value::as_str).collect::<Vec<_>>().join("+"));
    parts.extend(["VersionStage", "VersionId", "ClientRequestToken"].into_iter().filter_map(text).map(str::to_owned));
    parts.extend(text("MoveToVersionId").map(|to| format!("to {to}")));
    parts.extend(text("RemoveFromVersionId").map(|from| format!("from {from}")));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn create(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let new = NewSecret {
        name: input.required("Name")?.to_owned(),
        token: input.text("ClientRequestToken")?.unwrap_or_default().to_owned(),
        body: input.body()?,
        tags: input.tags()?,
        description: input.text("Description")?.map(str::to_owned),
        kms_key_id: input.text("KmsKeyId")?.map(str::to_owned),
    };
    sm.create_secret(new).map(|created| written(&created))
}

fn put(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let id = input.required("SecretId")?;
    let token = input.text("ClientRequestToken")?.unwrap_or_default();
    let body = input.body()?.ok_or_else(|| {
        Error::new(Exception::InvalidRequest, "You must provide either SecretString or SecretBinary.")
    })?;
    let labels = input.texts("VersionStages")?;
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let put = sm.put_secret_value(id, token, body, &labels)?;
    let mut output = written(&put);
    output["VersionStages"] = json!(put.labels);
    Ok(output)
}

fn update(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let id = input.required("SecretId")?;
    let token = input.text("ClientRequestToken")?.unwrap_or_default();
    let version = input.body()?.map(|body| (token, body));
    let updated = sm.update_secret(id, input.text("Description")?, input.text("KmsKeyId")?, version)?;
    Ok(written(&updated))
}

fn delete(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let id = input.required("SecretId")?;
    let window = input.number("RecoveryWindowInDays")?;
    let force = input.flag("ForceDeleteWithoutRecovery")?;
    if force && window.is_some() {
        let message = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.";
        return Err(Error::parameter(message));
    }
    let now = sm.clock.now();
    let window = if force { None } else { Some(window.unwrap_or(30)) };
    let deleted = sm.delete_secret(id, window)?;
    let mut output = arn_and_name(&deleted.arn, &deleted.name);
    output["DeletionDate"] = seconds(now + Duration::from_hours(24 * window.unwrap_or(0)));
    Ok(output)
}

fn list_versions(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let id = input.required("SecretId")?;
    let versions = sm.list_secret_version_ids(id, input.flag("IncludeDeprecated")?)?;
    let found = sm.describe_secret(id)?;
    let version = |Version { id, created, labels, .. }: Version| {
        let mut version = json!({ "VersionId": id, "CreatedDate": seconds(created) });
        if !labels.is_empty() {
            version["VersionStages"] = json!(labels);
        }
        version
    };
    let mut output = arn_and_name(&found.arn, &found.name);
    output["Versions"] = versions.into_iter().map(version).collect();
    Ok(output)
}

fn list_secrets(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let deleted = input.flag("IncludePlannedDeletion")?;
    let page = sm.list_secrets(&input.filters()?, input.number("MaxResults")?, input.text("NextToken")?, deleted)?;
    let secrets: Vec<Value> = page.items.iter().map(|found| description(found, "SecretVersionsToStages")).collect();
    Ok(with_next(json!({ "SecretList": secrets }), page.next_token))
}

fn batch_get(sm: &mut SecretsManager, input: &Input<'_>) -> Result<Value> {
    let ids = input.texts("SecretIdList")?;
    let filters = input.filters()?;
    let (page, failed) = match (ids.is_empty(), filters.is_empty()) {
        (false, true) => {
            if input.0.contains_key("MaxResults") || input.0.contains_key("NextToken") {
                return Err(Error::parameter("'MaxResults' and 'NextToken' go with 'Filters' only."));
            }
            let (items, failed) = sm.batch_get_by_ids(&ids)?;
            (Page { items, next_token: None }, failed)
        }
        (true, false) => sm.batch_get_by_filters(&filters, input.number("MaxResults")?, input.text("NextToken")?)?,
        _ => return Err(Error::parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both.")),
    };
    let values: Vec<Value> = page.items.into_iter().map(value).collect();
    let errors: Vec<Value> = failed.into_iter().map(failure).collect();
    Ok(with_next(json!({ "SecretValues": values, "Errors": errors }), page.next_token))
}

fn failure(Failed { secret_id, error }: Failed) -> Value {
    json!({ "SecretId": secret_id, "ErrorCode": error.exception.name(), "Message": error.message })
}

fn value(SecretValue { arn, name, version_id, body, labels, created }: SecretValue) -> Value {
    let mut output = arn_and_name(&arn, &name);
    output["VersionId"] = json!(version_id);
    output["CreatedDate"] = seconds(created);
    if !labels.is_empty() {
        output["VersionStages"] = json!(labels);
    }
    match body {
        Body::String(text) => output["SecretString"] = json!(&*text),
        Body::Binary(text) => output["SecretBinary"] = json!(&*text),
    }
    output
}

fn written(Written { arn, name, version_id, .. }: &Written) -> Value {
    let mut output = arn_and_name(arn, name);
    if let Some(version_id) = version_id {
        output["VersionId"] = json!(version_id);
    }
    output
}

fn description(found: &SecretEntry, labels_member: &str) -> Value {
    let mut output = arn_and_name(&found.arn, &found.name);
    let tags: Vec<Value> = found.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    output["Tags"] = json!(tags);
    output["CreatedDate"] = seconds(found.created);
    output["LastChangedDate"] = seconds(found.changed);
    let optional = [
        ("Description", found.description.as_ref().map(|text| json!(text))),
        ("KmsKeyId", found.kms_key_id.as_ref().map(|key| json!(key))),
        ("LastAccessedDate", found.accessed.map(seconds)),
        ("DeletedDate", found.deleted.map(seconds)),
        ("PrimaryRegion", found.primary_region.as_ref().map(|region| json!(region))),
        (labels_member, (!found.labels.is_empty()).then(|| json!(found.labels))),
    ];
    for (member, value) in optional.into_iter().filter_map(|(member, value)| Some((member, value?))) {
        output[member] = value;
    }
    output
}

fn arn_and_name(arn: &str, name: &str) -> Value {
    json!({ "ARN": arn, "Name": name })
}

fn with_next(mut output: Value, next_token: Option<String>) -> Value {
    if let Some(next_token) = next_token {
        output["NextToken"] = json!(next_token);
    }
    output
}

/// A timestamp as the JSON protocol has it: seconds with a fraction.
fn seconds(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

/// The members of a request, read strictly: a member of the wrong type is an error, an absent one is not.
struct Input<'a>(&'a Map<String, Value>);

impl<'a> Input<'a> {
    fn new(input: &'a Value) -> Result<Self> {
        input.as_object().map(Self).ok_or_else(|| Self::malformed("the body"))
    }

    fn malformed(member: &str) -> Error {
        Error::new(Exception::Serialization, format!("{member} has an unexpected type"))
    }

    fn get<T>(&self, member: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>> {
        match self.0.get(member).filter(|value| !value.is_null()) {
            Some(value) => read(value).map(Some).ok_or_else(|| Self::malformed(member)),
            None => Ok(None),
        }
    }

    fn text(&self, member: &str) -> Result<Option<&'a str>> {
        self.get(member, Value::as_str)
    }

    fn required(&self, member: &str) -> Result<&'a str> {
        self.text(member)?.ok_or_else(|| Error::constraint(member, "Member must not be null"))
    }

    fn number(&self, member: &str) -> Result<Option<u64>> {
        self.get(member, Value::as_u64)
    }

    fn flag(&self, member: &str) -> Result<bool> {
        Ok(self.get(member, Value::as_bool)?.unwrap_or(false))
    }

    fn texts(&self, member: &str) -> Result<Vec<String>> {
        Ok(self.get(member, texts)?.unwrap_or_default())
    }

    fn body(&self) -> Result<Option<Body>> {
        match (self.text("SecretString")?, self.text("SecretBinary")?) {
            (Some(_), Some(_)) => {
                Err(Error::parameter("You can't specify both a binary secret value and a string secret value."))
            }
            (Some(text), None) => Ok(Some(Body::String(text.into()))),
            (None, Some(text)) => Ok(Some(Body::Binary(text.into()))),
            (None, None) => Ok(None),
        }
    }

    fn tags(&self) -> Result<Tags> {
        let tag = |tag: &Value| Some((tag.get("Key")?.as_str()?.to_owned(), tag.get("Value")?.as_str()?.to_owned()));
        Ok(self.get("Tags", |tags| tags.as_array()?.iter().map(tag).collect())?.unwrap_or_default())
    }

    fn filters(&self) -> Result<Vec<Filter>> {
        let filter = |filter: &Value| {
            Some(Filter { key: filter.get("Key")?.as_str()?.to_owned(), values: texts(filter.get("Values")?)? })
        };
        Ok(self.get("Filters", |filters| filters.as_array()?.iter().map(filter).collect())?.unwrap_or_default())
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}
