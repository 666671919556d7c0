//! What a call says to the first endpoint and to no other. `holysheep/fetch` stands in for a request that
//! was made for one host: its headers, its key among them, and its query are for that host alone.

use serde_json::Value;

use super::endpoint::OURS;
use super::secret::Secret;

/// Headers that belong to a connection, beside those that the engine sets itself.
const OF_THE_CONNECTION: &[&str] = &["keep-alive", "proxy-connection"];

#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Names in lower case; none that the engine sets itself but the key.
    pub headers: Vec<(String, Secret)>,
    /// Without the question mark.
    pub query: Option<Secret>,
}

impl Own {
    /// What must not be quoted by an error.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let is_secret =
            |name: &str| ["auth", "key", "token", "secret", "cookie"].iter().any(|w| name.contains(w));
        let headers = self.headers.iter().filter(move |(name, _)| is_secret(name)).map(|(_, value)| value);
        headers.chain(&self.query).map(|secret| {
            let text = secret.expose();
            // A scheme is none.
            text.split_once(' ').map_or(text, |(_, credentials)| credentials)
        })
    }
}

impl Own {
    /// Of `{ headers, query }`, which the JavaScript side has made of a request.
    pub fn of(value: &Value) -> Own {
        let is_ours = |name: &str| name != "authorization" && OURS.contains(&name);
        let given = value.get("headers").and_then(Value::as_object);
        let headers = given.into_iter().flatten().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let skipped = is_ours(&name) || OF_THE_CONNECTION.contains(&name.as_str());
            (!skipped).then_some((name, Secret(value.as_str()?.into())))
        });
        let query = value.get("query").and_then(Value::as_str).filter(|query| !query.is_empty());
        Own { headers: headers.collect(), query: query.map(|query| Secret(query.into())) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_belongs_to_a_connection_or_to_the_engine_is_left_out_and_the_key_is_kept() {
        let given = json!({ "query": "api-version=1", "headers": {
            "Authorization": "Bearer sk-0123456789", "content-length": "3", "Connection": "close",
            "keep-alive": "timeout=5", "idempotency-key": "k", "user-agent": "sdk", "x-api-key": "short",
        } });
        let own = Own::of(&given);
        let names: Vec<_> = own.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["authorization", "user-agent", "x-api-key"]);
        assert_eq!(own.secrets().collect::<Vec<_>>(), ["sk-0123456789", "short", "api-version=1"]);
        assert!(!format!("{own:?}").contains("sk-"));
    }
}
