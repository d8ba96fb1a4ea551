//! What a call costs: a port's round trip to a plugin on its own thread, against a bare Actix
//! message to an actor on another thread.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a bench that is surprised should fail"
)]

mod system;

use std::{sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use messages::{
    call::{Call, Capability, Origin},
    line::Directory,
    plugin::{Answer, Exports, Plugin, Policy, Serve},
    port::Port,
};
use supervisor::{Baseline, Handle, Keep, Overrides, Registry, RootSupervisor, Settings};

use crate::system::System;

/// Calls at the same time; as many as a plugin permits.
const IN_FLIGHT: u64 = 64;

/// A plugin that gives back what it gets.
struct Echo;

struct Ping(u64);

impl Capability for Ping {
    type Reply = u64;
    const NAME: &'static str = "echo.ping";
    const DEADLINE: Duration = Duration::from_secs(5);
}

impl Plugin for Echo {
    const NAME: &'static str = "echo";

    fn exports(exports: &mut impl Exports<Self>) {
        exports.serve::<Ping>();
    }
}

impl Serve<Ping> for Echo {
    fn serve(&mut self, call: Call<Ping>) -> Answer<Ping> {
        Answer::Now(Ok(call.body.0))
    }
}

/// The same without anything around it.
struct Bare;

#[derive(Message)]
#[rtype(result = "u64")]
struct Tell(u64);

impl Actor for Bare {
    type Context = Context<Self>;
}

impl Handler<Tell> for Bare {
    type Result = u64;

    fn handle(&mut self, message: Tell, _: &mut Context<Self>) -> u64 {
        message.0
    }
}

async fn plugin() -> (Port<Ping>, Handle) {
    let directory = Directory::default();
    let mut registry = Registry::new(directory.clone());
    registry.add(Policy::default(), Settings::none(), |_| Ok(Echo));
    let baseline = Baseline::parse("bench", r#"{"plugins":{"echo":{}}}"#).unwrap();
    let keep: Keep = Arc::new(|_, _| Box::pin(async { Ok(()) }));
    let handle = RootSupervisor::start(registry, baseline, Overrides::new(), keep).unwrap();
    handle.start_all(None).await;
    (Port::new(directory, Origin::internal("bench")), handle)
}

fn bare() -> Addr<Bare> {
    Bare::start_in_arbiter(&Arbiter::new().handle(), |_| Bare)
}

fn round_trips(criterion: &mut Criterion) {
    let system = System::new();
    let (port, _supervisor) = system.run(plugin());
    let bare = system.run(async { bare() });
    let call = async |number| port.call(Ping(number)).await.unwrap();
    let send = async |number| bare.send(Tell(number)).await.unwrap();
    let mut group = criterion.benchmark_group("bus");
    group.throughput(Throughput::Elements(1));
    group.bench_function("port, one after another", |bencher| {
        bencher.to_async(&system).iter(|| call(1));
    });
    group.bench_function("actix send, one after another", |bencher| {
        bencher.to_async(&system).iter(|| send(1));
    });
    group.throughput(Throughput::Elements(IN_FLIGHT));
    group.bench_function("port, 64 in flight", |bencher| {
        bencher
            .to_async(&system)
            .iter(|| join_all((0..IN_FLIGHT).map(&call)));
    });
    group.bench_function("actix send, 64 in flight", |bencher| {
        bencher
            .to_async(&system)
            .iter(|| join_all((0..IN_FLIGHT).map(&send)));
    });
    group.finish();
}

criterion_group!(bus, round_trips);
criterion_main!(bus);
