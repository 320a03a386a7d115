//! A request of an undisturbed run, described so that the same request is found in another world. Ordinals differ for
//! parallel requests, and ids always do.

use super::{
    flows::Scene,
    troubles::{Often, Trouble},
};
use stand_ins::{Entry, Service, When};

/// One request of a flow.
#[derive(Clone, Debug)]
pub struct Target {
    pub service: Service,
    pub operation: String,
    /// The index of the scene's secret that was asked for. It is none if the request was for TikTok, or for many secrets.
    name: Option<usize>,
    label: Option<String>,
    /// The token and its grant, at TikTok. These are the same in every world.
    token: Option<String>,
    /// The how-manieth request it is that looks like this.
    nth: u64,
}

impl Target {
    /// The requests from that one on, each as a target. Of secrets that are alike, those of the second will do.
    pub fn all(scene: &Scene, entries: &[Entry]) -> Vec<Self> {
        let mut targets: Vec<Self> = Vec::new();
        for entry in entries {
            let mut target = Self::of(scene, entry);
            let is_alike = |known: &&Self| known.looks_like(&target);
            target.nth = 1 + targets.iter().filter(is_alike).count() as u64;
            targets.push(target);
        }
        targets.retain(|target| target.is_worth_it(scene));
        targets
    }

    fn of(scene: &Scene, entry: &Entry) -> Self {
        let is_of_many = ["ListSecrets", "BatchGetSecretValue"].contains(&entry.operation.as_str());
        let name = scene.names.iter().position(|name| !is_of_many && entry.detail.contains(name));
        let token = (entry.service == Service::TikTok).then(|| entry.detail.clone());
        let (service, operation) = (entry.service, entry.operation.clone());
        Self { service, operation, name, label: entry.label().map(str::to_owned), token, nth: 0 }
    }

    fn looks_like(&self, other: &Self) -> bool {
        let look = |target: &Self| (target.operation.clone(), target.name, target.label.clone(), target.token.clone());
        look(self) == look(other)
    }

    fn is_worth_it(&self, scene: &Scene) -> bool {
        let second = scene.secrets.get(1).map(|second| format!("grant {} ", second.grants[0]));
        let Some(grant) = second else { return true };
        self.name.is_none_or(|name| name == 1) && self.token.as_ref().is_none_or(|token| token.starts_with(&grant))
    }

    /// True if an answer is waited for as long as there is time.
    pub fn is_waited_for(&self) -> bool {
        self.gives_tokens() || self.operation == "oauth2/advertiser/get"
    }

    /// True if the answer holds tokens that TikTok may never give again.
    pub fn gives_tokens(&self) -> bool {
        ["oauth2/refresh_token", "oauth2/access_token"].iter().any(|endpoint| self.operation.ends_with(endpoint))
    }

    /// The moment of the failure.
    pub fn when(&self, scene: &Scene, trouble: &Trouble) -> When {
        let when = When::operation(&self.operation).nth(self.nth);
        let name = self.name.map(|name| scene.names[name].as_str());
        let parts = [name, self.label.as_deref(), self.token.as_deref()];
        let when = parts.into_iter().flatten().fold(when, When::detail);
        let when = if self.label.is_none() { when.unlabeled() } else { when };
        if trouble.often == Often::Always { when.always() } else { when }
    }

    /// Its name in the table.
    pub fn title(&self, scene: &Scene) -> String {
        let by = match (self.operation.as_str(), &self.label) {
            (_, Some(label)) => format!(" {label}"),
            ("GetSecretValue", None) => " by id".to_owned(),
            _ => String::new(),
        };
        let whose = match self.name.filter(|name| *name >= scene.secrets.len()) {
            // Without what makes it this world's own.
            Some(other) => format!(" of {}", scene.names[other].rsplit_once('/').map_or("", |(name, _)| name)),
            None => String::new(),
        };
        let nth = if self.nth > 1 { format!(", {}", self.nth) } else { String::new() };
        format!("{}{by}{whose}{nth}", self.operation)
    }
}
