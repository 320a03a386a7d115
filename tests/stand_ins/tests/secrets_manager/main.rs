//! The rules of AWS Secrets Manager that the function leans on, one test a rule.
//!
//! `documented` asks over the wire what AWS documents. With `TEST_SECRETS_MANAGER_URL` it asks another emulator, and
//! `emulators` names the rules which that one breaks. `strict` is for what only the strict stand-in can be made to do.

mod desk;
mod documented;
mod emulators;
mod strict;
