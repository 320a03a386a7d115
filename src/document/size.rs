//! The size limit of a secret. Input: a document. Output: the document with a shorter advertiser list if necessary.
//! Error: a document that is too large without a list.

use super::{AdvertiserInfo, Credentials, Document, field, json_text};
use crate::error::{Error, Kind};

/// The [limit](https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html) of Secrets Manager
/// for a value, in bytes.
pub const MAX_BYTES: usize = 65_536;

/// The reserve for growth of the token fields in one refresh, in bytes. Tokens have hundreds of characters, `_refresh`
/// about 1.3 kB and a scope at most 1 kB.
pub const TOKEN_HEADROOM: usize = 8_192;

/// The reduction of an advertiser list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Advertiser info is left out.
    WithoutInfo,
    /// Names are left out too.
    ToIds,
    /// Names and the last `missing` ids are left out.
    Cut { missing: usize },
}

/// Reduces the advertiser list until the document has at most [`MAX_BYTES`].
///
/// # Errors
/// `InvalidSecret` if the document is too large without a list.
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

/// Checks that new tokens will fit, before anything is redeemed.
///
/// # Errors
/// `InvalidSecret` if they may not fit.
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
            // The last id has no comma, so this counts one byte too many.
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
