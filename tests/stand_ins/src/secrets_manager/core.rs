//! The state machine: every documented rule of Secrets Manager that a careful client may depend on, and no more.
//!
//! It is synchronous, takes ids and the time as arguments, and can be cloned. The model explores it in process, and the
//! HTTP server exposes the same rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::clock::Clock;
use super::super::rate::{Gate, Limit, Rate};
use super::access::{self, Caller, Denial, Resource};
use super::error::{Error, Exception, Result};
use super::records::{NewSecret, SecretEntry, SecretValue, Semantics, Tags, Write, Written};
use super::rules::{
    Move, check_label, check_labels, check_move, check_name, check_token, labels_with_first, not_found, select,
    token_in_use,
};
use super::versions::{AWSCURRENT, AWSPENDING, Body, Contents, Stored, Version};

const ARN_PREFIX: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";
/// A hyphen and six letters or digits, which AWS puts behind the name.
const ARN_SUFFIX: usize = 7;
const DAY: Duration = Duration::from_hours(24);
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Secret {
    pub entry: SecretEntry,
    pub contents: Contents,
    lag: Option<Lag>,
    // The contents before each of the latest writes, oldest first, with the time of the write.
    past: Vec<(Duration, Contents)>,
}

#[derive(Clone, Debug)]
struct Lag {
    contents: Box<Contents>,
    reads_left: u32,
}

/// Secrets Manager of one account in one region.
#[derive(Clone, Debug)]
pub struct SecretsManager {
    pub(super) secrets: Vec<Secret>,
    // The index of each secret. With ten thousand secrets, a search would dominate the benchmark.
    places: HashMap<String, usize>,
    pub(super) listed: Option<Vec<SecretEntry>>,
    write_quota: Gate,
    write_rate: Rate,
    created: u32,
    writes: Vec<Write>,
    kms_keys: BTreeSet<String>,
    /// The behavior that AWS leaves open.
    pub semantics: Semantics,
    /// The permissions that are missing.
    pub denials: Vec<Denial>,
    /// On whose behalf the next actions are carried out.
    pub caller: Caller,
    /// The time.
    pub clock: Clock,
}

impl Default for SecretsManager {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            places: HashMap::new(),
            listed: None,
            write_quota: Gate::default(),
            write_rate: Rate::default(),
            created: 0,
            writes: Vec::new(),
            kms_keys: BTreeSet::new(),
            semantics: Semantics::default(),
            denials: Vec::new(),
            caller: Caller::Function("model".to_owned()),
            clock: Clock::default(),
        }
    }
}

/// The actions, by AWS's names.
impl SecretsManager {
    /// `CreateSecret`.
    pub fn create_secret(&mut self, new: NewSecret) -> Result<Written> {
        self.permit("CreateSecret", &new.name, &[])?;
        check_name(&new.name)?;
        if let Some(body) = &new.body {
            check_token(&new.token)?;
            body.check_size()?;
            self.permit("kms:GenerateDataKey", &new.name, &[])?;
        }
        if let Some(index) = self.find(&new.name) {
            return self.create_again(index, &new);
        }
        if let Some(key) = new.kms_key_id.as_ref().filter(|key| !self.knows_key(key)) {
            return Err(Error::parameter(format!("KMS key {key} does not exist or isn't accessible.")));
        }
        let (name, token) = (new.name.clone(), new.token.clone());
        let secret = Secret::new(self.new_arn(&name), &new, self.clock.now());
        let index = self.secrets.len();
        self.secrets.push(secret);
        self.places.insert(name, index);
        let version = new.body.map(|body| (token, body));
        Ok(self.write("CreateSecret", index, &[], |contents, now| {
            let (token, body) = version?;
            contents.add(Stored { id: token.clone(), body: Some(body), created: now });
            contents.attach(AWSCURRENT, &token);
            Some(token)
        }))
    }

    /// `GetSecretValue`: by version id, by label, by both if they agree, or AWSCURRENT.
    pub fn get_secret_value(
        &mut self,
        secret_id: &str,
        version_id: Option<&str>,
        label: Option<&str>,
    ) -> Result<SecretValue> {
        let index = self.live("GetSecretValue", secret_id, label.as_slice())?;
        self.permit("kms:Decrypt", secret_id, &[])?;
        self.read(index, version_id, label)
    }

    /// `PutSecretValue`. No `labels` means AWSCURRENT.
    pub fn put_secret_value(&mut self, secret_id: &str, token: &str, body: Body, labels: &[&str]) -> Result<Written> {
        let labels = if labels.is_empty() { &[AWSCURRENT] } else { labels };
        self.throttle()?;
        let index = self.writable("PutSecretValue", secret_id, labels)?;
        self.put("PutSecretValue", index, token, body, labels)
    }

