//! What a client has learned about how a route continues an answer: from its own requests, and from a probe.

use crate::session::native::NativeForm;
use crate::wire::dialect::Dialect;

/// What is known of a model at an endpoint, by dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct KnownContinuation {
    chat: Known,
    messages: Known,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    probed: Option<Probed>,
    /// The forms that were rejected, while the same request in another form was not: [`NativeForm::bit`].
    rejected: u8,
}

/// What a probe has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    Form(NativeForm),
    /// The provider continues in no form.
    Nothing,
}

impl KnownContinuation {
    /// Whether a probe has found anything.
    pub fn is_probed(&self) -> bool {
        self.chat.probed.is_some() || self.messages.probed.is_some()
    }

    /// What the last probe found; `None` if there was none.
    pub fn probed(&self, dialect: Dialect) -> Option<Probed> {
        self.known(dialect)?.probed
    }

    /// Whether the provider has rejected this form.
    pub fn rejects(&self, dialect: Dialect, form: NativeForm) -> bool {
        self.known(dialect).is_some_and(|known| known.rejected & form.bit() != 0)
    }

    /// The provider has rejected this form, and nothing else about the request.
    pub fn note_rejected(&mut self, dialect: Dialect, form: NativeForm) {
        if let Some(known) = self.known_mut(dialect) {
            known.rejected |= form.bit();
        }
    }

    /// A probe has found this. It replaces what was known before.
    pub fn note_probed(&mut self, dialect: Dialect, probed: Probed) {
        if let Some(known) = self.known_mut(dialect) {
            *known = Known { probed: Some(probed), rejected: 0 };
        }
    }

    fn known(&self, dialect: Dialect) -> Option<&Known> {
        match dialect {
            Dialect::Chat => Some(&self.chat),
            Dialect::Messages => Some(&self.messages),
            // Its providers continue no turn.
            Dialect::Responses => None,
        }
    }

    fn known_mut(&mut self, dialect: Dialect) -> Option<&mut Known> {
        match dialect {
            Dialect::Chat => Some(&mut self.chat),
            Dialect::Messages => Some(&mut self.messages),
            Dialect::Responses => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_own_knowledge_and_a_probe_replaces_it() {
        let mut known = KnownContinuation::default();
        known.note_rejected(Dialect::Chat, NativeForm::Prefix);
        known.note_rejected(Dialect::Responses, NativeForm::Assistant);
        assert!(known.rejects(Dialect::Chat, NativeForm::Prefix));
        assert!(!known.rejects(Dialect::Chat, NativeForm::Partial));
        assert!(!known.rejects(Dialect::Messages, NativeForm::Prefix));
        assert!(!known.rejects(Dialect::Responses, NativeForm::Assistant));
        known.note_probed(Dialect::Chat, Probed::Form(NativeForm::Prefix));
        assert!(!known.rejects(Dialect::Chat, NativeForm::Prefix));
        assert_eq!(known.probed(Dialect::Chat), Some(Probed::Form(NativeForm::Prefix)));
        assert_eq!(known.probed(Dialect::Messages), None);
    }
}
