//! Usage reports, as a provider's JSON.

use serde_json::Value;

/// The sum of two usage reports.
pub fn add_usage(sum: Option<Value>, more: &Value) -> Value {
    match sum {
        Some(mut sum) => {
            add(&mut sum, more);
            sum
        }
        None => more.clone(),
    }
}

/// Adds numbers field by field; what is not a number keeps its first value. An integer saturates.
fn add(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                match sum.get_mut(name) {
                    Some(known) => add(known, value),
                    None => {
                        sum.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (sum, more) => {
            if let (Some(a), Some(b)) = (sum.as_u64(), more.as_u64()) {
                *sum = a.saturating_add(b).into();
            } else if let (Some(a), Some(b)) = (sum.as_f64(), more.as_f64()) {
                *sum = (a + b).into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_is_added_up_field_by_field() {
        let sum = json!({"total_tokens": 3, "details": {"cached": 1}, "tier": "x"});
        let more = json!({"total_tokens": 4, "details": {"cached": 2, "audio": 1}, "tier": "y"});
        let expected = json!({"total_tokens": 7, "details": {"cached": 3, "audio": 1}, "tier": "x"});
        assert_eq!(add_usage(Some(sum), &more), expected);
    }

    #[test]
    fn integers_saturate() {
        let sum = add_usage(Some(json!({ "total_tokens": u64::MAX })), &json!({ "total_tokens": 1 }));
        assert_eq!(sum, json!({ "total_tokens": u64::MAX }));
    }
}
