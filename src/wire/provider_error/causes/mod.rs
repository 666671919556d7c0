//! The causes that providers name in their errors: one table of codes and texts, each row with its provider and source.
//!
//! The first row that matches decides, so a row that distinguishes two causes stands before the general one. A `report`
//! is an error that users of that provider have published; everything else is the provider's own documentation.

mod cause;
mod context;
mod other;
mod quota;

use self::cause::Field;
pub(super) use self::cause::{Cause, Match};
use super::fields::ErrorFields;
use crate::error::{BODY_LIMIT, Kind, truncate};

/// The kind of the first cause that an error, or its upstream's, names.
pub(super) fn find(status: Option<u16>, fields: &ErrorFields, has_wait: bool) -> Option<Kind> {
    let named = Named::new(fields);
    let upstream = fields.upstream.as_deref().map(Named::new);
    let matches = |cause: &&Cause| {
        let names = |named: &Named| named.matches(cause, has_wait);
        cause.status.allows(status) && (names(&named) || upstream.as_ref().is_some_and(names))
    };
    table().find(matches).map(|cause| cause.kind)
}

/// All rows, in their order.
pub(super) fn table() -> impl Iterator<Item = &'static Cause> {
    [other::RATES, quota::CODES, context::CAUSES, quota::TEXTS, other::WAITS, quota::GENERAL, other::CAUSES]
        .into_iter()
        .flatten()
}

/// What an error says, in lower case and bounded. Only ASCII is lowered.
struct Named {
    codes: [String; 3],
    base_code: String,
    message: String,
}

impl Named {
    fn new(fields: &ErrorFields) -> Self {
        let lower = |text: &Option<String>| {
            truncate(text.as_deref().unwrap_or_default(), BODY_LIMIT).trim().to_ascii_lowercase()
        };
        Named {
            codes: [lower(&fields.code), lower(&fields.kind), lower(&fields.inner_code)],
            base_code: lower(&fields.base_code),
            message: lower(&fields.message),
        }
    }

    fn matches(&self, cause: &Cause, has_wait: bool) -> bool {
        let compare = |field: &String| match cause.text {
            _ if field.is_empty() => false,
            Match::Is(text) => field == text,
            Match::Has(text) => field.contains(text),
            Match::All(texts) => texts.iter().all(|text| field.contains(text)),
        };
        match cause.field {
            Field::Code => self.codes.iter().any(compare),
            Field::Message => compare(&self.message),
            Field::Anywhere => self.codes.iter().any(compare) || compare(&self.message),
            Field::BaseCode => compare(&self.base_code),
            Field::Wait => has_wait,
        }
    }
}
