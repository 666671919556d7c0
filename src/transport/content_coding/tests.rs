use std::io::Write;
use std::task::Waker;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures::{StreamExt, stream};
use reqwest::header::HeaderValue;
use zstd_safe::{CCtx, InBuffer, OutBuffer};

use super::*;

const ONE: &str = "data: one\n\n";
const TWO: &str = "data: two\n\n";

/// Two events in br, each flushed, and the end: made with Node's zlib.
const BROTLI: [&[u8]; 3] = [
    &[0x0b, 0x05, 0x80, 0x64, 0x61, 0x74, 0x61, 0x3a, 0x20, 0x6f, 0x6e, 0x65, 0x0a, 0x0a],
    &[0x50, 0x00, 0x80, 0x5f, 0x5a, 0xe1, 0x8d, 0xee, 0x4e, 0x11, 0xa2, 0x4a, 0x04, 0x60, 0x0b],
    &[0x03],
];

/// Two events, each flushed, and the end.
fn parts(coding: &str) -> [Vec<u8>; 3] {
    fn flushed<W: Write>(mut encoder: W, taken: impl Fn(&mut W) -> Vec<u8>) -> ([Vec<u8>; 2], W) {
        let parts = [ONE, TWO].map(|event| {
            encoder.write_all(event.as_bytes()).unwrap();
            encoder.flush().unwrap();
            taken(&mut encoder)
        });
        (parts, encoder)
    }
    let level = Compression::default();
    let ([one, two], end) = match coding {
        "gzip" => {
            let (parts, encoder) =
                flushed(GzEncoder::new(Vec::new(), level), |encoder| std::mem::take(encoder.get_mut()));
            (parts, encoder.finish().unwrap())
        }
        "deflate" => {
            let (parts, encoder) =
                flushed(ZlibEncoder::new(Vec::new(), level), |encoder| std::mem::take(encoder.get_mut()));
            (parts, encoder.finish().unwrap())
        }
        "raw deflate" => {
            let (parts, encoder) =
                flushed(DeflateEncoder::new(Vec::new(), level), |encoder| std::mem::take(encoder.get_mut()));
            (parts, encoder.finish().unwrap())
        }
        "zstd" => {
            let mut encoder = CCtx::create();
            let parts = [ONE, TWO].map(|event| {
                let mut space = [0; 1024];
                let mut output = OutBuffer::around(&mut space[..]);
                encoder.compress_stream(&mut output, &mut InBuffer::around(event.as_bytes())).unwrap();
                assert_eq!(encoder.flush_stream(&mut output).unwrap(), 0);
                output.as_slice().to_vec()
            });
            let mut space = [0; 1024];
            let mut output = OutBuffer::around(&mut space[..]);
            assert_eq!(encoder.end_stream(&mut output).unwrap(), 0);
            (parts, output.as_slice().to_vec())
        }
        "br" => {
            let [one, two, end] = BROTLI.map(<[u8]>::to_vec);
            ([one, two], end)
        }
        other => panic!("{other}"),
    };
    [one, two, end]
}

fn whole(coding: &str) -> Vec<u8> {
    parts(coding).concat()
}

fn header(coding: &str) -> HeaderMap {
    let coding = if coding == "raw deflate" { "deflate" } else { coding };
    HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap())])
}

