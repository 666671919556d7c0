//! Headers and a query that only the first endpoint receives. `holysheep/fetch` replaces a request that was
//! made for one host: its headers, the key among them, and its query must not reach another host.

use serde_json::Value;

use super::headers::RESERVED_HEADERS;
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

    /// The texts that an error must not quote: the query, and headers whose names suggest credentials.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let is_secret =
            |name: &str| ["auth", "key", "token", "secret", "cookie"].iter().any(|w| name.contains(w));
        let headers = self.headers.iter().filter(move |(name, _)| is_secret(name)).map(|(_, value)| value);
        headers.chain(&self.query).map(|secret| {
            let text = secret.expose();
            // A scheme such as `Bearer` is not secret.
            text.split_once(' ').map_or(text, |(_, credentials)| credentials)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn headers_of_the_connection_and_of_the_engine_are_skipped_except_the_key() {
        let request = json!({ "query": "api-version=1", "headers": {
            "Authorization": "Bearer sk-0123456789", "content-length": "3", "Connection": "close",
            "keep-alive": "timeout=5", "idempotency-key": "k", "user-agent": "sdk", "x-api-key": "short",
        } });
        let extras = FirstEndpointExtras::from_json(&request);
        let names: Vec<_> = extras.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["authorization", "user-agent", "x-api-key"]);
        assert_eq!(extras.secrets().collect::<Vec<_>>(), ["sk-0123456789", "short", "api-version=1"]);
        assert!(!format!("{extras:?}").contains("sk-"));
    }
}
