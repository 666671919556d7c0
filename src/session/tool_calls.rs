//! The tool calls of a choice, put together from their deltas.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::json_scan::JsonScan;
use super::merge::insert_missing;

/// The maximum number of tool calls of a choice. No model makes as many.
pub const MAX_CALLS: usize = 128;

/// A tool call, possibly incomplete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// The arguments, or the input of a call of `type: "custom"`.
    pub arguments: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub custom: bool,
    /// Fields that the engine does not know.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// Fields of its function or custom tool that the engine does not know.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub nested_extra: Map<String, Value>,
    /// The provider's index.
    #[serde(skip)]
    pub(super) index: Option<u32>,
    /// The consumer has it.
    #[serde(skip)]
    pub is_delivered: bool,
    /// The approximate memory of `extra` and `nested_extra`, in bytes.
    #[serde(skip)]
    pub extra_size: usize,
    /// What is known of the arguments, as far as they were added here.
    #[serde(skip)]
    pub(super) scan: JsonScan,
}

/// What a delta says about the call it belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Label<'a> {
    pub index: Option<u32>,
    pub id: Option<&'a str>,
    pub name: Option<&'a str>,
}

impl ToolCall {
    pub fn to_map(&self) -> Map<String, Value> {
        let mut call = Map::new();
        call.insert("id".into(), json!(self.id));
        let parent = if self.custom { "custom" } else { "function" };
        call.insert("type".into(), json!(parent));
        call.insert(parent.into(), self.function());
        insert_missing(&mut call, &self.extra);
        call
    }

    /// The function, or the custom tool with its input.
    pub fn function(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".into(), json!(self.name));
        let label = if self.custom { "input" } else { "arguments" };
        function.insert(label.into(), json!(self.arguments));
        insert_missing(&mut function, &self.nested_extra);
        function.into()
    }

    /// Adds the id of a delta. The first one counts: some providers make a new one for each delta.
    pub fn add_id(&mut self, id: &str) {
        if self.id.is_empty() {
            self.id.push_str(id);
        }
    }

    /// Adds the name of a delta. Providers send it once, in parts, all of it so far, or again with each delta.
    pub fn add_name(&mut self, name: &str) {
        if self.name.is_empty() || !name.starts_with(&self.name) {
            // A part belongs to the name until the arguments begin. The first one may come late.
            if self.name.is_empty() || self.arguments.is_empty() {
                self.name.push_str(name);
            }
        } else if self.arguments.is_empty() {
            name.clone_into(&mut self.name);
        }
    }

    /// Adds the arguments of a delta. Some providers begin with an empty object, or send the whole call once more.
    pub fn add_arguments(&mut self, arguments: &str) {
        if self.repeats(arguments) {
            return;
        }
        if !self.custom && self.arguments == "{}" && arguments.starts_with('{') {
            self.arguments.clear();
            self.scan = JsonScan::default();
        }
        self.arguments.push_str(arguments);
        self.scan.update(&self.arguments);
    }

    /// Whether these are the complete arguments once more.
    pub fn repeats(&self, arguments: &str) -> bool {
        !self.custom
            && arguments.starts_with('{')
            && arguments == self.arguments
            && self.has_valid_arguments()
    }

    /// The approximate memory of what was received of it, in bytes. Unknown fields are not included.
    pub fn text_length(&self) -> usize {
        self.id.len() + self.name.len() + self.arguments.len()
    }

    /// Whether the consumer does not have it, and more of it may follow.
    pub fn is_open(&self) -> bool {
        let is_complete = self.scan().first == b'{' && !self.name.is_empty() && self.has_valid_arguments();
        !self.is_delivered && !is_complete
    }

    /// Whether nothing was received of it.
    fn is_empty(&self) -> bool {
        self.id.is_empty()
            && self.name.is_empty()
            && self.arguments.is_empty()
            && self.extra.is_empty()
            && self.nested_extra.is_empty()
    }

    /// Whether the arguments may be complete.
    fn ends(&self) -> bool {
        self.scan().last == b'}' && self.has_valid_arguments()
    }

    fn has_valid_arguments(&self) -> bool {
        let scan = self.scan();
        self.custom
            || match scan.has_brackets() {
                true => scan.is_valid(),
                false => serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok(),
            }
    }

    /// What is known of the arguments. Those of a snapshot were not scanned yet.
    fn scan(&self) -> JsonScan {
        let mut scan = self.scan;
        if scan.length != self.arguments.len() {
            scan = JsonScan::default();
            scan.update(&self.arguments);
        }
        scan
    }
}

