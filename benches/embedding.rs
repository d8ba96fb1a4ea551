//! Texts a second through the plugin that embeds, by their length and by how many come at once.
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a bench that is surprised should fail"
)]

#[path = "../tests/it/gateway.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod gateway;
mod system;

use std::time::Duration;

use bkg::{Serving, settings::Settings};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use messages::{
    call::Origin,
    llmserver::{Embed, EmbedInput},
    port::Port,
};

use crate::system::System;

/// Words that are one token each.
const WORDS: [&str; 12] = [
    "river", "stone", "light", "engine", "garden", "letter", "winter", "music", "paper", "bridge",
    "silver", "market",
];

/// A text of `tokens` tokens, the two that the model adds included.
fn text(tokens: usize, number: usize) -> EmbedInput {
    let words = WORDS.iter().cycle().skip(number % WORDS.len());
    let words: Vec<&str> = words.take(tokens - 2).copied().collect();
    EmbedInput::Text(words.join(" "))
}

fn embeddings(criterion: &mut Criterion) {
    if !gateway::has_model() {
        return;
    }
    let system = System::new();
    let data = tempfile::tempdir().unwrap();
    let settings = Settings {
        data_dir: data.path().to_owned(),
        models_dir: Some(gateway::models()),
        ..Settings::default()
    };
    let plugins = vec!["llmserver".to_owned()];
    let gateway = system.run(bkg::start(settings, Serving::OwnerOnly { plugins }));
    let gateway = gateway.unwrap();
    let port = Port::<Embed>::new(gateway.directory().clone(), Origin::internal("bench"));
    let embed = async |inputs: Vec<EmbedInput>| {
        let ask = Embed {
            model: None,
            inputs,
            dimensions: None,
        };
        port.call(ask).await.unwrap()
    };
    let mut group = criterion.benchmark_group("embedding");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    for tokens in [16, 128] {
        for batch in [1, 32] {
            let inputs: Vec<_> = (0..batch).map(|number| text(tokens, number)).collect();
            group.throughput(Throughput::Elements(u64::try_from(batch).unwrap()));
            let id = BenchmarkId::new(format!("{tokens} tokens"), format!("batch {batch}"));
            group.bench_with_input(id, &inputs, |bencher, inputs| {
                bencher.to_async(&system).iter(|| embed(inputs.clone()));
            });
        }
    }
    group.finish();
    system.run(gateway.stop());
}

criterion_group!(embedding, embeddings);
criterion_main!(embedding);
