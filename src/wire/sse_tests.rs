use proptest::prelude::*;

use super::*;
const MAX_LINE: usize = 1024 * 1024;

type Parsed = (Option<String>, String, bool);

fn owned(event: &Event<'_>) -> Parsed {
    (event.event.map(str::to_owned), event.data.to_string(), event.at_end)
}

/// Feeds the parts one after the other and ends the body.
fn parse_parts(max_line: usize, parts: &[&[u8]]) -> Result<Vec<Parsed>, TooLong> {
    let mut parser = Parser::new(max_line);
    let mut parsed = Vec::new();
    let mut on_event = |event: Event<'_>| {
        parsed.push(owned(&event));
        ControlFlow::<()>::Continue(())
    };
    for part in parts {
        assert_eq!(parser.feed(part, &mut on_event)?, FeedResult::All);
    }
    parser.finish(&mut on_event)?;
    Ok(parsed)
}

fn parse(text: &str) -> Vec<Parsed> {
    parse_parts(MAX_LINE, &[text.as_bytes()]).unwrap()
}

fn data(texts: &[&str]) -> Vec<Parsed> {
    texts.iter().map(|text| (None, (*text).to_owned(), false)).collect()
}

/// The algorithm of the standard, applied to the whole body at once.
fn reference(body: &[u8]) -> Vec<Parsed> {
    let text = String::from_utf8_lossy(body).into_owned();
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    let last = lines.pop().unwrap();
    let (mut parsed, mut event, mut data) = (Vec::new(), String::new(), Vec::<String>::new());
    let mut process = |line: &str, data: &mut Vec<String>, unterminated: bool| {
        if line.is_empty() {
            let joined = mem::take(data).join("\n");
            let event = Some(mem::take(&mut event)).filter(|event| !event.is_empty());
            if !joined.is_empty() {
                parsed.push((event, joined, unterminated));
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if name == "data" && !(unterminated && value.is_empty()) {
            data.push(value.to_owned());
        } else if name == "event" {
            event = value.to_owned();
        }
    };
    for line in lines {
        process(line, &mut data, false);
    }
    if !last.is_empty() {
        process(last, &mut data, true);
    }
    process("", &mut data, true);
    parsed
}

const CORPUS: &[&str] = &[
    "data: {\"a\":1}\n\ndata: [DONE]\n\n",
    "\u{FEFF}data: first\r\n\r\n: ping\r\n\r\ndata:second\r\rdata: third\n\n",
    "event: error\ndata: một\ndata: hai 🐑\rdata\r\ndata:  ba\n\nevent: x\n\ndata: after\n\n",
    "id: 7\nretry: 3000\ndata: tiếng Việt 👩‍👩‍👧\n\n\n\ndata\n\ndata:\n\ndata: cut in the mid",
    "data: one\r\n\r\nda\r\n\r\ndata: two\r\n\ndata: three\r\r\ndata: four\ndata:",
    "\u{FEFF}\u{FEFF}data: not a field\n\ndata: \u{FEFF}kept\n\n",
    "\n\u{FEFF}data: the mark is not at the start\n\ndata: x\n\n",
    "event: first\nevent: second\ndata: named\n\ndata: unnamed\nevent",
];

#[test]
fn events_comments_and_all_three_line_ends() {
    assert_eq!(parse("data: a\n\n: ping\n\ndata:b\r\n\r\ndata:  c\r\r"), data(&["a", "b", " c"]));
    assert_eq!(parse("\u{FEFF}data: a\n\n"), data(&["a"]));
    assert_eq!(parse("data: a\ndata: b\ndata\ndata: c\n\n"), data(&["a\nb\n\nc"]));
    assert_eq!(
        parse("event: error\nid: 1\nretry: 5\nother: 6\ndata: {}\n\ndata: next\n\n"),
        [(Some("error".into()), "{}".into(), false), (None, "next".into(), false)]
    );
    assert_eq!(parse("data:\n\ndata\n\nevent: x\n\n\n: only a comment\n\n"), []);
}

#[test]
fn an_event_without_a_blank_line_is_dispatched_at_the_end() {
    let at_end = |text: &str| vec![(None, text.to_owned(), true)];
    assert_eq!(parse("data: whole line\n"), at_end("whole line"));
    assert_eq!(parse("data: half a li"), at_end("half a li"));
    assert_eq!(parse("data: [DONE]\ndata"), at_end("[DONE]"));
    assert_eq!(parse("data: [DONE]\nda"), at_end("[DONE]"));
    assert_eq!(parse("da"), []);
    let mut parser = Parser::new(MAX_LINE);
    let stop = |_: Event<'_>| ControlFlow::Break("stop");
    parser.feed(b"data: x", stop).unwrap();
    assert_eq!(parser.finish(stop), Ok(Some("stop")));
    assert_eq!(parser.finish(stop), Ok(None), "it is as new");
}

#[test]
fn every_split_in_two_and_three_gives_the_same_events() {
    for text in CORPUS {
        let body = text.as_bytes();
        let whole = parse_parts(MAX_LINE, &[body]).unwrap();
        assert_eq!(whole, reference(body), "{text:?}");
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let parts = [&body[..first], &body[first..second], &body[second..]];
                assert_eq!(parse_parts(MAX_LINE, &parts).unwrap(), whole, "{text:?} {first} {second}");
            }
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(parse_parts(MAX_LINE, &bytes).unwrap(), whole, "byte by byte: {text:?}");
    }
}

#[test]
fn invalid_utf8_becomes_replacement_characters() {
    let body = b"data: a\xFFb\xF0\x9F\x90\n\ndata: \xED\xA0\x80\n\nevent: \xC3\ndata: \xE1\xBA\n\n";
    let whole = parse_parts(MAX_LINE, &[body]).unwrap();
    assert_eq!(whole[0].1, "a\u{FFFD}b\u{FFFD}");
    assert_eq!(whole, reference(body));
    for cut in 0..body.len() {
        assert_eq!(parse_parts(MAX_LINE, &[&body[..cut], &body[cut..]]).unwrap(), whole);
    }
}

#[test]
fn an_event_within_one_read_is_not_copied() {
    let bytes = b"data: first\n\nevent: e\ndata: second\n\n";
    let range = bytes.as_ptr_range();
    let mut count = 0;
    let mut parser = Parser::new(MAX_LINE);
    parser
        .feed(bytes, |event| {
            assert!(range.contains(&event.data.as_ptr()));
            count += 1;
            ControlFlow::<()>::Continue(())
        })
        .unwrap();
    assert_eq!((count, parser.data.capacity(), parser.line.capacity()), (2, 0, 0));
}

#[test]
fn after_a_break_the_rest_can_be_fed_later() {
    for text in CORPUS {
        let whole = parse(text);
        let mut parser = Parser::new(MAX_LINE);
        let mut parsed = Vec::new();
        let mut stop = |event: Event<'_>| {
            parsed.push(owned(&event));
            ControlFlow::Break(())
        };
        let mut rest = text.as_bytes();
        while let FeedResult::Stopped { consumed, .. } = parser.feed(rest, &mut stop).unwrap() {
            rest = &rest[consumed..];
        }
        parser.finish(&mut stop).unwrap();
        assert_eq!(parsed, whole, "{text:?}");
    }
}

