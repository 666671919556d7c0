//! Hedging: where the first token of an attempt is slow to come, a second attempt begins on another
//! route. The first token decides which of them goes on, and the other one is given up. Until then both are
//! only looked at, so that the answer and its consumer never see two attempts.
//!
//! After Dean and Barroso, "The Tail at Scale" (CACM 56(2), 2013): a second request is sent when the first
//! one has taken longer than the 95th percentile.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::call::Running;
use super::clock::{self, sleep_until};
use super::closing::Ending;
use super::opening::Opened;
use super::recovery::Form;
use super::route::Busy;
use super::turn::{Beginning, Current, Engaged, Start};
use crate::config::{Hedge, defaults as d};
use crate::error::{Error, Result};
use crate::policy::plan::{Failure, Plan, RouteId};

/// Why a hedge is made, in its event.
pub(super) const HEDGE: &str = "hedge";

/// What one turn knows of its hedge.
#[derive(Default)]
pub(super) struct Hedging {
    /// The routes that it may go to, best first.
    spare: Vec<usize>,
    /// The one of two that are under way which is not the call's current one. Boxed, as most calls have none.
    other: Option<Box<Other>>,
    /// Where it went.
    sent_to: Option<usize>,
    fallen: Option<Box<Fallen>>,
    /// Where the attempt is that is left, and whether it has brought a first token.
    left: Option<(usize, bool)>,
}

struct Other {
    engaged: Option<Engaged>,
    current: Option<Current>,
}

/// The one of two that failed while the other one was under way.
struct Fallen {
    place: usize,
    failure: Failure,
    at: u64,
    remaining: Option<Duration>,
}

impl<'a> Running<'a> {
    /// Before a turn: where its hedge may go. `first` is how many attempts there were before this call.
    pub(super) fn prepare_hedge(&mut self, first: usize, plan: &Plan) {
        self.hedging = Hedging::default();
        let options = &self.call.options;
        let made = self.attempts.len() - first;
        // The attempt itself is one.
        let has_room = options.max_attempts.is_none_or(|max| made + 2 <= max as usize);
        if options.hedge.is_some() && has_room {
            self.hedging.spare = plan.hedge_candidates(clock::now()).into_iter().map(|route| route.id.0).collect();
        }
    }

    /// After a turn that failed: tells the plan what came of its hedge. The route of the failure, which is
    /// `place` where there was none.
    pub(super) fn after_hedge(&mut self, place: usize, plan: &mut Plan) -> usize {
        let Hedging { sent_to, fallen, left, .. } = mem::take(&mut self.hedging);
        let (Some(sent_to), Some((left, brought))) = (sent_to, left) else { return place };
        plan.hedge_started(RouteId(sent_to));
        if let Some(Fallen { place, failure, at, remaining }) = fallen.as_deref() {
            plan.hedge_failed(RouteId(*place), failure, *at, *remaining);
        }
        plan.hedge_settled(RouteId(left), brought);
        left
    }

    /// How long the attempt that is about to begin is waited for; `None` where it is not hedged.
    pub(super) fn hedge_after(&self, place: usize, form: &Form) -> Option<Duration> {
        let hedge = self.call.options.hedge?;
        if self.committed || form.continues || self.hedging.spare.is_empty() {
            return None;
        }
        match hedge {
            Hedge::After(after) => Some(after),
            Hedge::P95 => {
                let model = &self.routes[place].model;
                let (share, least) = (d::HEDGE_QUANTILE, d::HEDGE_MINIMUM_CALLS);
                self.client.metrics.first_token_quantile(model, share, least)
            }
        }
    }

    /// The opening of the current attempt, and from `due` on that of its hedge too: the first of them that
    /// brings a token, whose attempt is the current one from then on, or the error of the last.
    pub(super) async fn race(&mut self, mut first: Beginning<'a>, due: Instant) -> Result<Opened> {
        tokio::select! {
            biased;
            opened = &mut first => return opened,
            () = sleep_until(due) => {}
        }
        let Some(mut second) = self.start_hedge() else { return first.await };
        let (result, mut other) = tokio::select! {
            biased;
            opened = &mut first => (opened, second),
            opened = &mut second => {
                self.swap();
                (opened, first)
            }
        };
        let result = match result {
            Ok(opened) => {
                // Closes its socket.
                drop(other);
                self.swap();
                self.close_turn(Ending::Lost);
                self.swap();
                Ok(opened)
            }
            Err(error) => {
                let early = self.fall(&error, &mut other).await;
                self.swap();
                self.tell_writer();
                match early {
                    Some(opened) => opened,
                    None => other.await,
                }
            }
        };
        let brought = result.is_ok();
        if let Some(current) = &self.current {
            self.hedging.left = Some((current.place, brought));
            if brought && current.is_hedge {
                self.client.metrics.hedge_won();
            }
        }
        self.tell_writer();
        result
    }

