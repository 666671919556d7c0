//! The rate limits of an attempt: the client's, and its endpoint's.

use std::sync::Arc;

use crate::engine::shared::client_state::ClientState;
use crate::engine::shared::endpoint::EndpointState;
use crate::engine::shared::limiter::{LimitReservation, Limiter};

/// What the limiters of the client and of the endpoint granted one attempt.
pub(super) type LimitReservations = [Option<LimitReservation>; 2];
/// The limiters of the client and of an endpoint.
pub(super) type Limiters<'a> = [Option<&'a Arc<Limiter>>; 2];

pub(super) fn limiters<'a>(client: &'a ClientState, endpoint: &'a EndpointState) -> Limiters<'a> {
    [client.limiter.as_ref(), endpoint.limiter.as_ref()]
}
