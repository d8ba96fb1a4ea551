//! OpenAI's API: errors, models, embeddings, chat with citations, completions.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{
    Method,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::{Value, json};

use crate::{
    gateway::{Gateway, answer, has_model},
    sse::Events,
};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
const MODEL: &str = "all-MiniLM-L6-v2";

/// Checks that `body` is OpenAI's error envelope and nothing else; gives what is inside.
fn error(body: &Value) -> &Value {
    let error = &body["error"];
    let fields: Vec<&String> = error
        .as_object()
        .expect("an error envelope")
        .keys()
        .collect();
    assert_eq!(fields, ["code", "message", "param", "type"], "{body}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.len() > 10),
        "{body}"
    );
    assert!(
        error["type"]
            .as_str()
            .is_some_and(|text| text.ends_with("_error")),
        "{body}"
    );
    error
}

#[tokio::test]
async fn every_error_comes_in_openais_envelope() {
    let gateway = Gateway::start().await;
    let user = json!([{"role": "user", "content": "hello"}]);
    for (path, body, status, param, code) in [
        (
            CHAT,
            json!({"model": "bkg-extract"}),
            400,
            json!("messages"),
            json!(null),
        ),
        (
            CHAT,
            json!({"messages": user}),
            400,
            json!("model"),
            json!(null),
        ),
        (CHAT, json!([1]), 400, json!(null), json!(null)),
        (
            CHAT,
            json!({"model": "gpt-7", "messages": user}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            CHAT,
            json!({"model": "bkg-extract", "messages": []}),
            400,
            json!("messages"),
            json!(null),
        ),
        (
            CHAT,
            json!({"model": "bkg-extract", "messages": user, "n": 2}),
            400,
            json!("n"),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": MODEL}),
            400,
            json!("input"),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": MODEL, "input": []}),
            400,
            json!("input"),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": MODEL, "input": 7}),
            400,
            json!(null),
            json!(null),
        ),
        (
            EMBEDDINGS,
            json!({"model": "gpt-7", "input": "a"}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            "/v1/completions",
            json!({"model": "bkg-extract"}),
            400,
            json!("prompt"),
            json!(null),
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-7", "prompt": "a"}),
            404,
            json!("model"),
            json!("model_not_found"),
        ),
        (
            "/v1/audio/speech",
            json!({}),
            404,
            json!(null),
            json!("unknown_url"),
        ),
    ] {
        let (got, told) = gateway.post(path, &body).await;
        let error = error(&told);
        assert_eq!(
            (got, &error["param"]),
            (status, &param),
            "{path} {body}: {told}"
        );
        assert_eq!(error["code"], code, "{path} {body}: {told}");
    }
    for (method, path, status) in [
        (Method::GET, "/v1/models/gpt-7", 404),
        (Method::GET, "/v1/models/%ff", 404),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/ws/logs?colour=red", 400),
        (Method::GET, "/ws/logs", 400),
        (Method::GET, "/admin/plugins/bkg/logs?limit=many", 400),
        (Method::GET, "/brainml/collections/none/stats", 404),
    ] {
        let (got, told) = answer(gateway.request(method, path)).await;
        assert_eq!(got, status, "{path}: {told}");
        error(&told);
    }
}

#[tokio::test]
async fn json_that_is_none_is_a_400_that_says_where() {
    let gateway = Gateway::start().await;
    for (body, words) in [
        ("{\"model\": ", "EOF"),
        ("{]", "line 1"),
        ("", "JSON"),
        ("\u{0}", "line 1"),
    ] {
        let request = gateway.request(Method::POST, CHAT).body(body);
        let (status, told) = answer(request.header(CONTENT_TYPE, "application/json")).await;
        let message = error(&told)["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(words), "{body:?}: {told}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let gateway = Gateway::start().await;
    for (method, path, allowed) in [
        (Method::GET, CHAT, "POST"),
        (Method::DELETE, "/v1/models", "GET"),
        (Method::POST, "/v1/models/org/model", "GET"),
        (Method::PATCH, "/admin/keys", "GET, POST"),
        (Method::POST, "/brainml/collections/c", "DELETE, GET, PUT"),
        (
            Method::PUT,
            "/brainml/collections/c/documents/a/b",
            "DELETE, GET",
        ),
        (Method::GET, "/brainml/collections/c/documents", "POST"),
    ] {
        let response = gateway.request(method.clone(), path).send().await.unwrap();
        assert_eq!(response.status(), 405, "{method} {path}");
        let told = response.headers()[ALLOW].to_str().unwrap();
        let mut told: Vec<&str> = told.split(", ").collect();
        told.sort_unstable();
        assert_eq!(told.join(", "), allowed, "{method} {path}");
        let body = response.json().await.unwrap();
        assert_eq!(error(&body)["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413_and_documents_have_a_limit_of_their_own() {
    let env = [
        ("BKG_SERVER__BODY_LIMIT", "2000"),
        ("BKG_SERVER__DOCUMENTS_LIMIT", "8000"),
    ];
    let gateway = Gateway::start_with(&env).await;
    let chat = |length: usize| {
        let content = "x".repeat(length);
        json!({"model": "none", "messages": [{"role": "user", "content": content}]})
    };
    let documents = |length: usize| json!({"documents": [{"id": "d", "text": "x".repeat(length)}]});
    assert_eq!(
        gateway.put("/brainml/collections/c", &json!({})).await.0,
        200
    );
    for (method, path, body, status) in [
        (Method::POST, CHAT, chat(1000), 404),
        (Method::POST, CHAT, chat(3000), 413),
        (Method::POST, "/admin/keys", chat(3000), 413),
        (
            Method::POST,
            "/brainml/collections/c/documents",
            documents(3000),
            200,
        ),
        (
            Method::POST,
            "/brainml/collections/c/documents",
            documents(9000),
            413,
        ),
        (Method::PUT, "/brainml/collections/c", chat(3000), 413),
    ] {
        let (got, told) = answer(gateway.request(method, path).json(&body)).await;
        assert_eq!(got, status, "{path}: {told}");
        if status == 413 {
            let error = error(&told);
            assert_eq!(error["code"], "payload_too_large", "{path}");
            let limit = if path.ends_with("documents") {
                "8000"
            } else {
                "2000"
            };
            assert!(error["message"].as_str().unwrap().contains(limit), "{told}");
        }
    }
}

#[tokio::test]
async fn what_is_no_plain_json_is_a_415() {
    let gateway = Gateway::start().await;
    let ask = || gateway.request(Method::POST, CHAT);
    let plain = ask().body("{}").header(CONTENT_TYPE, "text/plain");
    for (what, request) in [
        ("plain text", plain),
        (
            "a form",
            ask()
                .body("a=1")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
        ),
        ("no type", ask().body("{}")),
        (
            "gzip",
            ask().json(&json!({})).header(CONTENT_ENCODING, "gzip"),
        ),
        (
            "zstd",
            ask().json(&json!({})).header(CONTENT_ENCODING, "zstd"),
        ),
    ] {
        let (status, told) = answer(request).await;
        assert_eq!(status, 415, "{what}: {told}");
        assert_eq!(error(&told)["code"], "unsupported_media_type", "{what}");
    }
}

async fn request_id(gateway: &Gateway, path: &str, own: Option<&str>) -> String {
    let request = gateway.anonymous(Method::GET, path);
    let request = match own {
        Some(own) => request.header("x-request-id", own),
        None => request,
    };
    let response = request.send().await.unwrap();
    response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn every_answer_has_a_request_id_the_callers_own_where_it_is_sane() {
    let gateway = Gateway::start().await;
    let long = "x".repeat(129);
    for path in ["/health/live", "/v1/models", "/nowhere"] {
        assert_eq!(
            request_id(&gateway, path, Some("mine-1.2:3_4")).await,
            "mine-1.2:3_4",
            "{path}"
        );
        let mut made = vec![request_id(&gateway, path, None).await];
        for insane in ["", "two words", "<script>", long.as_str()] {
            made.push(request_id(&gateway, path, Some(insane)).await);
        }
        assert!(
            made.iter()
                .all(|id| id.len() == 36 && id.starts_with("req_")),
            "{made:?}"
        );
        made.sort();
        made.dedup();
        assert_eq!(made.len(), 5, "each has its own");
    }
    let refused = gateway
        .request(Method::POST, CHAT)
        .header(CONTENT_ENCODING, "gzip");
    let refused = refused.header("x-request-id", "mine").send().await.unwrap();
    assert_eq!(refused.headers()["x-request-id"], "mine");
}

#[tokio::test]
async fn models_are_listed_and_told_one_by_one() {
    let gateway = Gateway::start().await;
    let (status, listed) = gateway.get("/v1/models").await;
    assert_eq!((status, &listed["object"]), (200, &json!("list")));
    let models = listed["data"].as_array().unwrap();
    for model in models {
        assert_eq!(model["object"], "model", "{model}");
        assert!(
            model["created"]
                .as_i64()
                .is_some_and(|at| at > 1_500_000_000),
            "{model}"
        );
        let id = model["id"].as_str().unwrap();
        assert_eq!(
            gateway.get(&format!("/v1/models/{id}")).await,
            (200, model.clone())
        );
    }
    let ids: Vec<&str> = models
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"bkg-extract"), "{ids:?}");
    assert_eq!(ids.contains(&MODEL), has_model(), "{ids:?}");
}

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

/// A collection whose texts hold characters of one to four bytes.
async fn indexed() -> Gateway {
    let gateway = Gateway::start().await;
    let documents = json!([
        {"id": "alps/glacier.md", "title": "Glaciers",
         "text": "Überall glänzt Eis. 🏔 The Aletsch glacier is twenty kilometres long. It shrinks."},
        {"id": "bread", "text": "Sourdough bread rises overnight — slowly — in a cool kitchen."},
        {"id": "empty", "text": ""},
    ]);
    gateway.index("notes", &documents).await;
    gateway
}

fn question(text: &str) -> Value {
    json!({
        "model": "bkg-extract",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": text}]},
        ],
        "retrieval": {"collections": ["notes"], "top_k": 5},
        "temperature": 0.2,
    })
}

/// Every citation must resolve to bytes of its document that the answer quotes.
async fn check_citations(gateway: &Gateway, text: &str, annotations: &Value) -> Vec<String> {
    let mut documents = Vec::new();
    for annotation in annotations.as_array().unwrap() {
        assert_eq!(annotation["type"], "file_citation");
        let citation = &annotation["file_citation"];
        let field = |name: &str| citation[name].as_str().unwrap().to_owned();
        let (collection, id) = (field("collection"), field("document_id"));
        let path = format!("/brainml/collections/{collection}/documents/{id}");
        let (status, document) = gateway.get(&path).await;
        assert_eq!(status, 200, "{document}");
        assert_eq!(citation["title"], document["title"]);
        let place = |name: &str| usize::try_from(citation[name].as_u64().unwrap()).unwrap();
        let bytes = &document["text"].as_str().unwrap().as_bytes()[place("start")..place("end")];
        let quoted = std::str::from_utf8(bytes).unwrap();
        assert!(
            !quoted.is_empty() && text.contains(&format!("“{quoted}”")),
            "{quoted:?} in {text}"
        );
        documents.push(id);
    }
    documents
}

#[tokio::test]
async fn an_answer_quotes_its_documents_and_its_citations_resolve() {
    let gateway = indexed().await;
    let (status, told) = gateway
        .post(CHAT, &question("How long is the Aletsch glacier?"))
        .await;
    assert_eq!(
        (status, &told["object"]),
        (200, &json!("chat.completion")),
        "{told}"
    );
    assert_eq!(told["model"], "bkg-extract");
    assert!(told["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choice = &told["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"]),
        (&json!(0), &json!("stop"))
    );
    let message = &choice["message"];
    assert_eq!(message["role"], "assistant");
    let text = message["content"].as_str().unwrap();
    assert!(text.contains("twenty kilometres"), "{text}");
    let cited = check_citations(&gateway, text, &message["annotations"]).await;
    assert_eq!(cited.first().map(String::as_str), Some("alps/glacier.md"));
    let usage = &told["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert!(
        count("prompt_tokens") > 5 && count("completion_tokens") > 5,
        "{usage}"
    );
    assert_eq!(
        count("prompt_tokens") + count("completion_tokens"),
        count("total_tokens")
    );
}

#[tokio::test]
async fn a_stream_carries_the_same_answer_in_openais_chunks() {
    let gateway = indexed().await;
    let mut body = question("How long is the Aletsch glacier?");
    let (_, whole) = gateway.post(CHAT, &body).await;
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let ask = gateway.request(Method::POST, CHAT).json(&body);
    let mut chunks = Events::of(ask).await.values().await;
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(
            (&chunk["id"], &chunk["model"]),
            (&chunks[0]["id"], &json!("bkg-extract"))
        );
    }
    let usage = chunks.pop().unwrap();
    assert_eq!(
        (&usage["choices"], &usage["usage"]),
        (&json!([]), &whole["usage"])
    );
    let choices: Vec<Value> = chunks
        .iter()
        .map(|chunk| chunk["choices"][0].clone())
        .collect();
    assert_eq!(choices[0]["delta"]["role"], "assistant");
    let (last, before) = choices.split_last().unwrap();
    assert!(
        before
            .iter()
            .all(|choice| choice["finish_reason"].is_null())
    );
    assert!(
        before
            .iter()
            .all(|choice| choice["delta"].get("annotations").is_none())
    );
    let text: String = before
        .iter()
        .filter_map(|choice| choice["delta"]["content"].as_str())
        .collect();
    let message = &whole["choices"][0]["message"];
    assert_eq!(text, message["content"].as_str().unwrap());
    assert_eq!(last["finish_reason"], "stop");
    assert_eq!(last["delta"]["annotations"], message["annotations"]);
    assert!(before.len() > 5, "word by word");

    body.as_object_mut().unwrap().remove("stream_options");
    let ask = gateway.request(Method::POST, CHAT).json(&body);
    let chunks = Events::of(ask).await.values().await;
    assert!(
        chunks.iter().all(|chunk| chunk.get("usage").is_none()),
        "nobody asked for the usage"
    );
}

#[tokio::test]
async fn where_nothing_fits_the_answer_says_so_and_cites_nothing() {
    let gateway = indexed().await;
    let mut body = question("zyzzyva quasar xylophone?");
    let (status, told) = gateway.post(CHAT, &body).await;
    assert_eq!(status, 200, "{told}");
    let message = &told["choices"][0]["message"];
    assert_eq!(message["annotations"], json!([]), "{message}");
    let text = message["content"].as_str().unwrap();
    assert!(text.contains("found nothing"), "{text}");
    body["stream"] = json!(true);
    let ask = gateway.request(Method::POST, CHAT).json(&body);
    let chunks = Events::of(ask).await.values().await;
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["delta"]["annotations"], json!([]));
}

#[tokio::test]
async fn retrieval_from_a_collection_that_is_not_there_is_a_404_before_any_stream() {
    let gateway = indexed().await;
    let mut body = question("How long is the Aletsch glacier?");
    body["retrieval"] = json!({"collections": ["notes", "nowhere"]});
    for streamed in [false, true] {
        body["stream"] = json!(streamed);
        let (status, told) = gateway.post(CHAT, &body).await;
        let message = error(&told)["message"].as_str().unwrap();
        assert!(status == 404 && message.contains("nowhere"), "{told}");
    }
    body["retrieval"] = json!({"collection": "notes"});
    let (status, told) = gateway.post(CHAT, &body).await;
    assert_eq!(
        (status, &error(&told)["param"]),
        (400, &json!("collection")),
        "{told}"
    );
}

#[tokio::test]
async fn legacy_completions_answer_whole_and_in_pieces() {
    let gateway = indexed().await;
    let mut body = json!({"model": "bkg-extract", "prompt": "How long is the Aletsch glacier?"});
    let (status, told) = gateway.post("/v1/completions", &body).await;
    assert_eq!(
        (status, &told["object"]),
        (200, &json!("text_completion")),
        "{told}"
    );
    let text = told["choices"][0]["text"].as_str().unwrap();
    assert!(text.contains("twenty kilometres"), "{text}");
    assert_eq!(told["choices"][0]["finish_reason"], "stop");
    body["stream"] = json!(true);
    let ask = gateway.request(Method::POST, "/v1/completions").json(&body);
    let chunks = Events::of(ask).await.values().await;
    let pieces = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap());
    assert_eq!(pieces.collect::<String>(), text);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "text_completion")
    );
}

#[tokio::test]
async fn max_tokens_cuts_the_answer_and_says_length() {
    let gateway = indexed().await;
    let mut body = question("How long is the Aletsch glacier?");
    body["max_tokens"] = json!(6);
    let (_, told) = gateway.post(CHAT, &body).await;
    assert_eq!(told["choices"][0]["finish_reason"], "length", "{told}");
    assert!(
        told["usage"]["completion_tokens"].as_u64().unwrap() <= 6,
        "{told}"
    );
}
