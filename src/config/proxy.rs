//! The `proxy` option, and what the environment says where it is not given.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::reader::Reader;
use crate::error::{Error, Result, truncate};

const ACCEPTED: &str = "the URL of a proxy (http, https, socks4, socks4a, socks5 or socks5h), or false";
const SCHEMES: &[&str] = &["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies of a client. URLs may hold a user and a password: they are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    pub http: Option<Arc<str>>,
    pub https: Option<Arc<str>>,
    /// The hosts that are reached without one, as `NO_PROXY` lists them.
    pub no: Arc<str>,
}

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConfig").field("no", &self.no).finish_non_exhaustive()
    }
}

/// Reads `proxy`, for every request; without it `$proxy`, what the environment of the JavaScript side
/// says: `{ http, https: { name, url }, no }`.
pub fn read(reader: &mut Reader<'_>) -> Result<ProxyConfig> {
    let environment = reader.raw("$proxy");
    match reader.raw("proxy") {
        Some(Value::Bool(false)) => Ok(ProxyConfig::default()),
        Some(Value::String(text)) => {
            let url = url("proxy", text)?;
            Ok(ProxyConfig { http: Some(Arc::clone(&url)), https: Some(url), no: "".into() })
        }
        Some(Value::Object(map)) if map.contains_key("$given") => {
            reader.bad("proxy", &Value::Object(map.clone()), ACCEPTED)
        }
        Some(_) => Err(Error::invalid("proxy", "something that is no string", ACCEPTED)),
        None => {
            let of = |key: &str| -> Result<Option<Arc<str>>> {
                let Some(given) = environment.and_then(|all| all.get(key)) else { return Ok(None) };
                let text = |field: &str| given.get(field).and_then(Value::as_str).unwrap_or_default();
                url(text("name"), text("url")).map(Some)
            };
            let no = environment.and_then(|all| all.get("no")).and_then(Value::as_str).unwrap_or_default();
            Ok(ProxyConfig { http: of("http")?, https: of("https")?, no: no.into() })
        }
    }
}

/// Checks the URL of a proxy. Without a scheme it means `http://`.
fn url(name: &str, given: &str) -> Result<Arc<str>> {
    // What stands before the host may be a password: the error shows no more than the host.
    let bad = || {
        let host = given.rsplit_once('@').map_or(given, |(_, host)| host);
        let hidden = if host.len() < given.len() { "…@" } else { "" };
        Error::invalid(name, format!("'{hidden}{}'", truncate(host, 60).escape_debug()), ACCEPTED)
    };
    let text = given.trim();
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = scheme.to_ascii_lowercase();
    let rest = rest.trim_end_matches('/');
    let (user, host) = rest.rsplit_once('@').map_or(("", rest), |(user, host)| (user, host));
    let (host_name, port) = match host.rsplit_once(':') {
        Some((host_name, port)) if !port.ends_with(']') => (host_name, Some(port)),
        _ => (host, None),
    };
    let name_fits = match host_name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            !host_name.is_empty()
                && host_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    };
    let fits = SCHEMES.contains(&scheme.as_str())
        && name_fits
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && user.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#".contains(&byte));
    if !fits {
        return Err(bad());
    }
    // Socks has a port of its own, which a URL's parser does not know.
    let port = match (port, scheme.starts_with("socks")) {
        (None, true) => ":1080",
        _ => "",
    };
    Ok(format!("{scheme}://{rest}{port}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(options: Value) -> Result<ProxyConfig> {
        read(&mut Reader::new("", &options)?)
    }

    #[test]
    fn the_option_holds_for_every_request_and_against_the_environment() {
        let env = json!({ "https": { "name": "HTTPS_PROXY", "url": "http://env:1" }, "no": "a" });
        let own = of(json!({ "proxy": "http://own:2/", "$proxy": env })).unwrap();
        assert_eq!((own.http.as_deref(), own.https.as_deref()), (Some("http://own:2"), Some("http://own:2")));
        assert_eq!(&*own.no, "");
        assert_eq!(of(json!({ "proxy": false, "$proxy": env })).unwrap(), ProxyConfig::default());
        let given = of(json!({ "$proxy": env })).unwrap();
        assert_eq!((given.http, given.https.as_deref(), &*given.no), (None, Some("http://env:1"), "a"));
    }

    #[test]
    fn a_proxy_that_is_none_is_refused_by_its_name_and_without_its_password() {
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
            let error = of(json!({ "proxy": bad })).unwrap_err();
            assert!(error.message.starts_with("proxy: got "), "{bad}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
        let env = json!({ "http": { "name": "http_proxy", "url": "nonsense://x" } });
        let error = of(json!({ "$proxy": env })).unwrap_err();
        assert!(error.message.starts_with("http_proxy: got "), "{error}");
        for bad in
            [json!(1), json!(true), json!({ "url": "http://user:secret@x" }), json!({ "$given": "NaN" })]
        {
            let error = of(json!({ "proxy": bad })).unwrap_err();
            assert!(error.message.starts_with("proxy: got ") && !error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_missing_scheme_means_http_and_socks_has_its_own_port() {
        let url = |given: &str| of(json!({ "proxy": given })).unwrap().https.unwrap().to_string();
        assert_eq!(url("proxy:3128"), "http://proxy:3128");
        assert_eq!(url("SOCKS5h://u:p@proxy"), "socks5h://u:p@proxy:1080");
        assert_eq!(url("http://u:p@ss@[::1]:3128"), "http://u:p@ss@[::1]:3128");
    }
}
