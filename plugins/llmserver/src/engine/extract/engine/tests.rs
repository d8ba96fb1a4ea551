//! Chats over an index of the test's own, through a real port.

use std::sync::Mutex;

use actix::{Actor, Context, Handler};
use messages::{
    apikeys::{Caller, Scopes},
    brainml::Hit,
    call::Call,
    fault::FaultKind,
    gate::{Card, Gate},
    line::{Directory, Line},
    plugin::Status,
};
use serde_json::json;

use super::*;
use crate::testing::{cx, host_in};

/// Answers every query with the same hits, and remembers what was asked.
struct Index {
    hits: Vec<Hit>,
    asked: Arc<Mutex<Vec<Query>>>,
}

impl Actor for Index {
    type Context = Context<Self>;
}

impl Handler<Call<Query>> for Index {
    type Result = Result<Results, Fault>;

    fn handle(&mut self, call: Call<Query>, _: &mut Self::Context) -> Self::Result {
        self.asked.lock().unwrap().push(call.body);
        Ok(Results {
            results: self.hits.clone(),
            revision: 1,
            degraded: false,
            tokens: 0,
        })
    }
}

const TEXT: &str = "Keys are made once. To rotate a key, make a new one and revoke the old one.";

fn hit(coverage: f32) -> Hit {
    Hit {
        collection: "guide".to_owned(),
        document_id: "keys".to_owned(),
        chunk_id: "keys#0".to_owned(),
        score: 1.0,
        text: TEXT.to_owned(),
        start: 100,
        end: 100 + u64::try_from(TEXT.len()).unwrap(),
        title: None,
        metadata: serde_json::Map::new(),
        lexical_rank: None,
        vector_rank: None,
        cosine: None,
        coverage,
        explanation: None,
    }
}

/// An engine over `hits`, and what its index is asked.
fn engine(hits: Vec<Hit>) -> (Extract, Arc<Mutex<Vec<Query>>>) {
    let directory = Directory::default();
    let card = Card::default();
    let gate = Gate::new("brainml", Status::Running, card, directory.changes());
    let asked = Arc::default();
    let index = Index {
        hits,
        asked: Arc::clone(&asked),
    };
    let line = Line::new(index.start().recipient(), 8, Arc::new(gate));
    directory.publish(line);
    let host = host_in(&directory, json!({}));
    (Extract::new(&host, Arc::default()), asked)
}

fn words() -> Count {
    Arc::new(|text| u64::try_from(text.split_whitespace().count()).unwrap())
}

fn chat(extra: Value) -> Chat {
    let mut body = json!({
        "model": "bkg-extract",
        "messages": [
            {"role": "user", "content": "earlier"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": [{"type": "text", "text": " rotate a key? "}]},
        ],
    });
    let fields = extra.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(body).unwrap()
}

async fn whole(engine: &Extract, extra: Value) -> Value {
    match engine.chat(&chat(extra), cx(), words()).await.unwrap() {
        Completion::Whole(body) => body,
        Completion::Chunks(_) => panic!("no stream was asked for"),
    }
}

async fn chunks(completion: Completion) -> Vec<Value> {
    let Completion::Chunks(mut deltas) = completion else {
        panic!("a stream was asked for");
    };
    let mut chunks = Vec::new();
    while let Some(chunk) = deltas.next().await {
        chunks.push(chunk.unwrap());
    }
    chunks
}

#[actix::test]
async fn the_last_user_message_is_answered_by_a_quote_with_a_citation() {
    let (engine, asked) = engine(vec![hit(0.9)]);
    let body = whole(
        &engine,
        json!({"retrieval": {"collections": ["guide"], "top_k": 4}}),
    )
    .await;
    let message = &body["choices"][0]["message"];
    let content = message["content"].as_str().unwrap();
    assert!(content.contains("“To rotate a key, make a new one and revoke the old one.” [1]"));
    let citation = &message["annotations"][0]["file_citation"];
    assert_eq!(citation["document_id"], "keys");
    assert_eq!(citation["collection"], "guide");
    let at = |field: &str| usize::try_from(citation[field].as_u64().unwrap() - 100).unwrap();
    assert_eq!(TEXT.get(at("start")..at("end")), TEXT.get(20..));
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 5);
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0].query, "rotate a key?");
    assert_eq!(
        (asked[0].collections.as_slice(), asked[0].top_k),
        (&["guide".to_owned()][..], 4)
    );
}

