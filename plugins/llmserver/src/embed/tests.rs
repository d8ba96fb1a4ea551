//! Embedding calls, from the message to the vectors.

use messages::{fault::FaultKind, llmserver::EmbedInput};

use super::*;
use crate::testing::{cx, host, models};

fn call(inputs: Vec<EmbedInput>) -> Call<Embed> {
    Call {
        body: Embed {
            model: None,
            inputs,
            dimensions: None,
        },
        cx: cx(),
    }
}

fn texts(texts: &[&str]) -> Vec<EmbedInput> {
    texts
        .iter()
        .map(|text| EmbedInput::Text((*text).to_owned()))
        .collect()
}

async fn ask(call: Call<Embed>) -> Result<Embeddings, Fault> {
    let catalogue = Arc::new(Catalogue::new(&host(), models(), 1024));
    embed(Arc::default(), catalogue, Arc::default(), call).await
}

#[tokio::test]
async fn nothing_too_much_and_too_long_are_refused_by_name() {
    let many = vec![EmbedInput::Text("x".to_owned()); 2049];
    let long = "x".repeat(64 * 1024 + 1);
    for (inputs, word) in [
        (texts(&[]), "nothing to embed"),
        (texts(&["fine", ""]), "input 1 is empty"),
        (vec![EmbedInput::Tokens(Vec::new())], "input 0 is empty"),
        (many, "2049 inputs"),
        (texts(&[&long]), "split it"),
    ] {
        let fault = ask(call(inputs)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert_eq!(fault.param.as_deref(), Some("input"));
        assert!(fault.message.contains(word), "{fault}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_here_is_named_with_the_way_to_get_it() {
    let mut call = call(texts(&["x"]));
    call.body.model = Some("other".to_owned());
    let fault = ask(call).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unknown);
    assert_eq!(fault.code.as_deref(), Some("model_not_found"));
    assert!(fault.message.contains("bkg models pull other"), "{fault}");
}

#[tokio::test]
async fn texts_and_token_ids_become_unit_vectors_with_usage() {
    if crate::testing::minilm().is_none() {
        return;
    }
    let mut inputs = texts(&["how do I rotate a key", "unrelated"]);
    inputs.push(EmbedInput::Tokens(vec![2129, 2079, 1045]));
    let answer = ask(call(inputs)).await.unwrap();
    assert_eq!(answer.model, "all-MiniLM-L6-v2");
    assert_eq!(answer.model_hash.len(), 64);
    assert_eq!(answer.prompt_tokens, 8 + 3 + 5);
    for vector in &answer.vectors {
        assert_eq!(vector.len(), 384);
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
    let mut call = call(texts(&["x"]));
    call.body.dimensions = Some(128);
    let fault = ask(call).await.unwrap_err();
    assert!(fault.message.contains("384 dimensions only"), "{fault}");
}
