//! Steps of scenarios: a downstream job that reads, and a person in the console.

use serde_json::Value;

use super::secrets_manager::{AWSCURRENT, Version};
use super::tiktok::{GrantSpec, Issued};
use super::world::{APP_ID, World};

impl World {
    /// Returns the document that a downstream job reads.
    pub fn current(&self) -> Value {
        self.document(AWSCURRENT).expect("AWSCURRENT is always there")
    }

    /// Returns a string field of the document that a downstream job reads.
    pub fn field(&self, name: &str) -> String {
        self.current()[name].as_str().unwrap_or_default().to_owned()
    }

    /// Stores a value, as a person does.
    pub async fn store(&self, body: &str) {
        self.secrets_manager.client().put(&self.secret_id, body).await.expect("a person may write");
    }

    /// Returns the number of redeemed refresh tokens.
    pub fn redeemed(&self) -> usize {
        self.tiktok.core().redeems().len()
    }

    /// A world whose credentials secret is this very text.
    pub fn with_text(spec: GrantSpec, text: impl FnOnce(&Issued) -> String) -> Self {
        let mut world = Self::empty();
        let issued = world.tiktok.core().authorize(APP_ID, spec);
        world.grant = issued.grant;
        world.create_secret_of_text(&world.secret_id, &text(&issued));
        world
    }

    /// Creates another secret, of any text.
    pub fn create_secret_of_text(&self, name: &str, text: &str) {
        let (client, name, text) = (self.secrets_manager.client(), name.to_owned(), text.to_owned());
        let created = async move { client.create_secret(&name, &text).await };
        self.secrets_manager.background().block_on(created).expect("a new secret");
    }

    /// The text of the version that holds a label.
    pub fn text(&self, label: &str) -> String {
        let (client, name, label) = (self.secrets_manager.client(), self.secret_id.clone(), label.to_owned());
        let got = self.secrets_manager.background().block_on(async move { client.get(&name, &label).await });
        got.expect("a version with this label").1
    }

    /// Changes the current document, as a person does in the console.
    pub async fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut document = self.current();
        change(&mut document);
        self.store(&document.to_string()).await;
    }

    /// A person pastes the first tokens of another grant over those in the secret.
    pub async fn paste_other_tokens(&mut self) {
        let issued = self.tiktok.core().authorize(APP_ID, GrantSpec::default());
        self.grant = issued.grant;
        self.edit(|document| {
            document["access_token"] = issued.access_token.into();
            document["refresh_token"] = issued.refresh_token.into();
        })
        .await;
    }

    /// Makes the tokens in the secret look older than the minute in which TikTok may not know them yet.
    pub async fn age_tokens(&self) {
        self.edit(|document| document["refreshed_at"] = "2026-01-01T00:00:00Z".into()).await;
    }

    /// Every version that the secret has.
    pub fn versions(&self) -> Vec<Version> {
        let (client, name) = (self.secrets_manager.client(), self.secret_id.clone());
        let versions = async move { client.versions(&name).await };
        self.secrets_manager.background().block_on(versions).expect("the secret is there")
    }
}
