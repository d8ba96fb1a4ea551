//! What a request may cost at most, estimated before anything is done for it.
//!
//! No tokeniser is at hand here, as the model may be anyone's. Text is taken for one token in two
//! bytes: English has four bytes a token, code three, Chinese and Arabic two to three, so that what
//! is set aside is seldom less than what is used; what is too much is given back at the end. An
//! image is taken for [`IMAGE`] tokens, where a part of a message says that it is one. Where an answer says nothing of its usage, a quarter of the
//! bytes is booked, rounded up, as `llmserver` counts without a tokeniser.

use std::ops::RangeInclusive;

use messages::llmserver::{Chat, Complete};
use serde_json::{Map, Value};

/// Tokens of an image or another file that is sent along, whatever its size: what a large picture
/// costs at OpenAI.
const IMAGE: u64 = 1_600;

/// Where a part of a message holds a file.
const FILES: [&str; 3] = ["url", "file_data", "data"];

/// Tokens that a chat's template adds to a message.
const AROUND_MESSAGE: u64 = 8;

/// The shortest answer that is worth asking for.
const LEAST_ANSWER: u64 = 16;

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Bytes of text to read.
    bytes: u64,
    /// Tokens to read beside the text.
    extra: u64,
    /// How many answers are asked for.
    answers: u64,
    /// Most tokens of one answer, where the request names it.
    most: Option<u64>,
}

impl Cost {
    /// That of a chat.
    pub(crate) fn of_chat(chat: &Chat) -> Self {
        let mut cost = Self::asked(&chat.extra, ["max_completion_tokens", "max_tokens"], "n");
        cost.weigh_fields(&chat.extra);
        for message in &chat.messages {
            cost.extra += AROUND_MESSAGE;
            cost.weigh_content(&message.content);
            cost.weigh_fields(&message.extra);
        }
        cost
    }

    /// That of a completion: each prompt has its own answers.
    pub(crate) fn of_completion(body: &Complete) -> Self {
        let mut cost = Self::asked(
            &body.extra,
            ["max_tokens", "max_completion_tokens"],
            "best_of",
        );
        let n = number(&body.extra, "n").unwrap_or(1);
        let prompts = match &body.prompt {
            Value::Array(prompts) if prompts.iter().any(|one| !one.is_number()) => prompts.len(),
            _ => 1,
        };
        cost.answers = cost
            .answers
            .max(n)
            .max(1)
            .saturating_mul(whole(prompts).max(1));
        cost.weigh(&body.prompt);
        cost.weigh_fields(&body.extra);
        cost
    }

    /// That of embedding texts, or token ids that are counted already.
    pub(crate) fn of_embedding(texts: impl Iterator<Item = usize>, ids: usize) -> Self {
        let mut cost = Self {
            bytes: 0,
            extra: whole(ids),
            answers: 0,
            most: Some(0),
        };
        for bytes in texts {
            cost.bytes = cost.bytes.saturating_add(whole(bytes));
            // The special tokens around it.
            cost.extra = cost.extra.saturating_add(2);
        }
        cost
    }

    fn asked(extra: &Map<String, Value>, most: [&str; 2], answers: &str) -> Self {
        Self {
            bytes: 0,
            extra: 0,
            answers: number(extra, answers).unwrap_or(1).max(1),
            // Whichever of them the model goes by.
            most: most
                .into_iter()
                .filter_map(|name| number(extra, name))
                .max(),
        }
    }

    /// What must be set aside. An answer whose length the request does not name is taken for one
    /// of `usual` tokens, and for less where less is left.
    pub(crate) fn range(&self, usual: u64) -> RangeInclusive<u64> {
        let prompt = self.bytes.div_ceil(2).saturating_add(self.extra);
        let with = |answer: u64| prompt.saturating_add(answer.saturating_mul(self.answers));
        match self.most {
            Some(most) => with(most)..=with(most),
            None => with(LEAST_ANSWER.min(usual))..=with(usual),
        }
    }

    /// Most tokens of one answer, out of the `taken` that were set aside; nothing where the
    /// request names it itself.
    pub(crate) fn rest(&self, taken: u64) -> Option<u64> {
        let unnamed = !self.names_most();
        unnamed.then(|| (self.for_answers(taken) / self.answers.max(1)).max(1))
    }

    /// What all answers may have together, out of the `taken` that were set aside.
    pub(crate) fn for_answers(&self, taken: u64) -> u64 {
        let prompt = *Self {
            answers: 0,
            ..*self
        }
        .range(0)
        .start();
        taken.saturating_sub(prompt)
    }

    /// Whether the request says how long an answer may be.
    pub(crate) fn names_most(&self) -> bool {
        self.most.is_some()
    }

    /// How many answers are asked for.
    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    /// Tokens of the prompt as they are booked where the answer does not tell.
    pub(crate) fn likely_prompt(&self) -> u64 {
        self.bytes.div_ceil(4).saturating_add(self.extra).max(1)
    }

    /// Parts are weighed for what they say they are. A text that looks like a file is a text.
    fn weigh_content(&mut self, content: &Value) {
        let Value::Array(parts) = content else {
            return self.weigh(content);
        };
        for part in parts {
            match part.as_object() {
                Some(fields) => self.weigh_part(fields),
                None => self.weigh(part),
            }
        }
    }

    fn weigh_part(&mut self, part: &Map<String, Value>) {
        let kind = part.get("type").and_then(Value::as_str);
        let kind = kind.filter(|kind| *kind != "text");
        for (name, value) in part {
            match value.as_object() {
                Some(file) if kind == Some(name) => self.weigh_file(file),
                _ => self.weigh(value),
            }
        }
    }

