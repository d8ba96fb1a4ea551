//! Which source wins, and what a wrong one is called.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let owned = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
    pairs.iter().map(owned).collect()
}

fn file(text: &str) -> (tempfile::TempDir, Flags) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bkg.toml");
    std::fs::write(&path, text).unwrap();
    let flags = Flags {
        file: Some(path),
        set: Vec::new(),
    };
    (dir, flags)
}

#[test]
fn each_source_overrides_the_one_before() {
    let (_dir, mut flags) = file("[server]\nport = 1\nworkers = 1\nhost = \"::1\"\n");
    flags.set = vec!["server.workers=3".to_owned()];
    let env = environment(&[("BKG_SERVER__PORT", "2"), ("BKG_SERVER__WORKERS", "2")]);
    let settings = Settings::load(&flags, env).unwrap();
    assert_eq!(settings.server.host, "::1".parse::<IpAddr>().unwrap());
    assert_eq!(settings.server.port, 2);
    assert_eq!(settings.server.workers, 3);
    assert_eq!(settings.server.drain_seconds, 30);
}

#[test]
fn a_wrong_value_names_key_and_source() {
    let env = environment(&[("BKG_SERVER__PORT", "many")]);
    let text = Settings::load(&Flags::default(), env)
        .unwrap_err()
        .to_string();
    assert!(text.contains("server.port"), "{text}");
    assert!(text.contains("environment"), "{text}");
}

#[test]
fn a_wrong_flag_is_named_as_a_flag() {
    let flags = Flags {
        set: vec!["server.port=many".to_owned()],
        ..Flags::default()
    };
    let text = Settings::load(&flags, Vec::new()).unwrap_err().to_string();
    assert!(text.contains("server.port"), "{text}");
    assert!(text.contains("the flags"), "{text}");
}

#[test]
fn a_number_out_of_range_names_its_source() {
    let env = environment(&[("BKG_SERVER__PORT", "70000")]);
    let text = Settings::load(&Flags::default(), env)
        .unwrap_err()
        .to_string();
    assert!(text.contains("environment"), "{text}");
}

#[test]
fn an_environment_that_is_not_text_is_no_panic() {
    use std::os::unix::ffi::OsStringExt;
    let bad = || OsString::from_vec(vec![0xff]);
    let foreign = vec![("OTHER".into(), bad()), (bad(), "x".into())];
    assert!(Settings::load(&Flags::default(), foreign).is_ok());
    let own = vec![("BKG_DATA_DIR".into(), bad())];
    let text = Settings::load(&Flags::default(), own)
        .unwrap_err()
        .to_string();
    assert!(text.contains("BKG_DATA_DIR"), "{text}");
}

#[test]
fn an_unknown_setting_is_refused() {
    let (_dir, flags) = file("[server]\nprot = 1\n");
    let text = Settings::load(&flags, Vec::new()).unwrap_err().to_string();
    assert!(text.contains("prot"), "{text}");
}

#[test]
fn a_broken_file_names_the_line() {
    let (_dir, flags) = file("[server]\nport = \n");
    let text = Settings::load(&flags, Vec::new()).unwrap_err().to_string();
    assert!(text.contains("line 2"), "{text}");
}

#[test]
fn the_tests_own_variables_are_no_settings() {
    let env = environment(&[("BKG_TEST_DATA", "/x"), ("BKG_DATA_DIR", "/y")]);
    let settings = Settings::load(&Flags::default(), env).unwrap();
    assert_eq!(settings.data_dir, Path::new("/y"));
}

#[test]
fn a_numeric_password_stays_text() {
    let env = environment(&[("BKG_ADMIN_PASSWORD", "00123456")]);
    let settings = Settings::load(&Flags::default(), env).unwrap();
    assert_eq!(settings.admin_password, Some(Secret("00123456".to_owned())));
}

#[test]
fn a_list_is_read_from_a_file_and_from_between_commas() {
    let wanted = ["10.0.0.0/8", "::1"].map(|text| text.parse().unwrap());
    let (_dir, flags) = file("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n");
    let settings = Settings::load(&flags, Vec::new()).unwrap();
    assert_eq!(*settings.server.trusted_proxies, wanted);
    let env = environment(&[("BKG_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1")]);
    let settings = Settings::load(&Flags::default(), env).unwrap();
    assert_eq!(*settings.server.trusted_proxies, wanted);
}

#[test]
fn a_wrong_entry_of_a_list_names_key_and_source() {
    let env = environment(&[("BKG_SERVER__TRUSTED_PROXIES", "10.0.0.0/8,proxy.example")]);
    let text = Settings::load(&Flags::default(), env)
        .unwrap_err()
        .to_string();
    assert!(text.contains("proxy.example"), "{text}");
    assert!(text.contains("server.trusted_proxies"), "{text}");
    assert!(text.contains("environment"), "{text}");
}

#[test]
fn the_reference_tells_every_setting_and_no_secret() {
    let env = environment(&[
        ("BKG_ADMIN_PASSWORD", "hunter2"),
        ("BKG_UPSTREAMS__PROXY", "http://me:hunter2@proxy:3128"),
        ("BKG_SERVER__PORT", "7"),
    ]);
    let settings = Settings::load(&Flags::default(), env).unwrap();
    let all = settings.reference().unwrap();
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let port = all.iter().find(|one| one.key == "server.port").unwrap();
    assert_eq!(port.environment, "BKG_SERVER__PORT");
    assert_eq!((&port.value, &port.default), (&7.into(), &43119.into()));
    assert_eq!(port.source, SettingSource::Environment);
    for one in &all {
        assert!(one.doc.ends_with('.'), "{}: {}", one.key, one.doc);
    }
}

#[test]
fn each_value_tells_its_source() {
    let (_dir, mut flags) = file("data_dir = \"d\"\n[server]\nport = 1\nworkers = 1\n");
    flags.set = vec!["server.workers=3".to_owned(), "log.keep=9".to_owned()];
    let env = environment(&[
        ("BKG_SERVER__PORT", "2"),
        ("BKG_SERVER__WORKERS", "2"),
        ("BKG_SERVER__CORS_ORIGINS", "https://a.example"),
        ("BKG_MODELS_DIR", ""),
    ]);
    let settings = Settings::load(&flags, env).unwrap();
    let all = settings.reference().unwrap();
    let source = |key: &str| all.iter().find(|one| one.key == key).unwrap().source;
    for (key, from) in [
        ("data_dir", SettingSource::File),
        ("server.port", SettingSource::Environment),
        ("server.cors_origins", SettingSource::Environment),
        ("server.workers", SettingSource::Flag),
        ("log.keep", SettingSource::Flag),
        ("log.format", SettingSource::Default),
        // Nothing is no value.
        ("models_dir", SettingSource::Default),
    ] {
        assert_eq!(source(key), from, "{key}");
    }
}
