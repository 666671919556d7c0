//! The same requests from Rust alone, with reqwest and serde_json: the ceiling. It takes the workload
//! that `bench/worker.mjs` takes and prints the same figures; there is no main thread to measure.

// A measurement reads the clock.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    kind: String,
    #[serde(default)]
    streams: usize,
    #[serde(default)]
    pieces: u64,
    #[serde(default)]
    stagger_ms: u64,
    #[serde(default)]
    settle_ms: u64,
    #[serde(default)]
    window_ms: u64,
    #[serde(default)]
    calls: usize,
    #[serde(default)]
    warm_up: usize,
    #[serde(default)]
    half: usize,
    #[serde(default)]
    concurrency: usize,
}

#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: Arc<str>,
}

impl Client {
    fn request(&self, stream: bool) -> reqwest::RequestBuilder {
        let messages = json!([{"role": "user", "content": "Count the sheep."}]);
        let body = json!({"model": "gpt-4.1", "messages": messages, "stream": stream});
        self.http.post(&*self.url).bearer_auth("bench").json(&body)
    }

    async fn stream(&self, mut piece: impl FnMut(&str)) -> Result<(), Failure> {
        let mut body = self.request(true).send().await?.error_for_status()?.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            let mut from = 0;
            while let Some(end) = bytes[from..].iter().position(|byte| *byte == b'\n') {
                let line = &bytes[from..from + end];
                if rest.is_empty() {
                    event(line, &mut piece)?;
                } else {
                    rest.extend_from_slice(line);
                    event(&rest, &mut piece)?;
                    rest.clear();
                }
                from += end + 1;
            }
            rest.extend_from_slice(&bytes[from..]);
        }
        Ok(())
    }

    async fn whole(&self) -> Result<(), Failure> {
        let completion: Value = self.request(false).send().await?.error_for_status()?.json().await?;
        completion["choices"][0]["message"]["content"].as_str().ok_or("no content")?;
        Ok(())
    }
}

fn event(line: &[u8], piece: &mut impl FnMut(&str)) -> Result<(), Failure> {
    let Some(data) = line.strip_prefix(b"data: ").filter(|data| *data != b"[DONE]") else { return Ok(()) };
    let chunk: Chunk = serde_json::from_slice(data)?;
    let content = chunk.choices.into_iter().next().and_then(|choice| choice.delta.content);
    if let Some(text) = content.filter(|text| !text.is_empty()) {
        piece(&text);
    }
    Ok(())
}

/// The age of a stamped piece in milliseconds; `stamp` in the simulator's scenario.
fn age(piece: &str) -> Option<f64> {
    const TURN: i64 = 1_000_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros() as i64;
    let stamp: i64 = piece.trim_ascii_end().parse().ok()?;
    let age = (now % TURN - stamp + TURN) % TURN;
    // The clock may have been set back a little.
    Some(if age > TURN / 2 { 0.0 } else { age as f64 / 1000.0 })
}

fn stat(path: &str, at: usize) -> f64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().nth(at).and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// CPU time of the process in milliseconds, over all threads.
fn cpu_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads.map(|thread| stat(&thread.path().join("schedstat").to_string_lossy(), 0)).sum::<f64>() / 1e6
}

fn rss_kb() -> f64 {
    stat("/proc/self/statm", 1) * 4.0
}

fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1))).copied()
}

#[derive(Default)]
struct Counters {
    pieces: AtomicU64,
    begun: AtomicU64,
}

