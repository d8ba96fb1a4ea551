//! The encoder against another engine's figures, and against itself.

use std::fs;

use serde::Deserialize;

use super::*;
use crate::testing::minilm;

/// What `tests/reference/minilm.py` writes.
#[derive(Deserialize)]
struct Reference {
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    tokens: usize,
    vector: Vec<f32>,
}

fn reference() -> Vec<Sentence> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/reference/minilm.json"
    );
    let reference: Reference = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    reference.sentences
}

fn far(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let differences = one.iter().zip(other).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

fn ids(encoder: &Encoder, text: &str) -> Vec<u32> {
    encoder.tokens(&EmbedInput::Text(text.to_owned())).unwrap()
}

#[test]
fn agrees_with_another_engine_alone_and_in_a_batch() {
    let Some(directory) = minilm() else { return };
    let encoder = Encoder::load(&directory, None).unwrap();
    let sentences = reference();
    assert!(sentences.len() >= 8);
    let all: Vec<Vec<u32>> = sentences.iter().map(|s| ids(&encoder, &s.text)).collect();
    let batch: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
    let together = encoder.embed(&batch).unwrap();
    let mut worst = 0.0_f32;
    for ((sentence, ids), shared) in sentences.iter().zip(&all).zip(&together) {
        assert_eq!(ids.len(), sentence.tokens, "{}", sentence.text);
        let alone = encoder.embed(&[ids]).unwrap().remove(0);
        for difference in [far(&alone, &sentence.vector), far(shared, &sentence.vector)] {
            assert!(difference < 1e-5, "{difference} for {}", sentence.text);
            worst = worst.max(difference);
        }
    }
    eprintln!("largest difference from the reference: {worst:e}");
}

#[test]
fn batches_of_equal_lengths_agree_with_single_sequences() {
    let Some(directory) = minilm() else { return };
    let encoder = Encoder::load(&directory, None).unwrap();
    let texts = [
        "one two three",
        "four five six",
        "seven",
        "eight",
        "a longer one comes last",
    ];
    let all: Vec<Vec<u32>> = texts.iter().map(|text| ids(&encoder, text)).collect();
    let batch: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
    for (ids, shared) in all.iter().zip(encoder.embed(&batch).unwrap()) {
        let alone = encoder.embed(&[ids]).unwrap().remove(0);
        assert!(far(&alone, &shared) < 1e-5);
    }
}

#[test]
fn token_ids_are_the_same_input_with_and_without_special_tokens() {
    let Some(directory) = minilm() else { return };
    let encoder = Encoder::load(&directory, None).unwrap();
    let framed = ids(&encoder, "a gateway made of actors");
    let bare = framed[1..framed.len() - 1].to_vec();
    for given in [framed.clone(), bare] {
        assert_eq!(encoder.tokens(&EmbedInput::Tokens(given)).unwrap(), framed);
    }
    let fault = encoder
        .tokens(&EmbedInput::Tokens(vec![30_522]))
        .unwrap_err();
    assert!(fault.message.contains("30522"), "{fault}");
    let long = encoder
        .tokens(&EmbedInput::Tokens(vec![2_000; 9_000]))
        .unwrap();
    assert_eq!((long.len(), long[0], long[255]), (256, 101, 102));
}

/// A copy of the model's directory whose large file is a link, with the file `name` as `edit` has it.
fn edited(name: &str, edit: impl FnOnce(&str) -> String) -> Option<Result<Encoder, ModelFault>> {
    let model = minilm()?;
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::os::unix::fs::symlink(model.join(file), copy.path().join(file)).unwrap();
    }
    let path = copy.path().join(name);
    let text = fs::read_to_string(&path).unwrap_or_default();
    drop(fs::remove_file(&path));
    fs::write(&path, edit(&text)).unwrap();
    Some(Encoder::load(copy.path(), None))
}

