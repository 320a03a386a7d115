//! The true state, from the records of Secrets Manager and TikTok and not from the function.

use std::collections::BTreeMap;

use serde_json::{Value, value::RawValue};
use stand_ins::{
    World,
    secrets_manager::{Body, Version},
    tiktok::GrantId,
};
use tiktok_token_refresh::transport::Label;

/// An access token's place in the order in which TikTok handed them out: its grant, and the how-manieth of it.
pub type Place = (GrantId, u32);

/// An answer of TikTok's that is in no version of the secret.
#[derive(Clone, Debug)]
pub struct Unstored {
    pub place: Place,
    access_token: String,
    /// True if the refresh token in it exists nowhere else.
    pub rotated: bool,
}

/// The document that downstream jobs read.
#[derive(Clone, Debug, Default)]
pub struct Current {
    pub access_token: String,
    pub refresh_token: Option<String>,
    /// The person's field, to the letter.
    pub mine: String,
    pub app: (String, String),
}

/// The secret and its grant, after the latest turn.
#[derive(Debug, Default)]
pub struct Truth {
    versions: usize,
    redeems: usize,
    refused: usize,
    /// The newest tokens that some version of the secret holds.
    pub newest: Place,
    newest_access_token: String,
    /// The answer that TikTok gave after that.
    pub unstored: Option<Unstored>,
    pub current: Current,
    /// True if TikTok takes the access token that is current.
    pub works: bool,
    /// True if TikTok would take the refresh token that is current, if there is one.
    pub renews: bool,
}

/// The changes that one look shows since the look before.
#[derive(Debug, Default)]
pub struct News {
    pub redeems: usize,
    pub refused: usize,
    /// The answers that no version holds.
    pub unstored: usize,
    /// The latest tokens that TikTok handed out or was sent: none of it may show.
    pub tokens: Vec<String>,
}

impl Truth {
    /// True if the newest tokens that are stored are not current yet.
    pub fn waits(&self) -> bool {
        self.newest_access_token != self.current.access_token
    }

    /// True if a refresh token was lost: TikTok took the one that is stored, and its answer is nowhere.
    pub fn lost(&self) -> bool {
        self.unstored.as_ref().is_some_and(|unstored| unstored.rotated)
    }

    /// Looks at both services. An error says what no secret may ever look like.
    pub fn look(&mut self, world: &World, rotates: bool) -> Result<News, String> {
        let (versions, current) = {
            let core = world.secrets_manager.core();
            (core.versions(&world.secret_id), core.labeled(&world.secret_id, Label::Current.name()))
        };
        // However many AWS has pruned, those that are new stand at the end.
        let added = &versions[self.versions..];
        self.versions = versions.len();
        let tiktok = world.tiktok.core();
        for token in added.iter().filter_map(access_token) {
            let Some(place) = tiktok.place_of(&token) else {
                return Err("a version holds no token of TikTok's".into());
            };
            if self.newest_access_token.is_empty() || place > self.newest {
                (self.newest, self.newest_access_token) = (place, token);
            }
        }
        let (redeems, refused) = (&tiktok.redeems()[self.redeems..], &tiktok.refused_redeems()[self.refused..]);
        let stored: Vec<_> = added.iter().filter_map(access_token).collect();
        let mut news = News { redeems: redeems.len(), refused: refused.len(), ..News::default() };
        for redeem in redeems {
            news.tokens
                .extend([&redeem.refresh_token, &redeem.access_token, &redeem.next_refresh_token].map(Clone::clone));
            let (place, access_token) = ((redeem.grant, redeem.access_number), redeem.access_token.clone());
            if !stored.contains(&access_token) {
                news.unstored += 1;
                self.unstored = Some(Unstored { place, access_token, rotated: rotates });
            }
        }
        (self.redeems, self.refused) = (tiktok.redeems().len(), tiktok.refused_redeems().len());
        // Stored after all by a write that was under way when its process died, or out of date.
        self.unstored.take_if(|unstored| unstored.place <= self.newest || stored.contains(&unstored.access_token));
        self.current = current.as_ref().and_then(read).ok_or("AWSCURRENT is no document, or not all of it")?;
        self.works = tiktok.is_alive(&self.current.access_token);
        let renews = |token: &String| tiktok.is_newest_refresh_token(token) && tiktok.is_alive(token);
        self.renews = self.current.refresh_token.as_ref().is_none_or(renews);
        Ok(news)
    }
}

fn body(version: &Version) -> Option<&str> {
    version.body.as_ref().and_then(Body::as_str)
}

fn access_token(version: &Version) -> Option<String> {
    let document: Value = serde_json::from_str(body(version)?).ok()?;
    Some(document.get("access_token")?.as_str()?.to_owned())
}

fn read(version: &Version) -> Option<Current> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(body(version)?).ok()?;
    let text = |name: &str| fields.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    Some(Current {
        access_token: text("access_token")?,
        refresh_token: text("refresh_token"),
        mine: fields.get("mine")?.get().to_owned(),
        app: (text("app_id")?, text("secret")?),
    })
}
