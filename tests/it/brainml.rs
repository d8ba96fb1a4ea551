//! Collections over HTTP, field by field as the contract says.

use std::cell::RefCell;

use reqwest::Method;
use serde_json::{Value, json};

use crate::gateway::{Gateway, answer, eventually, has_model};

mod browse;

const DOCS: &str = "/brainml/collections/docs";

async fn query(gateway: &Gateway, body: Value) -> Value {
    let (status, found) = gateway.post(&format!("{DOCS}/query"), &body).await;
    assert_eq!(status, 200, "{body}: {found}");
    found
}

/// An answer for which all legs were there: just after a start a query may be too early for that.
async fn whole(gateway: &Gateway, body: Value) -> Value {
    let (model, found) = (has_model(), RefCell::default());
    eventually("all legs are there", || async {
        let answer = query(gateway, body.clone()).await;
        let whole = !model || answer["degraded"] == false;
        found.replace(answer);
        whole
    })
    .await;
    found.into_inner()
}

/// The field `name` of each result.
fn each(found: &Value, name: &str) -> Vec<Value> {
    let results = found["results"].as_array().unwrap().iter();
    results.map(|hit| hit[name].clone()).collect()
}

/// What a refusal is about. Both statuses mean that the request, and not the gateway, is wrong.
fn refused(answer: (u16, Value)) -> Value {
    let (status, body) = answer;
    assert_eq!(status, 422, "{body}");
    assert!(
        !body["error"]["message"].as_str().unwrap().is_empty(),
        "{body}"
    );
    body["error"]["param"].clone()
}

async fn stats(gateway: &Gateway) -> Value {
    let (status, stats) = gateway.get(&format!("{DOCS}/stats")).await;
    assert_eq!(status, 200, "{stats}");
    stats
}

