//! What reaches the terminal and what reaches the broker.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use log::Level;
use messages::log_record::LogRecord;

use super::*;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Desk {
    tee: Tee,
    screen: Paper,
    intake: Intake,
}

impl Desk {
    fn new(filter: &str) -> Self {
        Self::with_format(filter, Format::Text)
    }

    fn with_format(filter: &str, format: Format) -> Self {
        let (screen, intake) = (Paper::default(), Intake::new(100));
        let shown = Screen {
            format,
            style: WriteStyle::Never,
            target: Target::Pipe(Box::new(screen.clone())),
        };
        let tee = Tee::new(filter, shown, &["brainml"], intake.clone());
        Self {
            tee,
            screen,
            intake,
        }
    }

    fn say(&self, level: Level, target: &str, message: &str) {
        self.tee.log(
            &Record::builder()
                .level(level)
                .target(target)
                .args(format_args!("{message}"))
                .build(),
        );
    }

    fn screen(&self) -> String {
        String::from_utf8(self.screen.0.lock().unwrap().clone()).unwrap()
    }

    fn records(&self) -> Vec<LogRecord> {
        self.intake.take_now().records
    }
}

#[test]
fn a_line_goes_both_ways_with_its_tag() {
    let desk = Desk::new("info");
    desk.say(Level::Warn, "brainml::search", "slow");
    let screen = desk.screen();
    assert!(screen.ends_with(" WARN  brainml slow\n"), "{screen}");
    let record = desk.records().remove(0);
    assert_eq!((&*record.plugin, &*record.message), ("brainml", "slow"));
    assert_eq!(record.level, messages::log_record::Level::Warn);
    assert_eq!(record.fields["target"], "brainml::search");
    assert_eq!(record.seq, 1);
}

#[test]
fn pairs_become_fields() {
    let desk = Desk::new("info");
    let pairs = [("plugin", "external"), ("request_id", "r\n1")];
    let record = Record::builder()
        .level(Level::Info)
        .target("bkg::http")
        .args(format_args!("served"))
        .key_values(&pairs)
        .build();
    desk.tee.log(&record);
    assert!(
        desk.screen()
            .ends_with("INFO  external served request_id=r\\n1\n")
    );
    let record = desk.records().remove(0);
    assert_eq!(&*record.plugin, "external");
    assert_eq!(record.fields["request_id"], r"r\n1");
    assert!(!record.fields.contains_key("plugin"));
}

#[test]
fn one_record_is_one_line_of_plain_text() {
    let desk = Desk::new("info");
    desk.say(Level::Info, "x", "a\r\n2026 ERROR bkg forged\u{1b}[2J");
    let screen = desk.screen();
    assert_eq!(screen.lines().count(), 1);
    assert!(!screen.contains('\u{1b}'));
    assert_eq!(
        desk.records()[0].message,
        r"a\r\n2026 ERROR bkg forged\u{1b}[2J"
    );
}

#[test]
fn the_filter_holds_for_both() {
    let desk = Desk::new("warn,brainml=debug");
    desk.say(Level::Info, "bkg", "quiet");
    desk.say(Level::Debug, "brainml", "heard");
    desk.say(
        Level::Error,
        "actix_http::h1::dispatcher",
        "stream error: bad request",
    );
    assert_eq!(desk.screen().lines().count(), 1);
    assert_eq!(desk.records().len(), 1);
    let desk = Desk::new("info,actix_http=error");
    desk.say(
        Level::Error,
        "actix_http::h1::dispatcher",
        "stream error: bad request",
    );
    assert_eq!(desk.records().len(), 1, "asked for by name");
}

#[test]
fn a_filter_that_nobody_understands_is_refused() {
    for good in [
        "",
        "info",
        "warn,brainml=debug,actix_http=off",
        "bkg::http",
        "info/x=y",
    ] {
        assert!(check_filter(good).is_ok(), "{good}");
    }
    let error = check_filter("info, brainml=loud").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`brainml=loud` is no log filter")
    );
}