    /// `UpdateSecretVersionStage`: a compare-and-swap of one label, because its holder must be named to move it.
    pub fn update_secret_version_stage(
        &mut self,
        secret_id: &str,
        label: &str,
        move_to: Option<&str>,
        remove_from: Option<&str>,
    ) -> Result<Written> {
        const ACTION: &str = "UpdateSecretVersionStage";
        self.throttle()?;
        let index = self.writable(ACTION, secret_id, &[label])?;
        check_label(label)?;
        let contents = &self.secrets[index].contents;
        let change = check_move(contents, label, move_to, remove_from, self.semantics.replayed_promote)?;
        let clears_pending = self.semantics.promote_clears_pending && label == AWSCURRENT;
        Ok(match change {
            Move::Nothing => self.ignored(ACTION, index, move_to, &[label]),
            Move::Away => self.write(ACTION, index, &[label], |contents, _| {
                contents.detach(label);
                remove_from.map(str::to_owned)
            }),
            Move::To(version) => self.write(ACTION, index, &[label], |contents, _| {
                contents.attach(label, &version);
                if clears_pending && contents.holder(AWSPENDING) == Some(&version) {
                    contents.detach(AWSPENDING);
                }
                Some(version)
            }),
        })
    }

    /// `DescribeSecret`, which also shows secrets that are marked for deletion.
    pub fn describe_secret(&mut self, secret_id: &str) -> Result<SecretEntry> {
        self.permit("DescribeSecret", secret_id, &[])?;
        let index = self.find(secret_id).ok_or_else(Error::secret_not_found)?;
        let since = self.clock.now().saturating_sub(self.semantics.read_delay);
        let secret = &mut self.secrets[index];
        let labels = labels_of(secret.contents_seen_by(&self.caller, since));
        Ok(SecretEntry { labels, ..secret.entry.clone() })
    }

    /// `ListSecretVersionIds`, unpaged. Without `include_deprecated` only versions that have a label.
    pub fn list_secret_version_ids(&self, secret_id: &str, include_deprecated: bool) -> Result<Vec<Version>> {
        let index = self.live("ListSecretVersionIds", secret_id, &[])?;
        let mut versions = self.secrets[index].contents.present();
        versions.retain(|version| include_deprecated || !version.labels.is_empty());
        Ok(versions)
    }

    /// `UpdateSecret`: the description, the key and a new value, each if given.
    pub fn update_secret(
        &mut self,
        secret_id: &str,
        description: Option<&str>,
        kms_key_id: Option<&str>,
        version: Option<(&str, Body)>,
    ) -> Result<Written> {
        let index = self.writable("UpdateSecret", secret_id, &[])?;
        if let Some(key) = kms_key_id.filter(|key| !self.knows_key(key)) {
            return Err(Error::parameter(format!("KMS key {key} does not exist or isn't accessible.")));
        }
        let written = match version {
            Some((token, body)) => self.put("UpdateSecret", index, token, body, &[AWSCURRENT])?,
            None => self.write("UpdateSecret", index, &[], |_, _| None),
        };
        let entry = &mut self.secrets[index].entry;
        entry.description = description.map(str::to_owned).or(entry.description.take());
        entry.kms_key_id = kms_key_id.map(str::to_owned).or(entry.kms_key_id.take());
        Ok(written)
    }

    /// `TagResource`.
    pub fn tag_resource(&mut self, secret_id: &str, tags: Tags) -> Result<()> {
        let index = self.writable("TagResource", secret_id, &[])?;
        self.secrets[index].entry.tags.extend(tags);
        self.write("TagResource", index, &[], |_, _| None);
        Ok(())
    }

    /// `DeleteSecret`, with a recovery window in days or, without one, at once.
    pub fn delete_secret(&mut self, secret_id: &str, recovery_days: Option<u64>) -> Result<Written> {
        let index = self.writable("DeleteSecret", secret_id, &[])?;
        if recovery_days.is_some_and(|days| !(7..=30).contains(&days)) {
            let message = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).";
            return Err(Error::parameter(message));
        }
        let written = self.write("DeleteSecret", index, &[], |_, _| None);
        match recovery_days {
            Some(days) => {
                let deleted = self.clock.now() + DAY * u32::try_from(days).unwrap_or(u32::MAX);
                self.secrets[index].entry.deleted = Some(deleted);
            }
            None => self.forget(index),
        }
        Ok(written)
    }

    /// `RestoreSecret`.
    pub fn restore_secret(&mut self, secret_id: &str) -> Result<Written> {
        self.permit("RestoreSecret", secret_id, &[])?;
        let index = self.find(secret_id).ok_or_else(Error::secret_not_found)?;
        self.secrets[index].entry.deleted = None;
        Ok(self.write("RestoreSecret", index, &[], |_, _| None))
    }
}

