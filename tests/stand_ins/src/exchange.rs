//! Applies the fault of a request: the only place where faults become bytes on the wire, or none.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::faults::{Call, Fault};
use super::wire::{Answer, Cut, Payload};

/// Answers `call`. `apply` carries the request out, and a future does nothing until it is polled: a fault that leaves
/// the request unapplied never polls it.
pub(super) async fn exchange(call: Call, apply: impl Future<Output = Answer> + Send) -> Result<Response<Payload>, Cut> {
    let apply = async {
        let answer = apply.await;
        call.applied();
        answer
    };
    let reply = |answer: Answer| {
        call.answered(answer.status.as_u16(), code(&answer));
        Ok(answer.into())
    };
    let Some(fault) = call.fault() else { return reply(apply.await) };
    match fault {
        Fault::Answer(answer) => reply(answer),
        Fault::AnswerAfterApplying(answer) => {
            apply.await;
            reply(answer)
        }
        Fault::Delay(time) => {
            sleep(time).await;
            reply(apply.await)
        }
        Fault::RunBefore(action) => {
            action().await;
            reply(apply.await)
        }
        Fault::RunAfter(action) => {
            let answer = apply.await;
            action().await;
            reply(answer)
        }
        Fault::WrongContentType => reply(apply.await.with_content_type("text/html; charset=utf-8")),
        Fault::Garbage => reply(Answer::new(200, "application/json", &b"\xff\xfe{\"code\":0,\x00<"[..])),
        Fault::Reshaped(reshape) => reply(reshape(apply.await)),
        Fault::OverlongLength => Ok(overlong(&call, apply.await, cut_at)),
        Fault::OverlongLengthHeld => Ok(overlong(&call, apply.await, held_at)),
        Fault::EndlessChunks => {
            let answer = apply.await;
            call.answered(answer.status.as_u16(), code(&answer));
            let (whole, end) = (answer.body.clone(), answer.body.len());
            Ok(answer.with_body(held_at(whole, end)))
        }
        Fault::TruncatedBody => Ok(misbehaving(&call, apply.await, truncated)),
        Fault::SlowBody(time) => Ok(misbehaving(&call, apply.await, |body| slow(body, time))),
        Fault::HugeBody(size) => {
            call.answered(200, None);
            Ok(Answer::new(200, "application/json", Bytes::new()).with_body(huge(size)))
        }
        Fault::Hang => pending().await,
        silent => cut(&call, &silent, apply).await,
    }
}

/// The faults that end in no answer at all.
async fn cut(call: &Call, fault: &Fault, apply: impl Future<Output = Answer>) -> Result<Response<Payload>, Cut> {
    if matches!(fault, Fault::HangAfter | Fault::DropAfter | Fault::ResetAfter | Fault::KillAfter) {
        apply.await;
    }
    match fault {
        Fault::HangAfter => pending().await,
        Fault::KillBefore | Fault::KillAfter => call.kill(),
        _ => call.dropped(),
    }
    let reset = matches!(fault, Fault::ResetBefore | Fault::ResetAfter);
    Err(if reset { Cut::Reset } else { Cut::Close })
}

/// The response of `answer` with its true content length and a body that misbehaves.
fn misbehaving(call: &Call, answer: Answer, body: impl FnOnce(Bytes) -> Payload) -> Response<Payload> {
    call.answered(answer.status.as_u16(), code(&answer));
    let whole = answer.body.clone();
    let length = HeaderValue::from(whole.len());
    let mut response = answer.with_body(body(whole));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// The response of `answer` with a content length that promises more.
fn overlong(call: &Call, mut answer: Answer, body: impl FnOnce(Bytes, usize) -> Payload) -> Response<Payload> {
    let whole = answer.body.len();
    answer.body = [&answer.body[..], &[b' '; 64]].concat().into();
    misbehaving(call, answer, |bytes| body(bytes, whole))
}

fn held_at(body: Bytes, end: usize) -> Payload {
    pieces(move |sender| async move {
        let _ = sender.send(Ok(body.slice(..end))).await;
        sender.closed().await;
    })
}

fn truncated(body: Bytes) -> Payload {
    let half = body.len() / 2;
    cut_at(body, half)
}

fn cut_at(body: Bytes, end: usize) -> Payload {
    pieces(move |sender| async move {
        let _ = sender.send(Ok(body.slice(..end))).await;
        // A pause, so that the half is on the wire before the error throws the rest away.
        sleep(Duration::from_millis(20)).await;
        let _ = sender.send(Err(io::Error::other("truncated on purpose"))).await;
    })
}

fn slow(body: Bytes, time: Duration) -> Payload {
    const PIECES: u8 = 16;
    pieces(move |sender| async move {
        for piece in body.chunks(body.len().div_ceil(PIECES.into()).max(1)) {
            sleep(time / u32::from(PIECES)).await;
            if sender.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                return;
            }
        }
    })
}

fn huge(size: u64) -> Payload {
    static FILLING: [u8; 64 * 1024] = [b'a'; 64 * 1024];
    const OPENING: &[u8] = br#"{"code":0,"message":""#;
    pieces(move |sender| async move {
        let mut piece = Bytes::from_static(OPENING);
        let mut left = size;
        while left > 0 {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= piece.len() as u64;
            if sender.send(Ok(piece)).await.is_err() {
                return;
            }
            piece = Bytes::from_static(&FILLING);
        }
    })
}

/// A body that a task fills; the task ends when the client goes away.
fn pieces<F>(fill: impl FnOnce(mpsc::Sender<io::Result<Bytes>>) -> F) -> Payload
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(fill(sender));
    Payload::Pieces(receiver)
}

/// The exception's name or TikTok's non-zero code, if the answer is an error of either kind.
fn code(answer: &Answer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    if let Some(exception) = body.get("__type").and_then(Value::as_str) {
        return Some(exception.to_owned());
    }
    body.get("code").and_then(Value::as_u64).filter(|code| *code != 0).map(|code| code.to_string())
}
