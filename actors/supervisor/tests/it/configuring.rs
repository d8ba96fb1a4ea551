//! Configuration: where each value comes from, and what an operator can change.

use std::collections::BTreeMap;

use messages::{
    fault::{Fault, FaultKind},
    plugin::Status,
    supervisor::{Change, ConfigurePlugin, InspectPlugin, PluginDetail, Source},
};
use serde_json::{Value, json};
use supervisor::{Override, Overrides};

use crate::rig::{Deed, Plan, Rig, run};

async fn configure(
    rig: &Rig,
    settings: &[(&str, Value)],
    autostart: Change<bool>,
) -> Result<PluginDetail, Fault> {
    let pairs = settings.iter();
    let settings = pairs.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let configure = ConfigurePlugin {
        name: "zero".into(),
        settings: settings.collect(),
        autostart,
    };
    rig.port().call(configure).await
}

fn plan(size: u32) -> Plan {
    Plan::plugins(json!({"zero": {"settings": {"size": size}}, "one": {}, "two": {}}))
}

#[test]
fn every_value_says_where_it_comes_from() {
    run(async {
        let plan = Plan {
            overrides: Overrides::from([(
                "zero".to_owned(),
                Override {
                    settings: BTreeMap::from([("colour".to_owned(), json!(7))]),
                    autostart: None,
                },
            )]),
            ..plan(3)
        };
        let rig = plan.started().await;
        let port = rig.port();
        let inspect = |name: &str| port.call(InspectPlugin { name: name.into() });
        let (zero, one) = (
            inspect("zero").await.unwrap(),
            inspect("one").await.unwrap(),
        );
        assert_eq!(zero.baseline, "plugins.json");
        let of = |detail: &PluginDetail, name: &str| {
            let setting = detail.settings[name].clone();
            (setting.value, setting.source)
        };
        assert_eq!(of(&zero, "size"), (json!(3), Source::File));
        assert_eq!(of(&zero, "colour"), (json!(7), Source::Operator));
        assert_eq!(of(&one, "size"), (json!(0), Source::Default));
        assert_eq!(zero.state.state, Status::Running);
        assert_eq!(zero.state.capabilities, ["zero.do", "zero.tell"]);
    });
}

#[test]
fn an_operators_values_are_kept_and_take_effect() {
    run(async {
        let rig = plan(3).started().await;
        let detail = configure(&rig, &[("size", json!(5))], Change::Leave)
            .await
            .unwrap();
        assert_eq!(detail.settings["size"].source, Source::Operator);
        assert_eq!(
            (detail.state.state, detail.state.generation),
            (Status::Running, 2)
        );
        assert_eq!(rig.ask::<0>(Deed::Size).await, Ok(5));
        let kept = rig.kept.lock().unwrap().clone();
        assert_eq!(kept[0].0, "zero");
        assert_eq!(kept[0].1.settings["size"], json!(5));

        let detail = configure(&rig, &[("size", Value::Null)], Change::Set(false))
            .await
            .unwrap();
        assert_eq!(detail.settings["size"].source, Source::File);
        assert!(!detail.state.autostart);
        assert_eq!(rig.ask::<0>(Deed::Size).await, Ok(3));
        assert_eq!(rig.kept.lock().unwrap()[1].1.autostart, Some(false));
    });
}

#[test]
fn an_operators_autostart_can_be_taken_back_and_its_source_is_shown() {
    run(async {
        let rig = Plan::plugins(json!({"zero": {"autostart": true}, "one": {}}))
            .started()
            .await;
        let told = |detail: PluginDetail| (detail.state.autostart, detail.autostart_source);
        let no = configure(&rig, &[], Change::Set(false)).await.unwrap();
        assert_eq!(told(no), (false, Source::Operator));
        let same = configure(&rig, &[("size", json!(1))], Change::Leave).await;
        assert_eq!(told(same.unwrap()), (false, Source::Operator));
        let back = configure(&rig, &[], Change::TakeBack).await.unwrap();
        assert_eq!(told(back), (true, Source::File));
        assert_eq!(rig.kept.lock().unwrap()[2].1.autostart, None);
        let inspect = |name: &str| InspectPlugin { name: name.into() };
        let one = rig.port().call(inspect("one")).await.unwrap();
        assert_eq!(told(one), (true, Source::Default), "named, and silent");
        let two = rig.port().call(inspect("two")).await.unwrap();
        assert_eq!(told(two), (false, Source::Default), "not named");
    });
}

#[test]
fn wrong_values_change_nothing() {
    run(async {
        let rig = plan(3).started().await;
        for wrong in [("size", json!("big")), ("sise", json!(1))] {
            let fault = configure(&rig, &[wrong], Change::Leave).await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Unprocessable, "{fault}");
        }
        assert!(rig.kept.lock().unwrap().is_empty());
        assert_eq!(rig.state("zero").generation, 1);
        assert_eq!(rig.ask::<0>(Deed::Size).await, Ok(3));
    });
}

#[test]
fn a_plugin_disabled_by_an_operators_value_is_mended_by_another() {
    run(async {
        let wrong = Override {
            settings: BTreeMap::from([("size".to_owned(), json!("big"))]),
            autostart: None,
        };
        let rig = Plan {
            overrides: Overrides::from([("zero".to_owned(), wrong)]),
            ..plan(3)
        }
        .started()
        .await;
        assert_eq!(rig.state("zero").state, Status::Disabled);
        let detail = configure(&rig, &[("size", json!(4))], Change::Leave)
            .await
            .unwrap();
        assert_eq!(
            (detail.state.state, detail.state.reason),
            (Status::Stopped, None)
        );
        rig.handle.start_all(None).await;
        assert_eq!(rig.ask::<0>(Deed::Size).await, Ok(4));
    });
}
