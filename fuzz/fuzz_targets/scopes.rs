//! Scopes: only known ones are read, they are written as they were, and no set of them is wider
//! than it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use messages::apikeys::{Scope, Scopes};

fuzz_target!(|text: &str| {
    match text.parse::<Scope>() {
        Ok(scope) => assert_eq!(scope.as_str(), text),
        Err(_) => assert!(Scope::ALL.iter().all(|known| known.as_str() != text)),
    }
    let Ok(scopes) = serde_json::from_str::<Scopes>(text) else {
        return;
    };
    let written = serde_json::to_string(&scopes).unwrap();
    assert_eq!(serde_json::from_str::<Scopes>(&written).unwrap(), scopes);
    assert!(scopes.cover(&scopes));
    let everything = scopes.iter().any(|scope| *scope == Scope::EVERYTHING);
    for scope in Scope::ALL {
        let named = scopes.iter().any(|one| one == scope);
        assert_eq!(scopes.allow(scope), named || everything, "{scope}");
        let alone: Scopes = [scope.clone()].into_iter().collect();
        assert_eq!(scopes.cover(&alone), scopes.allow(scope), "{scope}");
    }
});