    /// The current one of two attempts has failed: it is closed, while the other one goes on. What that one
    /// has come to, where it did so meanwhile.
    async fn fall(&mut self, error: &Error, other: &mut Beginning<'a>) -> Option<Result<Opened>> {
        let mut early = None;
        let listens = self.engaged.as_ref().is_some_and(|engaged| engaged.guard.is_some());
        if let Some(mut judging) = self.sink.judge(error).filter(|_| listens) {
            let judged = loop {
                tokio::select! {
                    biased;
                    judged = &mut judging => break judged,
                    opened = &mut *other, if early.is_none() => early = Some(opened),
                }
            };
            if let Some(engaged) = &mut self.engaged {
                engaged.judged = Some(judged);
            }
        }
        // What it refused was only the form of the request: the plan may come back to it.
        if let Some(place) = self.current.as_ref().map(|current| current.place)
            && !self.refused_field(error)
        {
            let failure = self.failure(place, error);
            let (at, remaining) = (clock::now(), self.remaining());
            self.hedging.fallen = Some(Box::new(Fallen { place, failure, at, remaining }));
        }
        self.close_turn(Ending::Failed(error));
        early
    }

    /// Begins the hedge that is due, where a route and the retry budget have room for it.
    fn start_hedge(&mut self) -> Option<Beginning<'a>> {
        let permit = self.client.admission.try_enter()?;
        let spare = mem::take(&mut self.hedging.spare);
        let place = spare.into_iter().find(|place| self.has_room(*place))?;
        if !self.afford() {
            return None;
        }
        let beginning = self.begin_hedge(place, permit);
        if beginning.is_none() {
            self.client.budget.give_back(self.tenant());
        }
        beginning
    }

    /// Whether a route could take an attempt at once. Looking spends nothing.
    fn has_room(&mut self, place: usize) -> bool {
        let tokens = self.estimated(place);
        let route = &self.routes[place];
        let limiters = self.limiters(&route.endpoint);
        route.lane.line.is_free()
            && route.lane.breaker.as_ref().is_none_or(|breaker| breaker.would_admit())
            && limiters.iter().flatten().all(|limiter| limiter.has_room(1.0, tokens))
            && self.check_cost(place).is_ok()
    }

    /// `None` where another call was faster, or the cost does not fit after all: what was taken is given back.
    fn begin_hedge(&mut self, place: usize, permit: Option<OwnedSemaphorePermit>) -> Option<Beginning<'a>> {
        let estimated = self.estimated(place);
        let endpoint = Arc::clone(&self.routes[place].endpoint);
        let mut reserved = [None, None];
        for (limiter, reserved) in self.limiters(&endpoint).into_iter().zip(&mut reserved) {
            if let Some(limiter) = limiter {
                *reserved = Some(limiter.try_reserve(estimated)?);
            }
        }
        let guard = self.ask_breaker(place).ok()?;
        // Beside the one that is under way.
        let others = self.others.saturating_sub(1);
        let form = Form::original(false);
        let start = Start { place, why: HEDGE, others, form: &form, peeks: true };
        let (current, beginning) = self.begin(start).ok()?;
        let _busy = Busy::at(&endpoint);
        let engaged = Engaged { place, guard, reserved, judged: None, permit, _busy };
        self.hedging.other = Some(Box::new(Other { engaged: Some(engaged), current: Some(current) }));
        self.hedging.sent_to = Some(place);
        Some(beginning)
    }

    /// Makes the other one of two attempts the current one, where there is one.
    fn swap(&mut self) {
        let Some(other) = &mut self.hedging.other else { return };
        mem::swap(&mut self.engaged, &mut other.engaged);
        mem::swap(&mut self.current, &mut other.current);
    }

    /// Ends whatever is under way.
    pub(super) fn close_turns(&mut self, error: Option<&Error>) {
        self.close_turn(Ending::of(error));
        self.swap();
        self.close_turn(Ending::of(error));
    }
}