/// The position of the call that a delta belongs to; the number of calls if it starts a new one.
///
/// The provider's index decides. Some providers send none: then a new id, or a name after complete arguments, starts a
/// new call, and anything else continues the last one; an id or a name that the last call still lacks is its own. Others
/// send the same index for all calls: then a new id with a name starts a new call. A new id alone does not, because some
/// make a new one for each delta. Of those, some use the right index for the arguments, which have neither id nor name.
pub fn position(calls: &[ToolCall], label: Label<'_>) -> usize {
    let some = |text: Option<&'_ str>| text.is_some_and(|text| !text.is_empty());
    let has_id = |call: &ToolCall| label.id == Some(call.id.as_str());
    let (has_name, new) = (some(label.name), calls.len());
    if let Some(index) = label.index {
        let with_index = |call: &ToolCall| call.index == Some(index);
        let Some(last) = calls.iter().rposition(with_index) else {
            let is_continuation = !some(label.id) && !has_name && begins_at_taken_index(calls);
            return if is_continuation { new - 1 } else { new };
        };
        if !some(label.id) || calls[last].id.is_empty() || has_id(&calls[last]) {
            return last;
        }
        let same = calls.iter().rposition(|call| with_index(call) && has_id(call));
        return same.unwrap_or(if has_name { new } else { last });
    }
    let Some(last) = calls.last() else { return new };
    let is_named_again = has_name && !last.name.is_empty();
    if some(label.id) {
        let lacks_id = last.id.is_empty() && !is_named_again;
        return calls.iter().rposition(has_id).unwrap_or(if lacks_id { new - 1 } else { new });
    }
    if is_named_again && last.ends() { new } else { new - 1 }
}

/// Whether the last call has no arguments yet, and its index is that of a call before it.
fn begins_at_taken_index(calls: &[ToolCall]) -> bool {
    let Some((last, others)) = calls.split_last() else { return false };
    last.arguments.is_empty() && others.iter().any(|call| call.index == last.index)
}

/// The call at a position of [`position`], created if it is new; `None` past [`MAX_CALLS`].
pub fn at<'a>(calls: &'a mut Vec<ToolCall>, position: usize, label: Label<'_>) -> Option<&'a mut ToolCall> {
    if position == calls.len() && position < MAX_CALLS {
        calls.push(ToolCall { index: label.index, ..ToolCall::default() });
    }
    let call = calls.get_mut(position)?;
    call.index = label.index.or(call.index);
    Some(call)
}

/// Completes the calls: puts them in the order of their indexes, if each has one, drops those of which nothing was received, and sets
/// missing arguments to an empty object.
pub fn complete(calls: &mut Vec<ToolCall>) {
    calls.retain(|call| !call.is_empty());
    if calls.iter().all(|call| call.index.is_some()) {
        calls.sort_by_key(|call| call.index);
    }
    for call in calls {
        if call.scan().first == 0 && !call.custom {
            call.arguments = "{}".to_owned();
        }
    }
}

/// The name of a call whose arguments are not valid JSON.
pub fn invalid(calls: &[ToolCall]) -> Option<&str> {
    calls.iter().find(|call| !call.has_valid_arguments()).map(|call| call.name.as_str())
}

/// Whether one of the calls has no name, so that nobody can execute it.
pub fn has_nameless(calls: &[ToolCall]) -> bool {
    calls.iter().any(|call| call.name.is_empty())
}

/// Drops the calls without a name or with arguments that are not valid JSON, because they were cut off.
pub fn drop_cut_off(calls: &mut Vec<ToolCall>) {
    calls.retain(|call| !call.name.is_empty() && call.has_valid_arguments());
}

/// The calls as the `tool_calls` of a delta, each complete, from this position on.
pub fn deltas(calls: &[ToolCall], from: usize) -> Value {
    let call = |(index, call): (usize, &ToolCall)| {
        let mut delta = Map::new();
        delta.insert("index".into(), json!(index));
        delta.extend(call.to_map());
        Value::Object(delta)
    };
    calls.iter().enumerate().skip(from).map(call).collect()
}