#[test]
fn the_limit_applies_to_lines_and_to_event_data() {
    let too_long = Err(TooLong { limit: 16 });
    let cases: &[(&[u8], bool)] = &[
        (b"data: 0123456789\n\n", true),
        (b"data: 0123456789a\n\n", false),
        (b"data: 0123456789a", false),
        (b": a comment of more than that\n\n", false),
        (b"data: 01234567\ndata: 0123456\n\n", true),
        (b"data: 01234567\ndata: 01234567\n\n", false),
        (b"data: 01234567\n\ndata: 01234567\n\ndata: 01234567\n\n", true),
    ];
    for (body, fits) in cases {
        for cut in 0..=body.len() {
            let result = parse_parts(16, &[&body[..cut], &body[cut..]]);
            assert!(if *fits { result.is_ok() } else { result == too_long }, "{body:?} at {cut}");
        }
    }
}

#[test]
fn an_endless_line_takes_no_more_memory_than_the_limit() {
    let mut parser = Parser::new(1_000);
    let mut result = Ok(FeedResult::All);
    while result.is_ok() {
        result = parser.feed(&[b'x'; 64], |_| ControlFlow::<()>::Continue(()));
        assert!(parser.line.capacity() <= 2_000);
    }
}

#[test]
fn a_reset_discards_an_incomplete_event() {
    let mut parser = Parser::new(MAX_LINE);
    let mut parsed = Vec::new();
    let mut on_event = |event: Event<'_>| {
        parsed.push(owned(&event));
        ControlFlow::<()>::Continue(())
    };
    parser.feed("event: e\ndata: old\ndata: ol".as_bytes(), &mut on_event).unwrap();
    parser.reset();
    parser.feed("\u{FEFF}data: new\n\n".as_bytes(), &mut on_event).unwrap();
    assert_eq!(parsed, data(&["new"]));
}

