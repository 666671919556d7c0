//! The routes of one call.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::context::CallContext;
use crate::engine::shared::endpoint::{EndpointState, RouteState};
use crate::policy::plan::RouteId;

/// One route of a call: an endpoint and a model.
pub struct CallRoute {
    pub id: RouteId,
    /// The index of its model among the models of the call.
    pub model_index: usize,
    /// The index of its endpoint in the list of the client.
    pub endpoint_index: usize,
    pub endpoint: Arc<EndpointState>,
    /// The model by our name.
    pub model: String,
    /// What all calls share of this route.
    pub state: RouteState,
    /// The position of the call in the route's queue, kept from its first arrival.
    pub ticket: Option<u64>,
    /// The call was admitted before, and the limit was exhausted when it got its slot: a full queue does not reject it.
    pub was_admitted: bool,
    /// The next attempt reads the rest of a stream that the provider keeps: it needs no tokens, and its cost is reserved.
    pub needs_no_tokens: bool,
}

/// The routes of a call: every model at every endpoint, model by model in the order in which they are tried.
pub struct Routes(Vec<CallRoute>);

impl Routes {
    pub fn new(ctx: &CallContext<'_>) -> Self {
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
        for (model_index, model) in models.into_iter().enumerate() {
            for (endpoint_index, endpoint) in client.endpoints.iter().enumerate() {
                let state =
                    endpoint.route(&model, &config.breaker, client.shared_breaker.as_ref(), only_route);
                routes.push(CallRoute {
                    id: RouteId(routes.len()),
                    model_index,
                    endpoint_index,
                    endpoint: Arc::clone(endpoint),
                    model: model.clone(),
                    state,
                    ticket: None,
                    was_admitted: false,
                    needs_no_tokens: false,
                });
            }
        }
        Routes(routes)
    }

    /// The routes of each model, in the order of the client's endpoints.
    pub fn by_model(&self, endpoints: usize) -> impl Iterator<Item = &[CallRoute]> {
        self.0.chunks(endpoints)
    }

    pub fn iter(&self) -> impl Iterator<Item = &CallRoute> {
        self.0.iter()
    }

    /// Whether all routes have the same endpoint.
    pub fn are_one_endpoint(&self) -> bool {
        self.0.iter().all(|route| route.endpoint_index == 0)
    }

    /// Whether there is more than one route.
    pub fn has_several(&self) -> bool {
        self.0.len() > 1
    }
}

impl Index<RouteId> for Routes {
    type Output = CallRoute;

    fn index(&self, id: RouteId) -> &CallRoute {
        &self.0[id.0]
    }
}

impl IndexMut<RouteId> for Routes {
    fn index_mut(&mut self, id: RouteId) -> &mut CallRoute {
        &mut self.0[id.0]
    }
}
