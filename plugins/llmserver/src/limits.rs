//! What no model should be asked: the bounds that OpenAI's API sets, and the gateway's own on size.

use std::ops::RangeInclusive;

use messages::{
    fault::Fault,
    llmserver::{Chat, Complete},
};
use serde_json::{Map, Value};

use crate::settings::Settings;

const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];
/// Most messages of one chat, and most prompts of one completion.
const MOST_MESSAGES: usize = 2048;
/// Most texts that end an answer, and the longest of them in bytes.
const MOST_STOPS: usize = 4;
const LONGEST_STOP: usize = 1024;

/// Numbers that OpenAI bounds.
const NUMBERS: [(&str, RangeInclusive<f64>); 4] = [
    ("temperature", 0.0..=2.0),
    ("top_p", 0.0..=1.0),
    ("presence_penalty", -2.0..=2.0),
    ("frequency_penalty", -2.0..=2.0),
];

/// Refuses a chat that no model should be asked.
///
/// # Errors
/// [`Invalid`](messages::fault::FaultKind::Invalid) with the parameter at fault.
pub(crate) fn check_chat(settings: &Settings, chat: &Chat) -> Result<(), Fault> {
    let count = chat.messages.len();
    if !(1..=MOST_MESSAGES).contains(&count) {
        let text = format!("`messages` must have 1 to {MOST_MESSAGES} messages, not {count}");
        return Err(Fault::invalid(text).with_param("messages"));
    }
    for (place, message) in chat.messages.iter().enumerate() {
        if !ROLES.contains(&message.role.as_str()) {
            let known = ROLES.join(", ");
            let text = format!("the role of message {place} must be one of {known}");
            return Err(Fault::invalid(text).with_param(format!("messages[{place}].role")));
        }
    }
    let texts = chat
        .messages
        .iter()
        .map(|message| text_bytes(&message.content));
    within_context(settings, "messages", texts.sum())?;
    check_fields(settings, &chat.extra)
}

/// Refuses a completion that no model should be asked.
///
/// # Errors
/// As [`check_chat`].
pub(crate) fn check_completion(settings: &Settings, body: &Complete) -> Result<(), Fault> {
    let many = body
        .prompt
        .as_array()
        .is_some_and(|all| all.len() > MOST_MESSAGES);
    // A list of token ids is one prompt.
    let ids = |all: &Vec<Value>| all.iter().all(Value::is_number);
    if many && !body.prompt.as_array().is_some_and(ids) {
        let text = format!("`prompt` must have at most {MOST_MESSAGES} texts");
        return Err(Fault::invalid(text).with_param("prompt"));
    }
    within_context(settings, "prompt", text_bytes(&body.prompt))?;
    check_fields(settings, &body.extra)
}

/// Bytes of the texts in a content or a prompt: pictures and sounds have limits of their own. A
/// token id stands for a byte at least.
fn text_bytes(content: &Value) -> usize {
    match content {
        Value::String(text) => text.len(),
        Value::Number(_) => 1,
        Value::Array(parts) => parts.iter().map(text_bytes).sum(),
        Value::Object(part) => part.get("text").map_or(0, text_bytes),
        Value::Null | Value::Bool(_) => 0,
    }
}

fn within_context(settings: &Settings, param: &str, bytes: usize) -> Result<(), Fault> {
    let most = settings.max_prompt_bytes;
    if bytes <= most {
        return Ok(());
    }
    let text = format!("`{param}` has {bytes} bytes of text; the most is {most}");
    Err(Fault::invalid(text)
        .with_param(param)
        .with_code("context_length_exceeded"))
}

fn check_fields(settings: &Settings, fields: &Map<String, Value>) -> Result<(), Fault> {
    let tokens = 1..=settings.max_output_tokens;
    for (field, range) in [
        ("n", 1..=128),
        ("best_of", 1..=128),
        ("max_tokens", tokens.clone()),
        ("max_completion_tokens", tokens),
        ("top_logprobs", 0..=20),
    ] {
        if let Some(value) = given(fields, field)
            && !value.as_u64().is_some_and(|number| range.contains(&number))
        {
            let (least, most) = range.into_inner();
            let text = format!("`{field}` must be a whole number from {least} to {most}");
            return Err(Fault::invalid(text).with_param(field));
        }
    }
    for (field, range) in NUMBERS {
        if let Some(value) = given(fields, field)
            && !value.as_f64().is_some_and(|number| range.contains(&number))
        {
            let (least, most) = range.into_inner();
            let text = format!("`{field}` must be a number from {least} to {most}");
            return Err(Fault::invalid(text).with_param(field));
        }
    }
    given(fields, "stop").map_or(Ok(()), check_stop)
}

