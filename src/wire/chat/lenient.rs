//! Reads a chunk whose shape differs from OpenAI's. A field that the engine does not need never fails it, whatever its
//! type. What is needed is read in every form that providers are known to send: numbers as strings, lists of text
//! parts, a `message` or a `text` instead of the `delta`, arguments as an object. Slow: this runs only for a chunk that
//! cannot be read otherwise.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::chunk::{Choice, Chunk, Delta, Source, Text, is_reasoning, is_significant};
use super::tool_call::{Custom, Function, ToolCall};
use crate::wire::json::{self, entries, field, fields};
use crate::wire::lenient;

/// How much of an unreadable value is quoted, in bytes.
const QUOTE_LIMIT: usize = 60;

type Fields<'a> = Vec<(String, &'a str)>;

/// Which field cannot be read, and what was expected.
#[derive(Debug)]
pub struct Unreadable {
    path: String,
    found: String,
    expected: &'static str,
}

impl Unreadable {
    fn new(path: impl Into<String>, found: &str, expected: &'static str) -> Self {
        let found = crate::error::truncate(found, QUOTE_LIMIT).to_owned();
        Unreadable { path: path.into(), found, expected }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, expected {}", self.path, self.found, self.expected)
    }
}

type Result<T> = std::result::Result<T, Unreadable>;

/// Reads the JSON of a chunk; `None` if it is not the JSON of an object.
pub fn chunk(data: &str) -> Option<Result<Chunk<'_>>> {
    // `fields` would accept control characters in keys, which the consumer's JSON parser does not.
    serde_json::from_str::<IgnoredAny>(data).ok()?;
    let all = fields(data)?;
    Some(read_chunk(&all))
}

fn read_chunk<'a>(all: &Fields<'a>) -> Result<Chunk<'a>> {
    let raw = |name| field(all, name).and_then(raw);
    let choices = match field(all, "choices") {
        None => None,
        Some(list) => Some(read_choices(list)?),
    };
    // A list of choices, each of them an object.
    let is_list = |json| entries(json).is_some_and(|list| !list.contains(&"null"));
    let must_rebuild =
        !field(all, "choices").is_none_or(is_list) || choices.iter().flatten().any(|(_, rebuild)| *rebuild);
    let object = label(all, "object");
    let is_whole = object.as_ref().is_some_and(|object| object.text == "chat.completion");
    let choices = choices.map(|choices| {
        let choice = |choice: Choice<'a>| Choice { is_whole: choice.is_whole || is_whole, ..choice };
        choices.into_iter().map(|(read, _)| choice(read)).collect()
    });
    Ok(Chunk {
        id: label(all, "id"),
        created: field(all, "created").and_then(lenient::number).map(|seconds| seconds as u64),
        model: label(all, "model"),
        system_fingerprint: label(all, "system_fingerprint"),
        service_tier: label(all, "service_tier"),
        choices,
        usage: raw("usage"),
        x_groq: raw("x_groq"),
        error: raw("error"),
        base_resp: raw("base_resp"),
        object,
        only_text_changed: false,
        must_rebuild,
    })
}

/// The choices, and for each whether it has to be rebuilt before a consumer can read it.
fn read_choices(list: &str) -> Result<Vec<(Choice<'_>, bool)>> {
    if matches!(list, "false" | "0" | "\"\"") {
        return Ok(Vec::new());
    }
    // A single choice without its list.
    let list = json::list(list).unwrap_or_else(|| vec![list]);
    let choices = list.into_iter().enumerate().filter(|(_, json)| *json != "null");
    choices.map(|(at, json)| read_choice(json, &format!("choices[{at}]"))).collect()
}