/// Controls and records for tests. They need no permission and follow no rule of AWS.
impl SecretsManager {
    /// An account without secrets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does what `RotateSecret` does first: creates an empty version with this id and AWSPENDING.
    pub fn begin_rotation(&mut self, secret_id: &str, token: &str) {
        let now = self.clock.now();
        let contents = &mut self.secret(secret_id).contents;
        if contents.version(token).is_none() {
            contents.add(Stored { id: token.to_owned(), body: None, created: now });
        }
        contents.attach(AWSPENDING, token);
    }

    /// Moves a label to a version, wherever it was.
    pub fn move_label(&mut self, secret_id: &str, label: &str, version_id: &str) {
        self.secret(secret_id).contents.attach(label, version_id);
    }

    /// Takes a label off, as AWS may do with AWSPENDING.
    pub fn remove_label(&mut self, secret_id: &str, label: &str) {
        self.secret(secret_id).contents.detach(label);
    }

    /// Changes the content of versions, which is impossible in AWS. It simulates time that passes for the values in
    /// them.
    pub fn rewrite(&mut self, secret_id: &str, edit: impl Fn(&str) -> Option<String>) {
        for version in self.secret(secret_id).contents.versions_mut() {
            let text = version.body.as_ref().and_then(Body::as_str).and_then(&edit);
            version.body = text.map(|text| Body::from(text.as_str())).or(version.body.take());
        }
    }

    /// Lets every version grow older, as if that time had passed; AWS deletes none that is younger than a day. The clock, by
    /// which the code under test counts young versions, stays where it is.
    pub fn grow_old(&mut self, by: Duration) {
        let versions = self.secrets.iter_mut().flat_map(|secret| secret.contents.versions_mut());
        versions.for_each(|version| version.created = version.created.saturating_sub(by));
    }

    /// Makes a KMS key exist, by key id, alias or ARN.
    pub fn add_kms_key(&mut self, key_id: &str) {
        self.kms_keys.insert(key_id.to_owned());
    }

    /// Limits how many `PutSecretValue` and `UpdateSecretVersionStage` the account takes in a second; AWS's quota is 50 of
    /// both together. What the test does itself is not counted.
    pub fn set_write_quota(&mut self, per_second: Option<usize>) {
        self.write_quota =
            Gate::of(per_second.map(|requests| Limit { requests, window: SECOND, pause: Duration::ZERO }));
    }

    /// Returns the number of these writes, their largest number in one second, and the number that the quota rejected.
    pub fn write_rate(&self) -> &Rate {
        &self.write_rate
    }

    /// Counts them from here on.
    pub fn count_anew(&mut self) {
        self.write_rate = Rate::default();
    }

    /// Freezes the answer of `ListSecrets`, which can be five minutes old in AWS. A second call updates it.
    pub fn freeze_list(&mut self) {
        self.listed = Some(self.secrets.iter().map(Secret::describe).collect());
    }

    /// Makes the secret a replica of one in another region: it can be read here, and written only there.
    pub fn replicate_from(&mut self, secret_id: &str, primary_region: &str) {
        self.secret(secret_id).entry.primary_region = Some(primary_region.to_owned());
    }

    /// Takes a permission away.
    pub fn deny(&mut self, denial: Denial) {
        self.denials.push(denial);
    }

    /// Gives every permission back.
    pub fn allow_everything(&mut self) {
        self.denials.clear();
    }

    /// All versions that a secret ever had, in the order of their creation, those that AWS pruned first.
    pub fn versions(&self, secret_id: &str) -> Vec<Version> {
        self.find(secret_id).map(|index| self.secrets[index].contents.history()).unwrap_or_default()
    }

    /// The version that holds a label.
    pub fn labeled(&self, secret_id: &str, label: &str) -> Option<Version> {
        let contents = &self.secrets[self.find(secret_id)?].contents;
        contents.version(contents.holder(label)?).map(|version| contents.view(version))
    }

    /// Every accepted write, in order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    fn secret(&mut self, secret_id: &str) -> &mut Secret {
        let index = self.find(secret_id).expect("a secret that exists");
        &mut self.secrets[index]
    }
}

