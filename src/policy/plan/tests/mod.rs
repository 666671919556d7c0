mod failure_causes;
mod no_progress;
mod properties;
mod retries_and_fallback;
mod rotation;
mod short_waits;
mod support;
mod unavailable_routes;