fn body(coding: &str, chunks: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Body {
    let chunks = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
    decoded(&mut header(coding), Box::pin(chunks))
}

async fn read(
    coding: &str,
    chunks: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>,
) -> Result<String> {
    let mut body = body(coding, chunks);
    let mut text = Vec::new();
    while let Some(bytes) = body.next().await {
        text.extend_from_slice(&bytes?);
    }
    assert!(body.next().await.is_none(), "the body has ended");
    Ok(String::from_utf8(text).unwrap())
}

fn error_of(result: Result<String>) -> (Kind, String) {
    let error = result.unwrap_err();
    (error.kind, error.message.clone())
}

const CODINGS: [&str; 5] = ["gzip", "deflate", "raw deflate", "br", "zstd"];

#[tokio::test]
async fn every_coding_is_decoded_wherever_the_chunks_are_split() {
    for coding in CODINGS {
        let all = whole(coding);
        assert_eq!(read(coding, [all.clone()]).await.unwrap(), [ONE, TWO].concat(), "{coding}");
        for size in 1..all.len() {
            let chunks: Vec<Vec<u8>> = all.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(read(coding, chunks).await.unwrap(), [ONE, TWO].concat(), "{coding} by {size}");
        }
    }
}

#[test]
fn an_event_comes_out_as_soon_as_its_bytes_have_arrived() {
    for coding in CODINGS {
        let [one, two, end] = parts(coding);
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        let mut body = decoded(&mut header(coding), Box::pin(receiver));
        let mut context = Context::from_waker(Waker::noop());
        for (chunk, event) in [(one, ONE), (two, TWO)] {
            sender.unbounded_send(Ok(Bytes::from(chunk))).unwrap();
            let mut text = Vec::new();
            while let Poll::Ready(Some(bytes)) = body.as_mut().poll_next(&mut context) {
                text.extend_from_slice(&bytes.unwrap());
            }
            assert_eq!(String::from_utf8_lossy(&text), event, "{coding}");
        }
        sender.unbounded_send(Ok(Bytes::from(end))).unwrap();
        drop(sender);
        assert!(matches!(body.as_mut().poll_next(&mut context), Poll::Ready(None)), "{coding}");
    }
}

#[tokio::test]
async fn stacked_codings_are_removed_in_reverse_order_and_are_limited() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&whole("br")).unwrap();
    let stacked = encoder.finish().unwrap();
    for name in ["br, gzip", "BR,, identity , x-gzip"] {
        assert_eq!(read(name, [stacked.clone()]).await.unwrap(), [ONE, TWO].concat(), "{name}");
    }
    let (kind, message) = error_of(read("gzip, gzip, gzip, gzip, gzip", [stacked]).await);
    assert_eq!((kind, message.contains("5 content codings")), (Kind::Malformed, true), "{message}");
}

#[tokio::test]
async fn several_headers_are_one_list() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&whole("zstd")).unwrap();
    let mut headers = header("zstd");
    headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
    let bytes = Bytes::from(encoder.finish().unwrap());
    let body = decoded(&mut headers, Box::pin(stream::iter([Ok(bytes)])));
    let text: Vec<Bytes> = body.map(|bytes| bytes.unwrap()).collect().await;
    assert_eq!(text.concat(), [ONE, TWO].concat().into_bytes());
    assert!(headers.is_empty(), "they described the encoded body: {headers:?}");
}

#[tokio::test]
async fn corrupt_data_is_an_error_that_names_the_coding() {
    for coding in CODINGS {
        let mut all = whole(coding);
        let middle = all.len() / 2;
        all[middle..].fill(0xff);
        let read = read(coding, [all]).await;
        // Not every coding has a checksum: text may be decoded first, but the data is never taken for complete.
        let (kind, message) = error_of(read);
        let name = coding.trim_start_matches("raw ");
        assert_eq!((kind, message), (Kind::Malformed, format!("the response body is not valid {name}")));
    }
    let mut wrong_checksum = whole("gzip");
    let at = wrong_checksum.len() - 6;
    wrong_checksum[at] ^= 1;
    assert_eq!(error_of(read("gzip", [wrong_checksum]).await).0, Kind::Malformed);
}

#[tokio::test]
async fn interrupted_data_ends_like_an_interrupted_body() {
    for coding in CODINGS {
        let [one, two, _] = parts(coding);
        let text = read(coding, [one, two[..two.len() / 2].to_vec()]).await.unwrap();
        assert!(text.starts_with(ONE) && text.len() < ONE.len() + TWO.len(), "{coding}: {text}");
        assert_eq!(read(coding, [Vec::new()]).await.unwrap(), "", "{coding}: no body");
    }
}

