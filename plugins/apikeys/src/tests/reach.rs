//! No sequence of makings, changes and rotations leads from fewer scopes or limits to more.

use messages::usage::Limits;
use proptest::prelude::*;

use super::{
    limits::{change, limited, requests, rotate},
    *,
};

#[tokio::test]
async fn a_limited_key_hands_on_its_limits_and_none_that_are_wider() {
    let mut house = House::new();
    let admin = [Scope::ADMIN];
    let own = house.key(limited(&admin, requests(5))).await;
    let holder = house.recognise(&own.key).await.unwrap().caller;
    let silent = house.ask_as(&holder, key(&admin)).await.unwrap();
    assert_eq!(silent.about.limits, requests(5));
    for wider in [Limits::default(), requests(6)] {
        let answer = house.ask_as(&holder, limited(&admin, wider)).await;
        assert_eq!(kind(answer), FaultKind::Denied, "{wider:?}");
    }
    for body in [
        serde_json::json!({"limits": null}),
        serde_json::json!({"limits": {"requests_per_minute": 6}}),
        serde_json::json!({"scopes": ["admin", "llm.chat"]}),
    ] {
        for id in [&own.about.id, &silent.about.id] {
            let answer = house.ask_as(&holder, change(id, body.clone())).await;
            assert_eq!(kind(answer), FaultKind::Denied, "{body}");
        }
    }
}

#[tokio::test]
async fn nobody_rotates_or_prolongs_a_key_that_may_more_than_he() {
    let mut house = House::new();
    let strong = house.key(key(&[Scope::EVERYTHING])).await.about.id;
    let free = house.key(key(&[Scope::ADMIN])).await.about.id;
    let weak = house.key(limited(&[Scope::ADMIN], requests(5))).await;
    let holder = house.recognise(&weak.key).await.unwrap().caller;
    for id in [&strong, &free] {
        let answer = house.ask_as(&holder, rotate(id, 0)).await;
        assert_eq!(
            kind(answer),
            FaultKind::Denied,
            "its new secret would be his"
        );
        let prolong = change(id, serde_json::json!({"expires_at": null}));
        assert_eq!(
            kind(house.ask_as(&holder, prolong).await),
            FaultKind::Denied
        );
    }
}

/// What someone tries who holds some keys, by their places.
#[derive(Debug, Clone)]
enum Try {
    Make(usize, Vec<usize>, Option<Limits>),
    Change(usize, usize, Option<Vec<usize>>, Option<Limits>),
    Rotate(usize, usize),
}

const SCOPES: [Scope; 4] = [
    Scope::ADMIN,
    Scope::LLM_CHAT,
    Scope::LLM_EMBED,
    Scope::EVERYTHING,
];

fn any_limits() -> impl Strategy<Value = Limits> {
    let limit = || prop::option::of(1_u64..10);
    (limit(), limit()).prop_map(|(requests, monthly)| Limits {
        requests_per_minute: requests,
        monthly_tokens: monthly,
        ..Limits::default()
    })
}

fn any_try() -> impl Strategy<Value = Try> {
    let names = || prop::collection::vec(0..SCOPES.len(), 1..3);
    let limits = || prop::option::of(any_limits());
    prop_oneof![
        (0_usize..8, names(), limits())
            .prop_map(|(by, names, limits)| Try::Make(by, names, limits)),
        (0_usize..8, 0_usize..8, prop::option::of(names()), limits())
            .prop_map(|(by, at, names, limits)| Try::Change(by, at, names, limits)),
        (0_usize..8, 0_usize..8).prop_map(|(by, at)| Try::Rotate(by, at)),
    ]
}

fn named(places: &[usize]) -> Scopes {
    places.iter().map(|at| SCOPES[*at].clone()).collect()
}

/// Someone who was given one key, in a house where others have more.
struct Thief {
    house: House,
    /// Ids that he knows: his own and others'.
    ids: Vec<String>,
    /// Secrets that he holds.
    secrets: Vec<String>,
}

impl Thief {
    async fn given(scopes: &[Scope], limits: Limits) -> Self {
        let mut house = House::new();
        let given = house.key(limited(scopes, limits)).await;
        let mut ids = vec![given.about.id];
        for other in [key(&[Scope::EVERYTHING]), key(&[Scope::ADMIN])] {
            ids.push(house.key(other).await.about.id);
        }
        Self {
            house,
            ids,
            secrets: vec![given.key],
        }
    }

    async fn attempt(&mut self, step: Try) {
        let (by, at) = match step {
            Try::Make(by, ..) => (by, 0),
            Try::Change(by, at, ..) | Try::Rotate(by, at) => (by, at),
        };
        let secret = self.secrets[by % self.secrets.len()].clone();
        let Some(grant) = self.house.recognise(&secret).await else {
            return;
        };
        let (id, holder) = (self.ids[at % self.ids.len()].clone(), grant.caller);
        let made = match step {
            Try::Make(_, places, limits) => {
                let request = CreateKey {
                    scopes: named(&places),
                    limits,
                    ..key(&[])
                };
                self.house.ask_as(&holder, request).await
            }
            Try::Rotate(..) => self.house.ask_as(&holder, rotate(&id, 60)).await,
            Try::Change(_, _, places, limits) => {
                let mut body = serde_json::json!({"name": "mine", "expires_at": null});
                if let Some(places) = places {
                    body["scopes"] = serde_json::json!(named(&places));
                }
                if let Some(limits) = limits {
                    body["limits"] = serde_json::json!({
                        "requests_per_minute": limits.requests_per_minute,
                        "monthly_tokens": limits.monthly_tokens,
                    });
                }
                drop(self.house.ask_as(&holder, change(&id, body)).await);
                return;
            }
        };
        if let Ok(made) = made {
            self.ids.push(made.about.id);
            self.secrets.push(made.key);
        }
    }
}

proptest! {
    // Each case opens a database and waits for its disk.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn there_is_no_path_from_fewer_to_more(
        limits in any_limits(),
        steps in prop::collection::vec(any_try(), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let given = scopes(&[Scope::ADMIN, Scope::LLM_CHAT]);
            let mut thief = Thief::given(&[Scope::ADMIN, Scope::LLM_CHAT], limits).await;
            for step in steps {
                thief.attempt(step.clone()).await;
                for secret in thief.secrets.clone() {
                    let Some(grant) = thief.house.recognise(&secret).await else { continue };
                    let bound = grant.meter.unwrap().limits();
                    prop_assert!(given.cover(&grant.caller.scopes), "{step:?}");
                    prop_assert!(limits.cover(&bound), "{step:?}: {bound:?}");
                }
            }
            Ok(())
        })?;
    }
}
