//! Log lines: one that is escaped is one line of plain text of bounded length, escaping it again
//! changes nothing, and a frame of records is JSON that says what they said.
#![no_main]

#[path = "../../actors/logbroker/src/escape.rs"]
mod escape;

use bytestring::ByteString;
use libfuzzer_sys::fuzz_target;
use logbroker::Frame;
use messages::log_record::{Level, LogRecord, Stream};
use serde_json::Value;

/// The longest message that is kept, with each letter escaped, and the note of what was cut.
const LONGEST: usize = 8 * 1024 * 10 + 64;

fuzz_target!(|text: &str| {
    let line = escape::escape(text);
    assert!(line.len() <= LONGEST);
    assert!(
        !line
            .chars()
            .any(|letter| letter != '\t' && letter.is_control())
    );
    if line.len() <= 8 * 1024 {
        assert_eq!(escape::escape(&line), line);
    }
    let record = LogRecord {
        seq: 1,
        ts: jiff::Timestamp::UNIX_EPOCH,
        plugin: text.into(),
        level: Level::Info,
        stream: Stream::Log,
        message: line,
        fields: [(text.to_owned(), text.to_owned())].into(),
    };
    let json = ByteString::from(serde_json::to_string(&record).unwrap());
    let frame = Frame::Records(vec![json.clone(), json]).to_json();
    let read: Value = serde_json::from_str(&frame).unwrap();
    for told in read["records"].as_array().unwrap() {
        let told: LogRecord = serde_json::from_value(told.clone()).unwrap();
        assert_eq!(told, record);
    }
});
