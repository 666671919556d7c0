//! What the snapshot of a call shows while the call runs.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::provider::{answer, stream, unavailable};
use super::support::Scene;
use crate::engine::CallRequest;
use crate::engine::event::Event;
use crate::engine::live::Live;
use crate::engine::sink::{Sink, Wants};
use crate::session::snapshot::Snapshot;
use crate::wire::chat::ChatRequest;
use crate::wire::dialect::Dialect;

/// A consumer that takes a snapshot whenever it is given something.
struct Watcher {
    live: Arc<Live>,
    given: Mutex<String>,
    /// What it had been given, and what the snapshot showed.
    looks: Mutex<Vec<(String, String)>>,
}

impl Watcher {
    fn look(&self) {
        let shown = Snapshot::parse(&self.live.json()).unwrap().answer.text;
        self.looks.lock().unwrap().push((self.given.lock().unwrap().clone(), shown));
    }
}

impl Sink for Watcher {
    fn wants(&self) -> Wants {
        Wants::Text
    }

    fn delta(&self, piece: &str) {
        self.given.lock().unwrap().push_str(piece);
    }

    fn flush(&self) {
        self.look();
    }

    fn complete(&self, _text: &str) {
        self.look();
    }

    fn event(&self, _event: Event) {}

    fn ready(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_never_behind_what_the_consumer_has_been_given() {
    let long = "long ".repeat(10_000);
    let slow = stream().role().say("one").wait(10).say(" two").say(" three").wait(10).say(&long).wait(10);
    for last in [slow.finish().done(), answer(&["one", " two"])] {
        let scene = Scene::new(json!({}), vec![unavailable(), last]);
        let request = json!({ "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let request = ChatRequest::parse_as(Dialect::Chat, &request).unwrap();
        let call = CallRequest::new(request, scene.client.config().call.clone(), None);
        let live = Arc::clone(&call.live);
        let watcher = Watcher { live, given: Mutex::default(), looks: Mutex::default() };
        let answer = scene.client.run(&call, &watcher, &CancellationToken::new()).await.unwrap();
        let looks = watcher.looks.into_inner().unwrap();
        for (given, shown) in &looks {
            assert_eq!(given.len(), shown.len(), "{} looks", looks.len());
            assert_eq!(given, shown);
        }
        assert_eq!(looks.last().unwrap().1, answer.journal.first_choice().text);
        assert!(looks.iter().any(|(given, _)| !given.is_empty()));
    }
}
