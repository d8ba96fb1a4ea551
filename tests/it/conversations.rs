//! Conversations: kept by user, found again, and nobody else's.

use reqwest::{Method, RequestBuilder, header};
use serde_json::{Value, json};

use crate::gateway::{Gateway, PASSWORD, answer};

const PATH: &str = "/conversations";

/// A gateway without a model: nothing is answered here.
async fn start() -> Gateway {
    Gateway::start_with(&[("BKG_MODELS_DIR", "no-models")]).await
}

fn said(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

async fn keep(gateway: &Gateway, body: &Value) -> Value {
    let (status, kept) = gateway.post(PATH, body).await;
    assert_eq!(status, 201, "{body}: {kept}");
    kept
}

async fn listed(gateway: &Gateway, query: &str) -> Value {
    let (status, page) = gateway.get(&format!("{PATH}{query}")).await;
    assert_eq!(status, 200, "{query}: {page}");
    page
}

fn titles(page: &Value) -> Vec<&str> {
    let conversations = page["conversations"].as_array().unwrap().iter();
    conversations
        .map(|one| one["title"].as_str().unwrap())
        .collect()
}

fn path(kept: &Value) -> String {
    format!("{PATH}/{}", kept["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_conversation_is_kept_whole_changed_and_deleted() {
    let gateway = start().await;
    let citation = json!({"type": "file_citation", "file_citation": {
        "document_id": "dir/a.md", "collection": "docs", "start": 3, "end": 9, "title": "A",
    }});
    let body = json!({
        "model": "bkg-extract", "system": "Be brief.",
        "settings": {"temperature": 0.5, "max_tokens": 100}, "collections": ["docs"],
        "messages": [
            said("user", "  How do I\nrevoke a key?  "),
            {"role": "assistant", "content": "So.\u{0000}", "annotations": [citation],
             "model": "bkg-extract", "usage": {"total_tokens": 5}, "created_at": "2026-11-24T10:00:00Z"},
        ],
    });
    let kept = keep(&gateway, &body).await;
    assert_eq!(kept["revision"], 1);
    assert_eq!(kept["title"], "How do I revoke a key?");
    for field in ["model", "system", "settings", "collections", "messages"] {
        assert_eq!(kept[field], body[field], "{field}");
    }
    assert_eq!(kept["created_at"], kept["updated_at"]);
    assert_eq!(gateway.get(&path(&kept)).await, (200, kept.clone()));

    let mut next = body.clone();
    next["messages"][1]["content"] = json!("Otherwise.");
    next["messages"]
        .as_array_mut()
        .unwrap()
        .push(said("user", "And then?"));
    next["title"] = json!("Keys");
    next["revision"] = json!(1);
    let (status, changed) = gateway.put(&path(&kept), &next).await;
    assert_eq!(
        (status, &changed["revision"]),
        (200, &json!(2)),
        "{changed}"
    );
    assert_eq!(changed["messages"], next["messages"]);
    assert_eq!(changed["created_at"], kept["created_at"]);
    assert_eq!(gateway.get(&path(&kept)).await, (200, changed.clone()));
    // Fewer messages, too.
    let less = json!({"revision": 2, "messages": [said("user", "Only this.")]});
    let (_, less) = gateway.put(&path(&kept), &less).await;
    assert_eq!(gateway.get(&path(&kept)).await, (200, less.clone()));
    assert_eq!(less["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&less["system"], &less["settings"]),
        (&Value::Null, &json!({}))
    );

    let delete = || answer(gateway.request(Method::DELETE, &path(&kept)));
    assert_eq!(delete().await.0, 204);
    let (status, gone) = delete().await;
    assert_eq!(
        (status, &gone["error"]["code"]),
        (404, &json!("conversation_not_found"))
    );
    assert_eq!(gateway.get(&path(&kept)).await.0, 404);
    assert_eq!(
        listed(&gateway, "").await,
        json!({"conversations": [], "next": null})
    );
}

#[tokio::test]
async fn who_writes_over_what_he_has_not_read_loses_nothing() {
    let gateway = start().await;
    let kept = keep(
        &gateway,
        &json!({"title": "t", "messages": [said("user", "one")]}),
    )
    .await;
    let change = |text: &str, revision: u64| {
        let body = json!({"title": "t", "revision": revision, "messages": [said("user", text)]});
        let (gateway, path) = (&gateway, path(&kept));
        async move { gateway.put(&path, &body).await }
    };
    // Two at once from the same revision: one of them is told.
    let (left, right) = tokio::join!(change("left", 1), change("right", 1));
    let mut statuses = [left.0, right.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let (won, lost) = if left.0 == 200 {
        (left.1, right.1)
    } else {
        (right.1, left.1)
    };
    assert_eq!(lost["error"]["code"], "revision_conflict", "{lost}");
    let message = lost["error"]["message"].as_str().unwrap();
    assert!(message.contains("its revision is 2, not 1"), "{message}");
    assert_eq!(gateway.get(&path(&kept)).await, (200, won));
    assert_eq!(change("from the future", 3).await.0, 409);
    let (status, told) = gateway.put(&path(&kept), &json!({"messages": []})).await;
    assert_eq!((status, &told["error"]["param"]), (422, &json!("revision")));
    let (status, told) = gateway
        .post(PATH, &json!({"messages": [], "revision": 1}))
        .await;
    assert_eq!((status, &told["error"]["param"]), (422, &json!("revision")));
}

#[tokio::test]
async fn nobody_finds_another_users_conversations_and_an_admin_neither() {
    let gateway = start().await;
    let user = json!({"username": "eve", "password": PASSWORD, "scopes": ["llm.chat"]});
    assert_eq!(gateway.post("/admin/users", &user).await.0, 201);
    let login = json!({"username": "eve", "password": PASSWORD});
    let login = gateway
        .anonymous(Method::POST, "/auth/login")
        .json(&login)
        .send()
        .await;
    let cookie = login.unwrap().headers()[header::SET_COOKIE]
        .to_str()
        .unwrap()
        .to_owned();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let eve = |method: Method, path: &str| -> RequestBuilder {
        let request = gateway.anonymous(method, path);
        request.header(header::COOKIE, cookie.clone())
    };

    let mine = keep(
        &gateway,
        &json!({"messages": [said("user", "the admin's secret")]}),
    )
    .await;
    let hers = json!({"messages": [said("user", "her secret")]});
    let (status, hers) = answer(eve(Method::POST, PATH).json(&hers)).await;
    assert_eq!(status, 201, "{hers}");
    let change = json!({"revision": 1, "messages": []});
    for (method, end, body) in [
        (Method::GET, "", None),
        (Method::PUT, "", Some(&change)),
        (Method::DELETE, "", None),
        (Method::GET, "/export", None),
    ] {
        let with = |request: RequestBuilder| match body {
            Some(body) => request.json(body),
            None => request,
        };
        let foreign = format!("{}{end}", path(&mine));
        let none = format!("{PATH}/conv_none{end}");
        let (status, told) = answer(with(eve(method.clone(), &foreign))).await;
        let (_, nothing) = answer(with(eve(method.clone(), &none))).await;
        assert_eq!(status, 404, "{method} {foreign}: {told}");
        let id = mine["id"].as_str().unwrap();
        let as_if = nothing.to_string().replace("conv_none", id);
        assert_eq!(told.to_string(), as_if, "as if there were none");
        let foreign = format!("{}{end}", path(&hers));
        let (status, told) = answer(with(gateway.request(method.clone(), &foreign))).await;
        assert_eq!(status, 404, "an admin, {method} {foreign}: {told}");
    }
    let (_, list) = answer(eve(Method::GET, &format!("{PATH}?query=secret"))).await;
    assert_eq!(titles(&list), ["her secret"]);
    assert_eq!(
        titles(&listed(&gateway, "?query=secret").await),
        ["the admin's secret"]
    );
    // A place in someone else's list leads nowhere but into one's own.
    let place = format!(
        "{PATH}?before=9999999999999.{}",
        mine["id"].as_str().unwrap()
    );
    assert_eq!(
        titles(&answer(eve(Method::GET, &place)).await.1),
        ["her secret"]
    );
    assert_eq!(answer(eve(Method::GET, &path(&hers))).await, (200, hers));
    // A key that may not chat sees no conversation either.
    let key = gateway.new_key("brainml.query");
    let stranger = gateway.anonymous(Method::GET, PATH).bearer_auth(key);
    assert_eq!(answer(stranger).await.0, 403);
}

#[tokio::test]
async fn a_search_takes_every_letter_as_it_is_and_capitals_as_their_like() {
    let gateway = start().await;
    let text = "Zum Schluß: ".to_owned() + &"viele Worte. ".repeat(40);
    for (title, content) in [
        ("percent", "100% sure"),
        ("digits", "1000 sure"),
        ("under", "snake_case"),
        ("quote", "it's \"so\" \\ here"),
        ("ÜBER UNS", "nothing else"),
        ("long", &format!("{text} Die Äpfel am Ende. {text}")),
    ] {
        let body = json!({"title": title, "messages": [
            said("user", "first\nline"), said("assistant", content),
        ]});
        keep(&gateway, &body).await;
    }
    for (wish, found) in [
        ("0%25", vec!["percent"]),
        ("100", vec!["digits", "percent"]),
        ("E_C", vec!["under"]),
        ("_", vec!["under"]),
        ("%5C", vec!["quote"]),
        ("'s%20%22SO%22", vec!["quote"]),
        ("%C3%BCber", vec!["ÜBER UNS"]),
        ("%C3%84PFEL", vec!["long"]),
        ("percent%25", vec![]),
        ("%20PERCENT%20", vec!["percent"]),
        ("nowhere", vec![]),
        (
            "%00",
            vec!["long", "ÜBER UNS", "quote", "under", "digits", "percent"],
        ),
    ] {
        let page = listed(&gateway, &format!("?query={wish}")).await;
        assert_eq!(titles(&page), found, "{wish}");
    }
    let page = listed(&gateway, "?query=%C3%84pfel").await;
    let excerpt = page["conversations"][0]["excerpt"].as_str().unwrap();
    assert!(excerpt.contains("Die Äpfel am Ende."), "{excerpt}");
    assert!(
        excerpt.starts_with('…') && excerpt.ends_with('…'),
        "{excerpt}"
    );
    assert!((100..=162).contains(&excerpt.chars().count()), "{excerpt}");
    let page = listed(&gateway, "?query=first").await;
    assert_eq!(page["conversations"][0]["excerpt"], "first line");
    let page = listed(&gateway, "?query=%C3%BCber").await;
    assert_eq!(
        page["conversations"][0].get("excerpt"),
        None,
        "in the title alone"
    );
    let entry = &listed(&gateway, "").await["conversations"][0];
    assert_eq!(
        (&entry["messages"], &entry["model"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(entry.get("excerpt"), None);
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended_although_conversations_change() {
    let gateway = start().await;
    let mut kept = Vec::new();
    for title in ["a", "b", "c", "d", "e"] {
        kept.push(keep(&gateway, &json!({"title": title, "messages": []})).await);
    }
    let first = listed(&gateway, "?limit=2").await;
    assert_eq!(titles(&first), ["e", "d"]);
    // The last of this part goes, the next one changes, and a new one comes.
    assert_eq!(
        answer(gateway.request(Method::DELETE, &path(&kept[3])))
            .await
            .0,
        204
    );
    let change = json!({"title": "c2", "messages": [], "revision": 1});
    assert_eq!(gateway.put(&path(&kept[2]), &change).await.0, 200);
    keep(&gateway, &json!({"title": "f", "messages": []})).await;
    let next = first["next"].as_str().unwrap();
    let second = listed(&gateway, &format!("?limit=2&before={next}")).await;
    assert_eq!(
        (titles(&second), &second["next"]),
        (vec!["b", "a"], &Value::Null)
    );
    assert_eq!(
        titles(&listed(&gateway, "").await),
        ["f", "c2", "e", "b", "a"]
    );

    for (query, param) in [
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?before=x", "before"),
        ("?before=1%20or%201.x", "before"),
        (&format!("?query={}", "x".repeat(201)), "query"),
    ] {
        let (status, told) = gateway.get(&format!("{PATH}{query}")).await;
        assert_eq!(
            (status, &told["error"]["param"]),
            (422, &json!(param)),
            "{query}"
        );
    }
    assert_eq!(gateway.get(&format!("{PATH}?offset=1")).await.0, 400);
}

#[tokio::test]
async fn what_breaks_the_bounds_is_refused_by_name() {
    let gateway = start().await;
    for (body, param) in [
        (json!({"messages": [said("tool", "x")]}), Value::Null),
        (
            json!({"messages": [{"role": "user", "content": ["x"]}]}),
            Value::Null,
        ),
        (json!({"messages": [], "colour": 1}), json!("colour")),
        (
            json!({"messages": [], "settings": {"seed": 1}}),
            json!("seed"),
        ),
        (
            json!({"messages": [], "title": "x".repeat(201)}),
            json!("title"),
        ),
        (
            json!({"messages": vec![said("user", ""); 10_001]}),
            json!("messages"),
        ),
        (
            json!({"messages": [said("user", &"x".repeat(4 << 20))]}),
            json!("messages"),
        ),
    ] {
        let (status, told) = gateway.post(PATH, &body).await;
        assert_eq!((status, &told["error"]["param"]), (422, &param), "{told}");
    }
    let huge = json!({"messages": [said("user", &"x".repeat(6 << 20))]});
    assert_eq!(gateway.post(PATH, &huge).await.0, 413);
    assert_eq!(listed(&gateway, "").await["conversations"], json!([]));
    let most = json!({"messages": [said("user", &"x".repeat((4 << 20) - 200))]});
    let kept = keep(&gateway, &most).await;
    assert_eq!(kept["title"], "x".repeat(80));
    assert_eq!(gateway.get(&path(&kept)).await, (200, kept));
    let silent = keep(
        &gateway,
        &json!({"title": " \n\t", "messages": [said("assistant", "x")]}),
    )
    .await;
    assert_eq!(silent["title"], "Untitled");
}

#[tokio::test]
async fn an_export_is_a_file_with_a_safe_name_and_never_a_page() {
    let gateway = start().await;
    let citation = json!({"type": "file_citation", "file_citation": {
        "document_id": "a`b.md", "collection": "docs", "start": 3, "end": 9, "title": "Title\n# no",
    }});
    let kept = keep(&gateway, &json!({
        "title": "../../Über \"<script>\" \r\nSet-Cookie: x=1; naïve/…/etc",
        "model": "m", "system": "Be brief.", "messages": [
            said("user", "<script>alert(1)</script>"),
            {"role": "assistant", "content": "Answer.", "model": "m", "annotations": [citation, 7]},
        ],
    }))
    .await;
    let export = |format: &str| {
        let path = format!("{}/export?format={format}", path(&kept));
        gateway.request(Method::GET, &path).send()
    };
    let response = export("markdown").await.unwrap();
    let head = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        head("content-disposition"),
        "attachment; filename=\"ber-script-set-cookie-x-1-na-ve-etc.md\""
    );
    assert_eq!(head("content-type"), "text/markdown; charset=utf-8");
    assert_eq!(head("x-content-type-options"), "nosniff");
    let text = response.text().await.unwrap();
    for part in [
        "# ../../Über \"<script>\" Set-Cookie: x=1; naïve/…/etc\n",
        "\n- Model: `m`\n",
        "\n## System\n\nBe brief.\n",
        "\n## User\n\n<script>alert(1)</script>\n",
        "\n## Assistant (`m`)\n\nAnswer.\n\n- `docs/a'b.md` Title # no, bytes 3 to 9\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let response = export("json").await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let name = response.headers()["content-disposition"].to_str().unwrap();
    assert!(name.ends_with(".json\""), "{name}");
    assert_eq!(response.json::<Value>().await.unwrap(), kept);
    assert_eq!(export("html").await.unwrap().status(), 400);
}
