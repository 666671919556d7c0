//! Room for an attempt on a route: looked for before it, waited for where there is none anywhere, and settled
//! after it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::bill::is_refusal;
use super::call::Running;
use super::clock;
use super::limiter::{Limiter, Reserved, Used};
use super::line::{Line, Pause};
use super::route::EndpointState;
use super::spent::Stage;
use crate::config::defaults as d;
use crate::error::{Error, Kind, Result};
use crate::policy::plan::{Plan, Reason, RouteUnavailable, Step};

/// What the limiters of the client and of an endpoint have given for one attempt.
pub(super) type Reservations = [Option<Reserved>; 2];
type Limiters = [Option<Arc<Limiter>>; 2];
/// What the limiters have given, and a place among the attempts that run.
type Through = (Reservations, Option<OwnedSemaphorePermit>);

/// Why no attempt was made.
pub(super) enum NoRoom {
    /// Another route may take it, or this one later. With the error of the call where none does.
    Here(RouteUnavailable, Option<Error>),
    Anywhere(Error),
}

impl Running<'_> {
    pub(super) fn limiters(&self, endpoint: &EndpointState) -> Limiters {
        [self.client.limiter.clone(), endpoint.limiter.clone()]
    }

    /// Whether the route that is due can take an attempt now; what its limiters have given for it. Nothing
    /// where its line is to be waited in. The client's own limiter is the same for all routes, and so no
    /// reason to go to another one.
    pub(super) fn look(&mut self, place: usize, plan: &Plan) -> std::result::Result<Reservations, NoRoom> {
        self.check_cost(place).map_err(|error| self.unmade(place, error))?;
        let route = &self.routes[place];
        if self.has_another_key(place) && !route.endpoint.may_have_quota() {
            return Err(NoRoom::Here(RouteUnavailable::Rejected, None));
        }
        if plan.must_queue() {
            return Ok([None, None]);
        }
        let line = &route.lane.line;
        if let Some(pause) = line.pause() {
            return Err(NoRoom::Here(RouteUnavailable::RetryAfter(pause.left), None));
        }
        let behind = Duration::from_millis(line.length() as u64);
        let [client, own] = self.limiters(&route.endpoint);
        let tokens = self.estimated(place);
        let own = own.map(|own| own.reserve_now(tokens)).transpose();
        let own = own.map_err(|(crowded, error)| NoRoom::Here(crowded, error))?;
        if !behind.is_zero() {
            return Err(NoRoom::Here(RouteUnavailable::Wait(behind), None));
        }
        match client {
            None => Ok([None, own]),
            Some(client) => Ok(client.try_reserve(tokens).map_or([None, None], |taken| [Some(taken), own])),
        }
    }

    /// Whether the call may go to an endpoint whose key is not known to have no quota.
    fn has_another_key(&self, place: usize) -> bool {
        let own = place % self.client.endpoints.len();
        let others = self.client.endpoints.iter().enumerate().filter(|(index, _)| *index != own);
        !self.call.options.single && others.into_iter().any(|(_, other)| !other.is_spent())
    }

    /// What follows where no attempt was made on the route that was due.
    pub(super) fn pass_over(
        &mut self,
        no_room: NoRoom,
        reason: Reason,
        plan: &mut Plan,
        refused: &mut Option<Error>,
    ) -> Result<Step> {
        match no_room {
            NoRoom::Anywhere(error) => Err(error),
            NoRoom::Here(crowded, error) => {
                self.unpay(reason);
                *refused = error.or(refused.take());
                let step = plan.route_unavailable(crowded, clock::now(), self.remaining(), &mut rand::rng());
                Ok(self.pay(step, plan))
            }
        }
    }

    /// What an error means that came before an attempt was made.
    pub(super) fn unmade(&self, place: usize, error: Error) -> NoRoom {
        match error.kind {
            Kind::QueueFull | Kind::NeverFits => NoRoom::Here(RouteUnavailable::Rejected, Some(error)),
            // A cheaper model may fit.
            Kind::CostCap if !self.committed => NoRoom::Here(RouteUnavailable::Rejected, Some(error)),
            // The pause became longer while it was waited for.
            Kind::RateLimit => {
                let left = self.routes[place].lane.line.pause().map_or(Duration::ZERO, |pause| pause.left);
                NoRoom::Here(RouteUnavailable::RetryAfter(left), None)
            }
            _ => NoRoom::Anywhere(error),
        }
    }

    /// Waits in the line of the route for the pause and the limiters, then for a place among those that run.
    pub(super) async fn admit(
        &mut self,
        place: usize,
        tokens: f64,
        reserved: Reservations,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        let since = clock::instant();
        self.stopwatch.begin(Stage::Queue);
        let line = Arc::clone(&self.routes[place].lane.line);
        // A call that was sent back by its provider stands where it stood, before those that came after it.
        let ticket = *self.routes[place].ticket.get_or_insert_with(|| line.ticket());
        let (reserved, permit) = self.let_through(place, tokens, &line, ticket, reserved).await?;
        if let Some(engaged) = &mut self.engaged {
            engaged.reserved = reserved;
        }
        self.stopwatch.end();
        self.waited += clock::instant().saturating_duration_since(since);
        Ok(permit)
    }

    async fn let_through(
        &mut self,
        place: usize,
        mut tokens: f64,
        line: &Arc<Line>,
        ticket: u64,
        reserved: Reservations,
    ) -> Result<Through> {
        let limiters = self.limiters(&self.routes[place].endpoint);
        let mut was_in = std::mem::take(&mut self.routes[place].was_in);
        if line.is_free() {
            let given = |(limiter, given): (&Option<_>, &Option<_>)| limiter.is_none() || given.is_some();
            let taken = match limiters.iter().zip(&reserved).all(given) {
                true => Some(reserved),
                false => {
                    drop(reserved);
                    take(&limiters, tokens, Limiter::try_reserve)
                }
            };
            if let Some(taken) = taken {
                if let Some(through) = self.find_place(line, &limiters, tokens, taken).await? {
                    return Ok(through);
                }
                was_in = true;
                // Another route may have room at once; where none has, the plan comes back here.
                if self.routes.len() > 1 && line.pause().is_none() {
                    self.routes[place].was_in = true;
                    return Err(Error::new(Kind::RateLimit, "the rate limit of the route has no room"));
                }
            }
        } else {
            drop(reserved);
        }
        let mut places = [None, None];
        for (limiter, place) in limiters.iter().zip(&mut places) {
            if let Some(limiter) = limiter {
                match limiter.stand_in_line(tokens) {
                    // It was let in already.
                    Err(error) if was_in && error.kind == Kind::QueueFull => {}
                    stands => *place = Some(stands?),
                }
            }
        }
        match line.pause() {
            None if limiters.iter().any(Option::is_some) => self.wait_event(Duration::ZERO, "rate-limit"),
            pause => self.wait_event(pause.map_or(Duration::ZERO, |pause| pause.left), "retry-after"),
        }
        let _turn = line.enter(ticket).await;
        loop {
            while let Some(pause) = line.pause() {
                if self.is_too_long(&pause) {
                    return Err(asked_to_pause(&pause));
                }
                clock::sleep(pause.left).await;
            }
            let taken = match wait_for(&limiters, tokens).await {
                // The provider has told of a lower limit meanwhile: less is reckoned for an answer that may
                // be as long as it likes.
                Err(error) if error.kind == Kind::NeverFits && self.estimated(place) < tokens => {
                    tokens = self.estimated(place);
                    continue;
                }
                taken => taken?,
            };
            if line.pause().is_none()
                && let Some(through) = self.find_place(line, &limiters, tokens, taken).await?
            {
                return Ok(through);
            }
        }
    }

    /// A place among those that run. What the calls that wait for one kept of a limit would be sent in one
    /// burst: it is given back meanwhile. Nothing where the limit has no more of it afterwards, or where the
    /// provider has asked for a pause.
    async fn find_place(
        &self,
        line: &Line,
        limiters: &Limiters,
        tokens: f64,
        reserved: Reservations,
    ) -> Result<Option<Through>> {
        let (reserved, permit) = match self.client.admission.try_enter() {
            Some(permit) => (Some(reserved), permit),
            None => {
                drop(reserved);
                let permit = self.client.admission.enter(|| self.wait_event(Duration::ZERO, "queue")).await?;
                (take(limiters, tokens, Limiter::reserve_again), permit)
            }
        };
        Ok(reserved.filter(|_| line.pause().is_none()).map(|reserved| (reserved, permit)))
    }

    fn is_too_long(&self, pause: &Pause) -> bool {
        let past = self.remaining().is_some_and(|remaining| pause.left >= remaining);
        past || pause.left > self.call.options.retry.max_retry_after
    }

    /// Leaves a route alone as long as its provider has asked for, whoever was asked. One that has limited us
    /// and did not say for how long comes after the others for a while.
    pub(super) fn quieten(&self, place: usize, error: &Error, limited: bool) {
        let route = &self.routes[place];
        match error.retry_after {
            Some(asked) => route.lane.line.pause_for(asked),
            None if limited && error.kind != Kind::QuotaExhausted => {
                route.lane.line.rest_for(d::LIMITED_REST);
            }
            None => {}
        }
        if error.kind == Kind::QuotaExhausted {
            self.same_key(place).for_each(EndpointState::spend_quota);
        }
    }

    /// The key of this route has quota: it has answered.
    pub(super) fn regain_quota(&self, place: usize) {
        if self.routes[place].endpoint.regain_quota() {
            self.same_key(place).for_each(|endpoint| {
                endpoint.regain_quota();
            });
        }
    }

    /// The endpoints that have the key of this route.
    fn same_key(&self, place: usize) -> impl Iterator<Item = &EndpointState> {
        let endpoints = &self.client.endpoints;
        let key = self.client.same_key(place % endpoints.len());
        let of_key = move |(index, _): &(usize, _)| self.client.same_key(*index) == key;
        endpoints.iter().enumerate().filter(of_key).map(|(_, endpoint)| &**endpoint)
    }

    /// What the attempt that is under way has used of what its limiters have given.
    pub(super) fn used(&self) -> Used {
        let Some(current) = &self.current else { return Used::Nothing };
        let (sent, status) = current.head.update(|head| (head.sent, head.status));
        let usage = self.journal.usage.as_ref();
        match usage.and_then(|usage| usage.get("total_tokens")?.as_f64()) {
            _ if !sent => Used::Nothing,
            Some(tokens) => Used::Tokens(tokens),
            None if is_refusal(status) => Used::Tokens(0.0),
            None => Used::Unknown,
        }
    }
}

