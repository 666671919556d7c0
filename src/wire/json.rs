//! JSON as JavaScript reads it. `JSON.parse` accepts what serde_json rejects: a key that occurs twice (the last one
//! counts), half of a surrogate pair, a number beyond the range of a double. The `openai` package therefore reads such
//! answers, and so does this package. These functions are slower than serde_json and run only where it has failed.

pub use super::json_text::{Str, entries, field, fields, list, number, string};
pub use super::json_value::{
    Halved, Step, TooLarge, fits, is_inexact, value, value_and_halves, value_within,
};
