//! Snapshots of a running call.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::harness::Harness;
use super::scripted_provider::{answer, stream, unavailable};
use crate::engine::CallRequest;
use crate::engine::event::Event;
use crate::engine::live_snapshot::LiveSnapshot;
use crate::engine::sink::{DeliveryMode, Sink};
use crate::session::snapshot::Snapshot;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// A consumer that takes a snapshot after each delivery.
struct Observer {
    live: Arc<LiveSnapshot>,
    delivered: Mutex<String>,
    /// The delivered text and that of the snapshot, after each delivery.
    observations: Mutex<Vec<(String, String)>>,
}

impl Observer {
    fn observe(&self) {
        let text = Snapshot::parse(&self.live.json().unwrap()).unwrap().answer.text;
        self.observations.lock().unwrap().push((self.delivered.lock().unwrap().clone(), text));
    }
}

impl Sink for Observer {
    fn mode(&self) -> DeliveryMode {
        DeliveryMode::Text
    }

    fn delta(&self, delta: &str) {
        self.delivered.lock().unwrap().push_str(delta);
    }

    fn flush(&self) {
        self.observe();
    }

    fn complete(&self, _text: &str) {
        self.observe();
    }

    fn event(&self, _event: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_never_lags_behind_the_consumer() {
    let long = "long ".repeat(10_000);
    let slow =
        stream().role().delta("one").wait(10).delta(" two").delta(" three").wait(10).delta(&long).wait(10);
    for last in [slow.finish().done(), answer(&["one", " two"])] {
        let harness = Harness::new(json!({}), vec![unavailable(), last]);
        let request = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let request = ChatRequest::parse_as(Dialect::Chat, &request).unwrap();
        let call = CallRequest::new(request, harness.client.config().call.clone(), None);
        let live = Arc::clone(&call.live);
        let observer = Observer { live, delivered: Mutex::default(), observations: Mutex::default() };
        let answer = harness.client.run(&call, &observer, &CancellationToken::new()).await.unwrap();
        let observations = observer.observations.into_inner().unwrap();
        for (delivered, text) in &observations {
            assert_eq!(delivered.len(), text.len(), "of {} observations", observations.len());
            assert_eq!(delivered, text);
        }
        assert_eq!(observations.last().unwrap().1, answer.journal.first_choice().text);
        assert!(observations.iter().any(|(delivered, _)| !delivered.is_empty()));
    }
}
