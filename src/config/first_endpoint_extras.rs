//! Headers and a query that only the first endpoint receives. `holysheep/fetch` replaces a request that was
//! made for one host: its headers, the key among them, and its query must not reach another host.

use serde_json::Value;

use super::headers::{RESERVED_HEADERS, is_harmless};
use super::secret::Secret;

/// Headers that belong to a connection, in addition to those that the engine sets itself.
const CONNECTION_HEADERS: &[&str] = &["keep-alive", "proxy-connection"];

/// What a call sends to its client's first endpoint and to no other.
#[derive(Clone, Debug, Default)]
pub struct FirstEndpointExtras {
    /// Names in lower case. Of the headers that the engine sets itself, only `authorization` can be here.
    pub headers: Vec<(String, Secret)>,
    /// The query of the URL, without the question mark.
    pub query: Option<Secret>,
}

impl FirstEndpointExtras {
    /// Takes them from `{ headers, query }`, which the JavaScript side extracts from a request. Skips
    /// headers that the engine sets itself or that belong to a connection.
    pub fn from_json(value: &Value) -> FirstEndpointExtras {
        let is_reserved = |name: &str| name != "authorization" && RESERVED_HEADERS.contains(&name);
        let entries = value.get("headers").and_then(Value::as_object);
        let headers = entries.into_iter().flatten().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_skipped = is_reserved(&name) || CONNECTION_HEADERS.contains(&name.as_str());
            (!is_skipped).then_some((name, Secret(value.as_str()?.into())))
        });
        let query = value.get("query").and_then(Value::as_str).filter(|query| !query.is_empty());
        FirstEndpointExtras { headers: headers.collect(), query: query.map(|query| Secret(query.into())) }
    }

    /// What no error may quote: the values of the headers, and of the parameters in the query.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().filter(|(name, _)| !is_harmless(name));
        let pairs = self.query.iter().flat_map(|query| query.expose().split('&'));
        let parameters = pairs.filter_map(|pair| pair.split_once('='));
        let parameters = parameters.filter(|(name, _)| !HARMLESS_PARAMETERS.contains(name));
        headers.map(|(_, value)| value.expose()).chain(parameters.map(|(_, value)| value))
    }
}

/// Parameters of a query that hold no secrets. Errors quote them.
const HARMLESS_PARAMETERS: &[&str] = &["alt", "api-version", "beta", "stream", "version"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hop_by_hop_headers_and_those_of_the_engine_are_skipped_except_the_key() {
        let request = json!({ "query": "api-version=1&key=other", "headers": {
            "Authorization": "Bearer sk-0123456789", "content-length": "3", "Connection": "close",
            "keep-alive": "timeout=5", "idempotency-key": "k", "user-agent": "sdk", "x-api-key": "short",
        } });
        let extras = FirstEndpointExtras::from_json(&request);
        let names: Vec<_> = extras.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["authorization", "user-agent", "x-api-key"]);
        assert_eq!(extras.secrets().collect::<Vec<_>>(), ["Bearer sk-0123456789", "short", "other"]);
        assert!(!format!("{extras:?}").contains("sk-"));
    }
}
