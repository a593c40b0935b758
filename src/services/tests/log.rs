//! What is logged, as text.

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};

use crate::services::lock;

/// Keeps what is logged, for every test of this binary; each looks for its own service.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        lock(&self.0).push(format!("{} {}", record.level(), record.args()));
    }
    fn flush(&self) {}
}

pub(super) fn logged(part: &str) -> Vec<String> {
    lock(&LINES.0).iter().filter(|line| line.contains(part)).cloned().collect()
}

pub(super) fn keep_log() {
    // The first test of the binary sets it; the others find it set.
    _ = log::set_logger(&LINES);
    assert!(std::ptr::addr_eq(log::logger(), &raw const LINES), "these tests need to see the log");
    log::set_max_level(LevelFilter::Info);
}
