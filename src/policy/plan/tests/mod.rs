mod failure_causes;
mod properties;
mod retries_and_fallback;
mod rotation;
mod support;
mod unavailable_routes;
