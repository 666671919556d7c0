//! Text as its reader sees it: escapes are decoded, and letters are in lower case.

use std::ops::Range;

/// The longest entity of HTML that is decoded: every code point, with a leading zero or two. In bytes.
const MAX_ENTITY: usize = 12;

/// The decoded bytes of a text, each with the part of the text that writes it.
pub(super) struct Decoded {
    pub bytes: Vec<u8>,
    /// The part of the text for each byte; empty if byte and text have the same offsets.
    places: Vec<(u32, u32)>,
}

impl Decoded {
    /// Decodes the escapes of JSON and of most languages (`\u0041`, `\x41`, `\/`), of URLs (`%41`) and of HTML (`&#65;`,
    /// `&#x41;`, `&amp;`), also those that are escaped themselves, in any of these ways. Other backslashes are left out.
    /// Takes linear time.
    pub fn of(text: &str) -> Self {
        let is_plain = text.is_ascii() && !text.bytes().any(|byte| matches!(byte, b'\\' | b'%' | b'&'));
        if is_plain {
            return Decoded { bytes: text.to_ascii_lowercase().into_bytes(), places: Vec::new() };
        }
        let size = text.len();
        let mut decoded = Decoded { bytes: Vec::with_capacity(size), places: Vec::with_capacity(size) };
        for (at, character) in text.char_indices() {
            // Texts are at most a few megabytes.
            decoded.push(character, (at as u32, (at + character.len_utf8()) as u32));
            decoded.reduce();
        }
        decoded.remove_backslashes();
        decoded
    }

    /// The part of the text that writes these bytes. The range must not be empty.
    pub fn place(&self, range: &Range<usize>) -> Range<usize> {
        match (self.places.get(range.start), self.places.get(range.end - 1)) {
            (Some((start, _)), Some((_, end))) => *start as usize..*end as usize,
            _ => range.clone(),
        }
    }

    fn push(&mut self, character: char, place: (u32, u32)) {
        let mut buffer = [0; 4];
        for byte in character.encode_utf8(&mut buffer).bytes() {
            self.push_byte(byte, place);
        }
    }

    fn push_byte(&mut self, byte: u8, place: (u32, u32)) {
        self.bytes.push(byte.to_ascii_lowercase());
        self.places.push(place);
    }

    /// Replaces the escape that has just become complete. The result may complete another one.
    fn reduce(&mut self) {
        while let Some((length, code)) = self.escape() {
            let start = self.bytes.len() - length;
            let place = (self.places[start].0, self.places[self.places.len() - 1].1);
            self.bytes.truncate(start);
            self.places.truncate(start);
            match code {
                Code::Byte(byte) => self.push_byte(byte, place),
                Code::Unit(unit) => self.push_unit(unit, place),
            }
        }
    }

    /// The escape at the end of the bytes: its length and what it stands for.
    fn escape(&self) -> Option<(usize, Code)> {
        let bytes = &self.bytes;
        let last = *bytes.last()?;
        let nth = |from_end: usize| bytes.len().checked_sub(from_end).map(|at| bytes[at]);
        match last {
            b';' => {
                let start = bytes.iter().rev().take(MAX_ENTITY).position(|byte| *byte == b'&')? + 1;
                let name = std::str::from_utf8(&bytes[bytes.len() - start + 1..bytes.len() - 1]).ok()?;
                Some((start, Code::Unit(entity(name)?)))
            }
            b'/' | b'"' | b'\'' if nth(2)? == b'\\' => {
                Some((1 + self.backslashes_before(1), Code::Byte(last)))
            }
            byte if byte.is_ascii_hexdigit() => {
                if nth(3)? == b'%' {
                    return Some((3, Code::Byte(u8::try_from(self.hex(2)?).ok()?)));
                }
                if nth(3)? == b'x' && nth(4)? == b'\\' {
                    return Some((3 + self.backslashes_before(3), Code::Unit(self.hex(2)?)));
                }
                let is_unit = nth(5)? == b'u' && nth(6)? == b'\\';
                is_unit.then(|| Some((5 + self.backslashes_before(5), Code::Unit(self.hex(4)?))))?
            }
            _ => None,
        }
    }

    /// How many backslashes stand before the last `length` bytes.
    fn backslashes_before(&self, length: usize) -> usize {
        self.bytes.iter().rev().skip(length).take_while(|byte| **byte == b'\\').count()
    }

    /// The number that the last hexadecimal digits write.
    fn hex(&self, digits: usize) -> Option<u32> {
        let digits = std::str::from_utf8(&self.bytes[self.bytes.len() - digits..]).ok()?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }

    /// Adds a code point, or half of one: the second half joins the first.
    fn push_unit(&mut self, unit: u32, place: (u32, u32)) {
        if let Some(character) = char::from_u32(unit) {
            return self.push(character, place);
        }
        // The three bytes of a half, which no text has.
        if let (0xDC00..0xE000, [.., 0xED, high, low]) = (unit, &*self.bytes)
            && (0xA0..0xB0).contains(high)
        {
            let high = (u32::from(high & 0x0F) << 6 | u32::from(low & 0x3F)) << 10;
            let start = self.bytes.len() - 3;
            let place = (self.places[start].0, place.1);
            self.bytes.truncate(start);
            self.places.truncate(start);
            return self.push(char::from_u32(0x10000 + high + (unit - 0xDC00)).unwrap_or('\u{FFFD}'), place);
        }
        for byte in [0xE0 | unit >> 12, 0x80 | unit >> 6 & 0x3F, 0x80 | unit & 0x3F] {
            self.push_byte(byte as u8, place);
        }
    }

    fn remove_backslashes(&mut self) {
        let mut kept = 0;
        for at in 0..self.bytes.len() {
            if self.bytes[at] != b'\\' {
                self.bytes[kept] = self.bytes[at];
                self.places[kept] = self.places[at];
                kept += 1;
            }
        }
        self.bytes.truncate(kept);
        self.places.truncate(kept);
    }
}

/// What an escape stands for.
enum Code {
    /// A byte of UTF-8.
    Byte(u8),
    /// A code point, or half of one.
    Unit(u32),
}

/// The code point of an entity, by its name in lower case.
fn entity(name: &str) -> Option<u32> {
    Some(match name {
        "amp" => u32::from('&'),
        "quot" => u32::from('"'),
        "apos" => u32::from('\''),
        "lt" => u32::from('<'),
        "gt" => u32::from('>'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            u32::from(char::from_u32(code)?)
        }
    })
}
