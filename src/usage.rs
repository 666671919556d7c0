//! Usage reports of providers, as JSON.

use serde_json::Value;

/// The sum of two usage reports, field by field. An integer saturates; a value that is not a number keeps the first
/// report's, unless that is null.
pub fn add_usage(sum: Option<Value>, more: &Value) -> Value {
    match sum {
        Some(mut sum) => {
            add(&mut sum, more);
            sum
        }
        None => more.clone(),
    }
}

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
        (sum, more) if sum.is_null() => *sum = more.clone(),
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
    fn a_null_is_replaced_by_a_value_and_never_replaces_one() {
        let sum = json!({"details": null, "total_tokens": 3});
        let more = json!({"details": {"cached": 2}, "total_tokens": null});
        let expected = json!({"details": {"cached": 2}, "total_tokens": 3});
        assert_eq!(add_usage(Some(sum), &more), expected);
    }

    #[test]
    fn integers_saturate() {
        let sum = json!({ "total_tokens": u64::MAX, "details": { "cached": 1 } });
        let more = json!({ "total_tokens": 1, "details": { "cached": u64::MAX } });
        let expected = json!({ "total_tokens": u64::MAX, "details": { "cached": u64::MAX } });
        assert_eq!(add_usage(Some(sum), &more), expected);
    }
}