fn read_choice<'a>(json: &'a str, path: &str) -> Result<(Choice<'a>, bool)> {
    let Some(all) = fields(json) else { return Err(Unreadable::new(path, json, "an object")) };
    let raw = |name| field(&all, name).and_then(raw);
    let mut must_rebuild = false;
    let mut source = Source::Delta;
    let mut delta = None;
    for (of, name) in [(Source::Delta, "delta"), (Source::Message, "message")] {
        let fields = field(&all, name).and_then(fields).filter(|fields| !fields.is_empty());
        // A delta may have nothing but a role beside the message.
        if let Some(fields) = fields.filter(|_| delta.as_ref().is_none_or(Delta::is_empty)) {
            let (read, rebuild) = read_delta(&fields, &format!("{path}.{name}"))?;
            if delta.is_none() || !read.is_empty() {
                must_rebuild |= rebuild || of == Source::Message;
                (source, delta) = (of, Some(read));
            }
        }
    }
    // Completions without chat have their text next to the index.
    if let Some(text) = field(&all, "text").filter(|_| delta.as_ref().is_none_or(Delta::is_empty)) {
        // Beside a delta a number is something else.
        let content = if delta.is_none() { lenient::text(text) } else { optional_text(text) };
        let read = Delta { content, ..Delta::default() };
        if delta.is_none() || !read.is_empty() {
            must_rebuild = true;
            (source, delta) = (Source::Text, Some(read));
        }
    }
    let standard_reason = field(&all, "finish_reason").and_then(finish_reason);
    let substitute = || ["finishReason", "finish_details"].iter().find_map(|name| field(&all, name));
    let finish_reason = standard_reason.or_else(|| {
        let reason = substitute().and_then(finish_reason);
        must_rebuild |= reason.is_some();
        reason
    });
    let is_whole = finish_reason.is_some();
    let choice = Choice {
        index: choice_index(&all),
        delta,
        finish_reason,
        logprobs: raw("logprobs"),
        usage: raw("usage"),
        error: raw("error"),
        message: None,
        text: None,
        finish_reason_camel: None,
        finish_details: None,
        source,
        is_whole,
    };
    Ok((choice, must_rebuild))
}

fn read_delta<'a>(all: &Fields<'a>, path: &str) -> Result<(Delta<'a>, bool)> {
    let optional = |name| field(all, name).and_then(optional_text);
    let (reasoning_content, reasoning) = (optional("reasoning_content"), optional("reasoning"));
    let content = match field(all, "content") {
        Some(json) => text_of(json, &format!("{path}.content"))?,
        None => None,
    };
    // A consumer of chunks may know lists of parts with their text, but no other form, and of the reasoning only text.
    let is_part = |part: &&str| fields(part).is_some_and(|part| !field(&part, "text").is_some_and(is_nested));
    let parts = field(all, "content").and_then(entries).unwrap_or_default();
    let mut must_rebuild = !parts.iter().all(is_part)
        || field(all, "content").is_some_and(|content| content.starts_with('{'))
        || [&reasoning_content, &reasoning].into_iter().zip(["reasoning_content", "reasoning"]).any(
            |(text, name)| {
                text.as_ref().is_some_and(|text| !text.is_empty()) && field(all, name).is_some_and(is_nested)
            },
        );
    let tool_calls = match field(all, "tool_calls") {
        None => None,
        Some(json) => {
            // A single call without its list.
            let list = json::list(json).unwrap_or_else(|| vec![json]);
            let read: Vec<_> = list.iter().filter_map(|json| read_tool_call(json)).collect();
            must_rebuild |= read.len() < list.len() || !json.starts_with('[') || read.iter().any(|(_, r)| *r);
            Some(read.into_iter().map(|(call, _)| call).collect())
        }
    };
    let function_call = field(all, "function_call").and_then(read_function).map(|(function, rebuild)| {
        must_rebuild |= rebuild;
        function
    });
    let others: Vec<Cow<'_, str>> = all
        .iter()
        .filter(|(name, json)| !Delta::reads(name) && is_significant(name, json))
        .map(|(name, _)| name.clone().into())
        .collect();
    let delta = Delta {
        content,
        reasoning_content,
        reasoning,
        refusal: optional("refusal"),
        tool_calls,
        function_call,
        error: field(all, "error").and_then(raw),
        has_other: others.iter().any(|name| !is_reasoning(name)),
        others,
    };
    let texts = [&delta.content, &delta.reasoning_content, &delta.reasoning, &delta.refusal];
    let has_halves = texts.into_iter().flatten().any(Text::has_halves);
    Ok((delta, must_rebuild || has_halves))
}

fn is_nested(json: &str) -> bool {
    json.starts_with(['{', '['])
}