    fn weigh_file(&mut self, file: &Map<String, Value>) {
        for (name, value) in file {
            let sent = value.as_str().is_some_and(|text| text.starts_with("data:"));
            match FILES.contains(&name.as_str()) && sent {
                true => self.extra = self.extra.saturating_add(IMAGE),
                false => self.weigh(value),
            }
        }
    }

    fn weigh_fields(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            // Names of sampling parameters are not read by the model; those of tools are.
            if !value.is_number() && !value.is_boolean() && !value.is_null() {
                self.bytes = self.bytes.saturating_add(whole(name.len()));
                self.weigh(value);
            }
        }
    }

    fn weigh(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.bytes = self.bytes.saturating_add(whole(text.len())),
            Value::Array(items) => items.iter().for_each(|item| self.weigh(item)),
            Value::Object(fields) => self.weigh_fields(fields),
            // Token ids, in a completion's prompt.
            Value::Number(_) => self.extra = self.extra.saturating_add(1),
            Value::Bool(_) | Value::Null => {}
        }
    }
}

/// A quarter of the bytes of all texts in `value`, rounded up.
pub(crate) fn likely_tokens(value: &Value) -> u64 {
    let mut cost = Cost::of_embedding(std::iter::empty(), 0);
    cost.weigh(value);
    cost.bytes.div_ceil(4)
}

fn number(fields: &Map<String, Value>, name: &str) -> Option<u64> {
    fields.get(name).and_then(Value::as_u64)
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat(body: Value) -> Cost {
        Cost::of_chat(&serde_json::from_value(body).unwrap())
    }

    fn completion(body: Value) -> Cost {
        Cost::of_completion(&serde_json::from_value(body).unwrap())
    }

    fn hundred(more: Value) -> Value {
        let mut body =
            json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(100)}]});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn half_the_bytes_and_the_most_that_is_asked_for() {
        let prompt = 50 + AROUND_MESSAGE;
        let capped = chat(hundred(json!({"max_tokens": 10})));
        assert_eq!(capped.range(4096), prompt + 10..=prompt + 10);
        assert_eq!(capped.rest(500), None);
        let newer = chat(hundred(
            json!({"max_tokens": 10, "max_completion_tokens": 20, "n": 3}),
        ));
        assert_eq!(newer.range(4096), prompt + 60..=prompt + 60);
        let open = chat(hundred(json!({"n": 2})));
        assert_eq!(open.range(4096), prompt + 32..=prompt + 8192);
        assert_eq!(open.rest(prompt + 101), Some(50));
        assert_eq!(open.likely_prompt(), 25 + AROUND_MESSAGE);
    }

    #[test]
    fn absurd_numbers_cost_more_than_anyone_has() {
        let absurd = chat(hundred(json!({"max_tokens": u64::MAX, "n": u64::MAX})));
        assert_eq!(absurd.range(1), u64::MAX..=u64::MAX);
        let odd = chat(hundred(json!({"max_tokens": -5, "n": "many"})));
        assert_eq!(odd.rest(61 + 7), Some(7));
    }

    #[test]
    fn pictures_cost_the_same_whatever_their_size_and_tools_are_read() {
        let url = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
        let part = json!([{"type": "image_url", "image_url": {"url": url}}]);
        let seen = chat(json!({"model": "m", "messages": [{"role": "user", "content": part}]}));
        assert!((1_600..1_700).contains(&seen.likely_prompt()), "{seen:?}");
        let tools = json!({"tools": [{"type": "function", "function": {"name": "y".repeat(400)}}]});
        assert!(chat(hundred(tools)).likely_prompt() > 125);
    }

    #[test]
    fn a_long_text_that_begins_like_a_file_is_paid_by_its_length() {
        let text = format!("data:{}", "y".repeat(1_000_000));
        let said = |content: Value| {
            let message = json!({"role": "user", "content": content});
            chat(json!({"model": "m", "messages": [message]})).likely_prompt()
        };
        for content in [
            json!(text),
            json!([text]),
            json!([{"type": "text", "text": text}]),
            json!([{"type": "text", "text": {"url": text}}]),
            json!([{"type": "image_url", "text": text}]),
            json!([{"type": "image_url", "text": {"url": text}}]),
            json!([{"text": {"url": text}}]),
        ] {
            assert!(said(content) > 250_000);
        }
        for more in [
            json!({"tools": [{"type": "function", "function": {"url": text}}]}),
            json!({"prompt": text}),
        ] {
            assert!(chat(hundred(more)).likely_prompt() > 250_000);
        }
        let body = json!({"model": "m", "prompt": text});
        assert!(completion(body).likely_prompt() > 250_000);
        assert!(likely_tokens(&json!({"content": text})) > 250_000);
        let file = json!([{"type": "file", "file": {"filename": "a.pdf", "file_data": text}}]);
        assert!(said(file) < 1_700);
    }

    #[test]
    fn each_prompt_of_a_completion_has_its_own_answers() {
        let many = completion(
            json!({"model": "m", "prompt": ["ab", "cd"], "n": 2, "best_of": 3, "max_tokens": 5}),
        );
        assert_eq!(many.range(16), 32..=32);
        let ids = completion(json!({"model": "m", "prompt": [1, 2, 3], "max_tokens": 5}));
        assert_eq!(ids.range(16), 8..=8);
    }

    #[test]
    fn embeddings_cost_what_is_read() {
        let texts = Cost::of_embedding([10, 20].into_iter(), 0);
        assert_eq!(texts.range(4096), 19..=19);
        assert_eq!(
            *Cost::of_embedding(std::iter::empty(), 7).range(4096).end(),
            7
        );
    }
}