#[tokio::test]
async fn a_collection_is_made_told_of_and_deleted() {
    let gateway = Gateway::start().await;
    let (status, made) = gateway.put(DOCS, &json!({})).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["name"], "docs");
    assert_eq!(made["documents"], 0);
    let without_body = gateway.request(Method::PUT, DOCS);
    assert_eq!(answer(without_body).await.0, 200, "it may exist already");
    let (_, listed) = gateway.get("/brainml/collections").await;
    let names = listed["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["bkg", "docs"]);
    let delete = || answer(gateway.request(Method::DELETE, DOCS));
    assert_eq!(delete().await.0, 204);
    assert_eq!(delete().await.0, 404);
    for name in ["Docs", "a%20b", "%C3%A4", &"x".repeat(65)] {
        let path = format!("/brainml/collections/{name}");
        assert_eq!(
            refused(gateway.put(&path, &json!({})).await),
            "name",
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_unknown_collection_is_404_everywhere() {
    let gateway = Gateway::start().await;
    let documents = json!({"documents": [{"id": "a", "text": "x"}]});
    let question = json!({"query": "x"});
    let none = "/brainml/collections/none";
    let one = format!("{none}/documents/a");
    for (status, body) in [
        gateway.get(none).await,
        gateway.get(&format!("{none}/stats")).await,
        gateway.post(&format!("{none}/documents"), &documents).await,
        gateway.post(&format!("{none}/query"), &question).await,
        gateway.get(&one).await,
        gateway.get(&format!("{none}/documents")).await,
        gateway.get(&format!("{one}/chunks")).await,
        answer(gateway.request(Method::DELETE, &one)).await,
        answer(gateway.request(Method::DELETE, none)).await,
    ] {
        assert_eq!(status, 404, "{body}");
        assert_eq!(body["error"]["code"], "collection_not_found", "{body}");
        assert!(
            body["error"]["message"].as_str().unwrap().contains("none"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn documents_go_in_are_replaced_and_are_taken_out() {
    let gateway = Gateway::start().await;
    let whole = json!({
        "id": "dir/a.md", "title": "Ä title", "text": "old words", "metadata": {"year": 1958},
    });
    let indexed = gateway
        .index("docs", &json!([whole, {"id": "b", "text": ""}]))
        .await;
    assert_eq!(indexed["indexed"], 2, "{indexed}");
    let path = format!("{DOCS}/documents/dir/a.md");
    assert_eq!(gateway.get(&path).await, (200, whole), "as it was put in");
    let (_, empty) = gateway.get(&format!("{DOCS}/documents/b")).await;
    assert_eq!(empty, json!({"id": "b", "text": "", "metadata": {}}));

    let new = json!([{"id": "dir/a.md", "text": "new sentence"}]);
    let replaced = gateway.index("docs", &new).await;
    assert_eq!(replaced["indexed"], 1);
    assert!(
        replaced["revision"].as_u64() > indexed["revision"].as_u64(),
        "{replaced}"
    );
    assert_eq!(stats(&gateway).await["documents"], 2);
    let lexical = |text: &str| query(&gateway, json!({"query": text, "mode": "lexical"}));
    assert_eq!(lexical("old words").await["results"], json!([]));
    assert_eq!(
        each(&lexical("new sentence").await, "document_id"),
        ["dir/a.md"]
    );

    let delete = || answer(gateway.request(Method::DELETE, &path));
    let (status, deleted) = delete().await;
    assert_eq!(status, 200, "{deleted}");
    assert!(
        deleted["revision"].as_u64() > replaced["revision"].as_u64(),
        "{deleted}"
    );
    let (status, gone) = delete().await;
    assert_eq!(
        (status, &gone["error"]["code"]),
        (404, &json!("document_not_found"))
    );
    assert_eq!(gateway.get(&path).await.0, 404);
    assert_eq!(lexical("new sentence").await["results"], json!([]));
    assert_eq!(stats(&gateway).await["documents"], 1);
}

#[tokio::test]
async fn what_breaks_the_limits_is_refused_by_name_and_changes_nothing() {
    let gateway = Gateway::start().await;
    gateway
        .index("docs", &json!([{"id": "a", "text": "some words"}]))
        .await;
    let before = stats(&gateway).await;
    let index = |documents: Value| {
        let body = json!({"documents": documents});
        let gateway = &gateway;
        async move { refused(gateway.post(&format!("{DOCS}/documents"), &body).await) }
    };
    let many: Vec<Value> = (0..1001)
        .map(|n| json!({"id": n.to_string(), "text": ""}))
        .collect();
    assert_eq!(index(many.into()).await, "documents");
    assert_eq!(index(json!([])).await, "documents");
    let good = json!({"id": "good", "text": "never kept"});
    assert_eq!(
        index(json!([good, {"id": "", "text": ""}])).await,
        "documents[1].id"
    );
    let long = json!({"id": "x".repeat(513), "text": ""});
    assert_eq!(index(json!([long])).await, "documents[0].id");
    assert_eq!(index(json!([{"id": "a"}])).await, "text");
    assert_eq!(
        index(json!([{"id": "a", "text": "", "txet": ""}])).await,
        "txet"
    );

    let ask = |body: Value| {
        let gateway = &gateway;
        async move { refused(gateway.post(&format!("{DOCS}/query"), &body).await) }
    };
    assert_eq!(ask(json!({"query": " "})).await, "query");
    assert_eq!(ask(json!({"query": "x".repeat(8193)})).await, "query");
    assert_eq!(ask(json!({"query": "x", "top_k": 0})).await, "top_k");
    assert_eq!(ask(json!({"query": "x", "top_k": 1001})).await, "top_k");
    let filter = json!({"type": "in", "key": "year", "value": 1});
    assert_eq!(ask(json!({"query": "x", "filter": filter})).await, "filter");
    assert_eq!(ask(json!({"query": "x", "top": 3})).await, "top");
    ask(json!({"query": "x", "mode": "psychic"})).await;
    assert_eq!(stats(&gateway).await, before);
    let most = query(&gateway, json!({"query": "words", "top_k": 1000})).await;
    assert_eq!(each(&most, "document_id"), ["a"]);
}

#[tokio::test]
async fn offsets_are_bytes_of_the_text_on_character_boundaries() {
    let gateway = Gateway::start().await;
    let sentence = "Der Flügel — größer als 5 µm — trägt 東京 und naïve Zoë 🛩️ über Ångström. ";
    let text = sentence.repeat(40);
    gateway
        .index("docs", &json!([{"id": "ä", "title": "Füße", "text": text}]))
        .await;
    let found = query(
        &gateway,
        json!({"query": "Flügel", "top_k": 100, "mode": "lexical"}),
    )
    .await;
    let hits = found["results"].as_array().unwrap();
    assert!(hits.len() > 1, "the text is longer than one chunk");
    for hit in hits {
        let offset = |name: &str| usize::try_from(hit[name].as_u64().unwrap()).unwrap();
        let range = offset("start")..offset("end");
        assert_eq!(text.get(range), hit["text"].as_str(), "{hit}");
        assert_eq!(hit["title"], "Füße");
        assert_eq!(hit["document_id"], "ä");
    }
    let chunks: Vec<String> = (0..hits.len()).map(|n| format!("ä#{n}")).collect();
    let mut ids = each(&found, "chunk_id");
    ids.sort_by_key(|id| id.as_str().map(|id| (id.len(), id.to_owned())));
    assert_eq!(ids, chunks);
    let by_title = query(&gateway, json!({"query": "Füße", "mode": "lexical"})).await;
    assert!(
        !each(&by_title, "chunk_id").is_empty(),
        "the title is ranked too"
    );
}

/// Documents about animals; the first is longer than one chunk.
async fn animals(gateway: &Gateway) {
    let horses = "A horse eats hay. ".repeat(120);
    let documents = json!([
        {"id": "horse", "title": "Horses", "text": horses, "metadata": {"legs": 4, "home": "stable"}},
        {"id": "hen", "text": "A hen eats corn and lays eggs.", "metadata": {"legs": 2, "home": "coop"}},
        {"id": "cow", "text": "A cow eats hay and gives milk.", "metadata": {"legs": 4, "home": "byre"}},
        {"id": "fish", "text": "A fish eats what it finds in the sea.", "metadata": {"tame": false}},
    ]);
    gateway.index("docs", &documents).await;
    let model = has_model();
    eventually("the indexes catch up", || async {
        let stats = stats(gateway).await;
        stats["documents"] == 4 && (!model || stats["degraded"] == false)
    })
    .await;
}

#[tokio::test]
async fn grouping_gives_each_document_once_and_counts_groups() {
    let gateway = Gateway::start().await;
    animals(&gateway).await;
    let ask = |group: &str, top_k: u64| {
        query(
            &gateway,
            json!({"query": "eats hay", "mode": "lexical", "group": group, "top_k": top_k}),
        )
    };
    let chunks = each(&ask("chunk", 3).await, "document_id");
    assert_eq!(chunks.len(), 3);
    assert!(
        chunks.iter().filter(|id| *id == "horse").count() > 1,
        "{chunks:?}"
    );
    let mut documents = each(&ask("document", 3).await, "document_id");
    assert_eq!(documents.len(), 3);
    documents.sort_by_key(Value::to_string);
    documents.dedup();
    assert_eq!(documents.len(), 3);
    assert_eq!(each(&ask("document", 100).await, "document_id").len(), 4);
    let default = query(&gateway, json!({"query": "eats hay", "mode": "lexical"})).await;
    assert_eq!(
        default,
        ask("chunk", 10).await,
        "ten chunks unless asked otherwise"
    );
}

#[tokio::test]
async fn each_mode_uses_its_legs_and_explains_its_scores() {
    let gateway = Gateway::start().await;
    animals(&gateway).await;
    let ask = |mode: &str, explain: bool| {
        whole(
            &gateway,
            json!({"query": "cow milk", "mode": mode, "explain": explain}),
        )
    };
    let lexical = ask("lexical", false).await;
    assert_eq!(lexical["degraded"], false, "no vectors were asked for");
    let best = &lexical["results"][0];
    assert_eq!(
        (&best["document_id"], &best["lexical_rank"]),
        (&json!("cow"), &json!(1))
    );
    assert!(
        best.get("vector_rank").is_none() && best.get("explanation").is_none(),
        "{best}"
    );
    assert_eq!(best["metadata"]["home"], "byre");
    assert_eq!(best["collection"], "docs");
    let explained = ask("lexical", true).await;
    let explanation = &explained["results"][0]["explanation"];
    assert!(
        explanation["lexical"].as_f64().unwrap() > 0.0,
        "{explanation}"
    );
    let terms = explanation["terms"].as_array().unwrap();
    assert_eq!(
        terms.iter().map(|term| &term[0]).collect::<Vec<_>>(),
        ["cow", "milk"]
    );
    if !has_model() {
        return;
    }
    let vector = ask("vector", false).await;
    assert_eq!(vector["results"][0]["vector_rank"], 1, "{vector}");
    assert!(
        each(&vector, "lexical_rank").iter().all(Value::is_null),
        "{vector}"
    );
    let hybrid = ask("hybrid", true).await;
    assert_eq!(hybrid["degraded"], false, "{hybrid}");
    let best = &hybrid["results"][0];
    assert_eq!(best["document_id"], "cow", "{best}");
    assert!(
        best["lexical_rank"] == 1 && best["vector_rank"] == 1,
        "{best}"
    );
    for name in ["lexical", "lexical_scaled", "vector", "vector_scaled"] {
        assert!(best["explanation"][name].is_number(), "{name}: {best}");
    }
    let scores = each(&hybrid, "score")
        .into_iter()
        .map(|score| score.as_f64().unwrap());
    let scores: Vec<f64> = scores.collect();
    assert!(
        scores.iter().all(|score| (0.0..=1.0).contains(score)),
        "{scores:?}"
    );
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
}

#[tokio::test]
async fn filters_decide_which_documents_count() {
    let gateway = Gateway::start().await;
    animals(&gateway).await;
    let is =
        |kind: &str, key: &str, value: Value| json!({"type": kind, "key": key, "value": value});
    let four = is("eq", "legs", json!(4));
    let coop = is("eq", "home", json!("coop"));
    let cases = [
        (four.clone(), "cow horse"),
        (is("ne", "legs", json!(4)), "fish hen"),
        (is("gt", "legs", json!(2)), "cow horse"),
        (is("gte", "legs", json!(2)), "cow hen horse"),
        (is("lt", "legs", json!(4)), "hen"),
        (is("lte", "legs", json!(4)), "cow hen horse"),
        (is("in", "home", json!(["byre", "coop"])), "cow hen"),
        (is("nin", "home", json!(["byre", "coop"])), "fish horse"),
        (is("eq", "tame", json!(false)), "fish"),
        (
            json!({"type": "or", "filters": [coop, is("gt", "home", json!("m"))]}),
            "hen horse",
        ),
        (
            json!({"type": "and", "filters": [four, is("lt", "home", json!("c"))]}),
            "cow",
        ),
    ];
    for (filter, expected) in cases {
        let body = json!({"query": "eats", "group": "document", "top_k": 100, "filter": filter});
        let found = query(&gateway, body).await;
        let ids = each(&found, "document_id").into_iter();
        let mut ids: Vec<String> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        assert_eq!(ids.join(" "), expected, "{filter}");
    }
}

#[tokio::test]
async fn ties_have_an_order_and_answers_are_the_same_twice_and_after_a_restart() {
    let mut gateway = Gateway::start().await;
    let documents = ["m", "z", "a", "k", "b"].map(|id| json!({"id": id, "text": "the same words"}));
    gateway.index("docs", &json!(documents)).await;
    let body = json!({"query": "same words", "explain": true});
    let first = whole(&gateway, body.clone()).await;
    assert_eq!(each(&first, "document_id"), ["a", "b", "k", "m", "z"]);
    assert_eq!(whole(&gateway, body.clone()).await, first);
    gateway.terminate();
    assert!(gateway.ended().success());
    gateway.restart();
    assert_eq!(
        whole(&gateway, body.clone()).await,
        first,
        "from persisted indexes"
    );
    gateway.kill();
    gateway.restart();
    assert_eq!(whole(&gateway, body).await, first, "after a crash");
}

#[tokio::test]
async fn stats_tell_sizes_and_the_revision() {
    let gateway = Gateway::start().await;
    animals(&gateway).await;
    let before = stats(&gateway).await;
    let more = "é".repeat(10);
    let indexed = gateway
        .index("docs", &json!([{"id": "new", "text": more}]))
        .await;
    let after = stats(&gateway).await;
    let grown = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    assert_eq!(
        (grown("documents"), grown("chunks"), grown("bytes")),
        (1, 1, 20)
    );
    assert!(
        after["revision"].as_u64() >= indexed["revision"].as_u64(),
        "{after}"
    );
    assert!(before["chunks"].as_u64().unwrap() > 4, "{before}");
    if has_model() {
        assert_eq!(after["model"], "all-MiniLM-L6-v2", "{after}");
    }
}

#[tokio::test]
async fn scopes_tell_readers_writers_and_owners_apart() {
    let gateway = Gateway::start().await;
    gateway
        .index("docs", &json!([{"id": "a", "text": "words"}]))
        .await;
    let keys = [
        "brainml.query",
        "brainml.index",
        "brainml.stats",
        "brainml.admin",
    ]
    .map(|scope| (scope, gateway.new_key(scope)));
    let documents = json!({"documents": [{"id": "b", "text": "more"}]});
    let question = json!({"query": "words"});
    let rights = [
        (Method::POST, "/query", Some(&question), "brainml.query"),
        (Method::GET, "/documents/a", None, "brainml.query"),
        (Method::GET, "/documents", None, "brainml.query"),
        (Method::GET, "/documents/a/chunks", None, "brainml.query"),
        (Method::PUT, "", None, "brainml.index"),
        (
            Method::POST,
            "/documents",
            Some(&documents),
            "brainml.index",
        ),
        (Method::DELETE, "/documents/b", None, "brainml.index"),
        (Method::GET, "/stats", None, "brainml.stats"),
        (Method::DELETE, "", None, "brainml.admin"),
    ];
    for (method, path, body, needed) in rights {
        // The one that may comes last: it may change what the others are refused.
        let mut keys: Vec<_> = keys.iter().collect();
        keys.sort_by_key(|(scope, _)| *scope == needed);
        for (scope, key) in keys {
            let request = gateway.anonymous(method.clone(), &format!("{DOCS}{path}"));
            let request = request.bearer_auth(key);
            let request = body
                .iter()
                .fold(request, |request, body| request.json(body));
            let (status, said) = answer(request).await;
            let allowed = matches!(status, 200 | 204);
            assert_eq!(
                allowed,
                *scope == needed,
                "{method} {path}, {scope}: {status} {said}"
            );
            assert!(
                allowed || status == 403,
                "{method} {path}, {scope}: {status}"
            );
        }
    }
}
