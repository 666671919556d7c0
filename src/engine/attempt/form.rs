//! What an attempt requests from the provider.

use crate::engine::admission::CostReservation;
use crate::session::native::{NativeForm, TurnStart};
use crate::session::prompts::Style;
use crate::session::splice::Splice;
use crate::wire::dialect::StreamPosition;

/// The caller's request unchanged, or the continuation of an interrupted answer.
pub struct RequestForm {
    /// The attempt continues a partial answer.
    pub continues: bool,
    /// The messages of a continuation; `None` for the caller's own.
    pub messages: Option<Box<str>>,
    /// The approximate number of tokens that earlier attempts received.
    pub received_tokens: u64,
    /// Boxed: few answers are continued, and every attempt would carry its size.
    pub splice: Option<Box<Splice>>,
    /// How the model is asked for the rest, if it is.
    pub style: Option<Style>,
    /// How the provider is told to continue the assistant turn, if it is.
    pub native: Option<NativeForm>,
    /// What is dropped at the beginning of the rest.
    pub turn_start: Option<Box<TurnStart>>,
    /// The answer is requested as one document, because a stream of it was empty.
    pub unstreamed: bool,
    /// The rest of a stream that the provider keeps, and nothing else.
    pub rest: Option<Box<RestOfStream>>,
}

/// The request for the rest of a stream that the provider keeps.
pub struct RestOfStream {
    pub position: StreamPosition,
    /// The consumer has the beginning.
    pub joins: bool,
    /// The reservation of the attempt that requested the answer. The provider generates it once, so it is charged once.
    pub cost: Option<Box<CostReservation>>,
}

impl RequestForm {
    /// The caller's own request.
    pub fn original(continues: bool) -> Self {
        RequestForm {
            continues,
            messages: None,
            received_tokens: 0,
            splice: None,
            style: None,
            native: None,
            turn_start: None,
            unstreamed: false,
            rest: None,
        }
    }

    /// The rest of a stream that the provider keeps.
    pub fn rest(rest: RestOfStream) -> Self {
        RequestForm { rest: Some(Box::new(rest)), ..RequestForm::original(false) }
    }
}
