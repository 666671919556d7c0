//! Room in the rate limits of a route: taken before an attempt, and settled after it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::bill::is_refusal;
use super::call::Running;
use super::clock;
use super::limiter::{Limiter, Reserved, Used};
use super::route::EndpointState;
use super::spent::Stage;
use crate::error::Result;

/// What the limiters of the client and of an endpoint have given for one attempt.
pub(super) type Reservations = [Option<Reserved>; 2];

impl Running<'_> {
    pub(super) fn limiters(&self, endpoint: &EndpointState) -> [Option<Arc<Limiter>>; 2] {
        [self.client.limiter.clone(), endpoint.limiter.clone()]
    }

    /// The limiters of the client and of the endpoint, then a place among those that run.
    pub(super) async fn admit(
        &mut self,
        endpoint: &EndpointState,
        tokens: f64,
    ) -> Result<Option<OwnedSemaphorePermit>> {
        let since = clock::instant();
        self.stopwatch.begin(Stage::Queue);
        let mut taken = [None, None];
        for (limiter, taken) in self.limiters(endpoint).into_iter().zip(&mut taken) {
            if let Some(limiter) = limiter {
                let on_wait = || self.wait_event(Duration::ZERO, "rate-limit");
                *taken = Some(limiter.reserve(tokens, on_wait).await?);
            }
        }
        let permit = self.client.admission.enter(|| self.wait_event(Duration::ZERO, "queue")).await?;
        if let Some(engaged) = &mut self.engaged {
            engaged.reserved = taken;
        }
        self.stopwatch.end();
        self.waited += clock::instant().saturating_duration_since(since);
        Ok(permit)
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
