//! The routes of one call.

use std::sync::Arc;

use super::context::CallContext;
use crate::engine::shared::endpoint::{EndpointState, RouteState};

/// One route of a call: an endpoint and a model.
pub struct CallRoute {
    /// The index of the route in the list of the call.
    pub id: usize,
    /// The index of its endpoint in the list of the client.
    pub endpoint_index: usize,
    pub endpoint: Arc<EndpointState>,
    /// The model by our name.
    pub model: String,
    /// What all calls share of this route.
    pub state: RouteState,
    /// The place of the call in the route's queue, kept from its first arrival.
    pub ticket: Option<u64>,
    /// The call was let in before, and the limit was spent when its slot came: a full queue does not reject it.
    pub was_let_in: bool,
}

/// The routes of a call: every model at every endpoint, model by model in the order in which they are tried.
pub fn routes(ctx: &CallContext<'_>) -> Vec<CallRoute> {
    let (client, request) = (ctx.client, ctx.request);
    let config = &client.config;
    let mut models = vec![request.chat.model().unwrap_or_else(|| config.model.clone())];
    for model in &request.options.fallback_models {
        if !models.contains(model) {
            models.push(model.clone());
        }
    }
    client.costs.sort_models(&mut models, config);
    let only_route = models.len() * client.endpoints.len() == 1;
    let mut routes = Vec::with_capacity(models.len() * client.endpoints.len());
    for model in models {
        for (endpoint_index, endpoint) in client.endpoints.iter().enumerate() {
            let state = endpoint.route(&model, &config.breaker, client.shared_breaker.as_ref(), only_route);
            routes.push(CallRoute {
                id: routes.len(),
                endpoint_index,
                endpoint: Arc::clone(endpoint),
                model: model.clone(),
                state,
                ticket: None,
                was_let_in: false,
            });
        }
    }
    routes
}
