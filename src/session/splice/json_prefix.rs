//! Whether a text that only grows is the beginning of JSON.

/// Reads JSON byte by byte.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonPrefix {
    /// The open brackets: true for an object.
    open: Vec<bool>,
    /// The keys of the open objects, the innermost last: how many brackets are open in it, and a hash. An object has a key once.
    keys: Vec<(usize, u64)>,
    /// The hash of the key that is being read.
    key: u64,
    state: State,
    /// Brackets, colons and commas outside of strings.
    pub structure: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    /// A value must come.
    #[default]
    Value,
    /// A value or the end of the array.
    First,
    /// A key, or the end of the object if it has none yet.
    Key {
        may_end: bool,
    },
    Colon,
    /// A comma or a closing bracket.
    Next,
    String {
        is_key: bool,
        escape: Escape,
    },
    Number {
        last: u8,
    },
    Literal(&'static [u8]),
    /// The document is complete,
    End,
    /// and the text after it has begun.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Escape {
    None,
    Backslash,
    Hex(u8),
}

/// A document that begins behind more brackets is not found.
const MAX_STARTS: usize = 20;
/// More keys are not compared: the work for each stays bounded.
const MAX_KEYS: usize = 512;

impl JsonPrefix {
    /// Reads more text. Returns whether it is still the beginning of JSON.
    pub fn read(&mut self, text: &str) -> bool {
        text.bytes().all(|byte| self.step(byte))
    }

    /// The document that is open at the end of a text of something else.
    pub fn open_in(text: &str) -> Option<Self> {
        let starts = text.char_indices().filter(|(_, c)| matches!(c, '{' | '[')).take(MAX_STARTS);
        let mut documents = starts.filter_map(|(at, _)| {
            let mut json = JsonPrefix::default();
            let is_one = json.read(&text[at..]) && !json.is_complete();
            // A bracket and a comma or a colon, and a string.
            (is_one && json.structure > 1 && text[at..].contains('"')).then_some(json)
        });
        documents.next()
    }

