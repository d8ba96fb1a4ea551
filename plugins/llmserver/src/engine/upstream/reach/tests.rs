//! Where upstreams may be and may not.

use super::*;

fn reach(hosts: &[&str], private: &[&str]) -> Reach {
    let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    Reach::new(&owned(hosts), &owned(private), None).unwrap()
}

#[test]
fn an_address_that_leads_inside_is_refused_however_it_is_written() {
    for url in [
        "http://127.0.0.1/v1",
        "http://127.1/v1",
        "http://0x7f.1/v1",
        "http://0177.0.0.1/v1",
        "http://2130706433/v1",
        "http://127.0.0.1./v1",
        "http://%31%32%37.0.0.1/v1",
        "http://①②⑦.0.0.1/v1",
        "http://[::1]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[::ffff:7f00:1]/v1",
        "http://[64:ff9b::7f00:1]/v1",
        "http://[2002:7f00:1::]/v1",
        "http://localhost/v1",
        "http://LOCALHOST./v1",
        "http://a.localhost:11434/v1",
        "http://10.1.2.3/v1",
        "http://172.16.0.1/v1",
        "http://192.168.0.1/v1",
        "http://100.64.0.1/v1",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/v1",
        "http://[fd00::1]/v1",
        "http://0.0.0.0/v1",
        "http://[::]/v1",
        "http://224.0.0.1/v1",
        "http://192.0.2.1/v1",
    ] {
        let refused = reach(&[], &[]).check(url).unwrap_err();
        assert!(
            refused.contains("upstreams.allow_private"),
            "{url}: {refused}"
        );
    }
}

#[test]
fn what_is_no_plain_web_address_is_refused() {
    for url in [
        "file:///etc/passwd",
        "ftp://example.com/",
        "unix:/run/x",
        "http://user@example.com/v1",
        "http://user:pass@example.com/v1",
        "http://:pass@example.com/v1",
        "http://example.com@169.254.169.254/",
        "http://example.com/v1?x=y",
        "http://example.com/v1#x",
        "http:///",
        "example.com",
        "",
    ] {
        assert!(reach(&[], &["0.0.0.0/0"]).check(url).is_err(), "{url}");
    }
    assert!(reach(&[], &[]).check("https://api.example.com/v1").is_ok());
    assert!(reach(&[], &[]).check("http://1.1.1.1:8080/v1").is_ok());
}

#[test]
fn a_list_of_hosts_leaves_out_all_others() {
    let reach = reach(
        &["*.example.com", "1.1.1.1"],
        &["10.0.0.5:8080", "gpu.internal"],
    );
    for url in [
        "https://api.example.com/v1",
        "http://1.1.1.1/v1",
        "http://10.0.0.5:8080/v1",
        "http://gpu.internal/v1",
    ] {
        assert!(reach.check(url).is_ok(), "{url}");
    }
    for url in [
        "https://example.org/v1",
        "https://example.com.evil.org/v1",
        "http://8.8.8.8/v1",
        "http://10.0.0.5/v1",
        "http://localhost:8080/v1",
    ] {
        let refused = reach.check(url).unwrap_err();
        assert!(
            refused.contains("upstreams.allow_hosts"),
            "{url}: {refused}"
        );
    }
}

#[test]
fn what_is_allowed_by_name_may_be_private_but_not_where_credentials_are_handed_out() {
    let reach = reach(&[], &["gpu.internal", "127.0.0.1"]);
    let ip = |text: &str| text.parse().unwrap();
    let named = reach.check("http://gpu.internal/v1").unwrap();
    for address in ["10.0.0.1", "127.0.0.1", "fd00::1", "1.1.1.1"] {
        assert!(named.admits(ip(address)), "{address}");
    }
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "fe80::1",
    ] {
        assert!(!named.admits(ip(address)), "{address}");
    }
    let other = reach.check("http://other.example/v1").unwrap();
    assert!(other.admits(ip("1.1.1.1")) && other.admits(ip("::ffff:127.0.0.1")));
    assert!(!other.admits(ip("10.0.0.1")) && !other.admits(ip("127.0.0.2")));
    let local = reach.check("http://localhost:11434/v1").unwrap();
    assert!(local.admits(ip("127.0.0.1")) && !local.admits(ip("::1")));
}

#[test]
fn a_proxy_takes_what_leaves_and_nothing_else() {
    let private = ["10.0.0.0/8".to_owned(), "gpu.internal".to_owned()];
    let proxy = Some("http://proxy:3128");
    let hosts = ["api.example.com".to_owned()];
    let reach = Reach::new(&hosts, &private, proxy).unwrap();
    let by_proxy = |url: &str| reach.check(url).unwrap().proxy().is_some();
    assert!(by_proxy("https://api.example.com/v1"));
    assert!(!by_proxy("http://10.0.0.1/v1") && !by_proxy("http://gpu.internal/v1"));
    let wrong = Reach::new(&[], &private, proxy).unwrap_err();
    assert!(wrong.to_string().contains("allow_hosts"), "{wrong}");
    assert!(Reach::new(&hosts, &[], Some("socks5://secret@x")).is_err());
    let wrong = Reach::new(&["*".to_owned()], &[], None).unwrap_err();
    assert!(wrong.to_string().contains("allow_hosts: `*`"), "{wrong}");
}
