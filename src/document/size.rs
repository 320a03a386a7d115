use super::{AdvertiserInfo, Credentials, Document, field, json_text};
use crate::error::{Error, Kind};

/// What Secrets Manager takes as the value of a secret, in bytes.
pub const MAX_BYTES: usize = 65_536;

/// How much the function's own fields other than the list may grow in one refresh. Tokens have tens to hundreds of
/// characters, the private field about 1.3 kB, a scope at most one; eight kilobytes hold all of it several times.
pub const TOKEN_HEADROOM: usize = 8_192;

/// How the list of advertisers was made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Every id and every name is there, what else TikTok tells of the advertisers is not.
    WithoutInfo,
    /// Every id is there, the names are not.
    ToIds,
    /// So many ids are missing, those that sort last.
    Cut { missing: usize },
}

/// Makes a document fit into [`MAX_BYTES`] at the cost of the list of advertisers, never of anything else.
///
/// # Errors
/// `InvalidSecret` if it does not fit even without a list.
pub fn fit(document: Document) -> Result<(Document, Option<Reduction>), Error> {
    if document.size() <= MAX_BYTES {
        return Ok((document, None));
    }
    let mut advertisers = Credentials::of(&document)?.advertisers;
    let mut document = document;
    if advertisers.iter().any(|advertiser| advertiser.info != AdvertiserInfo::default()) {
        for advertiser in &mut advertisers {
            advertiser.info = AdvertiserInfo::default();
        }
        document.set_value(field::ADVERTISERS, &advertisers);
        if document.size() <= MAX_BYTES {
            return Ok((document, Some(Reduction::WithoutInfo)));
        }
    }
    let ids: Vec<String> = advertisers.into_iter().map(|advertiser| advertiser.id).collect();
    document.set_value(field::ADVERTISERS, &[(); 0]);
    document.set_value(field::ADVERTISER_IDS, &ids);
    if document.size() <= MAX_BYTES {
        return Ok((document, Some(Reduction::ToIds)));
    }
    document.set_value(field::ADVERTISER_IDS, &[(); 0]);
    let room = MAX_BYTES.checked_sub(document.size()).ok_or_else(|| too_large(document.size()))?;
    let kept = count_that_fits(&ids, room);
    document.set_value(field::ADVERTISER_IDS, &&ids[..kept]);
    let missing = ids.len() - kept;
    Ok((document, Some(Reduction::Cut { missing })))
}

/// Whether the document leaves room for new tokens whatever happens to the list: known before anything is spent.
///
/// # Errors
/// `InvalidSecret` if it does not.
pub fn leaves_room_for_tokens(document: &Document) -> Result<(), Error> {
    let lists: usize = [field::ADVERTISERS, field::ADVERTISER_IDS]
        .iter()
        .filter_map(|name| document.get(name))
        .map(|json| secrecy::ExposeSecret::expose_secret(json).len())
        .sum();
    let rest = document.size() - lists;
    if rest + TOKEN_HEADROOM > MAX_BYTES { Err(too_large(rest)) } else { Ok(()) }
}

fn count_that_fits(ids: &[String], room: usize) -> usize {
    let mut used = 0;
    ids.iter()
        .take_while(|id| {
            // There is one comma less than there are ids.
            used += json_text(id).len() + ",".len();
            used <= room + 1
        })
        .count()
}

fn too_large(bytes: usize) -> Error {
    let what = format!(
        "Without its list of advertisers the secret has {bytes} bytes; Secrets Manager takes {MAX_BYTES}, of which the tokens may need {TOKEN_HEADROOM}."
    );
    Error::new(Kind::InvalidSecret, what).advise("Move other data out of this secret.")
}