/// Reads a tool call; `None` if it is nothing that could be one.
fn read_tool_call(json: &str) -> Option<(ToolCall<'_>, bool)> {
    const NEEDED: &[&str] = &["index", "id", "function", "custom", "name", "arguments"];
    let all = fields(json).filter(|all| all.iter().any(|(name, _)| NEEDED.contains(&name.as_str())))?;
    let nested = field(&all, "function").or_else(|| field(&all, "custom"));
    // Some providers have the name and the arguments next to the index.
    let is_flat = nested.is_none() && (field(&all, "name").or_else(|| field(&all, "arguments"))).is_some();
    let function = if is_flat { Some(json) } else { field(&all, "function") };
    let (mut function, rebuild) = function.and_then(read_function).unzip();
    if let Some(function) = function.as_mut().filter(|_| is_flat) {
        function.extra.clear();
    }
    let custom = field(&all, "custom").and_then(fields).map(|custom| {
        let text = |name| field(&custom, name).and_then(lenient::string_or_json);
        Custom { name: text("name"), input: text("input"), extra: unread(&custom, &["name", "input"]) }
    });
    let has_halves = custom.as_ref().and_then(|custom| custom.input.as_ref()).is_some_and(Text::has_halves);
    let known = ["index", "id", "type", "function", "custom"];
    let is_known = |name: &str| known.contains(&name) || (is_flat && matches!(name, "name" | "arguments"));
    let mut extra = unread(&all, &[]);
    extra.retain(|(name, _)| !is_known(name));
    let call = ToolCall {
        index: index(&all),
        id: label(&all, "id"),
        r#type: label(&all, "type"),
        function,
        custom,
        extra,
    };
    Some((call, rebuild.unwrap_or_default() || is_flat || has_halves))
}

/// Reads a function. Arguments that are not a string are their JSON; then the delta has to be rebuilt.
fn read_function(json: &str) -> Option<(Function<'_>, bool)> {
    let all = fields(json)?;
    let arguments = field(&all, "arguments");
    let text = arguments.and_then(lenient::string_or_json);
    let is_string = arguments.is_none_or(|json| json.starts_with('"'));
    let has_halves = text.as_ref().is_some_and(Text::has_halves);
    let extra = unread(&all, &["name", "arguments"]);
    Some((Function { name: label(&all, "name"), arguments: text, extra }, !is_string || has_halves))
}

fn unread<'a>(all: &Fields<'a>, known: &[&str]) -> Vec<(Cow<'a, str>, &'a RawValue)> {
    let extra = all.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    extra.filter_map(|(name, json)| Some((name.clone().into(), raw(json)?))).collect()
}

/// A name or an id: a string or a number. Anything else is ignored.
fn label<'a>(all: &Fields<'a>, name: &str) -> Option<Text<'a>> {
    let json = field(all, name)?;
    json::string(json).or_else(|| json::number(json).map(|number| Text::new(number.into())))
}

/// Text that the answer can do without.
fn optional_text(json: &str) -> Option<Text<'_>> {
    match json.as_bytes().first() {
        Some(b'"' | b'[' | b'{') => lenient::text(json),
        _ => None,
    }
}

/// Text that belongs to the answer.
fn text_of<'a>(json: &'a str, path: &str) -> Result<Option<Text<'a>>> {
    match lenient::text(json) {
        Some(text) => Ok(Some(text)),
        None if json == "null" => Ok(None),
        None => Err(Unreadable::new(path, json, "text")),
    }
}

fn finish_reason(json: &str) -> Option<Text<'_>> {
    match json.as_bytes().first()? {
        b'"' => json::string(json),
        b'f' => None,
        b'-' | b'0'..=b'9' => {
            json::number(json).filter(|number| number != "0").map(|number| Text::new(number.into()))
        }
        b't' => Some(Text::new(Cow::Borrowed("stop"))),
        b'[' => entries(json)?.first().copied().and_then(finish_reason),
        b'{' => {
            let all = fields(json).filter(|all| !all.is_empty())?;
            let named = ["type", "reason", "name"].iter().find_map(|name| field(&all, name));
            // As for `true`: the provider says that it ended, and nothing else that is known.
            named.and_then(json::string).or(Some(Text::new(Cow::Borrowed("stop"))))
        }
        _ => Some(Text::new(Cow::Borrowed(json))),
    }
}

/// The index of a choice. An unreadable one is not a choice that was requested, unless only one was.
fn choice_index(all: &Fields<'_>) -> u32 {
    match field(all, "index") {
        None | Some("\"\"") => 0,
        Some(_) => index(all).unwrap_or(u32::MAX),
    }
}

/// An index; `None` if there is none, or if its value cannot be one.
fn index(all: &Fields<'_>) -> Option<u32> {
    let index = match field(all, "index")? {
        // Python's numbers, in disguise.
        "false" => 0.0,
        "true" => 1.0,
        json => lenient::number(json)?,
    };
    (index.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&index)).then_some(index as u32)
}

fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
#[path = "lenient_tests.rs"]
mod tests;