fn check_stop(stop: &Value) -> Result<(), Fault> {
    let fits = |text: &Value| {
        let text = text.as_str();
        text.is_some_and(|text| text.len() <= LONGEST_STOP)
    };
    let good = match stop {
        Value::Array(all) => all.len() <= MOST_STOPS && all.iter().all(fits),
        one => fits(one),
    };
    if good {
        return Ok(());
    }
    let text = format!(
        "`stop` must be a text or at most {MOST_STOPS} texts, each of at most {LONGEST_STOP} bytes"
    );
    Err(Fault::invalid(text).with_param("stop"))
}

fn given<'a>(fields: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    fields.get(field).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(more: Value) -> Result<(), Fault> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        let more = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(more);
        let settings = Settings {
            max_prompt_bytes: 100,
            max_output_tokens: 1000,
            ..Settings::default()
        };
        check_chat(&settings, &serde_json::from_value(body).unwrap())
    }

    fn many(text: &str, count: usize) -> Value {
        let message = json!({"role": "user", "content": text});
        json!({"messages": vec![message; count]})
    }

    #[test]
    fn what_openai_takes_is_taken() {
        for more in [
            json!({}),
            json!({"n": 128, "temperature": 2, "top_p": 0.0, "max_tokens": 1000, "stop": null}),
            json!({"stop": ["a", "b", "c", "d"], "presence_penalty": -2.0, "top_logprobs": 0}),
            json!({"stop": "x", "n": null, "max_completion_tokens": 1, "odd": {"n": -1}}),
            json!({"messages": [{"role": "tool", "content": null, "tool_call_id": "t"}]}),
            many("12345678901234567890", 5),
        ] {
            assert_eq!(chat(more.clone()), Ok(()), "{more}");
        }
    }

    #[test]
    fn what_is_beyond_a_bound_is_refused_with_its_name() {
        for (more, param) in [
            (json!({"n": 0}), "n"),
            (json!({"n": 129}), "n"),
            (json!({"n": 1.5}), "n"),
            (json!({"n": "2"}), "n"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"max_tokens": 1001}), "max_tokens"),
            (
                json!({"max_completion_tokens": 1e300}),
                "max_completion_tokens",
            ),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"frequency_penalty": 3}), "frequency_penalty"),
            (json!({"stop": ["", "", "", "", ""]}), "stop"),
            (json!({"stop": [1]}), "stop"),
            (json!({"stop": {}}), "stop"),
            (json!({"stop": "x".repeat(1025)}), "stop"),
            (json!({"messages": []}), "messages"),
            (many("", 2049), "messages"),
            (json!({"messages": [{"role": "root"}]}), "messages[0].role"),
        ] {
            let fault = chat(more.clone()).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some(param), "{more}");
            assert_eq!(fault.code, None);
        }
    }

    #[test]
    fn too_long_a_prompt_is_too_much_for_the_context() {
        let long = "x".repeat(51);
        let parts = json!({"messages": [
            {"role": "user", "content": [{"type": "text", "text": long}]},
            {"role": "user", "content": long},
        ]});
        for more in [many(&long, 2), parts] {
            let fault = chat(more).unwrap_err();
            assert_eq!(fault.code.as_deref(), Some("context_length_exceeded"));
            assert_eq!(fault.param.as_deref(), Some("messages"));
        }
        let settings = Settings {
            max_prompt_bytes: 100,
            ..Settings::default()
        };
        for prompt in [json!([long, long]), json!([vec![7; 101]])] {
            let body = Complete {
                prompt,
                ..Complete::default()
            };
            let fault = check_completion(&settings, &body).unwrap_err();
            assert_eq!(fault.param.as_deref(), Some("prompt"));
        }
    }
}
