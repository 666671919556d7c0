//! The options of a simulator.

use serde::Deserialize;

use super::rate_limit::RateLimit;
use super::scenario::Scenario;
use super::validate;

/// The options of a simulator. By default it serves a healthy answer on a free port of the loopback.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The address or name to bind to; default `127.0.0.1`.
    pub host: String,
    /// The port; default 0, which takes a free one.
    pub port: u16,
    /// The seed of ids and chunk sizes; default 1.
    pub seed: u64,
    /// Whether to use TLS with its own certificate, and HTTP/2 (100 streams a connection) or HTTP/1.1 as the
    /// client negotiates; default false.
    pub tls: bool,
    /// The answer of scenarios without one, if `default` has none either; by default two paragraphs about a
    /// flock of sheep.
    pub answer: Option<String>,
    /// The models that `/v1/models` lists; default `simulator-large` and `simulator-small`. Any model is
    /// accepted.
    pub models: Vec<String>,
    /// The only accepted key, at least one character; by default any key, or none, is accepted.
    pub api_key: Option<String>,
    /// The rate limit of chat requests for each key, beyond which they get a 429; none by default.
    pub rate_limit: Option<RateLimit>,
    /// How many requests are recorded; default 10 000. Beyond that, or beyond 256 MiB of bodies in all, the
    /// oldest are dropped.
    pub record_limit: usize,
    /// The scenario of requests without a scripted one; default a healthy answer.
    pub default: Scenario,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            seed: 1,
            tls: false,
            answer: None,
            models: vec!["simulator-large".to_owned(), "simulator-small".to_owned()],
            api_key: None,
            rate_limit: None,
            record_limit: 10_000,
            default: Scenario::default(),
        }
    }
}

impl Options {
    /// Parses options from JSON.
    ///
    /// # Errors
    /// A message with the name of the field, its value and the accepted values.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let options: Self = validate::from_json("simulator options", json)?;
        options.default.check().map_err(|why| format!("simulator options: default: {why}"))?;
        if options.api_key.as_deref() == Some("") {
            return Err("simulator options: apiKey must have at least one character; got \"\"".to_owned());
        }
        if let Some(limit) = &options.rate_limit {
            limit.check().map_err(|why| format!("simulator options: {why}"))?;
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_defaults_and_clear_errors() {
        let options = Options::from_json(r#"{"apiKey":"k","default":{"status":503}}"#).expect("valid");
        assert_eq!((options.host.as_str(), options.record_limit), ("127.0.0.1", 10_000));
        assert_eq!(options.default.status, Some(503));
        let why = Options::from_json(r#"{"port":70000}"#).expect_err("no such port");
        assert!(why.contains("port") && why.contains("65535") && why.contains("70000"), "{why}");
        let why = Options::from_json(r#"{"rateLimit":{"capacity":0}}"#).expect_err("no capacity");
        assert!(why.contains("rateLimit.capacity must be from 1"), "{why}");
        let why = Options::from_json(r#"{"default":{"disconnect":{"how":1}}}"#).expect_err("no such cut");
        assert!(why.contains("default.disconnect.how"), "{why}");
    }
}
