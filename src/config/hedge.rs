//! The `hedge` option: when a second request starts on another route.

use std::time::Duration;

use serde_json::Value;

use super::reader::{MAX_MS, Reader, describe};
use crate::error::{Error, Result};

/// When a hedge starts, counted from the start of the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// After the 95th percentile of the model's first-token times. The default of `afterMs`.
    P95,
    /// After this time, at least 1 ms.
    After(Duration),
}

impl Hedge {
    /// Reads the options named `path`. `None` if `value` is `false`: no hedging.
    pub fn read(path: &str, value: &Value) -> Result<Option<Hedge>> {
        if *value == Value::Bool(false) {
            return Ok(None);
        }
        if !value.is_object() {
            return Err(Error::invalid(path, describe(value), "options ({} for the defaults) or false"));
        }
        let mut reader = Reader::new(path, value)?;
        let hedge = match reader.value("afterMs") {
            None => Hedge::P95,
            Some(Value::String(word)) if word == "p95" => Hedge::P95,
            Some(Value::Number(_)) => Hedge::After(reader.milliseconds("afterMs", 1)?.unwrap_or_default()),
            Some(other) => {
                let accepted = format!("'p95' or whole milliseconds from 1 to {MAX_MS}");
                return reader.invalid("afterMs", other, &accepted);
            }
        };
        reader.finish()?;
        Ok(Some(hedge))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> std::result::Result<Option<Hedge>, String> {
        Hedge::read("hedge", &value).map_err(|error| error.message.clone())
    }

    #[test]
    fn a_hedge_is_off_or_starts_after_a_time_or_a_percentile() {
        assert_eq!(read(json!(false)), Ok(None));
        assert_eq!(read(json!({})), Ok(Some(Hedge::P95)));
        assert_eq!(read(json!({ "afterMs": "p95" })), Ok(Some(Hedge::P95)));
        assert_eq!(read(json!({ "afterMs": 250 })), Ok(Some(Hedge::After(Duration::from_millis(250)))));
    }

    #[test]
    fn the_error_for_an_invalid_hedge_has_its_full_name() {
        for (option, expected) in [
            (json!(true), "hedge: got true; accepted: options ({} for the defaults) or false"),
            (
                json!({ "afterMs": 0 }),
                "hedge.afterMs: got 0; accepted: whole milliseconds from 1 to 604800000",
            ),
            (json!({ "afterMs": 1.5 }), "hedge.afterMs: got 1.5; accepted: whole"),
            (json!({ "afterMs": "p99" }), "hedge.afterMs: got 'p99' (a string); accepted: 'p95' or whole"),
            (json!({ "after": 1 }), "hedge.after: unknown option (did you mean afterMs?); accepted: afterMs"),
        ] {
            let message = read(option).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
