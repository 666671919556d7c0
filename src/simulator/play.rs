//! Plays a plan on a connection, whichever protocol it speaks.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};

use super::check;
use super::events::Events;
use super::record::{EndedBy, Live};
use super::scenario::{PacketStyle, Packets, Pings};
use super::stream::Stream;

/// Bytes are collected up to this size before they are written.
const BATCH: usize = 16 * 1024;

/// What happens next in an answer.
pub(super) enum Step {
    /// There may be new bytes; go on.
    More,
    /// A wait from now.
    Wait(Duration),
    /// A wait from the end of the last one: a timer's lateness must not add up over many pieces.
    Pace(Duration),
    /// The answer is over; `cut` tells whether before its time.
    End { ending: Ending, cut: bool },
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    Reset,
    Close,
    Stall,
}

/// What happens in place of a response head, or that there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Reply,
    Reset,
    Close,
    Hang,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(super) framing: Framing,
    /// The size to which the head is padded.
    pub(super) size: usize,
    pub(super) keep_alive: bool,
}

pub(super) enum Script {
    Plain(Plain),
    Stream(Box<Stream>),
    Events(Box<Events>),
}

/// A body that is known before it is sent.
pub(super) struct Plain {
    pub(super) wait: Duration,
    pub(super) body: Bytes,
    /// How many bytes are sent, and what then happens in place of the end.
    pub(super) cut: Option<(usize, Ending)>,
}

impl Script {
    fn step(&mut self, out: &mut BytesMut) -> Step {
        match self {
            Self::Stream(stream) => stream.step(out),
            Self::Events(events) => events.step(out),
            Self::Plain(plain) => {
                if !plain.wait.is_zero() {
                    return Step::Wait(std::mem::take(&mut plain.wait));
                }
                let body = std::mem::take(&mut plain.body);
                match plain.cut {
                    Some((bytes, ending)) => {
                        out.extend_from_slice(&body[..bytes.min(body.len())]);
                        Step::End { ending, cut: true }
                    }
                    None => {
                        out.extend_from_slice(&body);
                        Step::End { ending: Ending::Clean, cut: false }
                    }
                }
            }
        }
    }
}

/// How one request is answered.
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) start: Start,
    pub(super) head: Head,
    pub(super) script: Script,
    pub(super) packets: Option<Packets>,
    pub(super) pings: Option<Pings>,
}

/// The side of a protocol that answers one request.
pub(super) trait Wire: Send {
    /// Takes the head; it goes out with the next bytes.
    fn head(&mut self, head: &Head, packets: Option<usize>) -> io::Result<()>;
    /// Writes what is there, and the end of the body after it if these are the last bytes.
    fn send(&mut self, payload: &mut BytesMut, last: bool) -> impl Future<Output = io::Result<()>> + Send;
    /// Returns when the client has gone away.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
    /// Resets what carries the answer; `begun` tells whether bytes were sent that should arrive first.
    fn reset(&mut self, begun: bool) -> impl Future<Output = ()> + Send;
    /// Closes the connection without ending the answer.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// Whether the connection can take another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Over,
}

pub(super) async fn play<W: Wire>(wire: &mut W, plan: Plan, live: &Live) -> After {
    match act(wire, plan, live).await {
        Ok((after, ended)) => {
            live.end(ended);
            after
        }
        Err(_gone) => {
            live.gone();
            After::Over
        }
    }
}

async fn act<W: Wire>(wire: &mut W, mut plan: Plan, live: &Live) -> io::Result<(After, EndedBy)> {
    let mut due = Instant::now();
    if !plan.delay.is_zero() {
        due += plan.delay;
        tokio::select! {
            () = sleep_until(due) => {}
            () = wire.gone() => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    match plan.start {
        Start::Reply => {}
        Start::Hang => {
            wire.gone().await;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Start::Reset => {
            live.end(EndedBy::Disconnect);
            wire.reset(false).await;
            return Ok((After::Over, EndedBy::Disconnect));
        }
        Start::Close => {
            live.end(EndedBy::Disconnect);
            wire.close().await;
            return Ok((After::Over, EndedBy::Disconnect));
        }
    }
    wire.head(&plan.head, plan.packets.and_then(Packets::size))?;
    let batch = if plan.packets == Some(Packets::Named(PacketStyle::Whole)) { 1 } else { BATCH };
    let mut payload = BytesMut::new();
    let mut pinged = Instant::now();
    loop {
        match plan.script.step(&mut payload) {
            Step::More => {
                if payload.len() >= batch {
                    send(wire, &mut payload, live).await?;
                }
            }
            step @ (Step::Wait(wait) | Step::Pace(wait)) => {
                send(wire, &mut payload, live).await?;
                let now = Instant::now();
                due = if matches!(step, Step::Pace(_)) { (due + wait).max(now) } else { now + wait };
                idle(wire, &mut plan, Some(due), &mut pinged, live).await?;
            }
            Step::End { ending, cut } => {
                let ended = if cut { EndedBy::Disconnect } else { EndedBy::Complete };
                if ending == Ending::Clean {
                    // Before the write: who has read the end may ask for the record at once.
                    live.end(ended);
                    send_all(wire, &mut payload, true, live).await?;
                    let after = if plan.head.keep_alive { After::KeepAlive } else { After::Over };
                    if after == After::Over {
                        wire.close().await;
                    }
                    return Ok((after, ended));
                }
                send(wire, &mut payload, live).await?;
                match ending {
                    Ending::Stall => {
                        idle(wire, &mut plan, None, &mut pinged, live).await?;
                    }
                    Ending::Reset => {
                        live.end(ended);
                        wire.reset(true).await;
                    }
                    Ending::Close | Ending::Clean => {
                        live.end(ended);
                        wire.close().await;
                    }
                }
                return Ok((After::Over, ended));
            }
        }
    }
}

async fn send<W: Wire>(wire: &mut W, payload: &mut BytesMut, live: &Live) -> io::Result<()> {
    send_all(wire, payload, false, live).await
}

async fn send_all<W: Wire>(wire: &mut W, payload: &mut BytesMut, last: bool, live: &Live) -> io::Result<()> {
    let bytes = payload.len();
    live.sent(bytes);
    wire.send(payload, last).await.inspect_err(|_| live.unsent(bytes))
}

/// Waits, pings meanwhile, and fails when the client goes away.
async fn idle<W: Wire>(
    wire: &mut W,
    plan: &mut Plan,
    until: Option<Instant>,
    pinged: &mut Instant,
    live: &Live,
) -> io::Result<()> {
    let mut payload = BytesMut::new();
    loop {
        let ping = plan.pings.as_ref().map(|pings| *pinged + check::wait(pings.every_ms.max(1)));
        let wake = match (until, ping) {
            (Some(until), Some(ping)) => Some(until.min(ping)),
            (until, ping) => until.or(ping),
        };
        let Some(wake) = wake else {
            wire.gone().await;
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        tokio::select! {
            () = sleep_until(wake) => {}
            () = wire.gone() => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        if until == Some(wake) {
            return Ok(());
        }
        // From now: pings that a slow client has missed are not made up for.
        *pinged = Instant::now();
        if let Some(pings) = &plan.pings {
            match &mut plan.script {
                Script::Stream(stream) => stream.ping(pings.style, &mut payload),
                Script::Events(events) => events.ping(pings.style, &mut payload),
                Script::Plain(_) => continue,
            }
            send(wire, &mut payload, live).await?;
        }
    }
}
