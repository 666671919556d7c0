#[test]
fn a_punycode_host_name_is_accepted() {
    // Cargo.toml leaves the Unicode tables for host names out of the build.
    let url = reqwest::Url::parse("https://xn--bcher-kva.example/v1").unwrap();
    assert_eq!(url.host_str(), Some("xn--bcher-kva.example"));
}
