//! What the tests of this crate share.

use jiff::Timestamp;
use messages::log_record::{Level, LogRecord, Stream};

use crate::{Cursor, Filter, Frame, Intake, Limits, LogBroker, Resume, Ring};

/// A record of this plugin.
pub(crate) fn record(plugin: &str) -> LogRecord {
    LogRecord {
        seq: 0,
        ts: Timestamp::UNIX_EPOCH,
        plugin: plugin.into(),
        level: Level::Info,
        stream: Stream::Log,
        message: "hello".to_owned(),
        fields: std::collections::BTreeMap::new(),
    }
}

/// A broker whose work is done by hand.
pub(crate) struct Bench {
    pub(crate) intake: Intake,
    pub(crate) ring: Ring,
}

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        let (intake, ring) = LogBroker::ends(limits);
        Self { intake, ring }
    }

    /// A ring of so many records.
    pub(crate) fn of(records: usize) -> Self {
        Self::new(Limits {
            records,
            ..Limits::default()
        })
    }

    /// Publishes so many records of one plugin.
    pub(crate) fn publish(&self, count: usize, plugin: &str) {
        for _ in 0..count {
            self.intake.offer(record(plugin));
        }
        self.ring.write(self.intake.take_now());
    }

    pub(crate) fn follow(&self) -> Cursor {
        self.ring.follow(Filter::default(), None)
    }

    pub(crate) fn resume(&self, epoch: Option<&str>, after: u64) -> Cursor {
        let epoch = epoch.map(str::to_owned);
        let resume = Resume { epoch, after };
        self.ring.follow(Filter::default(), Some(&resume))
    }
}

/// What a reader was told, shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Seqs(Vec<u64>),
    Gap(u64, u64, u64),
}

impl From<Frame> for Told {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Gap { from, to, count } => Self::Gap(from, to, count),
            Frame::Records(records) => {
                let seq = |json: &bytestring::ByteString| {
                    let record: LogRecord = serde_json::from_str(json).unwrap();
                    record.seq
                };
                Self::Seqs(records.iter().map(seq).collect())
            }
        }
    }
}
