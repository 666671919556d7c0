//! The ceiling: the same requests from Rust alone, with reqwest and serde_json. It takes the workloads
//! of `bench/worker.mjs` and prints the same figures, without those of a main thread.

// A measurement has to read the clock.
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
    chunks: u64,
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

    async fn stream(&self, mut on_delta: impl FnMut(&str)) -> Result<(), Failure> {
        let mut body = self.request(true).send().await?.error_for_status()?.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes?;
            let mut from = 0;
            while let Some(end) = bytes[from..].iter().position(|byte| *byte == b'\n') {
                let line = &bytes[from..from + end];
                if rest.is_empty() {
                    event(line, &mut on_delta)?;
                } else {
                    rest.extend_from_slice(line);
                    event(&rest, &mut on_delta)?;
                    rest.clear();
                }
                from += end + 1;
            }
            rest.extend_from_slice(&bytes[from..]);
        }
        Ok(())
    }

    async fn chat(&self) -> Result<(), Failure> {
        let completion: Value = self.request(false).send().await?.error_for_status()?.json().await?;
        completion["choices"][0]["message"]["content"].as_str().ok_or("no content")?;
        Ok(())
    }
}

fn event(line: &[u8], on_delta: &mut impl FnMut(&str)) -> Result<(), Failure> {
    let Some(data) = line.strip_prefix(b"data: ").filter(|data| *data != b"[DONE]") else { return Ok(()) };
    let chunk: Chunk = serde_json::from_slice(data)?;
    let content = chunk.choices.into_iter().next().and_then(|choice| choice.delta.content);
    if let Some(text) = content.filter(|text| !text.is_empty()) {
        on_delta(&text);
    }
    Ok(())
}

/// The age of a stamped chunk in milliseconds; see `stamp` in the simulator's scenario.
fn age(delta: &str) -> Option<f64> {
    const WRAP: i64 = 1_000_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros() as i64;
    let stamp: i64 = delta.trim_ascii_end().parse().ok()?;
    let age = (now % WRAP - stamp + WRAP) % WRAP;
    // The clock may have been set back slightly.
    Some(if age > WRAP / 2 { 0.0 } else { age as f64 / 1000.0 })
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
    chunks: AtomicU64,
    started: AtomicU64,
}

/// Starts the streams, spread over `stagger_ms`, and waits until each has received a chunk.
async fn start(
    client: &Client,
    work: &Workload,
    ages: mpsc::UnboundedSender<f64>,
) -> (Arc<Counters>, JoinSet<()>) {
    let counters = Arc::new(Counters::default());
    let mut streams = JoinSet::new();
    let start_time = Instant::now();
    for index in 0..work.streams {
        let (client, counters, ages) = (client.clone(), Arc::clone(&counters), ages.clone());
        let due = Duration::from_millis(work.stagger_ms).mul_f64(index as f64 / work.streams as f64);
        sleep(due.saturating_sub(start_time.elapsed())).await;
        streams.spawn(async move {
            let mut first = true;
            let result = client.stream(|delta| {
                let count = counters.chunks.fetch_add(1, Relaxed);
                if std::mem::take(&mut first) {
                    counters.started.fetch_add(1, Relaxed);
                }
                // The age of one chunk in 67 is read, as in worker.mjs.
                if count % 67 == 0 {
                    let _ = ages.send(age(delta).unwrap_or(f64::NAN));
                }
            });
            if let Err(error) = result.await {
                eprintln!("{error}");
            }
        });
    }
    let all = async {
        while (counters.started.load(Relaxed) as usize) < work.streams {
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
    let (start_time, cpu, chunks) = (Instant::now(), cpu_ms(), counters.chunks.load(Relaxed));
    sleep(Duration::from_millis(work.window_ms)).await;
    let (wall, cpu) = (start_time.elapsed().as_secs_f64(), cpu_ms() - cpu);
    let chunks = counters.chunks.load(Relaxed) - chunks;
    let mut sample: Vec<f64> =
        std::iter::from_fn(|| ages.try_recv().ok()).filter(|age| age.is_finite()).collect();
    sample.sort_by(f64::total_cmp);
    json!({"chunksPerSecond": chunks as f64 / wall, "processCpu": cpu / wall / 10.0,
        "latencyP50": quantile(&sample, 0.5), "latencyP99": quantile(&sample, 0.99)})
}

async fn burst(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let counted = Arc::new(AtomicU64::new(0));
    let (start_time, cpu) = (Instant::now(), cpu_ms());
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
    let (wall, cpu, chunks) = (start_time.elapsed().as_secs_f64(), cpu_ms() - cpu, counted.load(Relaxed));
    if chunks != work.streams as u64 * work.chunks {
        return Err(format!("{chunks} chunks").into());
    }
    Ok(json!({"chunksPerSecond": chunks as f64 / wall, "processUsPerChunk": cpu * 1000.0 / chunks as f64}))
}

async fn calls(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let (mut first, mut call) = (Vec::new(), Vec::new());
    for index in 0..work.warm_up + work.calls {
        let start_time = Instant::now();
        let mut at = None;
        let on_delta = |_: &str| {
            at.get_or_insert_with(|| start_time.elapsed());
        };
        client.stream(on_delta).await?;
        let call_start = Instant::now();
        client.chat().await?;
        if index >= work.warm_up {
            first.push(at.ok_or("no chunk")?.as_secs_f64() * 1000.0);
            call.push(call_start.elapsed().as_secs_f64() * 1000.0);
        }
    }
    first.sort_by(f64::total_cmp);
    call.sort_by(f64::total_cmp);
    Ok(json!({"firstP50": quantile(&first, 0.5), "firstP99": quantile(&first, 0.99),
        "callP50": quantile(&call, 0.5), "callP99": quantile(&call, 0.99)}))
}

async fn memory(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let before = rss_kb();
    let (sender, ages) = mpsc::unbounded_channel();
    drop(ages);
    let (counters, _streams) = start(client, work, sender).await;
    sleep(Duration::from_millis(work.settle_ms)).await;
    let started = counters.started.load(Relaxed);
    Ok(json!({"rssPerStreamKb": (rss_kb() - before) / started as f64}))
}

async fn soak(client: &Client, work: &Workload) -> Result<Value, Failure> {
    let mut figures = [0.0; 2];
    for figure in &mut figures {
        let remaining = Arc::new(AtomicU64::new(work.half as u64));
        let mut workers = JoinSet::new();
        for _ in 0..work.concurrency {
            let (client, remaining) = (client.clone(), Arc::clone(&remaining));
            workers.spawn(async move {
                while remaining.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
                    client.stream(|_| {}).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
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
    // Node's clients set it too. Without it small requests wait for acknowledgments.
    let http = reqwest::Client::builder().tcp_nodelay(true).pool_max_idle_per_host(usize::MAX).build()?;
    let client = Client { http, url: url.into() };
    // The bench scripts two short answers for the warm-up of every client.
    for _ in 0..2 {
        client.stream(|_| {}).await?;
    }
    let figures = match work.kind.as_str() {
        "paced" => paced(&client, &work).await,
        "burst" => burst(&client, &work).await?,
        "calls" => calls(&client, &work).await?,
        "memory" => memory(&client, &work).await?,
        "soak" => soak(&client, &work).await?,
        other => return Err(format!("unknown workload {other}").into()),
    };
    println!("{figures}");
    // Open streams need not be read to the end.
    std::process::exit(0)
}
