//! The deltas of tool calls.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::wire::json;
use crate::wire::text::Text;

#[derive(Debug, Default)]
pub struct ToolCall<'a> {
    /// Some providers send none.
    pub index: Option<u32>,
    pub id: Option<Text<'a>>,
    pub r#type: Option<Text<'a>>,
    pub function: Option<Function<'a>>,
    /// Replaces `function` in a call of `type: "custom"`.
    pub custom: Option<Custom<'a>>,
    /// All other fields, unread. Gemini's `extra_content`, for example, has to be sent back with the call.
    pub extra: Unread<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ToolCall<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ToolCallVisitor;
        impl<'de> Visitor<'de> for ToolCallVisitor {
            type Value = ToolCall<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tool call")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut call = ToolCall::default();
                while let Some(Text { text: name, .. }) = map.next_key()? {
                    match &*name {
                        "index" => call.index = map.next_value()?,
                        "id" => call.id = map.next_value()?,
                        "type" => call.r#type = map.next_value()?,
                        "function" => call.function = map.next_value()?,
                        "custom" => call.custom = map.next_value()?,
                        _ => call.extra.push((name, map.next_value()?)),
                    }
                }
                Ok(call)
            }
        }
        deserializer.deserialize_map(ToolCallVisitor)
    }
}

/// Fields that are not read, each with its JSON.
type Unread<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

#[derive(Debug, Default)]
pub struct Custom<'a> {
    pub name: Option<Text<'a>>,
    pub input: Option<Text<'a>>,
    /// All other fields, unread.
    pub extra: Unread<'a>,
}

#[derive(Debug, Default)]
pub struct Function<'a> {
    pub name: Option<Text<'a>>,
    pub arguments: Option<Text<'a>>,
    /// All other fields, unread: Gemini's `thought_signature` is here with some relays.
    pub extra: Unread<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Custom<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Named { name, text, extra } = deserializer.deserialize_map(NamedVisitor("input"))?;
        Ok(Custom { name, input: text, extra })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Function<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Named { name, text, extra } = deserializer.deserialize_map(NamedVisitor("arguments"))?;
        Ok(Function { name, arguments: text, extra })
    }
}

/// What a function and a custom tool have in common: a name, and a text under the name of the visitor.
#[derive(Default)]
struct Named<'a> {
    name: Option<Text<'a>>,
    text: Option<Text<'a>>,
    extra: Unread<'a>,
}

struct NamedVisitor(&'static str);

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut named = Named::default();
        while let Some(Text { text: name, .. }) = map.next_key()? {
            match &*name {
                "name" => named.name = map.next_value()?,
                name if name == self.0 => named.text = map.next_value()?,
                _ => named.extra.push((name, map.next_value()?)),
            }
        }
        Ok(named)
    }
}

impl ToolCall<'_> {
    /// Whether the name and the arguments may be next to the index instead of in a function. Only `lenient` reads those.
    pub fn is_flat(&self) -> bool {
        self.function.is_none()
            && self.custom.is_none()
            && self.extra.iter().any(|(name, _)| matches!(&**name, "name" | "arguments"))
    }

    /// Whether this is a custom tool call, whose input is free text instead of JSON arguments.
    pub fn is_custom(&self) -> bool {
        self.custom.is_some() || self.r#type.as_ref().is_some_and(|kind| kind.text == "custom")
    }

    /// The deltas of the name, and of the arguments or the input.
    pub fn name_and_arguments(&self) -> (Option<&str>, Option<&Text<'_>>) {
        let (name, arguments) = match (&self.function, &self.custom) {
            (_, Some(custom)) => (&custom.name, &custom.input),
            (Some(function), _) => (&function.name, &function.arguments),
            _ => return (None, None),
        };
        (name.as_ref().map(|text| &*text.text), arguments.as_ref())
    }

    /// The unread fields of the function or the custom tool.
    pub fn nested_extra(&self) -> &[(Cow<'_, str>, &RawValue)] {
        match (&self.function, &self.custom) {
            (_, Some(custom)) => &custom.extra,
            (Some(function), _) => &function.extra,
            _ => &[],
        }
    }

    /// The delta as JSON, with this index.
    pub fn to_json(&self, index: u32) -> Value {
        let (_, arguments) = self.name_and_arguments();
        self.to_json_with(index, arguments.map(|text| &*text.text))
    }

    /// The delta as JSON, with this index and these arguments in place of its own.
    pub fn to_json_with(&self, index: u32, arguments: Option<&str>) -> Value {
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.text.to_string());
        let mut value = json!({ "index": index });
        if let Some(id) = text(&self.id) {
            value["id"] = id.into();
            value["type"] = json!(if self.is_custom() { "custom" } else { "function" });
        }
        let (parent, label) =
            if self.custom.is_some() { ("custom", "input") } else { ("function", "arguments") };
        let (name, _) = self.name_and_arguments();
        for (label, text) in [("name", name), (label, arguments)] {
            if let Some(text) = text {
                value[parent][label] = text.into();
            }
        }
        for (name, extra) in self.nested_extra() {
            value[parent][&**name] = json::value(extra.get()).unwrap_or_default();
        }
        for (name, extra) in &self.extra {
            value[&**name] = json::value(extra.get()).unwrap_or_default();
        }
        value
    }
}
