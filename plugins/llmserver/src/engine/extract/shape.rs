//! OpenAI's JSON for an answer: whole or in chunks, as a chat or as a legacy completion.

use serde_json::{Value, json};

/// Tokens, by the counting rule of the plugin's README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

/// Which of the two APIs is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Text,
}

/// What all parts of one answer have in common.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) api: Api,
    /// The answer's id.
    pub(super) id: String,
    /// When it was made, in Unix seconds.
    pub(super) created: i64,
    /// The model's id.
    pub(super) model: String,
}

impl Shape {
    /// The answer all at once.
    pub(super) fn whole(
        &self,
        text: &str,
        annotations: &[Value],
        reason: &str,
        usage: Usage,
    ) -> Value {
        let choice = match self.api {
            Api::Chat => json!({
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": text,
                    "refusal": null,
                    "annotations": annotations,
                },
                "logprobs": null,
                "finish_reason": reason,
            }),
            Api::Text => text_choice(text, Some(reason)),
        };
        let object = match self.api {
            Api::Chat => "chat.completion",
            Api::Text => "text_completion",
        };
        let mut body = self.frame(object, json!([choice]));
        set(&mut body, "usage", usage.json());
        body
    }

    /// The first chunk, which says whose turn it is. Legacy completions have none.
    pub(super) fn opening(&self) -> Option<Value> {
        let delta = json!({"role": "assistant", "content": ""});
        (self.api == Api::Chat).then(|| self.chunk(delta_choice(delta, None)))
    }

    /// A piece of the text.
    pub(super) fn piece(&self, text: &str) -> Value {
        self.chunk(match self.api {
            Api::Chat => delta_choice(json!({"content": text}), None),
            Api::Text => text_choice(text, None),
        })
    }

    /// The last delta: the citations and why it ends.
    pub(super) fn closing(&self, annotations: &[Value], reason: &str) -> Value {
        self.chunk(match self.api {
            Api::Chat => delta_choice(json!({"annotations": annotations}), Some(reason)),
            Api::Text => text_choice("", Some(reason)),
        })
    }

    /// The chunk after the last delta that `stream_options.include_usage` asks for.
    pub(super) fn usage(&self, usage: Usage) -> Value {
        let mut body = self.frame(self.chunk_object(), json!([]));
        set(&mut body, "usage", usage.json());
        body
    }

    fn chunk(&self, choice: Value) -> Value {
        self.frame(self.chunk_object(), json!([choice]))
    }

    fn chunk_object(&self) -> &'static str {
        match self.api {
            Api::Chat => "chat.completion.chunk",
            Api::Text => "text_completion",
        }
    }

    fn frame(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }
}

impl Usage {
    fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        })
    }
}

fn delta_choice(delta: Value, reason: Option<&str>) -> Value {
    json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason})
}

fn text_choice(text: &str, reason: Option<&str>) -> Value {
    json!({"index": 0, "text": text, "logprobs": null, "finish_reason": reason})
}

fn set(body: &mut Value, field: &str, value: Value) {
    if let Some(body) = body.as_object_mut() {
        body.insert(field.to_owned(), value);
    }
}
