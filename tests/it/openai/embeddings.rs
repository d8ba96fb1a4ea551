//! Embeddings: what goes in, how they come out, what they cost.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{EMBEDDINGS, MODEL, error};
use crate::gateway::{Gateway, has_model};

async fn embed(gateway: &Gateway, input: Value) -> Value {
    let body = json!({"model": MODEL, "input": input, "encoding_format": "float"});
    let (status, made) = gateway.post(EMBEDDINGS, &body).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        (&made["object"], &made["model"]),
        (&json!("list"), &json!(MODEL))
    );
    made
}

fn vector(made: &Value, index: usize) -> Vec<f32> {
    let item = &made["data"][index];
    assert_eq!(
        (&item["object"], &item["index"]),
        (&json!("embedding"), &json!(index))
    );
    serde_json::from_value(item["embedding"].clone()).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn embeddings_take_texts_and_token_ids_alone_and_in_lists() {
    if !has_model() {
        return;
    }
    let gateway = Gateway::start().await;
    let one = embed(&gateway, json!("hello world")).await;
    // BERT's ids of `hello world`; `[CLS]` and `[SEP]` are added here as for a text.
    let tokens = embed(&gateway, json!([7592, 2088])).await;
    let lists = embed(&gateway, json!([[7592, 2088], [4937]])).await;
    let texts = embed(&gateway, json!(["a cat", "hello world", "a kitten"])).await;
    let hello = vector(&one, 0);
    assert_eq!(hello.len(), 384);
    assert!(
        (cosine(&hello, &hello) - 1.0).abs() < 1e-5,
        "of unit length"
    );
    for (made, index, count) in [
        (&one, 0, 1),
        (&tokens, 0, 1),
        (&lists, 0, 2),
        (&texts, 1, 3),
    ] {
        let close = cosine(&hello, &vector(made, index));
        assert!(close > 0.9999, "{close}");
        assert_eq!(made["data"].as_array().unwrap().len(), count);
    }
    let near = cosine(&vector(&texts, 0), &vector(&texts, 2));
    let far = cosine(&vector(&texts, 0), &vector(&texts, 1));
    assert!(near > far + 0.2, "{near} {far}");
    for (made, tokens) in [(&one, 4), (&tokens, 4), (&lists, 7), (&texts, 4 + 4 + 4)] {
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        assert_eq!(made["usage"], usage);
    }
}

#[tokio::test]
async fn base64_holds_the_same_numbers_as_float() {
    if !has_model() {
        return;
    }
    let gateway = Gateway::start().await;
    let float = embed(&gateway, json!(["one", "two"])).await;
    let body = json!({"model": MODEL, "input": ["one", "two"], "encoding_format": "base64"});
    let (_, packed) = gateway.post(EMBEDDINGS, &body).await;
    for index in 0..2 {
        let text = packed["data"][index]["embedding"].as_str().unwrap();
        let bytes = BASE64_STANDARD.decode(text).unwrap();
        let numbers = bytes
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        assert_eq!(numbers.collect::<Vec<f32>>(), vector(&float, index));
    }
    assert_eq!(packed["usage"], float["usage"]);
}

#[tokio::test]
async fn an_input_that_cannot_be_embedded_is_a_400_that_says_which() {
    if !has_model() {
        return;
    }
    let gateway = Gateway::start().await;
    for (input, words) in [
        (json!(""), "input 0 is empty"),
        (json!(["a", ""]), "input 1 is empty"),
        (json!([[7592], []]), "input 1 is empty"),
        (json!([]), "holds 0"),
        (json!(vec!["x"; 2049]), "2049"),
        (json!([99_999_999]), "99999999"),
        (json!(["a", 1]), "list"),
        (json!([-1]), "list"),
    ] {
        let (status, told) = gateway
            .post(EMBEDDINGS, &json!({"model": MODEL, "input": input}))
            .await;
        let message = error(&told)["message"].as_str().unwrap();
        assert!(
            status == 400 && message.contains(words),
            "{words}: {message}"
        );
    }
    let body = json!({"model": MODEL, "input": "a", "dimensions": 7});
    let (status, told) = gateway.post(EMBEDDINGS, &body).await;
    assert_eq!(
        (status, &error(&told)["param"]),
        (400, &json!("dimensions"))
    );
}