#[test]
fn the_brokers_own_thread_logs_to_the_terminal_alone() {
    std::thread::spawn(|| {
        let desk = Desk::new("info");
        keep_off_the_broker();
        desk.say(Level::Info, "bkg", "one");
        desk.say(Level::Info, "bkg", "two");
        assert_eq!(desk.screen().lines().count(), 2);
        assert!(desk.records().is_empty());
    })
    .join()
    .unwrap();
}

#[test]
fn a_message_that_logs_while_it_is_formatted_does_no_harm() {
    struct Chatty<'a>(&'a Desk);
    impl fmt::Display for Chatty<'_> {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.say(Level::Info, "bkg", "inner");
            out.write_str("outer")
        }
    }
    let desk = Desk::new("info");
    let chatty = Chatty(&desk);
    desk.tee.log(
        &Record::builder()
            .level(Level::Info)
            .target("bkg")
            .args(format_args!("{chatty}"))
            .build(),
    );
    let records = desk.records();
    assert!(records.iter().any(|record| record.message == "outer"));
    assert!(desk.screen().contains("outer"));
}

#[test]
fn a_json_line_is_one_object_with_numbers_as_numbers() {
    let desk = Desk::with_format("info", Format::Json);
    let pairs: [(&str, log::kv::Value<'_>); 5] = [
        ("status", 200_u16.into()),
        ("took_ms", 1.5.into()),
        ("path", "/a\u{1b}[2J\r\nforged".into()),
        ("message", "not the record's own".into()),
        ("plugin", "external".into()),
    ];
    desk.tee.log(
        &Record::builder()
            .level(Level::Info)
            .target("bkg::http")
            .args(format_args!("a \"quoted\"\nline"))
            .key_values(&pairs)
            .build(),
    );
    let screen = desk.screen();
    assert_eq!(screen.lines().count(), 1, "{screen}");
    let mut line: serde_json::Value = serde_json::from_str(&screen).unwrap();
    let ts = line["ts"].take();
    ts.as_str().unwrap().parse::<Timestamp>().unwrap();
    let expected = serde_json::json!({
        "ts": null, "level": "info", "plugin": "external", "target": "bkg::http",
        "message": r#"a "quoted"\nline"#, "status": 200, "took_ms": 1.5,
        "path": r"/a\u{1b}[2J\r\nforged", "message_": "not the record's own",
    });
    assert_eq!(line, expected);
    assert_eq!(desk.records()[0].fields["status"], "200");
}

#[test]
fn a_requests_line_does_not_say_to_people_what_its_message_says() {
    let desk = Desk::new("info");
    let pairs = [("took_ms", "1.0"), ("path", "/x"), ("caller", "key:1")];
    desk.tee.log(
        &Record::builder()
            .level(Level::Info)
            .target("bkg")
            .args(format_args!("GET /x 200 1.0 ms"))
            .key_values(&pairs)
            .build(),
    );
    let screen = desk.screen();
    assert!(
        screen.ends_with(" GET /x 200 1.0 ms caller=key:1\n"),
        "{screen}"
    );
    assert_eq!(desk.records()[0].fields["path"], "/x");
}

#[test]
fn what_a_thread_logs_while_it_ends_is_shown() {
    struct Last(Arc<Desk>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.say(Level::Warn, "bkg", "good bye");
        }
    }
    thread_local! {
        static LAST: Cell<Option<Last>> = const { Cell::new(None) };
    }
    let desk = Arc::new(Desk::new("info"));
    let last = Last(desk.clone());
    std::thread::spawn(move || {
        // Whatever the thread uses first, it drops last.
        LAST.set(Some(last));
        LAST.with(|_| SHOWN.set(None));
    })
    .join()
    .unwrap();
    assert!(desk.screen().ends_with("bkg good bye\n"));
}
