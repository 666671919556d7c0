//! The decoders of the content codings, behind one interface.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::error::{Error, Kind, Result};

/// The largest window of a zstd frame, as a power of two: 8 MiB, as RFC 9659 limits it for HTTP.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;
/// The largest window of gzip, as a power of two.
const GZIP_WINDOW_LOG: u8 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    pub fn of(name: &str) -> Option<Coding> {
        match name {
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            "br" => Some(Coding::Brotli),
            "zstd" => Some(Coding::Zstd),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// Whether data that begins with this byte is plain text: a proxy that decodes a body may leave the header in place.
    /// Only the codings that begin with a fixed number can be distinguished from text.
    pub fn is_plain(self, first: u8) -> bool {
        // What JSON, events, HTML and words begin with; not the `(` or `P` of a zstd frame.
        let begins_text =
            matches!(first, b'{' | b'[' | b'<' | b':' | b'"' | b'\n' | b'\r' | b' ' | b'a'..=b'z' | 0xef);
        matches!(self, Coding::Gzip | Coding::Zstd) && begins_text
    }
}

/// A decoder and its state: at most a window of decoded data, 32 KiB for gzip, 16 MiB for br, 8 MiB for zstd.
pub(super) enum Decoder {
    Zlib(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(DCtx<'static>),
}

/// What a step has done.
pub(super) struct Decoded {
    pub read: usize,
    pub written: usize,
    /// The member, the frame or the whole data is complete.
    pub is_complete: bool,
}

impl Decoder {
    /// A decoder for data that begins with this byte.
    pub fn new(coding: Coding, first: u8) -> Result<Decoder> {
        Ok(match coding {
            Coding::Gzip => Decoder::Zlib(Decompress::new_gzip(GZIP_WINDOW_LOG)),
            // "deflate" means zlib (RFC 1950), but some servers send it without that frame. No raw data begins with the
            // first byte of the frame: compression method 8, and a window of at most 32 KiB.
            Coding::Deflate => {
                let has_frame = first & 0x0f == 8 && first >> 4 <= 7;
                Decoder::Zlib(Decompress::new(has_frame))
            }
            Coding::Brotli => {
                let alloc = StandardAlloc::default();
                // Strict: without the windows of up to 1 GiB that are not part of RFC 7932.
                Decoder::Brotli(Box::new(BrotliState::new_strict(alloc, alloc, alloc)))
            }
            Coding::Zstd => {
                let out_of_memory = || Error::new(Kind::Internal, "no memory for a zstd decoder");
                let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
                let limited = context.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG));
                limited.map_err(|_| out_of_memory())?;
                Decoder::Zstd(context)
            }
        })
    }

    /// The decoder for the member or frame that follows a complete one and begins with this byte. `None` if nothing
    /// follows but padding or garbage, which every client ignores.
    pub fn next_member(self, coding: Coding, first: u8) -> Result<Option<Decoder>> {
        Ok(match (coding, self) {
            (Coding::Gzip, _) if first == 0x1f => Some(Decoder::new(coding, first)?),
            // Frames begin with 28 B5 2F FD, skippable ones with 5x 2A 4D 18.
            (Coding::Zstd, decoder) if first == 0x28 || first >> 4 == 5 => Some(decoder),
            _ => None,
        })
    }

    /// Decodes as much of the input as the output has space for. A step that fills the output may be followed by another
    /// one without input. An error means that the data is corrupt.
    pub fn decode(&mut self, input: &[u8], output: &mut [u8]) -> std::result::Result<Decoded, ()> {
        match self {
            Decoder::Zlib(decoder) => {
                let (read, written) = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(input, output, FlushDecompress::None).map_err(|_| ())?;
                Ok(Decoded {
                    read: (decoder.total_in() - read) as usize,
                    written: (decoder.total_out() - written) as usize,
                    is_complete: status == Status::StreamEnd,
                })
            }
            Decoder::Brotli(state) => {
                let (mut left, mut read) = (input.len(), 0);
                let (mut space, mut written, mut total) = (output.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut read,
                    input,
                    &mut space,
                    &mut written,
                    output,
                    &mut total,
                    state,
                );
                match result {
                    BrotliResult::ResultFailure => Err(()),
                    result => {
                        let is_complete = matches!(result, BrotliResult::ResultSuccess);
                        Ok(Decoded { read, written, is_complete })
                    }
                }
            }
            Decoder::Zstd(context) => {
                let mut input = InBuffer::around(input);
                let mut output = OutBuffer::around(output);
                let hint = context.decompress_stream(&mut output, &mut input).map_err(|_| ())?;
                Ok(Decoded { read: input.pos, written: output.pos(), is_complete: hint == 0 })
            }
        }
    }
}
