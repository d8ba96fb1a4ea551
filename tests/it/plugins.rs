//! Plugins as an operator sees them: states, lifecycle, settings, and `plugins.json`.

use reqwest::{Method, header::RETRY_AFTER};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{Gateway, bkg};

mod memory;

const CONFIG: &str = "/admin/plugins/llmserver/config";

/// These tests embed nothing, and a restart waits for what is being embedded.
const NO_MODEL: [(&str, &str); 1] = [("BKG_MODELS_DIR", "no-models")];

async fn start() -> Gateway {
    Gateway::start_with(&NO_MODEL).await
}

#[tokio::test]
async fn every_plugin_is_listed_with_its_state_and_capabilities() {
    let gateway = start().await;
    let (status, listed) = gateway.get("/admin/plugins").await;
    assert_eq!(status, 200);
    let plugins = listed["plugins"].as_array().unwrap();
    let names: Vec<&str> = plugins
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    for (name, capability) in [
        ("apikeys", "apikeys.login"),
        ("llmserver", "llm.chat"),
        ("brainml", "brainml.query"),
    ] {
        assert!(names.contains(&name), "{names:?}");
        let plugin = gateway.plugin(name).await;
        assert_eq!(
            (&plugin["state"], &plugin["kind"]),
            (&json!("running"), &json!("builtin"))
        );
        assert_eq!(
            (&plugin["generation"], &plugin["restarts"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(
            (&plugin["last_panic"], &plugin["baseline"]),
            (&json!(null), &json!("built in"))
        );
        let capabilities = plugin["capabilities"].as_array().unwrap();
        assert!(capabilities.contains(&json!(capability)), "{plugin}");
    }
    assert_eq!(
        gateway.plugin("brainml").await["needs"],
        json!(["llmserver"])
    );
    let (status, health) = gateway.get("/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    assert_eq!(health["plugins"].as_array().unwrap().len(), plugins.len());
}

#[tokio::test]
async fn every_setting_is_described_with_its_type_and_default() {
    let gateway = start().await;
    for name in ["apikeys", "llmserver", "brainml"] {
        let (status, config) = gateway.get(&format!("/admin/plugins/{name}/config")).await;
        assert_eq!(status, 200, "{config}");
        let schema = &config["schema"];
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!(
            (&schema["type"], &schema["additionalProperties"]),
            (&json!("object"), &json!(false))
        );
        assert!(
            !schema.to_string().contains("$ref"),
            "it stands alone: {schema}"
        );
        let settings = config["settings"].as_object().unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.keys().eq(settings.keys()), "{name}: {schema}");
        for (key, setting) in settings {
            let property = &properties[key];
            assert_eq!(
                property["default"], setting["value"],
                "{name}.{key}: {property}"
            );
            assert!(property["type"].is_string(), "{name}.{key}: {property}");
            assert!(
                property["description"].is_string(),
                "{name}.{key}: {property}"
            );
        }
    }
    let llmserver = gateway.plugin("llmserver").await;
    let properties = &llmserver["schema"]["properties"];
    assert_eq!(properties["batch_tokens"]["maximum"], 16_384);
    assert_eq!(
        properties["extract"]["properties"]["passages"]["default"],
        8
    );
    assert_eq!(
        properties["extract"]["properties"]["cosine"]["default"],
        0.35
    );
    let upstream = &properties["upstreams"]["items"]["properties"];
    assert_eq!(upstream["api_key"]["writeOnly"], true);
    assert_eq!(upstream["silence_seconds"]["default"], 300);
}

#[tokio::test]
async fn a_stopped_plugins_routes_answer_503_and_the_others_go_on() {
    let gateway = start().await;
    gateway
        .index("c", &json!([{"id": "d", "text": "Lemons are sour."}]))
        .await;
    let (status, stopped) = gateway
        .post("/admin/plugins/llmserver/stop", &json!({}))
        .await;
    assert_eq!(
        (status, &stopped["state"]),
        (200, &json!("stopped")),
        "{stopped}"
    );
    for path in ["/v1/models", "/v1/models/bkg-extract"] {
        let response = gateway.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 503, "{path}");
        let wait = response.headers()[RETRY_AFTER].to_str().unwrap();
        assert!(wait.parse::<u64>().unwrap() >= 1, "{wait}");
        let told: Value = response.json().await.unwrap();
        assert_eq!(told["error"]["type"], "service_unavailable_error");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("bkg plugins start llmserver"), "{message}");
    }
    let question = json!({"query": "sour lemons"});
    let (status, found) = gateway
        .post("/brainml/collections/c/query", &question)
        .await;
    assert_eq!(
        (status, &found["results"][0]["document_id"]),
        (200, &json!("d")),
        "{found}"
    );
    assert_eq!(
        found["degraded"], true,
        "no embedder, so words alone: {found}"
    );
    assert_eq!(
        gateway.get("/health/ready").await.0,
        200,
        "the gateway itself is well"
    );
    let (status, _) = gateway
        .post("/admin/plugins/llmserver/stop", &json!({}))
        .await;
    assert_eq!(status, 200, "stopping what is stopped is no error");
    let (status, started) = gateway
        .post("/admin/plugins/llmserver/start", &json!({}))
        .await;
    assert_eq!(
        (status, &started["state"]),
        (200, &json!("running")),
        "{started}"
    );
    assert_eq!(gateway.get("/v1/models").await.0, 200);
}

#[tokio::test]
async fn without_apikeys_the_gateway_is_not_ready_and_known_keys_still_hold() {
    let gateway = start().await;
    assert_eq!(
        gateway
            .post("/admin/plugins/apikeys/stop", &json!({}))
            .await
            .0,
        200
    );
    let (status, told) = gateway.get("/health/ready").await;
    assert_eq!(status, 503);
    assert!(
        told["reason"].as_str().unwrap().contains("apikeys"),
        "{told}"
    );
    assert_eq!(gateway.get("/v1/models").await.0, 200);
    assert_eq!(gateway.get("/admin/keys").await.0, 503);
    let (status, _) = gateway
        .post("/admin/plugins/apikeys/start", &json!({}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(gateway.get("/health/ready").await.0, 200);
}

#[tokio::test]
async fn each_restart_is_a_new_life_of_that_plugin_alone() {
    let gateway = start().await;
    for life in [2, 3] {
        let (status, state) = gateway
            .post("/admin/plugins/llmserver/restart", &json!({}))
            .await;
        assert_eq!(
            (status, &state["generation"]),
            (200, &json!(life)),
            "{state}"
        );
        assert_eq!(
            (&state["state"], &state["restarts"]),
            (&json!("running"), &json!(0))
        );
    }
    assert_eq!(gateway.plugin("brainml").await["generation"], 1);
}

#[tokio::test]
async fn a_plugin_that_does_not_exist_is_a_404_that_names_it() {
    let gateway = start().await;
    for (method, path) in [
        (Method::GET, "/admin/plugins/wasm"),
        (Method::GET, "/admin/plugins/wasm/config"),
        (Method::PUT, "/admin/plugins/wasm/config"),
        (Method::GET, "/admin/plugins/wasm/logs"),
        (Method::POST, "/admin/plugins/wasm/start"),
        (Method::POST, "/admin/plugins/wasm/stop"),
        (Method::POST, "/admin/plugins/wasm/restart"),
    ] {
        let request = gateway.request(method.clone(), path).json(&json!({}));
        let (status, told) = crate::gateway::answer(request).await;
        let message = told["error"]["message"].as_str().unwrap();
        assert!(
            status == 404 && message.contains("wasm"),
            "{method} {path}: {told}"
        );
    }
}

#[tokio::test]
async fn a_changed_setting_outlives_the_gateway_and_null_takes_it_back() {
    let mut gateway = start().await;
    let default = gateway.plugin("llmserver").await["settings"]["max_inputs"].clone();
    assert_eq!(default["source"], "default");
    let change = json!({"settings": {"max_inputs": 3}});
    let (status, told) = gateway.put(CONFIG, &change).await;
    let changed = json!({"value": 3, "source": "operator"});
    assert_eq!(
        (status, &told["settings"]["max_inputs"]),
        (200, &changed),
        "{told}"
    );
    assert_eq!(
        (&told["state"], &told["generation"]),
        (&json!("running"), &json!(2)),
        "{told}"
    );
    let inputs = json!({"model": "all-MiniLM-L6-v2", "input": ["a", "b", "c", "d"]});
    let (status, refused) = gateway.post("/v1/embeddings", &inputs).await;
    assert_eq!(status, 400, "the plugin has it: {refused}");

    gateway.kill();
    gateway.restart();
    let (_, told) = gateway.get(CONFIG).await;
    assert_eq!(told["settings"]["max_inputs"], changed);
    let (status, told) = gateway
        .put(CONFIG, &json!({"settings": {"max_inputs": null}}))
        .await;
    assert_eq!(
        (status, &told["settings"]["max_inputs"]),
        (200, &default),
        "{told}"
    );
    gateway.kill();
    gateway.restart();
    assert_eq!(
        gateway.plugin("llmserver").await["settings"]["max_inputs"],
        default
    );
}

#[tokio::test]
async fn a_bad_setting_is_refused_and_changes_nothing() {
    let gateway = start().await;
    let before = gateway.plugin("llmserver").await;
    for (body, words) in [
        (json!({"settings": {"max_input": 3}}), "max_input"),
        (json!({"settings": {"max_inputs": "three"}}), "three"),
        (
            json!({"settings": {"max_inputs": 3, "colour": "red"}}),
            "colour",
        ),
        (
            json!({"settings": {"upstreams": [{"name": "u"}]}}),
            "base_url",
        ),
        (json!({"setting": {}}), "setting"),
    ] {
        let (status, told) = gateway.put(CONFIG, &body).await;
        let message = told["error"]["message"].as_str().unwrap();
        assert!(status == 422 && message.contains(words), "{body}: {told}");
        let after = gateway.plugin("llmserver").await;
        assert_eq!(after["settings"], before["settings"], "{body}");
        assert_eq!(after["generation"], before["generation"], "{body}");
        assert_eq!(after["state"], "running", "{body}");
    }
}

#[tokio::test]
async fn a_setting_that_only_the_plugin_can_judge_is_refused_and_changes_nothing() {
    let gateway = start().await;
    let upstream = json!({"name": "u", "base_url": "no address"});
    let body = json!({"settings": {"upstreams": [upstream]}});
    let (status, told) = gateway.put(CONFIG, &body).await;
    let message = told["error"]["message"].as_str().unwrap();
    assert!(status == 400 && message.contains("base_url"), "{told}");
    let plugin = gateway.plugin("llmserver").await;
    assert_eq!(plugin["state"], "running", "{plugin}");
    assert_eq!(
        plugin["settings"]["upstreams"]["source"], "default",
        "{plugin}"
    );
    assert_eq!(gateway.get("/v1/models").await.0, 200);
}

#[tokio::test]
async fn what_autostart_says_holds_at_the_next_start() {
    let mut gateway = start().await;
    let (status, told) = gateway.put(CONFIG, &json!({"autostart": false})).await;
    assert_eq!((status, &told["autostart"]), (200, &json!(false)), "{told}");
    assert_eq!(told["state"], "running", "it goes on until then");
    gateway.kill();
    gateway.restart();
    assert_ne!(gateway.plugin("llmserver").await["state"], "running");
    assert_eq!(gateway.get("/v1/models").await.0, 503);
    assert_eq!(
        gateway
            .post("/admin/plugins/llmserver/start", &json!({}))
            .await
            .0,
        200
    );
    assert_eq!(gateway.get("/v1/models").await.0, 200);
}

fn cli(gateway: &Gateway, args: &[&str]) -> (bool, String, String) {
    let output = gateway.bkg(&[&["plugins"], args].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_command_line_does_all_of_it() {
    let mut gateway = start().await;
    let (done, listed, said) = cli(&gateway, &["list"]);
    assert!(done, "{said}");
    let line = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("llmserver"));
        line.unwrap()
            .split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line(&listed), "llmserver running 1");
    assert_eq!(
        line(&cli(&gateway, &["stop", "llmserver"]).1),
        "llmserver stopped 1"
    );
    assert_eq!(
        line(&cli(&gateway, &["start", "llmserver"]).1),
        "llmserver running 2"
    );
    assert_eq!(
        line(&cli(&gateway, &["restart", "llmserver"]).1),
        "llmserver running 3"
    );
    let (_, set, _) = cli(
        &gateway,
        &["set", "llmserver", "max_inputs=3", "chat_model=far"],
    );
    assert!(set.contains("max_inputs = 3  (operator)"), "{set}");
    assert!(set.contains("chat_model = \"far\"  (operator)"), "{set}");
    let (_, set, _) = cli(&gateway, &["set", "llmserver", "max_inputs=null"]);
    assert!(set.contains("max_inputs = 2048  (default)"), "{set}");
    let (done, _, said) = cli(&gateway, &["set", "llmserver", "colour=red"]);
    assert!(!done && said.contains("colour"), "{said}");
    let (done, _, said) = cli(&gateway, &["show", "wasm"]);
    assert!(!done && said.contains("wasm"), "{said}");
    let (_, shown, _) = cli(&gateway, &["--json", "show", "llmserver"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, gateway_view(&gateway, &shown).await);

    gateway.kill();
    let (done, set, said) = cli(&gateway, &["set", "llmserver", "max_inputs=5"]);
    assert!(
        done && set.contains("max_inputs = 5  (operator)"),
        "{set}{said}"
    );
    gateway.restart();
    assert_eq!(
        gateway.plugin("llmserver").await["settings"]["max_inputs"]["value"],
        5
    );
}

/// What HTTP says of the plugin, with the counters of `shown`, which move with every question.
async fn gateway_view(gateway: &Gateway, shown: &Value) -> Value {
    let mut plugin = gateway.plugin("llmserver").await;
    for moving in ["calls", "latency"] {
        plugin[moving] = shown[moving].clone();
    }
    plugin
}

/// A data directory with a `plugins.json` of its own.
fn data_with(text: &str) -> TempDir {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("plugins.json"), text).unwrap();
    data
}

#[test]
fn a_broken_plugins_json_ends_the_start_and_names_the_place() {
    let data = data_with("{\n  \"plugins\": {\n    \"apikeys\": {,}\n  }\n}\n");
    let output = bkg(data.path(), &[], &["serve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for words in ["plugins.json", "line 3", "column 17"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn a_bad_entry_disables_that_plugin_alone() {
    let data = data_with(
        r#"{"plugins": {
            "apikeys": {},
            "llmserver": {"settings": {"colour": "red"}},
            "brainml": {"autostarts": true},
            "wasm": {}
        }}"#,
    );
    let gateway = Gateway::start_in(data, &NO_MODEL).await;
    for (name, words) in [
        ("llmserver", "colour"),
        ("brainml", "autostarts"),
        ("wasm", "no plugin"),
    ] {
        let plugin = gateway.plugin(name).await;
        assert_eq!(plugin["state"], "disabled", "{name}: {plugin}");
        let reason = plugin["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{name}: {reason}");
        let (status, _) = gateway
            .post(&format!("/admin/plugins/{name}/start"), &json!({}))
            .await;
        assert!(status >= 400, "{name} cannot start");
    }
    assert_eq!(gateway.plugin("apikeys").await["state"], "running");
    assert_eq!(gateway.get("/health/ready").await.0, 200);
    assert_eq!(gateway.get("/v1/models").await.0, 503);
}

#[tokio::test]
async fn a_plugins_json_of_ones_own_sets_what_the_operator_can_override() {
    let data = data_with(
        r#"{"plugins": {
            "apikeys": {},
            "llmserver": {"settings": {"max_inputs": 7}},
            "brainml": {"autostart": false, "needs": ["llmserver"]}
        }}"#,
    );
    let gateway = Gateway::start_in(data, &NO_MODEL).await;
    let plugin = gateway.plugin("llmserver").await;
    assert!(
        plugin["baseline"]
            .as_str()
            .unwrap()
            .ends_with("plugins.json"),
        "{plugin}"
    );
    let from_file = json!({"value": 7, "source": "file"});
    assert_eq!(plugin["settings"]["max_inputs"], from_file);
    assert_ne!(gateway.plugin("brainml").await["state"], "running");
    assert_eq!(gateway.get("/brainml/collections").await.0, 503);
    let (_, told) = gateway
        .put(CONFIG, &json!({"settings": {"max_inputs": 3}}))
        .await;
    assert_eq!(
        told["settings"]["max_inputs"],
        json!({"value": 3, "source": "operator"})
    );
    let (_, told) = gateway
        .put(CONFIG, &json!({"settings": {"max_inputs": null}}))
        .await;
    assert_eq!(told["settings"]["max_inputs"], from_file);
}