fn spoilt(name: &str, edit: impl FnOnce(&str) -> String) -> Option<ModelFault> {
    edited(name, edit).map(Result::unwrap_err)
}

#[test]
fn a_changed_tokenizer_or_window_makes_another_fingerprint() {
    let load = |name: &str, edit: &dyn Fn(&str) -> String| {
        let encoder = edited(name, edit)?.unwrap();
        Some(encoder.fingerprint().to_owned())
    };
    let Some(plain) = load("config.json", &str::to_owned) else {
        return;
    };
    // What the files say is what counts, and not how they are laid out.
    let spaced = load("config.json", &|text| format!("{text} \n")).unwrap();
    assert_eq!(spaced, plain);
    let cased = |text: &str| {
        text.replace("\"lowercase\":true", "\"lowercase\":false")
            .replace("\"lowercase\": true", "\"lowercase\": false")
    };
    assert_ne!(load("tokenizer.json", &cased).unwrap(), plain);
    let window = |_: &str| r#"{"max_seq_length": 128}"#.to_owned();
    assert_ne!(load("sentence_bert_config.json", &window).unwrap(), plain);
    let epsilon = |text: &str| text.replace("1e-12", "1e-6");
    assert_ne!(load("config.json", &epsilon).unwrap(), plain);
}

#[test]
fn a_wrong_model_is_an_error_that_names_file_and_tensor() {
    let Some(fault) = spoilt("config.json", |text| text.replace("1536", "1535")) else {
        return;
    };
    let text = fault.to_string();
    assert!(text.contains("model.safetensors"), "{text}");
    assert!(
        text.contains("encoder.layer.0.intermediate.dense.weight"),
        "{text}"
    );
    assert!(
        text.contains("[1535, 384]") && text.contains("[1536, 384]"),
        "{text}"
    );

    let more_layers =
        |text: &str| text.replace("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7");
    let text = spoilt("config.json", more_layers).unwrap().to_string();
    assert!(text.contains("no tensor `encoder.layer.6."), "{text}");

    let text = spoilt("model.safetensors", |_| "short".to_owned()).unwrap();
    assert!(matches!(text, ModelFault::Weights { .. }), "{text}");
    let text = spoilt("tokenizer.json", |_| "{}".to_owned()).unwrap();
    assert!(matches!(text, ModelFault::Tokenizer { .. }), "{text}");
    let relu = |text: &str| text.replace("\"gelu\"", "\"relu\"");
    let text = spoilt("config.json", relu).unwrap().to_string();
    assert!(text.contains("hidden_act"), "{text}");
}

#[test]
fn a_truncated_file_of_weights_is_an_error() {
    let Some(model) = minilm() else { return };
    let bytes = fs::read(model.join("model.safetensors")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::os::unix::fs::symlink(model.join(file), copy.path().join(file)).unwrap();
    }
    fs::write(
        copy.path().join("model.safetensors"),
        &bytes[..bytes.len() / 2],
    )
    .unwrap();
    let fault = Encoder::load(copy.path(), None).unwrap_err();
    assert!(matches!(fault, ModelFault::Weights { .. }), "{fault}");
}

/// `cargo nextest run -p llmserver -p unify --run-ignored all speed --no-capture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let Some(directory) = minilm() else { return };
    let began = std::time::Instant::now();
    let encoder = Encoder::load(&directory, None).unwrap();
    eprintln!("load {:?}", began.elapsed());
    for (count, length) in [(1, 16), (1, 128), (8, 128), (32, 128)] {
        let ids: Vec<u32> = (0..length).map(|i| 1_000 + (i * 37) % 20_000).collect();
        let batch = vec![ids.as_slice(); count];
        let mut times: Vec<f64> = (0..12)
            .map(|_| {
                let began = std::time::Instant::now();
                encoder.embed(&batch).unwrap();
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        eprintln!(
            "{count} x {length}: best {:.1} ms, median {:.1} ms",
            times[0], times[6]
        );
    }
}
