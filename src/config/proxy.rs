//! The `proxy` option. Its default comes from the environment.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::authority::{is_authority, split_port};
use super::reader::{Reader, as_object};
use crate::error::{Error, Result, truncate};

const ACCEPTED: &str = "the URL of a proxy (http, https, socks4, socks4a, socks5 or socks5h), or false";
const SCHEMES: &[&str] = &["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies of a client; none by default. `Debug` hides the URLs, which may contain a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The proxy for `http` URLs.
    pub http: Option<Arc<str>>,
    /// The proxy for `https` URLs.
    pub https: Option<Arc<str>>,
    /// The hosts that requests reach without a proxy, in the format of `NO_PROXY`.
    pub no_proxy: Arc<str>,
}

impl ProxyConfig {
    /// The URLs that contain a user or a password, which no error may quote.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let urls = [self.http.as_deref(), self.https.as_deref()].into_iter().flatten();
        urls.filter(|url| url.contains('@'))
    }
}

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConfig").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

/// Reads `proxy`, which applies to every request. Where it is absent, reads `$proxy`, the proxies of the
/// environment as the JavaScript side reports them: `{ http, https: { name, url }, no }`.
///
/// # Errors
/// An invalid URL, under the name of its option or environment variable.
pub fn read(reader: &mut Reader<'_>) -> Result<ProxyConfig> {
    let environment = reader.value("$proxy");
    match reader.value("proxy") {
        Some(Value::Bool(false)) => Ok(ProxyConfig::default()),
        Some(Value::String(text)) => {
            let url = parse_url("proxy", text)?;
            Ok(ProxyConfig { http: Some(Arc::clone(&url)), https: Some(url), no_proxy: "".into() })
        }
        // A value that JSON cannot hold, such as NaN, is safe to show. Any other may contain a URL with a password.
        Some(value @ Value::Object(_)) if as_object(value).is_none() => {
            reader.invalid("proxy", value, ACCEPTED)
        }
        Some(_) => Err(Error::invalid("proxy", "a value that is not a string", ACCEPTED)),
        None => {
            let url_for = |key: &str| -> Result<Option<Arc<str>>> {
                let Some(entry) = environment.and_then(|all| all.get(key)) else { return Ok(None) };
                let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
                parse_url(text("name"), text("url")).map(Some)
            };
            let no_proxy =
                environment.and_then(|all| all.get("no")).and_then(Value::as_str).unwrap_or_default();
            Ok(ProxyConfig { http: url_for("http")?, https: url_for("https")?, no_proxy: no_proxy.into() })
        }
    }
}

/// Validates the URL of a proxy. One without a scheme means `http://`.
fn parse_url(name: &str, url: &str) -> Result<Arc<str>> {
    // A user and a password may precede the host, so the error shows only the host.
    let invalid = || {
        let host = url.rsplit_once('@').map_or(url, |(_, host)| host);
        let hidden = if host.len() < url.len() { "…@" } else { "" };
        Error::invalid(name, format!("'{hidden}{}'", truncate(host, 60).escape_debug()), ACCEPTED)
    };
    let text = url.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.trim_end_matches('/');
    let (userinfo, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let is_valid = SCHEMES.contains(&scheme.as_str())
        && is_authority(host)
        && userinfo.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#".contains(&byte));
    if !is_valid {
        return Err(invalid());
    }
    // URL parsers do not know the default port of SOCKS.
    let port = match (split_port(host).1, scheme.starts_with("socks")) {
        (None, true) => ":1080",
        _ => "",
    };
    Ok(format!("{scheme}://{rest}{port}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn proxies(options: Value) -> Result<ProxyConfig> {
        read(&mut Reader::new("", &options)?)
    }

    #[test]
    fn the_option_applies_to_every_request_and_overrides_the_environment() {
        let env = json!({ "https": { "name": "HTTPS_PROXY", "url": "http://env:1" }, "no": "a" });
        let explicit = proxies(json!({ "proxy": "http://explicit:2/", "$proxy": env })).unwrap();
        let url = Some("http://explicit:2");
        assert_eq!((explicit.http.as_deref(), explicit.https.as_deref()), (url, url));
        assert_eq!(&*explicit.no_proxy, "");
        assert_eq!(proxies(json!({ "proxy": false, "$proxy": env })).unwrap(), ProxyConfig::default());
        let from_env = proxies(json!({ "$proxy": env })).unwrap();
        assert_eq!(
            (from_env.http, from_env.https.as_deref(), &*from_env.no_proxy),
            (None, Some("http://env:1"), "a")
        );
    }

    #[test]
    fn the_error_for_an_invalid_proxy_has_its_name_and_not_its_password() {
        for bad in [
            "",
            "http://",
            "ftp://proxy:1",
            "http://proxy:99999",
            "http://user:secret@pro xy:1",
            "http://user:secret@proxy/path",
            "user:secret@:80",
            "http://us/er:secret@proxy",
        ] {
            let error = proxies(json!({ "proxy": bad })).unwrap_err();
            assert!(error.message.starts_with("proxy: got "), "{bad}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
        let env = json!({ "http": { "name": "http_proxy", "url": "nonsense://x" } });
        let error = proxies(json!({ "$proxy": env })).unwrap_err();
        assert!(error.message.starts_with("http_proxy: got "), "{error}");
        for bad in [
            json!(1),
            json!(true),
            json!({ "url": "http://user:secret@x" }),
            json!({ "$unencodable": "NaN" }),
        ] {
            let error = proxies(json!({ "proxy": bad })).unwrap_err();
            assert!(error.message.starts_with("proxy: got ") && !error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_default_scheme_is_http_and_the_default_port_of_socks_is_1080() {
        let url = |option: &str| proxies(json!({ "proxy": option })).unwrap().https.unwrap().to_string();
        assert_eq!(url("proxy:3128"), "http://proxy:3128");
        assert_eq!(url("SOCKS5h://u:p@proxy"), "socks5h://u:p@proxy:1080");
        assert_eq!(url("http://u:p@ss@[::1]:3128"), "http://u:p@ss@[::1]:3128");
    }
}
