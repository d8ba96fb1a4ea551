//! The gateway itself, its log and its store.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::page::Page;
use crate::{
    http::{Edge, tls::CertificateStatus, ws::LogFigures},
    telemetry::ExportFigures,
};

/// What there is besides requests and plugins, as of one moment.
#[derive(Debug)]
pub(super) struct Gauges {
    uptime: Duration,
    draining: bool,
    connections: usize,
    connections_refused: u64,
    certificate: Option<CertificateStatus>,
    log: LogFigures,
    readers_dropped: u64,
    writable: bool,
    database: Arc<Path>,
    exported: ExportFigures,
}

impl Gauges {
    pub(super) fn of(edge: &Edge, writable: bool) -> Self {
        Self {
            uptime: edge.started.elapsed(),
            draining: edge.drain.is_draining(),
            connections: edge.places.in_use(),
            connections_refused: edge.places.refused(),
            certificate: edge.certificate.as_ref().map(|one| one.status()),
            log: edge.logs.figures(),
            readers_dropped: edge.readers.dropped(),
            writable,
            database: edge.database.clone(),
            exported: edge.traces.exported(),
        }
    }

    /// Nothing where the gateway speaks no TLS.
    fn encode_certificate(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(certificate) = &self.certificate else {
            return Ok(());
        };
        page.gauge(
            "bkg_tls_certificate_not_after_seconds",
            "When the certificate ends, in Unix seconds",
            certificate.not_after.as_second(),
        )?;
        page.gauge(
            "bkg_tls_certificate_loaded_seconds",
            "When the certificate was taken from its files, in Unix seconds",
            certificate.loaded_at.as_second(),
        )?;
        page.counter(
            "bkg_tls_certificate_failed_reloads",
            "Changes of the certificate's files into something that could not be used",
            certificate.failed_reloads,
        )
    }

    fn encode_log(&self, page: &mut Page<'_>) -> fmt::Result {
        let log = &self.log;
        page.counter("bkg_log_records", "Log records kept", log.stored)?;
        page.counter(
            "bkg_log_records_dropped",
            "Log records dropped because too many waited",
            log.dropped,
        )?;
        page.gauge(
            "bkg_log_bytes",
            "Bytes of log records in memory",
            size(log.bytes),
        )?;
        page.gauge(
            "bkg_log_subscribers",
            "Readers that follow the log",
            size(log.subscribers),
        )?;
        page.counter(
            "bkg_socket_readers_dropped",
            "Readers of WebSockets dropped because they took nothing",
            self.readers_dropped,
        )?;
        page.counter("bkg_log_gaps", "Gaps that readers were told of", log.gaps)?;
        page.counter("bkg_log_gap_records", "Log records in those gaps", log.lost)
    }

    fn encode_traces(&self, page: &mut Page<'_>) -> fmt::Result {
        let exported = &self.exported;
        page.counter(
            "bkg_trace_spans_sent",
            "Spans that the collector has taken",
            exported.sent,
        )?;
        let dropped = [
            ("overflowed", exported.overflowed),
            ("refused", exported.refused),
            ("unsent", exported.unsent),
        ];
        page.counters(
            "bkg_trace_spans_dropped",
            "Spans that no collector got: too many waited, it refused them, or it was not reached",
            dropped.map(|(reason, count)| ([("reason", reason)], count)),
        )
    }

    fn encode_store(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(
            "bkg_store_writable",
            "1 while the database can be written",
            u64::from(self.writable),
        )?;
        page.gauge(
            "bkg_store_database_bytes",
            "Size of the database file",
            file_size(&self.database),
        )?;
        page.gauge(
            "bkg_store_wal_bytes",
            "Size of the write-ahead log",
            file_size(&wal(&self.database)),
        )
    }
}

impl Collector for Gauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        page.gauges("bkg_build_info", "The gateway's version", version)?;
        page.gauge(
            "bkg_uptime_seconds",
            "Seconds since the start",
            self.uptime.as_secs_f64(),
        )?;
        page.gauge(
            "bkg_draining",
            "1 while the gateway is shutting down",
            u64::from(self.draining),
        )?;
        page.gauge(
            "bkg_http_connections",
            "Connections over TCP",
            size(self.connections),
        )?;
        page.counter(
            "bkg_http_connections_refused",
            "Connections turned away because there were too many",
            self.connections_refused,
        )?;
        self.encode_certificate(&mut page)?;
        self.encode_log(&mut page)?;
        self.encode_traces(&mut page)?;
        self.encode_store(&mut page)
    }
}

fn size(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Nothing where there is no such file: SQLite removes the log when the last connection closes.
fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// SQLite's name for the write-ahead log of `database`.
fn wal(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
