//! The back end of the `log` crate: each record goes to the terminal and to the broker.

mod line;

use std::cell::Cell;

use env_logger::{Builder, Target, WriteStyle};
use jiff::Timestamp;
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use messages::log_record::{LogRecord, Stream};

pub use self::line::Format;
use self::line::fields;
use crate::{escape::escape, intake::Intake, tag::Tagger};

/// Targets that say more than anyone wants to hear, unless the filter names them.
/// `actix_http` logs every malformed request as an error.
const QUIET: [(&str, LevelFilter); 10] = [
    ("actix_http", LevelFilter::Off),
    ("actix_server", LevelFilter::Warn),
    ("actix_web", LevelFilter::Warn),
    ("h2", LevelFilter::Warn),
    ("hyper", LevelFilter::Warn),
    ("hyper_util", LevelFilter::Warn),
    ("mio", LevelFilter::Warn),
    ("reqwest", LevelFilter::Warn),
    ("rustls", LevelFilter::Warn),
    ("tokenizers", LevelFilter::Warn),
];

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The filter is not understood.
    #[error("`{0}` is no log filter; write such as `info` or `warn,brainml=debug`")]
    Filter(String),
    /// A logger is installed already.
    #[error(transparent)]
    Installed(#[from] SetLoggerError),
}

/// Installs the back end, which writes to standard error, as text in colour where that is a
/// terminal. `filter` has the form of `RUST_LOG` and holds for the terminal and the broker alike;
/// `plugins` are the targets that are taken for plugins.
///
/// # Errors
/// See [`InstallError`].
pub fn install(
    filter: &str,
    format: Format,
    plugins: &[&str],
    intake: Intake,
) -> Result<(), InstallError> {
    check_filter(filter)?;
    let style = match format {
        Format::Text => WriteStyle::Auto,
        Format::Json => WriteStyle::Never,
    };
    let screen = Screen {
        format,
        style,
        target: Target::Stderr,
    };
    let tee = Tee::new(filter, screen, plugins, intake);
    let most = tee.terminal.filter();
    log::set_boxed_logger(Box::new(tee))?;
    log::set_max_level(most);
    Ok(())
}

fn check_filter(filter: &str) -> Result<(), InstallError> {
    let directives = filter.split('/').next().unwrap_or_default();
    let bad = directives.split(',').map(str::trim).find(|directive| {
        let level = directive.split_once('=').map(|(_, level)| level.trim());
        level.is_some_and(|level| level.parse::<LevelFilter>().is_err())
    });
    bad.map_or(Ok(()), |bad| Err(InstallError::Filter(bad.to_owned())))
}

thread_local! {
    /// Whether this thread is about to speak to the broker, or is the broker's own.
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// The record that this thread is about to show.
    static SHOWN: Cell<Option<LogRecord>> = const { Cell::new(None) };
}

/// Says that what this thread logs goes to the terminal alone.
pub(crate) fn keep_off_the_broker() {
    BUSY.set(true);
}

/// Where lines are shown, and how.
struct Screen {
    format: Format,
    style: WriteStyle,
    target: Target,
}

struct Tee {
    terminal: env_logger::Logger,
    tagger: Tagger,
    intake: Intake,
}

impl Tee {
    fn new(filter: &str, screen: Screen, plugins: &[&str], intake: Intake) -> Self {
        let tagger = Tagger::new(plugins);
        let own = tagger.clone();
        let mut builder = Builder::new();
        for (target, level) in QUIET {
            builder.filter_module(target, level);
        }
        let format = screen.format;
        builder
            .parse_filters(filter)
            .write_style(screen.style)
            .target(screen.target)
            .format(move |out, record| {
                let (level, pairs) = (record.level(), record.key_values());
                let shown = match SHOWN.try_with(Cell::take) {
                    Ok(Some(shown)) => shown,
                    Ok(None) => return Ok(()),
                    Err(_) => return format.print(out, &made(&own, record), level, pairs),
                };
                let printed = format.print(out, &shown, level, pairs);
                SHOWN.set(Some(shown));
                printed
            });
        Self {
            terminal: builder.build(),
            tagger,
            intake,
        }
    }
}

fn made(tagger: &Tagger, record: &Record<'_>) -> LogRecord {
    LogRecord {
        // The intake numbers it.
        seq: 0,
        ts: Timestamp::now(),
        plugin: tagger.tag(record),
        level: record.level().into(),
        stream: Stream::Log,
        message: escape(&record.args().to_string()),
        fields: fields(record),
    }
}

impl Log for Tee {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.terminal.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.terminal.matches(record) {
            return;
        }
        // Made once for both, and before it is shown: whatever is logged while it is made is shown
        // first.
        let made = made(&self.tagger, record);
        let kept = SHOWN.try_with(|shown| shown.set(Some(made)));
        self.terminal.log(record);
        if kept.is_err() {
            // The thread ends: what it drops may log, but not to the broker any more.
            return;
        }
        // What is logged while a record is on its way to the broker would follow it for ever.
        if let Some(record) = SHOWN.take().filter(|_| !BUSY.get()) {
            BUSY.set(true);
            self.intake.offer(record);
            BUSY.set(false);
        }
    }

    fn flush(&self) {
        self.terminal.flush();
    }
}

#[cfg(test)]
mod tests;
