//! Plays a plan on a connection of either protocol.

use std::io;

use bytes::BytesMut;
use tokio::time::{Instant, sleep_until};

use super::content_encoding::Encoded;
use super::plan::{Plan, Start};
use super::record::{EndedBy, RecordHandle};
use super::step::{Ending, Step};
use super::validate;
use super::wire::Wire;
use super::wire_format::{PacketStyle, Packets};

/// How many bytes are collected before they are written.
const BATCH: usize = 16 * 1024;

/// Whether the connection can take another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterResponse {
    KeepAlive,
    Close,
}

/// Plays a plan, and records how the answer ended.
pub(super) async fn play<W: Wire>(wire: &mut W, plan: Plan, record: &RecordHandle) -> AfterResponse {
    let played = match plan.encoding {
        Some(encoding) => run(&mut Encoded::new(wire, encoding), plan, record).await,
        None => run(wire, plan, record).await,
    };
    match played {
        Ok((after, ended)) => {
            record.finish(ended);
            after
        }
        Err(_client_gone) => {
            record.client_gone();
            AfterResponse::Close
        }
    }
}

async fn run<W: Wire>(
    wire: &mut W,
    mut plan: Plan,
    record: &RecordHandle,
) -> io::Result<(AfterResponse, EndedBy)> {
    let mut due = Instant::now();
    if !plan.delay.is_zero() {
        due += plan.delay;
        tokio::select! {
            () = sleep_until(due) => {}
            () = wire.client_gone() => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    match plan.start {
        Start::Reply => {}
        Start::Hang => {
            wire.client_gone().await;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Start::Reset => {
            record.finish(EndedBy::Disconnect);
            wire.reset(false).await;
            return Ok((AfterResponse::Close, EndedBy::Disconnect));
        }
        Start::Close => {
            record.finish(EndedBy::Disconnect);
            wire.close().await;
            return Ok((AfterResponse::Close, EndedBy::Disconnect));
        }
    }
    wire.head(&plan.head, plan.packets.and_then(Packets::size))?;
    let batch = if plan.packets == Some(Packets::Named(PacketStyle::Event)) { 1 } else { BATCH };
    let mut payload = BytesMut::new();
    let mut pinged = Instant::now();
    loop {
        match plan.source.step(&mut payload) {
            Step::More => {
                if payload.len() >= batch {
                    send(wire, &mut payload, record).await?;
                }
            }
            step @ (Step::Wait(wait) | Step::Pace(wait)) => {
                send(wire, &mut payload, record).await?;
                let now = Instant::now();
                due = if matches!(step, Step::Pace(_)) { (due + wait).max(now) } else { now + wait };
                idle(wire, &mut plan, Some(due), &mut pinged, record).await?;
            }
            Step::End { ending, cut } => {
                let ended = if cut { EndedBy::Disconnect } else { EndedBy::Complete };
                if ending == Ending::Clean {
                    // Before the write: a client that has read the end may request the record at once.
                    record.finish(ended);
                    send_all(wire, &mut payload, true, record).await?;
                    let after =
                        if plan.head.keep_alive { AfterResponse::KeepAlive } else { AfterResponse::Close };
                    if after == AfterResponse::Close {
                        wire.close().await;
                    }
                    return Ok((after, ended));
                }
                send(wire, &mut payload, record).await?;
                match ending {
                    Ending::Stall => {
                        idle(wire, &mut plan, None, &mut pinged, record).await?;
                    }
                    Ending::Reset => {
                        record.finish(ended);
                        wire.reset(true).await;
                    }
                    Ending::Close | Ending::Clean => {
                        record.finish(ended);
                        wire.close().await;
                    }
                }
                return Ok((AfterResponse::Close, ended));
            }
        }
    }
}

async fn send<W: Wire>(wire: &mut W, payload: &mut BytesMut, record: &RecordHandle) -> io::Result<()> {
    send_all(wire, payload, false, record).await
}

async fn send_all<W: Wire>(
    wire: &mut W,
    payload: &mut BytesMut,
    last: bool,
    record: &RecordHandle,
) -> io::Result<()> {
    let bytes = payload.len();
    record.sent(bytes);
    wire.send(payload, last).await.inspect_err(|_| record.unsent(bytes))
}

/// Waits, and sends pings in the meantime. Fails if the client disconnects.
async fn idle<W: Wire>(
    wire: &mut W,
    plan: &mut Plan,
    until: Option<Instant>,
    pinged: &mut Instant,
    record: &RecordHandle,
) -> io::Result<()> {
    let mut payload = BytesMut::new();
    loop {
        let ping = plan.pings.as_ref().map(|pings| *pinged + validate::bounded_wait(pings.every_ms.max(1)));
        let wake = match (until, ping) {
            (Some(until), Some(ping)) => Some(until.min(ping)),
            (until, ping) => until.or(ping),
        };
        let Some(wake) = wake else {
            wire.client_gone().await;
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        tokio::select! {
            () = sleep_until(wake) => {}
            () = wire.client_gone() => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        if until == Some(wake) {
            return Ok(());
        }
        // From now on: pings that a slow client has missed are not sent later.
        *pinged = Instant::now();
        if let Some(pings) = &plan.pings {
            if !plan.source.ping(pings.style, &mut payload) {
                continue;
            }
            send(wire, &mut payload, record).await?;
        }
    }
}
