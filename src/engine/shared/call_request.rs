//! The request of a caller.

use std::sync::Arc;

use super::ids::session_id;
use super::live_snapshot::LiveSnapshot;
use crate::config::CallConfig;
use crate::session::snapshot::Snapshot;
use crate::wire::chat::ChatRequest;

/// One call, as requested. It does not change while the call runs.
pub struct CallRequest {
    pub chat: ChatRequest,
    pub options: CallConfig,
    /// The caller's session id, else that of the snapshot, else a new one.
    pub session_id: String,
    /// Where the state of the call is published.
    pub live: Arc<LiveSnapshot>,
    /// The snapshot of the answer to resume.
    pub resume_from: Option<Box<Snapshot>>,
}

impl CallRequest {
    pub fn new(chat: ChatRequest, options: CallConfig, resume_from: Option<Snapshot>) -> Self {
        let known_id = options.session_id.clone();
        let known_id = known_id.or_else(|| resume_from.as_ref().map(|snapshot| snapshot.session_id.clone()));
        let session_id = known_id.unwrap_or_else(|| session_id(&mut rand::rng()));
        let live = Arc::new(LiveSnapshot::new(session_id.clone()));
        if chat.dialect().is_passthrough() {
            live.update(|snapshot| snapshot.dialect = Some(chat.dialect().name().to_owned()));
        }
        CallRequest { chat, options, session_id, live, resume_from: resume_from.map(Box::new) }
    }

    /// The tenant that the call is charged to, for budgets and caps.
    pub fn tenant(&self) -> Option<&str> {
        self.options.tenant.as_deref()
    }
}
