//! The bytes of persisted indexes: nothing in them makes their reader panic or read past the end,
//! and what it reads, the writer writes.
#![no_main]

#[path = "../../plugins/brainml/src/codec.rs"]
mod codec;

use codec::{Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<bool>, &[u8])| {
    let (order, bytes) = input;
    let (mut reader, mut writer) = (Reader::new(bytes), Writer::default());
    let mut again = Vec::new();
    for is_text in order {
        if is_text {
            let Ok(text) = reader.text() else { break };
            writer.text(text);
            again.push(Read::Text(text.to_owned()));
        } else {
            let Ok(number) = reader.number() else { break };
            writer.number(number);
            again.push(Read::Number(number));
        }
    }
    let written = writer.finish();
    assert!(
        written.len() <= bytes.len(),
        "the writer is the shorter one"
    );
    let mut reader = Reader::new(&written);
    for read in again {
        match read {
            Read::Text(text) => assert_eq!(reader.text(), Ok(text.as_str())),
            Read::Number(number) => assert_eq!(reader.narrow(), Ok(number)),
        }
    }
    assert!(reader.is_empty());
});

enum Read {
    Text(String),
    Number(u64),
}