/// Starts the streams, spread over `stagger_ms`, and returns when each has had a piece.
async fn start(
    client: &Client,
    work: &Workload,
    ages: mpsc::UnboundedSender<f64>,
) -> (Arc<Counters>, JoinSet<()>) {
    let counters = Arc::new(Counters::default());
    let mut streams = JoinSet::new();
    let began = Instant::now();
    for index in 0..work.streams {
        let (client, counters, ages) = (client.clone(), Arc::clone(&counters), ages.clone());
        let due = Duration::from_millis(work.stagger_ms).mul_f64(index as f64 / work.streams as f64);
        sleep(due.saturating_sub(began.elapsed())).await;
        streams.spawn(async move {
            let mut first = true;
            let result = client.stream(|piece| {
                let count = counters.pieces.fetch_add(1, Relaxed);
                if std::mem::take(&mut first) {
                    counters.begun.fetch_add(1, Relaxed);
                }
                // As in worker.mjs: one piece in 67 is looked at.
                if count % 67 == 0 {
                    let _ = ages.send(age(piece).unwrap_or(f64::NAN));
                }
            });
            if let Err(error) = result.await {
                eprintln!("{error}");
            }
        });
    }
    let all = async {
        while (counters.begun.load(Relaxed) as usize) < work.streams {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = timeout(Duration::from_secs(60), all).await;
    (counters, streams)
}

async fn paced(client: &Client, work: &Workload) -> Value {
    let (sender, mut ages) = mpsc::unbounded_channel();
    let (counters, _streams) = start(client, work, sender).await;
    sleep(Duration::from_millis(work.settle_ms)).await;
    while ages.try_recv().is_ok() {}
    let (began, cpu, pieces) = (Instant::now(), cpu_ms(), counters.pieces.load(Relaxed));
    sleep(Duration::from_millis(work.window_ms)).await;
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_ms() - cpu);
    let pieces = counters.pieces.load(Relaxed) - pieces;
    let mut sample: Vec<f64> =
        std::iter::from_fn(|| ages.try_recv().ok()).filter(|age| age.is_finite()).collect();
    sample.sort_by(f64::total_cmp);
    json!({"piecesPerSecond": pieces as f64 / wall, "processCpu": cpu / wall / 10.0,
        "latencyP50": quantile(&sample, 0.5), "latencyP99": quantile(&sample, 0.99)})
}

async fn burst(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let counted = Arc::new(AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), cpu_ms());
    let mut streams = JoinSet::new();
    for _ in 0..work.streams {
        let (client, counted) = (client.clone(), Arc::clone(&counted));
        streams.spawn(async move {
            let count = |_: &str| {
                counted.fetch_add(1, Relaxed);
            };
            client.stream(count).await
        });
    }
    while let Some(stream) = streams.join_next().await {
        stream??;
    }
    let (wall, cpu, pieces) = (began.elapsed().as_secs_f64(), cpu_ms() - cpu, counted.load(Relaxed));
    if pieces != work.streams as u64 * work.pieces {
        return Err(format!("{pieces} pieces").into());
    }
    Ok(json!({"piecesPerSecond": pieces as f64 / wall, "processUsPerPiece": cpu * 1000.0 / pieces as f64}))
}

async fn calls(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let (mut first, mut whole) = (Vec::new(), Vec::new());
    for index in 0..work.warm_up + work.calls {
        let began = Instant::now();
        let mut at = None;
        let look = |_: &str| {
            at.get_or_insert_with(|| began.elapsed());
        };
        client.stream(look).await?;
        let begun = Instant::now();
        client.whole().await?;
        if index >= work.warm_up {
            first.push(at.ok_or("no piece")?.as_secs_f64() * 1000.0);
            whole.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    first.sort_by(f64::total_cmp);
    whole.sort_by(f64::total_cmp);
    Ok(json!({"firstP50": quantile(&first, 0.5), "firstP99": quantile(&first, 0.99),
        "wholeP50": quantile(&whole, 0.5), "wholeP99": quantile(&whole, 0.99)}))
}

async fn memory(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let before = rss_kb();
    let (sender, ages) = mpsc::unbounded_channel();
    drop(ages);
    let (counters, _streams) = start(client, work, sender).await;
    sleep(Duration::from_millis(work.settle_ms)).await;
    let begun = counters.begun.load(Relaxed);
    Ok(json!({"rssPerStreamKb": (rss_kb() - before) / begun as f64}))
}

async fn lasting(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let mut figures = [0.0; 2];
    for figure in &mut figures {
        let left = Arc::new(AtomicU64::new(work.half as u64));
        let mut lanes = JoinSet::new();
        for _ in 0..work.concurrency {
            let (client, left) = (client.clone(), Arc::clone(&left));
            lanes.spawn(async move {
                while left.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
                    client.stream(|_| {}).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        sleep(Duration::from_millis(work.settle_ms)).await;
        *figure = rss_kb() / 1024.0;
    }
    Ok(json!({"rssHalfMb": figures[0], "rssFullMb": figures[1]}))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let work: Workload = serde_json::from_str(&arguments.next().ok_or("no workload")?)?;
    let url = format!("{}/chat/completions", arguments.next().ok_or("no url")?);
    // Node's clients set it too; without it small requests wait for acknowledgements.
    let http = reqwest::Client::builder().tcp_nodelay(true).pool_max_idle_per_host(usize::MAX).build()?;
    let client = Client { http, url: url.into() };
    // The bench scripts two short answers for it, as for every client.
    for _ in 0..2 {
        client.stream(|_| {}).await?;
    }
    let figures = match work.kind.as_str() {
        "paced" => paced(&client, &work).await,
        "burst" => burst(&client, &work).await?,
        "calls" => calls(&client, &work).await?,
        "memory" => memory(&client, &work).await?,
        "lasting" => lasting(&client, &work).await?,
        other => return Err(format!("unknown workload {other}").into()),
    };
    println!("{figures}");
    // Streams that are still open need not be read to their end.
    std::process::exit(0)
}
