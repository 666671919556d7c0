//! Whether JSON that arrives in parts is complete.

use serde::de::IgnoredAny;

/// What is known of a JSON text that only grows. Each byte is looked at once, and parsed at most once more: parsing all of
/// it with each part would make the work of an answer quadratic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JsonScan {
    /// How much of the text was scanned, in bytes.
    pub length: usize,
    /// The first and the last byte that are not white space; 0 if there is none.
    pub first: u8,
    pub last: u8,
    in_string: bool,
    is_escaped: bool,
    /// The brackets that are open.
    depth: u32,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// It does not begin with a bracket, or its last bracket is open.
    #[default]
    Open,
    /// Every bracket is closed, and it is valid.
    Valid,
    /// It is invalid, whatever follows.
    Invalid,
}

impl JsonScan {
    /// Scans what was added to `text` since the last call.
    pub fn update(&mut self, text: &str) {
        let was_open = self.end == End::Open;
        let mut closed = false;
        for &byte in &text.as_bytes()[self.length..] {
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') && !self.in_string {
                continue;
            }
            if self.first == 0 {
                self.first = byte;
            }
            self.last = byte;
            if !self.has_brackets() {
                continue;
            }
            if closed || self.end != End::Open {
                // Something follows the last bracket.
                self.end = End::Invalid;
                break;
            }
            closed = self.step(byte);
        }
        self.length = text.len();
        if closed && was_open && self.end == End::Open {
            let is_valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
            self.end = if is_valid { End::Valid } else { End::Invalid };
        }
    }

    /// Whether it begins with a bracket.
    pub fn has_brackets(&self) -> bool {
        matches!(self.first, b'{' | b'[')
    }

    /// Whether it is valid JSON, for a text that begins with a bracket.
    pub fn is_valid(&self) -> bool {
        self.end == End::Valid
    }

    /// Reads one byte. True if it closes the last bracket.
    fn step(&mut self, byte: u8) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            return false;
        }
        match byte {
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanned(parts: &[&str]) -> JsonScan {
        let (mut scan, mut text) = (JsonScan::default(), String::new());
        for part in parts {
            text.push_str(part);
            scan.update(&text);
        }
        scan
    }

    #[test]
    fn a_text_is_valid_once_its_last_bracket_closes_it() {
        assert!(!scanned(&["{\"a\"", ":\"}\""]).is_valid());
        assert!(scanned(&["{\"a\"", ":\"}\"", "}"]).is_valid());
        assert!(scanned(&["{\"a\"", ":\"\\\"}\"", "}", " \n"]).is_valid());
        assert!(!scanned(&["{}", "{}"]).is_valid());
        assert!(!scanned(&["{}}"]).is_valid());
        assert!(!scanned(&["{,}"]).is_valid());
        assert!(scanned(&[" [{}", "]"]).is_valid());
        let scan = scanned(&[" { ", " "]);
        assert_eq!((scan.first, scan.last), (b'{', b'{'));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_parser(text in "[{\\[][{}\\[\\]\",:\\\\ a1]{0,12}", cut in 0..13_usize) {
            let cut = cut.min(text.len());
            let scan = scanned(&[&text[..cut], &text[cut..]]);
            prop_assert_eq!(scan.is_valid(), serde_json::from_str::<IgnoredAny>(&text).is_ok());
        }
    }
}
