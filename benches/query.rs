//! Queries of a collection of 2,000 short documents, through the port: by words, by vectors, and by
//! both. The question is embedded each time, as it is in use.
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

use std::{cell::Cell, time::Duration};

use bkg::{Serving, settings::Settings};
use criterion::{Criterion, criterion_group, criterion_main};
use messages::{
    brainml::{CreateCollection, Document, IndexDocuments, Mode, Query, ReadStats},
    call::{Capability, Origin},
    line::Directory,
    port::Port,
};

use crate::system::System;

const DOCUMENTS: usize = 2000;
const COLLECTION: &str = "bench";
const WORDS: [&str; 17] = [
    "river", "stone", "light", "engine", "garden", "letter", "winter", "music", "paper", "bridge",
    "silver", "market", "window", "forest", "doctor", "island", "copper",
];

/// Words picked in a fixed order that hardly repeats.
fn phrase(number: usize, words: usize) -> String {
    let picks = (1..=words).map(|nth| number * nth + number / WORDS.len() * nth);
    let words = picks.filter_map(|pick| WORDS.get(pick % WORDS.len()));
    words.copied().collect::<Vec<_>>().join(" ")
}

async fn ask<C: Capability>(directory: &Directory, body: C) -> C::Reply {
    let port = Port::new(directory.clone(), Origin::internal("bench"));
    port.call(body).await.unwrap()
}

async fn fill(directory: &Directory) {
    let name = COLLECTION.to_owned();
    ask(directory, CreateCollection { name }).await;
    let documents: Vec<Document> = (0..DOCUMENTS)
        .map(|number| Document {
            id: number.to_string(),
            text: format!("{} {number}", phrase(number, 12)),
            ..Document::default()
        })
        .collect();
    for documents in documents.chunks(200) {
        let ask_index = IndexDocuments {
            collection: COLLECTION.to_owned(),
            documents: documents.to_vec(),
        };
        ask(directory, ask_index).await;
    }
    let stats = || ReadStats {
        collection: COLLECTION.to_owned(),
    };
    while gateway::has_model() && ask(directory, stats()).await.degraded {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn queries(criterion: &mut Criterion) {
    let system = System::new();
    let data = tempfile::tempdir().unwrap();
    let settings = Settings {
        data_dir: data.path().to_owned(),
        models_dir: Some(gateway::models()),
        ..Settings::default()
    };
    let plugins = ["brainml", "llmserver"].map(str::to_owned).to_vec();
    let started = system.run(bkg::start(settings, Serving::OwnerOnly { plugins }));
    let gateway = started.unwrap();
    let directory = gateway.directory().clone();
    system.run(fill(&directory));
    let mut group = criterion.benchmark_group("query");
    for (name, mode) in [
        ("words", Mode::Lexical),
        ("vectors", Mode::Vector),
        ("hybrid", Mode::Hybrid),
    ] {
        let number = Cell::new(0);
        let query = || Query {
            collections: vec![COLLECTION.to_owned()],
            query: phrase(number.replace(number.get() + 1), 4),
            top_k: 10,
            mode,
            ..Query::default()
        };
        group.bench_function(name, |bencher| {
            bencher.to_async(&system).iter(|| ask(&directory, query()));
        });
    }
    group.finish();
    system.run(gateway.stop());
}

criterion_group!(query, queries);
criterion_main!(query);
