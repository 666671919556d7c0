use super::*;
use serde_json::json;

#[test]
fn a_bare_host_means_https_and_v1() {
    assert_eq!(base_url("baseUrl", "api.holysheep.ai").unwrap(), "https://api.holysheep.ai/v1");
    assert_eq!(base_url("baseUrl", "http://127.0.0.1:8080/v1/").unwrap(), "http://127.0.0.1:8080/v1");
    assert_eq!(base_url("baseUrl", "http://[::1]:80/x").unwrap(), "http://[::1]:80/x");
}

#[test]
fn the_error_for_an_invalid_base_url_does_not_show_its_secrets() {
    for bad in [
        "",
        " ",
        "not a url",
        "ftp://x/v1",
        "https://",
        "http://a b/",
        "https://x:99999/v1",
        "https://x/v1?key=secret",
        "https://user:secret@x/v1",
        "https://x/v1/chat/completions",
        "x/v1",
        "https://-x/",
        "https://x\n/v1",
        "http://[zz]/",
        "secret@x",
        "https://user:a#secret@x/v1",
        "https://user:a?secret@x/v1",
        "https://user:secret@x/v1?a@b",
        "user:secret://a@x/v1",
        "https://x/v1?to=a@b&key=secret",
    ] {
        let error = base_url("baseUrl", bad).unwrap_err();
        assert!(error.message.starts_with("baseUrl: got "), "{bad}: {error}");
        assert!(!error.message.contains("secret"), "{error}");
    }
}

#[test]
fn a_plain_url_uses_the_clients_key_and_an_object_only_its_own() {
    let key = api_key("apiKey", "k1").unwrap();
    let items = [
        json!("https://a/v1"),
        json!({"baseUrl": "https://b/v1"}),
        json!({"baseUrl": "https://c", "apiKey": "k3"}),
    ];
    let endpoints = read_all(&items, Some(&key), Inherited::default()).unwrap();
    let keys: Vec<_> = endpoints.iter().map(|e| e.key.as_ref().map(|key| key.expose().to_owned())).collect();
    assert_eq!(keys, [Some("k1".into()), None, Some("k3".into())]);
    assert!(read_all(&items[..1], None, Inherited::default()).is_err());
}

#[test]
fn the_session_id_is_in_the_body_for_holysheeps_hosts_by_default() {
    let items = ["https://api.holysheep.ai/v1", "https://holysheep.ai:8443/v1", "https://notholysheep.ai/v1"];
    let items: Vec<Value> = items.iter().map(|url| json!({ "baseUrl": url })).collect();
    let session_ids = |option| -> Vec<SendSessionId> {
        read_all(&items, None, Inherited { send_session_id: option, ..Inherited::default() })
            .unwrap()
            .iter()
            .map(|e| e.send_session_id)
            .collect()
    };
    let (header, both) = (SendSessionId::Header, SendSessionId::Both);
    assert_eq!(session_ids(None), [both, both, header]);
    assert_eq!(session_ids(Some(SendSessionId::Off)), [SendSessionId::Off; 3]);
    let body = [json!({ "baseUrl": "https://x/v1", "sendSessionId": "body" })];
    assert_eq!(
        read_all(&body, None, Inherited { send_session_id: Some(header), ..Inherited::default() }).unwrap()
            [0]
        .send_session_id,
        SendSessionId::Body
    );
    let wrong = [json!({ "baseUrl": "https://x/v1", "sendSessionId": true })];
    let message = read_all(&wrong, None, Inherited::default()).unwrap_err().message.clone();
    assert_eq!(message, "endpoints[0].sendSessionId: got true; accepted: 'header', 'body', 'both' or false");
}

#[test]
fn default_names_are_made_unique_and_a_duplicate_explicit_name_is_rejected() {
    let items = [json!({"baseUrl": "https://a/v1"}), json!({"baseUrl": "https://a/v2"})];
    let endpoints = read_all(&items, None, Inherited::default()).unwrap();
    assert_eq!((endpoints[0].name.as_str(), endpoints[1].name.as_str()), ("a", "a#2"));
    let twice = [json!({"baseUrl": "https://a", "name": "x"}), json!({"baseUrl": "https://b", "name": "x"})];
    assert!(read_all(&twice, None, Inherited::default()).is_err());
}

#[test]
fn a_generated_name_is_never_that_of_another_endpoint() {
    let names = |items: &[Value]| -> Vec<String> {
        read_all(items, None, Inherited::default())
            .unwrap()
            .iter()
            .map(|endpoint| endpoint.name.clone())
            .collect()
    };
    let unnamed = json!({"baseUrl": "https://a"});
    for explicit in ["a#2", "a#3"] {
        let named = json!({"baseUrl": "https://b", "name": explicit});
        for position in 0..3 {
            let mut items = vec![unnamed.clone(), unnamed.clone()];
            items.insert(position, named.clone());
            let mut names = names(&items);
            assert_eq!(names[position], explicit);
            names.sort();
            names.dedup();
            assert_eq!(names.len(), 3, "{names:?}");
        }
    }
}