impl SecretsManager {
    /// Finds a secret by name, full ARN or ARN without its random suffix.
    pub(super) fn find(&self, secret_id: &str) -> Option<usize> {
        let place = |name: &str| self.places.get(name).copied();
        let Some(name) = secret_id.strip_prefix(ARN_PREFIX) else { return place(secret_id) };
        let is_whole = |index: &usize| self.secrets[*index].entry.arn == secret_id;
        let whole = name.len().checked_sub(ARN_SUFFIX).and_then(|end| place(name.get(..end)?)).filter(is_whole);
        whole.or_else(|| place(name))
    }

    fn forget(&mut self, index: usize) {
        self.secrets.remove(index);
        let names = self.secrets.iter().map(|secret| secret.entry.name.clone());
        self.places = names.zip(0..).collect();
    }

    /// Counts a write of the code under test, and refuses it if the quota is used up. AWS does so before anything else.
    fn throttle(&mut self) -> Result<()> {
        if self.caller == Caller::Operator {
            return Ok(());
        }
        let now = self.clock.now();
        self.write_rate.count(now);
        if self.write_quota.admits(now) {
            return Ok(());
        }
        self.write_rate.refused += 1;
        Err(Error::new(Exception::Throttling, "Rate exceeded"))
    }

    /// Returns a secret for an action. Permissions are checked first: without them a caller does not learn whether the
    /// secret exists.
    pub(super) fn live(&self, action: &str, secret_id: &str, labels: &[&str]) -> Result<usize> {
        self.permit(action, secret_id, labels)?;
        let index = self.find(secret_id).ok_or_else(Error::secret_not_found)?;
        if self.secrets[index].entry.deleted.is_some() {
            return Err(Error::marked_for_deletion());
        }
        Ok(index)
    }

    /// A secret that may be written: a replica may not.
    fn writable(&self, action: &str, secret_id: &str, labels: &[&str]) -> Result<usize> {
        let index = self.live(action, secret_id, labels)?;
        match self.secrets[index].entry.primary_region {
            Some(_) => Err(Error::replica()),
            None => Ok(index),
        }
    }

    pub(super) fn permit(&self, action: &str, secret_id: &str, labels: &[&str]) -> Result<()> {
        let secret = self.find(secret_id).map(|index| &self.secrets[index].entry);
        let (name, arn) = secret.map_or((secret_id, secret_id), |secret| (&secret.name, &secret.arn));
        access::check(&self.denials, &self.caller, action, &Resource { name, arn }, labels)
    }

    /// The value of a version, as old as the read lag makes it for the code under test.
    pub(super) fn read(&mut self, index: usize, version_id: Option<&str>, label: Option<&str>) -> Result<SecretValue> {
        let today = Duration::from_secs(self.clock.now().as_secs() / DAY.as_secs() * DAY.as_secs());
        let since = self.clock.now().saturating_sub(self.semantics.read_delay);
        let secret = &mut self.secrets[index];
        let contents = secret.contents_seen_by(&self.caller, since);
        let version = select(contents, version_id, label)?;
        let Version { id: version_id, body, created, labels } = contents.view(version);
        let Some(body) = body else { return Err(not_found(Some(&version_id).filter(|_| label.is_none()), label)) };
        secret.entry.accessed = Some(today);
        let SecretEntry { arn, name, .. } = secret.entry.clone();
        Ok(SecretValue { arn, name, version_id, body, labels, created })
    }

    fn put(&mut self, action: &'static str, index: usize, token: &str, body: Body, labels: &[&str]) -> Result<Written> {
        check_token(token)?;
        check_labels(labels)?;
        body.check_size()?;
        let secret = &self.secrets[index];
        self.permit("kms:GenerateDataKey", &secret.entry.arn, &[])?;
        let old = secret.contents.version(token);
        match old.and_then(|old| old.body.as_ref()) {
            // A version never changes, not even its labels: the repeat is ignored as a whole.
            Some(old) if *old == body => return Ok(self.ignored(action, index, Some(token), labels)),
            Some(_) => return Err(token_in_use(token, &secret.entry.arn)),
            None => {}
        }
        let is_new = old.is_none();
        let labels = labels_with_first(&secret.contents, labels);
        secret.contents.check_label_quota(&labels)?;
        if is_new {
            let (now, limit) = (self.clock.now(), self.semantics.version_limit);
            self.secrets[index].contents.make_room(limit, now)?;
        }
        Ok(self.write(action, index, &labels, |contents, now| {
            match contents.version_mut(token) {
                Some(empty) => empty.body = Some(body),
                None => contents.add(Stored { id: token.to_owned(), body: Some(body), created: now }),
            }
            for label in &labels {
                contents.attach(label, token);
            }
            Some(token.to_owned())
        }))
    }