#[tokio::test]
async fn members_and_frames_follow_each_other_and_padding_is_ignored() {
    for coding in ["gzip", "zstd"] {
        let all = whole(coding);
        let twice = [ONE, TWO, ONE, TWO].concat();
        assert_eq!(read(coding, [[all.clone(), all.clone()].concat()]).await.unwrap(), twice);
        assert_eq!(read(coding, [all.clone(), all.clone()]).await.unwrap(), twice);
        assert_eq!(read(coding, [all, vec![0; 9], vec![0; 9]]).await.unwrap(), [ONE, TWO].concat());
    }
    assert_eq!(read("br", [whole("br"), b"padding".to_vec()]).await.unwrap(), [ONE, TWO].concat());
}

#[tokio::test]
async fn a_body_that_was_decoded_on_its_way_is_read_as_it_is() {
    for coding in ["gzip", "zstd"] {
        for text in ["data: one\n\n", "{\"error\":{}}", ": ping\n\n", "<html>"] {
            let (first, rest) = text.split_at(1);
            let read = read(coding, [first.into(), rest.into()]).await;
            assert_eq!(read.unwrap(), text, "{coding}");
        }
    }
}

#[tokio::test]
async fn an_unknown_coding_is_named_unless_the_body_is_text() {
    assert_eq!(read("utf-8", ["data: é".as_bytes()[..7].to_vec(), vec![0xa9]]).await.unwrap(), "data: é");
    let (kind, message) = error_of(read("compress", [vec![0x1f, 0x9d, 0x90]]).await);
    assert_eq!(kind, Kind::Malformed);
    assert!(message.contains("'compress'"), "{message}");
    // It was applied last, so nothing below can be decoded.
    assert!(error_of(read("gzip, aws-chunked", [whole("gzip")]).await).1.contains("'aws-chunked'"));
}

/// 8 MiB of one letter.
fn bomb(coding: &str) -> Vec<u8> {
    let block = vec![b'a'; 1 << 20];
    match coding {
        "br" => vec![0x9b, 0xff, 0xff, 0x7f, 0xf8, 0x25, 0xc2, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x0f],
        "zstd" => {
            let text = vec![b'a'; 8 << 20];
            let mut output = vec![0; 1 << 20];
            let size = zstd_safe::compress(&mut output[..], &text, 3).unwrap();
            output.truncate(size);
            output
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            (0..8).for_each(|_| encoder.write_all(&block).unwrap());
            encoder.finish().unwrap()
        }
        _ => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            (0..8).for_each(|_| encoder.write_all(&block).unwrap());
            encoder.finish().unwrap()
        }
    }
}

const BOMBS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

#[test]
fn a_bomb_is_decoded_only_as_far_as_it_is_read_and_yields() {
    for coding in BOMBS {
        let mut body = body(coding, [bomb(coding)]);
        let mut context = Context::from_waker(Waker::noop());
        let (mut size, mut pauses, mut in_a_row) = (0, 0, 0);
        while size < 4 << 20 {
            match body.as_mut().poll_next(&mut context) {
                Poll::Ready(Some(Ok(bytes))) => {
                    assert!(bytes.len() <= STEP);
                    size += bytes.len();
                    in_a_row += 1;
                    assert!(in_a_row <= STEPS_PER_TURN);
                }
                Poll::Pending => (pauses, in_a_row) = (pauses + 1, 0),
                other => panic!("{coding}: {other:?}"),
            }
        }
        assert!(pauses > 4, "{coding}: {pauses}");
    }
}

#[tokio::test]
async fn a_bomb_that_is_read_to_its_end_is_complete() {
    for coding in BOMBS {
        let mut body = body(coding, [bomb(coding)]);
        let mut size = 0;
        while let Some(bytes) = body.next().await {
            size += bytes.unwrap().len();
        }
        assert_eq!(size, 8 << 20, "{coding}");
    }
}

#[tokio::test]
async fn a_zstd_window_above_8_mib_is_rejected() {
    let mut encoder = CCtx::create();
    encoder.set_parameter(zstd_safe::CParameter::WindowLog(24)).unwrap();
    let mut space = [0; 1024];
    let mut output = OutBuffer::around(&mut space[..]);
    encoder.compress_stream(&mut output, &mut InBuffer::around(ONE.as_bytes())).unwrap();
    encoder.end_stream(&mut output).unwrap();
    assert_eq!(error_of(read("zstd", [output.as_slice().to_vec()]).await).0, Kind::Malformed);
}