#[test]
fn an_unterminated_last_line_may_begin_another_event() {
    let event = |data: &str, at_end| (None, data.to_owned(), at_end);
    assert_eq!(parse("data: {}\ndata: {\"a\":1}"), [event("{}", false), event("{\"a\":1}", true)]);
    assert_eq!(parse("data: {}\ndata: {\"a"), [event("{}", false), event("{\"a", true)]);
    assert_eq!(parse("data: {}\ndata: 1"), [event("{}\n1", true)]);
}

#[test]
fn a_name_after_complete_data_belongs_to_the_next_event_if_one_follows() {
    let event = |name: Option<&str>, data: &str| (name.map(str::to_owned), data.to_owned(), false);
    assert_eq!(
        parse("event: a\ndata: {}\nevent: ping\ndata: {\"b\":1}\ndata: {}\n\n"),
        [event(Some("a"), "{}"), event(Some("ping"), "{\"b\":1}"), event(None, "{}")]
    );
    assert_eq!(parse("event: a\ndata: {}\nevent: error\n\n"), [event(Some("error"), "{}")]);
    assert_eq!(parse("data: {}\nevent: a\nevent:\n\n"), [event(None, "{}")]);
}

#[test]
fn a_complete_object_ends_its_event_without_a_blank_line() {
    let body = "data: {\"a\":1}\ndata: {\"b\":\ndata: 2}\ndata: {\"c\":3}\r\ndata: [DONE]\n";
    let expected = ["{\"a\":1}", "{\"b\":\n2}", "{\"c\":3}", "[DONE]"];
    for cut in 0..=body.len() {
        let parsed = parse_parts(MAX_LINE, &[&body.as_bytes()[..cut], &body.as_bytes()[cut..]]).unwrap();
        let texts: Vec<&str> = parsed.iter().map(|(_, data, _)| data.as_str()).collect();
        assert_eq!(texts, expected, "cut at {cut}");
    }
    // A document over several lines is one event.
    let pretty = "data: {\ndata: \"a\": {}\ndata: }\n\n";
    assert_eq!(parse_parts(MAX_LINE, &[pretty.as_bytes()]).unwrap(), data(&["{\n\"a\": {}\n}"]));
}

#[test]
fn a_stop_at_the_end_of_the_body_keeps_what_is_still_pending() {
    let mut parser = Parser::new(MAX_LINE);
    let stop = |event: Event<'_>| ControlFlow::Break(owned(&event));
    assert_eq!(parser.feed(b"data: {\"a\":1}\ndata: {\"b\"", stop), Ok(FeedResult::All));
    assert_eq!(parser.finish(stop), Ok(Some((None, "{\"a\":1}".to_owned(), false))));
    assert_eq!(parser.finish(stop), Ok(Some((None, "{\"b\"".to_owned(), true))));
    assert_eq!(parser.finish(stop), Ok(None));
}

#[test]
fn lines_that_are_not_fields_are_kept_up_to_a_limit() {
    let mut parser = Parser::new(MAX_LINE);
    let mut feed = |text: &str| parser.feed(text.as_bytes(), |_| ControlFlow::<()>::Continue(())).map(drop);
    feed("upstream failed\n: comment\nid: 1\nretry: 5\ndata: {}\n\nerror: x").unwrap();
    parser.finish(|_| ControlFlow::<()>::Continue(())).unwrap();
    assert_eq!(parser.stray(), b"upstream failed\nerror: x\n");
    parser
        .feed(&[b"x".repeat(5000).as_slice(), b"\n"].concat(), |_| ControlFlow::<()>::Continue(()))
        .unwrap();
    assert_eq!(parser.stray().len(), BODY_LIMIT);
}

/// Fragments that trigger the parser's decisions.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "\n", "\r", "\r\n", "\n\n", "data", "data:", "data: ", "event: ", ":", " ", "x", "é", "🐑",
        "\u{FEFF}", "id: 1",
        // Without a brace at the start: objects are split into events, see below.
        "\"a\":1}",
    ]);
    prop_oneof![
        9 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_body_in_any_parts_is_read_according_to_the_standard(
        fragments in prop::collection::vec(fragment(), 0..60),
        sizes in prop::collection::vec(1..12usize, 1..20),
    ) {
        let body = fragments.concat();
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut rest = body.as_slice();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, tail) = rest.split_at((*size).min(rest.len()));
            parts.push(part);
            rest = tail;
        }
        prop_assert_eq!(parse_parts(MAX_LINE, &parts).unwrap(), reference(&body));
    }
}
