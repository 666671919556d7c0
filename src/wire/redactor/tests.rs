use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const KEY: &str = "Zq7/Tm+3vXw9+Kd2=Pb5_Rn8-Ys4";

fn redact(secrets: &[&str], text: &str) -> String {
    Redactor::new(secrets.iter().copied()).redact(text).into_owned()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_secret_is_removed_in_every_form_in_which_it_is_quoted() {
    let json = KEY.replace('/', "\\/");
    let units: String = KEY.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let reserved = KEY.replace('/', "%2F").replace('+', "%2b").replace('=', "%3D");
    for form in [
        KEY.to_owned(),
        KEY.to_uppercase(),
        KEY.to_lowercase(),
        json.clone(),
        json.replace('\\', "\\\\"),
        units.clone(),
        units.replace('\\', "\\\\\\\\"),
        units.to_uppercase().replace("\\U", "\\u"),
        KEY.bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
        percent(KEY),
        percent(&percent(KEY)),
        reserved,
        KEY.chars().map(|c| format!("&#{};", c as u32)).collect(),
        KEY.chars().map(|c| format!("&#x{:X};", c as u32)).collect(),
        STANDARD.encode(KEY),
        URL_SAFE_NO_PAD.encode(KEY),
        STANDARD.encode(format!("u:{KEY}")),
        STANDARD.encode(format!("me:{KEY}@host")),
        KEY.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ] {
        for (before, behind) in
            [("key ", " is unknown"), ("{\"key\":\"", "\"}"), ("x=", ""), ("", ""), ("a", "b")]
        {
            let text = format!("{before}{form}{behind}");
            let redacted = redact(&[KEY], &text);
            let rest = redacted.replacen(before, "", 1).replacen(behind, "", 1).replace(MASK, "");
            // In base64 the characters around a secret have bits of it.
            assert!(rest.len() <= 14 && !rest.contains("Zq7"), "{text}: {redacted}");
        }
    }
    assert_eq!(redact(&[KEY], &format!("the key {KEY}.")), "the key ….");
    assert_eq!(redact(&[KEY], &format!("{{\"a\":\"{json}\",\"b\":1}}")), "{\"a\":\"…\",\"b\":1}");
}

#[test]
fn a_part_of_a_secret_is_removed_where_it_is_quoted() {
    let key = "sk-proj-Ab3dEf6hIj9kLmNoPqRsTuVwXyZ";
    for (text, redacted) in [
        ("sk-proj-********************wXyZ", "…"),
        ("Incorrect API key: sk-p...wXyZ.", "Incorrect API key: …."),
        ("(sk-pr…XyZ)", "(…)"),
        ("sk-proj [redacted] wXyZ", "…"),
        ("SK-PRxxxxWXYZ", "…"),
        ("****wXyZ", "…"),
        ("your key ending in wXyZ", "your key ending in …"),
        ("{\"last4\":\"wXyZ\"}", "{\"last4\":\"…\"}"),
        ("the key that starts with sk-proj-Ab", "the key that starts with …"),
        ("{\"a\":\"sk-proj-Ab3dEf6hI\",\"b\":\"j9kLmNoPqRsTuVwXyZ\"}", "{\"a\":\"…\",\"b\":\"…\"}"),
        ("cut off in sk-proj-Ab3", "cut off in …"),
        ("HTML page (cut off in sk-proj-)", "HTML page (cut off in …)"),
        ("bare TuVwXyZ", "bare …"),
    ] {
        assert_eq!(redact(&[key], text), redacted, "{text}");
    }
}

#[test]
fn the_beginning_of_a_secret_that_was_cut_off_is_removed_however_long_it_is() {
    let secret = "correct-horse-battery-staple";
    let all = forms::encodings(secret).into_iter().chain([secret.to_owned()]);
    for form in all.map(|form| form.to_ascii_lowercase()) {
        for length in 6..form.len() {
            let cut = &form[..length];
            let shown = redact(&[secret], &format!("\"{cut}\"."));
            assert!(!shown.contains(cut), "{shown}");
        }
    }
}

#[test]
fn half_of_a_short_secret_is_removed_as_a_word_of_its_own() {
    for (secret, text, redacted) in [
        ("k7xq2m9wz", "user k7xq2 with q2m9wz", "user … with …"),
        ("ab12cd34", "ab12:cd34", "…:…"),
        ("ab12cd34", "xab12 cd345 b12c", "xab12 cd345 b12c"),
        // What these leave is an ordinary word, or less than half.
        ("holysheep1", "holysheep failed", "holysheep failed"),
        ("k7xq2m9wz0", "k7xq m9wz0", "k7xq …"),
        ("fourfive", "four five", "four five"),
    ] {
        assert_eq!(redact(&[secret], text), redacted, "{secret}: {text}");
    }
}

/// docs/security.md says so.
#[test]
fn a_shorter_part_stays() {
    let key = "sk-proj-Ab3dEf6hIj9kLmNoPqRsTuVwXyZ";
    for (secret, text) in [
        (key, "eleven letters of the middle: LmNoPqRsTuV."),
        (key, "seven letters and digits: 9kLmNoP."),
        (key, "cut off in sk-pr"),
        (key, "a word of it, sk-proj, is no part"),
        ("quertyuiop", "half of ten letters: query or tyuiop"),
        ("quertyuiop", "half of ten letters: quert"),
    ] {
        assert_eq!(redact(&[secret], text), text, "{secret}");
    }
}

#[test]
fn the_parts_of_credentials_are_secrets_of_their_own() {
    let basic = format!("Basic {}", STANDARD.encode("maria:open-sesame-9"));
    for (secret, text, redacted) in [
        ("Bearer abcdefgh12", "bearer token abcdefgh12", "bearer token …"),
        (&*basic, "no user Maria", "no user …"),
        (&basic, "password open-sesame-9 is wrong", "password … is wrong"),
        (
            "http://proxyuser:p%40ss-word@proxy.example:8080",
            "user proxyuser, password p@ss-word",
            "user …, password …",
        ),
        (
            "http://proxyuser:p%40ss-word@proxy.example:8080",
            "proxy.example:8080 refused",
            "proxy.example:8080 refused",
        ),
        ("http://u:p4ss@proxy", "http://u:p4ss@proxy", "http://…@proxy"),
        ("session=0123456789ab; theme=dark", "cookie 0123456789ab, a dark theme", "cookie …, a dark theme"),
    ] {
        assert_eq!(redact(&[secret], text), redacted, "{secret}: {text}");
    }
}

#[test]
fn a_short_secret_is_removed_only_as_a_whole_word() {
    assert_eq!(redact(&["hunter2"], "hunter2, HUNTER2; xhunter2 hunter22"), "…, …; xhunter2 hunter22");
    assert_eq!(redact(&["k7x"], "k7x"), "k7x");
    for word in ["none", "user", "4096", "ollama", "12345"] {
        assert_eq!(redact(&[word], &format!("{word} failed")), format!("{word} failed"));
    }
}

#[test]
fn other_text_stays() {
    let secrets = [
        KEY,
        "YOUR_HOLYSHEEP_API_KEY",
        "production",
        "eu-west-customer-support",
        "sk-test-0123456789abcdefghij",
    ];
    for text in [
        "",
        "Incorrect API key provided",
        "{\"code\":\"invalid_api_key\",\"param\":null}",
        "the products of the eu, west... support",
        "The model `gpt-4o-2024-08-06` does not exist & 100% of it… is \\ missing",
        "first use a key that starts with sk-",
        "test 0123 in 2024",
        "Xin chào 🐑 — thế giới ***",
        "\\u00zz \\x1 %zz &unknown; &#xFFFFFFFF; \\",
    ] {
        assert_eq!(redact(&secrets, text), text);
    }
}

#[test]
fn without_secrets_the_text_is_borrowed() {
    assert!(matches!(Redactor::default().redact("a text"), Cow::Borrowed(_)));
    assert!(matches!(Redactor::new(["", " ", "abc"]).redact("a text"), Cow::Borrowed(_)));
    assert!(matches!(Redactor::new([KEY]).redact("a text"), Cow::Borrowed(_)));
}

#[test]
fn a_secret_that_is_not_ascii_is_removed() {
    let key = "khóa-bí-mật-của-tôi";
    let mojibake: String = key.bytes().map(char::from).collect();
    let escaped: String = key.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    for form in [key, &mojibake, &escaped, &percent(key)] {
        assert_eq!(redact(&[key], &format!("key {form}!")), "key …!");
    }
    let emoji = "pass🐑word🐑12";
    assert_eq!(redact(&[emoji], "pass\\ud83d\\udc11word\\uD83D\\uDC1112"), "…");
}

/// Counts instead of measuring: what takes quadratic time takes minutes here.
#[test]
fn hostile_texts_take_linear_time() {
    let secrets: Vec<String> = (0..16).map(|index| format!("{}{index:04}", "a*.x-".repeat(8))).collect();
    let redactor = Redactor::new(secrets.iter().map(String::as_str));
    for unit in
        ["a", "*", " ", ".", "a*", "\\", "\\u", "&amp;", "&#", "%25", "x-", "a*.x-", "end a*.", "[(", "é"]
    {
        let text = unit.repeat((1 << 17) / unit.len());
        redactor.redact(&text);
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(secret in "\\PC{0,40}", text in "(\\\\u?[0-9a-f]{0,5}|%[0-9a-f]{0,2}|&#?x?[0-9]{0,9};?|[*.… x-]|\\PC){0,60}") {
        Redactor::new([&*secret]).redact(&text);
    }

    #[test]
    fn a_secret_in_a_random_mixture_of_escapes_is_removed(
        secret in "[a-zA-Z0-9+/=_.-]{12,60}",
        forms in prop::collection::vec(0..8_usize, 60),
        before in "[^a-z]{0,20}",
    ) {
        let written: String = secret.chars().zip(forms).map(|(c, form)| match form {
            0 => format!("\\u{:04x}", c as u32),
            1 => format!("%{:02x}", c as u32),
            2 => format!("&#{};", c as u32),
            3 => format!("\\\\\\u{:04X}", c as u32),
            4 if c == '/' => "\\/".to_owned(),
            5 => c.to_ascii_uppercase().to_string(),
            _ => c.to_string(),
        }).collect();
        let redacted = Redactor::new([&*secret]).redact(&format!("{before} {written} end")).into_owned();
        let decoded = decode::Decoded::of(&redacted).bytes;
        for part in secret.to_ascii_lowercase().as_bytes().windows(8) {
            prop_assert!(!decoded.windows(8).any(|shown| shown == part), "{redacted}");
        }
    }
}