/// The calls as the `tool_calls` of a complete message.
pub fn message(calls: &[ToolCall]) -> Value {
    calls.iter().map(|call| Value::Object(call.to_map())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls of these deltas: index, id, name and arguments.
    fn calls(deltas: &[(Option<u32>, &str, &str, &str)]) -> Vec<(String, String, String)> {
        let mut calls = Vec::new();
        for &(index, id, name, arguments) in deltas {
            let label = Label { index, id: Some(id), name: Some(name) };
            let position = position(&calls, label);
            let call = at(&mut calls, position, label).unwrap();
            call.add_id(id);
            call.add_name(name);
            call.add_arguments(arguments);
        }
        complete(&mut calls);
        calls.into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn calls_are_told_apart_by_their_index() {
        let deltas = [(Some(200), "b", "g", "{}"), (Some(1), "a", "f", "{"), (Some(1), "", "", "}")];
        assert_eq!(calls(&deltas), [call("a", "f", "{}"), call("b", "g", "{}")]);
    }

    #[test]
    fn a_new_id_with_a_name_starts_a_new_call_at_the_same_index() {
        let deltas = [(Some(0), "a", "f", "{"), (Some(0), "b", "g", "{}"), (Some(0), "a", "f", "}")];
        assert_eq!(calls(&deltas), [call("a", "f", "{}"), call("b", "g", "{}")]);
        let deltas = [(Some(0), "a", "f", "{"), (Some(0), "b", "", "}")];
        assert_eq!(calls(&deltas), [call("a", "f", "{}")]);
    }

    #[test]
    fn without_an_index_a_new_id_or_a_name_after_complete_arguments_starts_a_new_call() {
        let deltas = [(None, "a", "f", "{"), (None, "", "", "}"), (None, "b", "g", "")];
        assert_eq!(calls(&deltas), [call("a", "f", "{}"), call("b", "g", "{}")]);
        let deltas = [(None, "", "f", "{\"x\""), (None, "", "f", ":1}"), (None, "", "f", "{}")];
        assert_eq!(calls(&deltas), [call("", "f", "{\"x\":1}"), call("", "f", "{}")]);
    }

    #[test]
    fn a_name_may_arrive_in_parts_or_again_and_again() {
        for names in [
            ["get_", "weather"],
            ["get_weather", "get_weather"],
            ["get_", "get_weather"],
            ["", "get_weather"],
        ] {
            let deltas = names.map(|name| (Some(0), "a", name, ""));
            assert_eq!(calls(&deltas), [call("a", "get_weather", "{}")], "{names:?}");
        }
        for names in [["f", "f"], ["f", ""], ["", "f"]] {
            let deltas = [(Some(0), "a", names[0], "{"), (Some(0), "a", names[1], "}")];
            assert_eq!(calls(&deltas), [call("a", "f", "{}")], "{names:?}");
        }
    }

    #[test]
    fn calls_stay_in_order_if_one_has_no_index() {
        let deltas = [(None, "a", "f", "{}"), (Some(1), "b", "g", "{}"), (Some(0), "c", "h", "{}")];
        assert_eq!(calls(&deltas), [call("a", "f", "{}"), call("b", "g", "{}"), call("c", "h", "{}")]);
    }

    #[test]
    fn the_id_and_the_name_may_come_last() {
        for index in [Some(0), None] {
            let deltas = [
                (index, "", "", "{\"x\""),
                (index, "", "", ":1}"),
                (index, "", "f", ""),
                (index, "a", "", ""),
            ];
            assert_eq!(calls(&deltas), [call("a", "f", "{\"x\":1}")], "{index:?}");
            let deltas = [(index, "", "f", "{}"), (index, "a", "", "")];
            assert_eq!(calls(&deltas), [call("a", "f", "{}")], "{index:?}");
        }
        let deltas = [(None, "", "f", "{}"), (None, "b", "g", "{}")];
        assert_eq!(calls(&deltas), [call("", "f", "{}"), call("b", "g", "{}")]);
    }

    #[test]
    fn the_arguments_of_a_second_call_at_a_taken_index_may_have_the_right_one() {
        let deltas = [
            (Some(0), "a", "f", "{}"),
            (Some(0), "b", "g", ""),
            (Some(1), "", "", "{\"y\""),
            (Some(1), "", "", ":2}"),
        ];
        assert_eq!(calls(&deltas), [call("a", "f", "{}"), call("b", "g", "{\"y\":2}")]);
        let deltas = [(Some(0), "a", "f", ""), (Some(1), "", "", "{}"), (Some(1), "b", "g", "")];
        assert_eq!(calls(&deltas), [call("a", "f", "{}"), call("b", "g", "{}")]);
    }

    #[test]
    fn an_empty_object_before_the_arguments_and_a_repeated_call_are_not_part_of_them() {
        let deltas = [(Some(0), "a", "f", "{}"), (Some(0), "", "", "{\"x\""), (Some(0), "", "", ":1}")];
        assert_eq!(calls(&deltas), [call("a", "f", "{\"x\":1}")]);
        let whole = (Some(0), "a", "f", "{\"x\":1}");
        assert_eq!(calls(&[whole, whole]), [call("a", "f", "{\"x\":1}")]);
        let nested = [(Some(0), "a", "f", "{\"x\":"), (Some(0), "", "", "{\"x\":"), (Some(0), "", "", "1}}")];
        assert_eq!(calls(&nested), [call("a", "f", "{\"x\":{\"x\":1}}")]);
    }

    #[test]
    fn calls_of_which_nothing_was_received_are_dropped() {
        assert_eq!(calls(&[(Some(0), "", "", ""), (Some(1), "a", "f", "")]), [call("a", "f", "{}")]);
    }
}
