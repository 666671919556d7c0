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
        let headers =
            self.headers.iter().filter(|(name, _)| suggests_credentials(name)).map(|(_, value)| value);
        headers.chain(&self.query).map(|secret| {
            let text = secret.expose();
            // A scheme such as `Bearer` is not secret.
            text.split_once(' ').map_or(text, |(_, credentials)| credentials)
        })
    }
}

/// Whether a header's name has a word for credentials, such as `x-api-key`, `apikey` or `helicone-auth`. A part of a word
/// is not one: `x-portkey-provider` has a value that errors quote.
fn suggests_credentials(name: &str) -> bool {
    const WORDS: &[&str] = &["auth", "authorization", "authentication", "key", "token", "secret", "cookie"];
    const ENDINGS: &[&str] = &["key", "token", "secret"];
    let mut words = name.split(['-', '_']);
    let last = words.clone().next_back().unwrap_or_default();
    words.any(|word| WORDS.contains(&word)) || ENDINGS.iter().any(|ending| last.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hop_by_hop_headers_and_those_of_the_engine_are_skipped_except_the_key() {
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

    #[test]
    fn a_name_with_a_word_for_credentials_has_a_secret_value() {
        for name in [
            "authorization",
            "cf-aig-authorization",
            "helicone-auth",
            "x-auth-user",
            "x-api-key",
            "apikey",
            "ocp-apim-subscription-key",
            "x-portkey-api-key",
            "x-goog-iam-authority-token",
            "client_secret",
            "cookie",
        ] {
            assert!(suggests_credentials(name), "{name}");
        }
        for name in [
            "x-portkey-provider",
            "x-author",
            "x-tokenizer",
            "x-max-tokens",
            "keyboard",
            "openai-organization",
        ] {
            assert!(!suggests_credentials(name), "{name}");
        }
    }
}
