//! Encodes bodies, as some relays do without being requested. Every format has blocks that are stored as they are:
//! nothing is compressed, each write can be decoded at once, and the addon needs no encoder.

use std::future::Future;
use std::io;

use bytes::{BufMut, BytesMut};

use super::plan::Head;
use super::wire::Wire;
use super::wire_format::ContentEncoding;

impl ContentEncoding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }

    /// What comes before the first block.
    fn header(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF],
            Self::Deflate => &[0x78, 0x01],
            // A window of 64 KiB, and an empty block of metadata, which ends with its byte.
            Self::Br => &[0b0000_1100],
            // The magic number, a frame without a checksum, and a window of 128 KiB.
            Self::Zstd => &[0x28, 0xB5, 0x2F, 0xFD, 0, 7 << 3],
        }
    }
}

/// Sends encoded bodies over a protocol.
pub(super) struct Encoded<'a, W> {
    wire: &'a mut W,
    encoder: Encoder,
}

impl<'a, W: Wire> Encoded<'a, W> {
    pub(super) fn new(wire: &'a mut W, encoding: ContentEncoding) -> Self {
        Self { wire, encoder: Encoder::new(encoding) }
    }
}

impl<W: Wire> Wire for Encoded<'_, W> {
    fn head(&mut self, head: &Head, packets: Option<usize>) -> io::Result<()> {
        self.wire.head(head, packets)
    }

    fn send(&mut self, payload: &mut BytesMut, last: bool) -> impl Future<Output = io::Result<()>> + Send {
        let encoded = self.encoder.encode(payload, last);
        *payload = encoded;
        self.wire.send(payload, last)
    }

    fn client_gone(&mut self) -> impl Future<Output = ()> + Send {
        self.wire.client_gone()
    }

    fn reset(&mut self, has_sent: bool) -> impl Future<Output = ()> + Send {
        self.wire.reset(has_sent)
    }

    fn close(&mut self) -> impl Future<Output = ()> + Send {
        self.wire.close()
    }
}

struct Encoder {
    encoding: ContentEncoding,
    has_begun: bool,
    crc: u32,
    adler: (u32, u32),
    length: u32,
}

/// The longest stored block that all formats have.
const MAX_BLOCK: usize = 0xFFFF;

impl Encoder {
    fn new(encoding: ContentEncoding) -> Self {
        Self { encoding, has_begun: false, crc: !0, adler: (1, 0), length: 0 }
    }

    /// The encoded bytes; with `last`, also the end of the body.
    fn encode(&mut self, bytes: &[u8], last: bool) -> BytesMut {
        let mut out = BytesMut::with_capacity(bytes.len() + 32);
        if !self.has_begun && (last || !bytes.is_empty()) {
            self.has_begun = true;
            out.extend_from_slice(self.encoding.header());
        }
        for block in bytes.chunks(MAX_BLOCK) {
            let length = block.len() as u32;
            match self.encoding {
                ContentEncoding::Gzip | ContentEncoding::Deflate => {
                    out.put_u8(0);
                    out.put_u16_le(length as u16);
                    out.put_u16_le(!(length as u16));
                }
                // Not the last one, four digits of length less one, not compressed.
                ContentEncoding::Br => out.put_uint_le(u64::from((length - 1) << 3 | 1 << 19), 3),
                ContentEncoding::Zstd => out.put_uint_le(u64::from(length << 3), 3),
            }
            out.extend_from_slice(block);
            self.count(block);
        }
        if last {
            self.end(&mut out);
        }
        out
    }

    fn end(&self, out: &mut BytesMut) {
        match self.encoding {
            ContentEncoding::Gzip => {
                out.extend_from_slice(&[1, 0, 0, 0xFF, 0xFF]);
                out.put_u32_le(!self.crc);
                out.put_u32_le(self.length);
            }
            ContentEncoding::Deflate => {
                out.extend_from_slice(&[1, 0, 0, 0xFF, 0xFF]);
                out.put_u32(self.adler.1 << 16 | self.adler.0);
            }
            ContentEncoding::Br => out.put_u8(0b11),
            ContentEncoding::Zstd => out.extend_from_slice(&[1, 0, 0]),
        }
    }

    /// Adds to the checksums.
    fn count(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u32);
        match self.encoding {
            ContentEncoding::Gzip => {
                for &byte in bytes {
                    self.crc ^= u32::from(byte);
                    for _ in 0..8 {
                        let lowest = self.crc & 1;
                        self.crc = (self.crc >> 1) ^ (0xEDB8_8320 * lowest);
                    }
                }
            }
            ContentEncoding::Deflate => {
                for &byte in bytes {
                    self.adler.0 = (self.adler.0 + u32::from(byte)) % 65_521;
                    self.adler.1 = (self.adler.1 + self.adler.0) % 65_521;
                }
            }
            ContentEncoding::Br | ContentEncoding::Zstd => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_is_a_block_and_the_end_has_the_checksum() {
        let encode = |encoding| {
            let mut encoder = Encoder::new(encoding);
            let parts = [("ab", false), ("", false), ("c", true)];
            parts.iter().flat_map(|(text, last)| encoder.encode(text.as_bytes(), *last)).collect::<Vec<u8>>()
        };
        let gzip = encode(ContentEncoding::Gzip);
        assert_eq!(gzip[10..17], [0, 2, 0, 0xFD, 0xFF, b'a', b'b']);
        // CRC-32 and length of "abc".
        assert_eq!(gzip[gzip.len() - 8..], [0xC2, 0x41, 0x24, 0x35, 3, 0, 0, 0]);
        let deflate = encode(ContentEncoding::Deflate);
        assert_eq!(deflate[deflate.len() - 4..], [0x02, 0x4D, 0x01, 0x27]);
        let zstd = encode(ContentEncoding::Zstd);
        assert_eq!(zstd[6..11], [2 << 3, 0, 0, b'a', b'b']);
        let long = Encoder::new(ContentEncoding::Zstd).encode(&vec![b'a'; MAX_BLOCK + 1], true);
        assert_eq!(long.len(), 6 + 3 + MAX_BLOCK + 3 + 1 + 3);
    }
}
