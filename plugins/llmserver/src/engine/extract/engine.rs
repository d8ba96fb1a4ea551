//! The engine: asks the index, picks quotes, tells the answer.

use std::{sync::Arc, time::SystemTime};

use messages::{
    apikeys::Scope,
    brainml::{Query, Results},
    call::Cx,
    fault::Fault,
    host::Host,
    llmserver::{Chat, Complete, Completion},
    port::Port,
    stream::Outlet,
};
use serde_json::Value;

use super::{
    answer::Answer,
    pick::pick,
    request::Request,
    shape::{Api, Shape, Usage},
};
use crate::settings::Settings;

/// Chunks that may wait for a slow reader.
const UNREAD: usize = 16;

/// Counts the tokens of a text.
pub(crate) type Count = Arc<dyn Fn(&str) -> u64 + Send + Sync>;

/// Answers from the index alone.
#[derive(Debug)]
pub(crate) struct Extract {
    host: Host,
    index: Port<Query>,
    settings: Arc<Settings>,
}

impl Extract {
    /// An engine that asks whoever serves `Query`.
    pub(crate) fn new(host: &Host, settings: Arc<Settings>) -> Self {
        Self {
            host: host.clone(),
            index: host.port(),
            settings,
        }
    }

    /// Answers a chat.
    ///
    /// # Errors
    /// When the caller may not query, the request asks nothing, or the index cannot be asked.
    pub(crate) async fn chat(
        &self,
        body: &Chat,
        cx: Cx,
        count: Count,
    ) -> Result<Completion, Fault> {
        self.answer(Request::of_chat(body)?, Api::Chat, cx, count)
            .await
    }

    /// Answers a legacy completion. Its shape has no place for citations; the text names the
    /// sources.
    ///
    /// # Errors
    /// As [`Extract::chat`].
    pub(crate) async fn complete(
        &self,
        body: &Complete,
        cx: Cx,
        count: Count,
    ) -> Result<Completion, Fault> {
        self.answer(Request::of_completion(body)?, Api::Text, cx, count)
            .await
    }

    async fn answer(
        &self,
        request: Request,
        api: Api,
        cx: Cx,
        count: Count,
    ) -> Result<Completion, Fault> {
        // This model is nothing but its documents, whether or not the request names collections.
        cx.caller().require(&Scope::BRAINML_QUERY)?;
        let most = self.settings.max_input_bytes;
        if request.question.len() > most {
            let text = format!("the question is longer than {most} bytes");
            return Err(Fault::invalid(text).with_code("context_length_exceeded"));
        }
        let query = request.query(self.settings.extract.passages);
        let found = self.index.within(&cx).call(query).await?;
        let story = Story::new(&request, api, &cx);
        let settings = self.settings.clone();
        let (streamed, tells_usage) = (request.streamed, request.tells_usage);
        let told = move || compose(&request, &found, &settings, &count);
        let (answer, usage) = self.host.run_for(&cx, told).await?;
        if !streamed {
            return Ok(Completion::Whole(story.whole(&answer, usage)));
        }
        let (outlet, deltas) = cx.stream(UNREAD);
        let usage = tells_usage.then_some(usage);
        self.host.spawn(async move {
            let told = story.tell(&answer, usage, &outlet).await;
            outlet.end(told);
        });
        Ok(Completion::Chunks(deltas))
    }
}

fn compose(
    request: &Request,
    found: &Results,
    settings: &Settings,
    count: &Count,
) -> (Answer, Usage) {
    let quotes = pick(&request.question, &found.results, &settings.extract);
    let answer = Answer::of(&quotes);
    let answer = match request.most_tokens {
        Some(most) => answer.within(most, |text| count(text)),
        None => answer,
    };
    let usage = Usage {
        prompt: count(&request.prompt),
        completion: count(&answer.text),
    };
    (answer, usage)
}

/// One answer on its way out.
struct Story(Shape);

impl Story {
    fn new(request: &Request, api: Api, cx: &Cx) -> Self {
        let kind = match api {
            Api::Chat => "chatcmpl",
            Api::Text => "cmpl",
        };
        Self(Shape {
            api,
            id: format!("{kind}-{}", cx.request_id()),
            created: now(),
            model: request.model.clone(),
        })
    }

    fn whole(&self, answer: &Answer, usage: Usage) -> Value {
        let Self(shape) = self;
        shape.whole(&answer.text, &answer.annotations, reason(answer), usage)
    }

    async fn tell(
        &self,
        answer: &Answer,
        usage: Option<Usage>,
        outlet: &Outlet<Value>,
    ) -> Result<(), Fault> {
        let Self(shape) = self;
        if let Some(opening) = shape.opening() {
            outlet.send(opening).await?;
        }
        for piece in answer.pieces() {
            outlet.send(shape.piece(piece)).await?;
        }
        let closing = shape.closing(&answer.annotations, reason(answer));
        outlet.send(closing).await?;
        if let Some(usage) = usage {
            outlet.send(shape.usage(usage)).await?;
        }
        Ok(())
    }
}

fn reason(answer: &Answer) -> &'static str {
    if answer.complete { "stop" } else { "length" }
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    age.ok()
        .and_then(|age| i64::try_from(age.as_secs()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
