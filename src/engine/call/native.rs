//! Native continuation: which form a route takes, and the request in it.

use super::recovery::{Recovery, received_tokens};
use crate::config::{Buffered, Continuation, Mode, chat_preset, messages_preset, repeats_turn};
use crate::engine::admission::{CallContext, CallRoute};
use crate::engine::attempt::{RequestForm, Transcript};
use crate::engine::shared::continuation::Probed;
use crate::engine::shared::sink::DeliveryMode;
use crate::policy::plan::RouteId;
use crate::session::native::{self, NativeForm, TurnStart};
use crate::session::splice::{Expectation, Limits, Splice};
use crate::wire::dialect::Dialect;

impl Recovery {
    /// The form in which a route continues the assistant turn, as far as it is known: what the endpoint's options say, else
    /// what a probe has found, else what is known of the host. `None` if the model has to be asked.
    pub(super) fn native_form(
        &self,
        ctx: &CallContext<'_>,
        transcript: &Transcript,
        route: &CallRoute,
    ) -> Option<NativeForm> {
        let request = &ctx.request.chat;
        let dialect = request.dialect();
        // A schema makes the provider begin with a new document; a turn that began with its reasoning is not complete without
        // it; and a lost tool call is requested again.
        let has_reasoned = !transcript.journal.first_choice().reasoning.is_empty();
        if request.wants_json() || has_reasoned || self.lost_tool_call {
            return None;
        }
        let known = route.state.continuation.update(|known| *known);
        let endpoint = &route.endpoint.config;
        let form = match (endpoint.continuation, known.probed(dialect)) {
            (Continuation::Off, _) | (Continuation::Auto, Some(Probed::Nothing)) => None,
            (Continuation::Form(form), _) | (Continuation::Auto, Some(Probed::Form(form))) => Some(form),
            (Continuation::Auto, None) => {
                let model = endpoint.model(&route.model);
                match dialect {
                    Dialect::Chat => chat_preset(&endpoint.url, model),
                    Dialect::Messages => messages_preset(&endpoint.url, model),
                    Dialect::Responses => None,
                }
            }
        }?;
        let is_spelled = match dialect {
            Dialect::Chat => true,
            // A turn that reasons first begins with its reasoning.
            Dialect::Messages => form == NativeForm::Assistant && !request.wants_thinking(),
            Dialect::Responses => false,
        };
        let was_rejected = known.rejects(dialect, form) || self.rejected_native.contains(&(route.id, form));
        (is_spelled && !was_rejected).then_some(form)
    }

    /// The request that tells the provider to continue the assistant turn.
    pub(super) fn native_request(
        &self,
        ctx: &CallContext<'_>,
        route: &CallRoute,
        transcript: &mut Transcript,
        form: NativeForm,
    ) -> RequestForm {
        let request = &ctx.request.chat;
        let text = &transcript.journal.first_choice().text;
        let partial = text.trim_end();
        let white_space = &text[partial.len()..];
        // Without a text there is no turn: the caller's own request is answered from its beginning.
        let turn = (!partial.is_empty()).then(|| native::turn(&request.conversation(), partial, form));
        // The reader of events drops the white space itself.
        let turn_start = match &mut transcript.events {
            Some(events) => {
                events.resume(white_space);
                None
            }
            None => {
                let content = turn.as_ref().map_or("", |turn| turn.content.as_str());
                let repeats = repeats_turn(&route.endpoint.config.url);
                let start = TurnStart::new(content, white_space, form, repeats);
                (!start.is_done()).then(|| Box::new(start))
            }
        };
        let splice = Some(Box::new(Splice::new(text, Limits::default(), Expectation::Native)));
        let original = RequestForm { splice, turn_start, ..RequestForm::original(true) };
        match turn {
            None => original,
            Some(turn) => RequestForm {
                messages: Some(turn.messages.into()),
                received_tokens: received_tokens(text, self.deltas),
                native: Some(form),
                ..original
            },
        }
    }

    /// The caller waits for the complete answer, and what was received of it can be continued.
    pub(super) fn is_kept(&self, ctx: &CallContext<'_>, transcript: &Transcript) -> bool {
        let options = &ctx.request.options.recovery;
        ctx.sink.mode() == DeliveryMode::Nothing
            && options.mode == Mode::Continue
            && options.buffered != Buffered::Restart
            && !transcript.committed
            && !ctx.request.chat.wants_json()
            && self.not_resumable(ctx, transcript).is_none()
            && !transcript.journal.first_choice().text.is_empty()
            && !transcript.journal.is_complete()
    }

    /// Whether an attempt on this route continues what is kept (`recovery.buffered`). Otherwise it starts over.
    pub(super) fn continues_kept(
        &self,
        ctx: &CallContext<'_>,
        transcript: &Transcript,
        route: &CallRoute,
    ) -> bool {
        self.is_kept(ctx, transcript)
            && (ctx.request.options.recovery.buffered == Buffered::Continue
                || self.native_form(ctx, transcript, route).is_some())
    }

    /// The provider has accepted the request in another form than those that it rejected in this call: it rejected them, and
    /// nothing else. The client's other calls do not try them.
    pub(super) fn remember_rejected(&self, ctx: &CallContext<'_>, route: &CallRoute) {
        let dialect = ctx.request.chat.dialect();
        for (_, form) in self.rejected_native.iter().filter(|(id, _): &&(RouteId, _)| *id == route.id) {
            route.state.continuation.update(|known| known.note_rejected(dialect, *form));
        }
    }
}
