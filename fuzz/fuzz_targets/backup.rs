//! The manifest of a backup: what is believed is, byte for byte, what would have been written.
#![no_main]

#[path = "../../actors/store/src/backup/manifest.rs"]
#[allow(dead_code, reason = "the store reads it from a file")]
mod manifest;

use libfuzzer_sys::fuzz_target;
use manifest::{FORMAT, Listed, Manifest};

fuzz_target!(|input: (&str, i64, &str, u64)| {
    let (text, seconds, name, bytes) = input;
    if let Ok(manifest) = Manifest::parse(text) {
        assert_eq!(manifest.seal().unwrap(), text);
    }
    let manifest = Manifest {
        format: FORMAT,
        bkg: name.to_owned(),
        schema: name.to_owned(),
        made_at: jiff::Timestamp::from_second(seconds).unwrap_or_default(),
        files: vec![Listed {
            name: name.to_owned(),
            bytes,
            sha256: manifest::hex(text.as_bytes()),
        }],
    };
    let sealed = manifest.seal().unwrap();
    assert_eq!(Manifest::parse(&sealed).unwrap(), manifest);
    // A digit of the content that changes is noticed.
    let changed = sealed.replacen(&format!("\"bytes\":{bytes}"), "\"bytes\":7", 1);
    if changed != sealed {
        assert!(Manifest::parse(&changed).is_err());
    }
});