    /// A `CreateSecret` for a name that is taken: a repeat, or an error.
    fn create_again(&mut self, index: usize, new: &NewSecret) -> Result<Written> {
        let secret = &self.secrets[index];
        if secret.entry.deleted.is_some() {
            let message =
                "You can't create this secret because a secret with this name is already scheduled for deletion.";
            return Err(Error::new(Exception::InvalidRequest, message));
        }
        match secret.contents.version(&new.token) {
            Some(old) if old.body == new.body => Ok(self.ignored("CreateSecret", index, Some(&new.token), &[])),
            Some(_) => Err(token_in_use(&new.token, &secret.entry.arn)),
            None => {
                let message = format!("The operation failed because the secret {} already exists.", new.name);
                Err(Error::new(Exception::ResourceExists, message))
            }
        }
    }

    /// Carries out a write that has passed every check. `change` names the version it touched.
    fn write(
        &mut self,
        action: &'static str,
        index: usize,
        labels: &[&str],
        change: impl FnOnce(&mut Contents, Duration) -> Option<String>,
    ) -> Written {
        let now = self.clock.now();
        let Semantics { read_lag: reads_left, read_delay, .. } = self.semantics;
        let secret = &mut self.secrets[index];
        secret.past.retain(|(at, _)| now < *at + read_delay);
        if read_delay > Duration::ZERO {
            secret.past.push((now, secret.contents.clone()));
        }
        secret.lag = (reads_left > 0).then(|| Lag { contents: Box::new(secret.contents.clone()), reads_left });
        let version_id = change(&mut secret.contents, now);
        secret.entry.changed = now;
        self.note(action, index, version_id, labels, true)
    }

    /// Accepts a write that changes nothing.
    fn ignored(&mut self, action: &'static str, index: usize, version_id: Option<&str>, labels: &[&str]) -> Written {
        self.note(action, index, version_id.map(str::to_owned), labels, false)
    }

    fn note(
        &mut self,
        action: &'static str,
        index: usize,
        version_id: Option<String>,
        labels: &[&str],
        changed: bool,
    ) -> Written {
        let Secret { entry: SecretEntry { arn, name, .. }, contents, .. } = &self.secrets[index];
        let on_version = version_id.as_deref().map(|id| contents.labels_of(id)).unwrap_or_default();
        let written = Written { arn: arn.clone(), name: name.clone(), version_id, labels: on_version };
        self.writes.push(Write {
            caller: self.caller.clone(),
            action,
            secret: written.name.clone(),
            version_id: written.version_id.clone(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            changed,
        });
        written
    }

    fn knows_key(&self, key: &str) -> bool {
        key.ends_with("alias/aws/secretsmanager") || self.kms_keys.contains(key)
    }

    /// An ARN whose suffix is as random as a reproducible run allows; a secret created anew gets another one.
    fn new_arn(&mut self, name: &str) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        self.created += 1;
        let mut hasher = DefaultHasher::new();
        (name, self.created).hash(&mut hasher);
        let hash = hasher.finish().to_le_bytes();
        let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
        format!("{ARN_PREFIX}{name}-{}", hash[..6].iter().map(letter).collect::<String>())
    }
}

impl Secret {
    fn new(arn: String, new: &NewSecret, now: Duration) -> Self {
        let entry = SecretEntry {
            arn,
            name: new.name.clone(),
            description: new.description.clone(),
            kms_key_id: new.kms_key_id.clone(),
            tags: new.tags.clone(),
            created: now,
            changed: now,
            accessed: None,
            deleted: None,
            primary_region: None,
            labels: BTreeMap::new(),
        };
        Self { entry, contents: Contents::default(), lag: None, past: Vec::new() }
    }

    pub(super) fn describe(&self) -> SecretEntry {
        SecretEntry { labels: labels_of(&self.contents), ..self.entry.clone() }
    }

    /// The versions, as old as the read lag makes them for the code under test.
    fn contents_seen_by(&mut self, caller: &Caller, since: Duration) -> &Contents {
        if *caller == Caller::Operator {
            return &self.contents;
        }
        if let Some(lag) = self.lag.as_mut().filter(|lag| lag.reads_left > 0) {
            lag.reads_left -= 1;
            return &lag.contents;
        }
        // Before the first write that reads do not see yet.
        let unseen = self.past.iter().find(|(at, _)| since < *at);
        unseen.map_or(&self.contents, |(_, contents)| contents)
    }
}

fn labels_of(contents: &Contents) -> BTreeMap<String, Vec<String>> {
    let labeled = contents.present().into_iter().filter(|version| !version.labels.is_empty());
    labeled.map(|version| (version.id, version.labels)).collect()
}
