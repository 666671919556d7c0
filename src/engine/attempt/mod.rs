//! One attempt: open, read, deliver.
//!
//! An [`Attempt`] owns its [`super::admission::Permit`] and settles it when it ends, however it ends. It is opened by a
//! future that borrows nothing from it (`open`), so that two attempts can race. Then its answer is read (`read`) and
//! delivered to the consumer (`deliver`). Its result is a value, [`FinishedAttempt`].

#[allow(clippy::module_inception)] // The file is named after its type.
mod attempt;
mod chunk;
mod completion;
mod deliver;
mod events;
mod extras;
mod finish;
mod form;
mod message;
mod messages;
mod open;
mod part;
mod peek;
mod pending_extras;
mod progress;
mod read;
mod remainder;
mod report;
mod request;
mod settings;
mod start;
mod throughput;
mod tool_calls;
mod transcript;
mod unstreamed;

pub use attempt::{Attempt, PriorAttempts};
pub use finish::{AttemptEnd, FinishedAttempt, Usage};
pub use form::{RequestForm, RestOfStream};
pub use open::OpenResponse;
pub use report::report_completion;
pub use request::{Requests, common_headers};
pub use start::{HEDGE, OpenFuture, Start};
pub use transcript::{SizeLimits, Transcript};
