//! The plugin as the gateway sees it: its messages and their answers.

use messages::{
    fault::FaultKind,
    line::Directory,
    llmserver::{Completion, EmbedInput, ModelCapability},
};
use serde_json::{Value, json};

use super::*;
use crate::testing::{cx, host_in, models, near, store};

fn plugin(settings: Value, models: PathBuf) -> Result<Llmserver, Fault> {
    let host = host_in(&Directory::default(), settings);
    let board = UpstreamBoard::default();
    // No test here keeps a conversation, so the store may lose its directory.
    let (_directory, store) = store();
    Llmserver::new(&host, models, &near(), &board, store)
}

async fn ask<C: messages::call::Capability>(
    plugin: &mut Llmserver,
    body: C,
) -> Result<C::Reply, Fault>
where
    Llmserver: Serve<C>,
{
    match plugin.serve(Call { body, cx: cx() }) {
        Answer::Now(answer) => answer,
        Answer::Later(answer) => answer.await,
    }
}

fn chat(model: &str) -> Chat {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn without_models_it_runs_lists_what_there_is_and_says_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let mut plugin = plugin(json!({}), empty.path().join("models")).unwrap();
    let listed = ask(&mut plugin, ListModels).await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(ids, ["bkg-extract"]);
    let embed = Embed {
        model: None,
        inputs: vec![EmbedInput::Text("x".to_owned())],
        dimensions: None,
    };
    let fault = ask(&mut plugin, embed).await.unwrap_err();
    assert!(
        fault.message.contains("bkg models pull all-MiniLM-L6-v2"),
        "{fault}"
    );
}

#[tokio::test]
async fn models_here_and_at_upstreams_are_listed_with_their_task() {
    if crate::testing::minilm().is_none() {
        return;
    }
    let upstream = json!({
        "name": "far", "base_url": "http://127.0.0.1:1/v1",
        "models": ["big"], "embedding_models": ["vectors"],
    });
    let mut plugin = plugin(json!({"upstreams": [upstream]}), models()).unwrap();
    let listed = ask(&mut plugin, ListModels).await.unwrap();
    let of = |id: &str| listed.iter().find(|model| model.id == id).unwrap();
    assert_eq!(of("big").owned_by, "far");
    assert_eq!(of("vectors").task, ModelTask::Embedding);
    assert_eq!(of("vectors").capabilities, [ModelCapability::Embeddings]);
    assert_eq!(of("big").capabilities, [ModelCapability::Chat]);
    assert_eq!(of("bkg-extract").capabilities, [ModelCapability::Chat]);
    assert_eq!(of("all-MiniLM-L6-v2").engine, "burn");
}

#[tokio::test]
async fn a_chat_goes_to_whoever_has_the_model() {
    let empty = tempfile::tempdir().unwrap();
    let mut plugin = plugin(json!({}), empty.path().to_owned()).unwrap();
    let fault = ask(&mut plugin, chat("unheard-of")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unknown);
    assert_eq!(fault.code.as_deref(), Some("model_not_found"));
    // No index runs in this test, and that is what the default engine says.
    for model in ["", "bkg-extract"] {
        let fault = ask(&mut plugin, chat(model)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Stopped, "{fault}");
    }
}

#[tokio::test]
async fn an_embedding_model_does_not_chat() {
    if crate::testing::minilm().is_none() {
        return;
    }
    let mut plugin = plugin(json!({}), models()).unwrap();
    let answer = ask(&mut plugin, chat("all-MiniLM-L6-v2")).await;
    let fault = match answer {
        Ok(Completion::Whole(_) | Completion::Chunks(_)) => panic!("it chatted"),
        Err(fault) => fault,
    };
    assert_eq!(fault.kind, FaultKind::Invalid);
    assert!(fault.message.contains("cannot chat"), "{fault}");
}

#[test]
fn wrong_settings_are_a_fault_that_names_the_field() {
    let fault = plugin(json!({"batch": 1}), PathBuf::new()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unprocessable);
    assert!(fault.message.contains("batch"), "{fault}");
}
