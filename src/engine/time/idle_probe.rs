//! Determines whether the tokio runtime is idle: no worker runs, no task is queued, and no socket has news that the runtime
//! has not read. How long a machine is quiet would not show that, because a busy machine is quiet too.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::runtime::{Handle, RuntimeMetrics};

/// How many times in a row the runtime must be seen at rest. Whatever is on its way between two sockets of this process
/// advances by at least one hop from one time to the next. A new TLS connection and its first request need eight.
const ROUNDS: usize = 16;

/// How often the workers are looked at in a round.
const LOOKS: usize = 20;
const LOOK_INTERVAL: Duration = Duration::from_micros(50);

/// How long a datagram may take before the runtime counts as busy.
const LIMIT: Duration = Duration::from_secs(1);

pub struct IdleProbe {
    /// Connected to itself.
    socket: UdpSocket,
}

impl IdleProbe {
    pub async fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(socket.local_addr()?).await?;
        Ok(IdleProbe { socket })
    }

    /// Whether the current runtime is idle. Must not be called on one of its worker threads.
    pub async fn is_idle(&self) -> bool {
        let metrics = Handle::current().metrics();
        for _ in 0..ROUNDS {
            if !matches!(tokio::time::timeout(LIMIT, self.round_trip()).await, Ok(Ok(())))
                || !comes_to_rest(&metrics)
            {
                return false;
            }
        }
        true
    }

    /// Sends a datagram and awaits it. The runtime learns of sockets in the order in which they become readable, so
    /// afterwards it has woken every task whose socket was readable before.
    async fn round_trip(&self) -> io::Result<()> {
        self.drain();
        self.socket.send(&[0]).await?;
        self.socket.readable().await?;
        self.drain();
        Ok(())
    }

    /// Reads until nothing is left, which also makes the next `readable` wait for the runtime's news.
    fn drain(&self) {
        let mut buffer = [0; 8];
        while self.socket.try_recv(&mut buffer).is_ok() {}
    }
}

/// Waits a moment for the workers to run out of tasks.
fn comes_to_rest(metrics: &RuntimeMetrics) -> bool {
    (0..LOOKS).any(|look| {
        if look > 0 {
            std::thread::sleep(LOOK_INTERVAL);
        }
        is_at_rest(metrics)
    })
}

/// Whether all workers were parked at the same moment. A worker parks when it finds no task.
fn is_at_rest(metrics: &RuntimeMetrics) -> bool {
    // Odd while a worker is parked. The counts only grow: if they are equal twice, they were so all the time between.
    let counts = || (0..metrics.num_workers()).map(|worker| metrics.worker_park_unpark_count(worker));
    let before: Vec<u64> = counts().collect();
    metrics.global_queue_depth() == 0 && before.iter().all(|count| count % 2 == 1) && counts().eq(before)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::io::Interest;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    fn wait_until_idle(runtime: &Runtime, probe: &IdleProbe) {
        while !runtime.block_on(probe.is_idle()) {}
    }

    #[test]
    fn a_runtime_with_a_running_task_is_not_idle() {
        let runtime = runtime();
        let probe = runtime.block_on(IdleProbe::new()).unwrap();
        wait_until_idle(&runtime, &probe);
        let (stop, stopped) = mpsc::channel::<()>();
        let (start, started) = mpsc::channel();
        let task = runtime.spawn(async move {
            start.send(()).unwrap();
            stopped.recv().unwrap();
        });
        started.recv().unwrap();
        assert!(!runtime.block_on(probe.is_idle()));
        stop.send(()).unwrap();
        runtime.block_on(task).unwrap();
        wait_until_idle(&runtime, &probe);
    }

    /// Passes one byte back and forth.
    async fn exchange(stream: TcpStream, sends_first: bool) {
        for hop in 0..4 {
            if (hop % 2 == 0) == sends_first {
                stream.ready(Interest::WRITABLE).await.unwrap();
                assert_eq!(stream.try_write(&[1]).unwrap(), 1);
            } else {
                while stream.try_read(&mut [0; 8]).is_err() {
                    stream.readable().await.unwrap();
                }
            }
        }
    }

    #[test]
    fn a_runtime_whose_sockets_exchange_bytes_is_not_idle_before_the_exchange_has_ended() {
        let runtime = runtime();
        let probe = runtime.block_on(IdleProbe::new()).unwrap();
        for _ in 0..200 {
            let tasks = runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (far, _) = listener.accept().await.unwrap();
                [tokio::spawn(exchange(near, true)), tokio::spawn(exchange(far, false))]
            });
            wait_until_idle(&runtime, &probe);
            assert!(tasks.iter().all(|task| task.is_finished()));
        }
    }
}