fn take(
    limiters: &Limiters,
    tokens: f64,
    from: impl Fn(&Arc<Limiter>, f64) -> Option<Reserved>,
) -> Option<Reservations> {
    let mut taken = [None, None];
    for (limiter, taken) in limiters.iter().zip(&mut taken) {
        if let Some(limiter) = limiter {
            *taken = Some(from(limiter, tokens)?);
        }
    }
    Some(taken)
}

async fn wait_for(limiters: &Limiters, tokens: f64) -> Result<Reservations> {
    let mut taken = [None, None];
    for (limiter, taken) in limiters.iter().zip(&mut taken) {
        if let Some(limiter) = limiter {
            *taken = Some(limiter.reserve(tokens).await?);
        }
    }
    Ok(taken)
}

/// What the provider has said to another call, for one that does not wait for it.
pub(super) fn asked_to_pause(pause: &Pause) -> Error {
    let (said, left) = (pause.said.as_millis(), pause.left.as_millis());
    let message = format!("the provider has asked for a pause of {said} ms, of which {left} ms are left");
    Error::new(Kind::RateLimit, message).with_status(429).with_retry_after(Some(pause.said))
}

/// The error of a call that no route takes: what the last one said, and why another one was needed.
pub(super) fn no_room(refused: Option<Error>, last: Option<Error>) -> Error {
    let mut error = refused.unwrap_or_else(|| Error::new(Kind::QueueFull, "no route has room for the call"));
    error.cause = error.cause.take().or(last);
    error
}
