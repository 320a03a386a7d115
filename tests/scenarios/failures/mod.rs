//! Every failure reaches the outside with its stable name and a sentence that says what to do. Nothing is lost by it: when
//! its cause is gone, the next run succeeds, and no refresh token was spent that need not have been.

mod aws;
mod cool_down;
mod secret;
mod settings;
mod tiktok;