    pub fn is_in_string(&self) -> bool {
        matches!(self.state, State::String { .. })
    }

    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::End | State::After)
    }

    /// No value is cut: a bracket, a comma or a complete value was the last.
    pub fn is_between_values(&self) -> bool {
        !matches!(self.state, State::String { .. } | State::Number { .. } | State::Literal(_))
    }

    fn step(&mut self, byte: u8) -> bool {
        if self.state == State::After {
            return true;
        }
        if self.state == State::End {
            // A line break, or the fence that follows a document.
            let is_after = matches!(byte, b'\n' | b'`');
            self.state = if is_after { State::After } else { State::End };
            return is_after || byte.is_ascii_whitespace();
        }
        if let State::String { is_key, escape } = self.state {
            // FNV-1a.
            self.key = (self.key ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            let escape = match (escape, byte) {
                (Escape::None, b'"') => {
                    self.state = if is_key { State::Colon } else { self.after_value() };
                    return !is_key || self.add_key();
                }
                (Escape::None, b'\\') => Escape::Backslash,
                // A line break in a string is an error of many models that their readers forgive.
                (Escape::None, _) => Escape::None,
                (Escape::Backslash, b'u') => Escape::Hex(4),
                (Escape::Backslash, byte) if b"\"\\/bfnrt".contains(&byte) => Escape::None,
                (Escape::Hex(left), byte) if byte.is_ascii_hexdigit() => match left {
                    1 => Escape::None,
                    left => Escape::Hex(left - 1),
                },
                _ => return false,
            };
            self.state = State::String { is_key, escape };
            return true;
        }
        if let State::Literal(rest) = self.state {
            let Some((&next, rest)) = rest.split_first() else { return false };
            self.state = if rest.is_empty() { self.after_value() } else { State::Literal(rest) };
            return next == byte;
        }
        if let State::Number { last } = self.state {
            if byte.is_ascii_digit()
                || (matches!(byte, b'.' | b'e' | b'E') && last.is_ascii_digit())
                || (matches!(byte, b'+' | b'-') && matches!(last, b'e' | b'E'))
            {
                self.state = State::Number { last: byte };
                return true;
            }
            if !last.is_ascii_digit() {
                return false;
            }
            self.state = self.after_value();
        }
        if byte.is_ascii_whitespace() {
            return true;
        }
        self.structural(byte)
    }

    fn structural(&mut self, byte: u8) -> bool {
        let next = match (self.state, byte) {
            (State::Value | State::First, b'{') => {
                self.open.push(true);
                State::Key { may_end: true }
            }
            (State::Value | State::First, b'[') => {
                self.open.push(false);
                State::First
            }
            (State::Value | State::First, b'"') => State::String { is_key: false, escape: Escape::None },
            (State::Value | State::First, b'-' | b'0'..=b'9') => State::Number { last: byte },
            (State::Value | State::First, b't') => State::Literal(b"rue"),
            (State::Value | State::First, b'f') => State::Literal(b"alse"),
            (State::Value | State::First, b'n') => State::Literal(b"ull"),
            (State::Key { .. }, b'"') => {
                self.key = 0xcbf2_9ce4_8422_2325;
                State::String { is_key: true, escape: Escape::None }
            }
            (State::Colon, b':') => State::Value,
            (State::Next, b',') if self.open.last() == Some(&true) => State::Key { may_end: false },
            (State::Next, b',') => State::Value,
            (State::Key { may_end: true }, b'}') => self.close(),
            (State::Next, b'}') if self.open.last() == Some(&true) => self.close(),
            (State::First, b']') => self.close(),
            (State::Next, b']') if self.open.last() == Some(&false) => self.close(),
            _ => return false,
        };
        self.structure += usize::from(b"{}[]:,".contains(&byte));
        self.state = next;
        true
    }

    /// Whether the object does not have the key yet.
    fn add_key(&mut self) -> bool {
        let key = (self.open.len(), self.key);
        let is_new = self.keys.iter().rev().take_while(|(depth, _)| *depth == key.0).all(|of| *of != key);
        if self.keys.len() < MAX_KEYS {
            self.keys.push(key);
        }
        is_new
    }

    fn close(&mut self) -> State {
        while self.keys.pop_if(|(depth, _)| *depth == self.open.len()).is_some() {}
        self.open.pop();
        self.after_value()
    }

    fn after_value(&self) -> State {
        if self.open.is_empty() { State::End } else { State::Next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_prefix(text: &str) -> bool {
        JsonPrefix::default().read(text)
    }

    #[test]
    fn every_beginning_of_json_is_one() {
        let json = r#" {"a": [1, -2.5e+3, true, null, "x\"\u00e9\\", {}, []], "b": {"c": false, "a": [{"a": 1}, {"a": 1}]}} "#;
        for (end, _) in json.char_indices() {
            assert!(is_prefix(&json[..end]), "{}", &json[..end]);
        }
        let mut read = JsonPrefix::default();
        assert!(read.read(json) && read.is_complete());
        assert!(is_prefix("[1]\n```\n\nThe first one.") && is_prefix("{} \n\nThat is all."));
    }

    #[test]
    fn a_document_inside_of_code_is_found() {
        assert!(JsonPrefix::open_in("data = [\n  {\"a\": 1, \"b\": \"").is_some());
        assert!(JsonPrefix::open_in("\"x.json\"\n{\n  \"a\": [\n").is_some());
        for code in [
            "f(a[",
            "if (a) { return [1, 2",
            "x = {}\ny = [1, 2]\n",
            "let a = {b: \"c\", d: \"",
            "print(\"[a, {",
        ] {
            assert!(JsonPrefix::open_in(code).is_none(), "{code}");
        }
    }

    #[test]
    fn what_cannot_become_json_is_none() {
        for text in [
            "{a",
            "[1 2",
            "{\"a\" 1",
            "{\"a\":}",
            "[1,]",
            "{},",
            "tru ",
            "[-]",
            "[1.]",
            "{\"a\":1}x",
            "\"\\x",
            r#"{"a":1,"a":1"#,
            r#"[{"a":{"b":1},"c":[{"a":1}],"a":2"#,
        ] {
            assert!(!is_prefix(text), "{text}");
        }
    }
}