#[actix::test]
async fn without_retrieval_every_collection_is_asked() {
    let (engine, asked) = engine(Vec::new());
    whole(&engine, json!({})).await;
    let asked = asked.lock().unwrap();
    assert!(asked[0].collections.is_empty());
    assert_eq!(asked[0].top_k, 8);
}

#[actix::test]
async fn nothing_near_enough_is_said_plainly_and_not_cited() {
    let (engine, _) = engine(vec![hit(0.3)]);
    let body = whole(&engine, json!({})).await;
    let message = &body["choices"][0]["message"];
    assert!(
        message["content"]
            .as_str()
            .unwrap()
            .contains("found nothing")
    );
    assert_eq!(message["annotations"], json!([]));
}

#[actix::test]
async fn a_stream_has_small_deltas_and_its_last_one_the_annotations() {
    let (engine, _) = engine(vec![hit(0.9)]);
    let same = whole(&engine, json!({})).await;
    let extra = json!({"stream": true, "stream_options": {"include_usage": true}});
    let completion = engine.chat(&chat(extra), cx(), words()).await.unwrap();
    let mut chunks = chunks(completion).await;
    assert!(chunks.len() > 10);
    let usage = chunks.pop().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], same["usage"]);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, same["choices"][0]["message"]["content"]);
    let last = &chunks.last().unwrap()["choices"][0];
    assert_eq!(last["finish_reason"], "stop");
    assert_eq!(
        last["delta"]["annotations"],
        same["choices"][0]["message"]["annotations"]
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
}

#[actix::test]
async fn a_limit_of_tokens_is_kept_and_told() {
    let (engine, _) = engine(vec![hit(0.9)]);
    let body = whole(&engine, json!({"max_tokens": 3})).await;
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 3);
}

#[actix::test]
async fn requests_without_a_question_or_for_several_answers_are_refused() {
    let (engine, _) = engine(vec![hit(0.9)]);
    for (extra, param) in [
        (
            json!({"messages": [{"role": "system", "content": "x"}]}),
            "messages",
        ),
        (
            json!({"messages": [{"role": "user", "content": "  "}]}),
            "messages",
        ),
        (json!({"n": 2}), "n"),
        (json!({"max_tokens": 0}), "max_tokens"),
    ] {
        let fault = engine.chat(&chat(extra), cx(), words()).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert_eq!(fault.param.as_deref(), Some(param));
    }
}

#[actix::test]
async fn a_legacy_completion_answers_its_prompt() {
    let (engine, _) = engine(vec![hit(0.9)]);
    let mut body = Complete {
        model: "bkg-extract".to_owned(),
        prompt: json!(["rotate a key"]),
        ..Complete::default()
    };
    let completion = engine.complete(&body, cx(), words()).await.unwrap();
    let Completion::Whole(answer) = completion else {
        panic!("no stream was asked for");
    };
    assert_eq!(answer["object"], "text_completion");
    let text = answer["choices"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("“To rotate"));
    body.stream = Some(true);
    let told = chunks(engine.complete(&body, cx(), words()).await.unwrap()).await;
    let pieces = told
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str());
    assert_eq!(pieces.collect::<String>(), text);
    body.prompt = json!(["two", "prompts"]);
    let fault = engine.complete(&body, cx(), words()).await.unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("prompt"));
}

#[actix::test]
async fn an_index_that_does_not_run_is_the_callers_to_know() {
    let host = host_in(&Directory::default(), json!({}));
    let engine = Extract::new(&host, Arc::default());
    let fault = engine
        .chat(&chat(json!({})), cx(), words())
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Stopped);
}

#[actix::test]
async fn a_caller_who_may_not_query_gets_no_quotes() {
    let (engine, asked) = engine(vec![hit(1.0)]);
    let mut origin = cx().origin();
    origin.caller = Arc::new(Caller {
        scopes: Scopes::from_iter([Scope::LLM_CHAT]),
        ..Caller::owner()
    });
    let stranger = Cx::new(origin, cx().deadline(), None);
    let answer = engine.chat(&chat(json!({})), stranger, words()).await;
    assert_eq!(answer.unwrap_err().kind, FaultKind::Denied);
    assert!(asked.lock().unwrap().is_empty());
}
