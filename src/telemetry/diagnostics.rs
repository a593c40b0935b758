//! Everything that is no access log: start, reloads, health changes, failures of ours.
//!
//! What a request can make Hilum say, ten thousand a second can make it say: a disk full of one line, in which nobody finds another.
//! So each place in the code says it so often in a second, and what is left out is counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use prometheus::IntCounter;

/// Lines of one place in a second. A reload that has a word on each of a hundred peers or certificates is told whole.
const MOST: u64 = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// Starts the log on standard error. What is left out is counted by `left_out`.
///
/// Pingora's own lines may hold the path, the query and, after a broken head, raw bytes of a request with cookies and tokens in
/// them. What they tell is in our access log, metrics and health lines, so they are switched off, whatever the level. Of every other
/// crate only warnings are shown: below that they tell what no operator asked for, headers among it.
pub fn start(level: LevelFilter, left_out: IntCounter) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Warn.min(level));
    // Each name stands for all that begin with it.
    builder.filter_module("hilum", level);
    builder.filter_module("pingora", LevelFilter::Off);
    let logger = builder.build();
    let most = logger.filter();
    // Only the first start of a process counts; tests start many gateways.
    if log::set_boxed_logger(Box::new(Bounded { logger, places: Mutex::default(), left_out })).is_ok() {
        log::set_max_level(most);
    }
}

/// Writes so many lines of each place.
struct Bounded<L> {
    logger: L,
    /// As many as there are lines in the code that log.
    places: Mutex<HashMap<Place, Said>>,
    left_out: IntCounter,
}

/// Where in the code: its file and line. What says neither is one place.
type Place = (Option<&'static str>, Option<u32>);

/// What a place has said in the second that began then.
struct Said {
    since: Instant,
    lines: u64,
    left_out: u64,
}

impl<L: Log> Log for Bounded<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let place = (record.file_static(), record.line());
        let now = Instant::now();
        let due = self.places.lock().entry(place).or_insert(Said { since: now, lines: 0, left_out: 0 }).due(now);
        match due {
            None => self.left_out.inc(),
            Some(0) => self.logger.log(record),
            Some(left_out) => {
                let (level, target) = (record.level(), record.target());
                let args = format_args!("{left_out} lines as the next one were left out");
                self.logger.log(&Record::builder().level(level).target(target).args(args).build());
                self.logger.log(record);
            }
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

impl Said {
    /// How many were left out since one was written, if this one is to be.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if now >= self.since + WINDOW {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines >= MOST {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_so_much_in_a_second_and_then_how_much_it_left_out() {
        let begin = Instant::now();
        let mut said = Said { since: begin, lines: 0, left_out: 0 };
        let mut each = |ms: u64, times: usize| -> Vec<Option<u64>> {
            (0..times).map(|_| said.due(begin + Duration::from_millis(ms))).collect()
        };
        assert_eq!(each(0, 100), vec![Some(0); 100]);
        assert_eq!(each(999, 1000), vec![None; 1000]);
        assert_eq!(each(1000, 2), [Some(1000), Some(0)]);
        assert_eq!(each(2500, 1), [Some(0)]);
    }

    /// Keeps what it is given.
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Log for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Info
        }

        fn log(&self, record: &Record<'_>) {
            self.0.lock().push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    #[test]
    fn one_place_takes_no_line_from_another() {
        let left_out = IntCounter::new("left_out", "left out").unwrap();
        let log = Bounded { logger: Kept::default(), places: Mutex::default(), left_out: left_out.clone() };
        let say = |level, line, text: &str| {
            let args = format_args!("{text}");
            log.log(&Record::builder().level(level).file_static(Some("a.rs")).line(Some(line)).args(args).build());
        };
        (0..150).for_each(|_| say(log::Level::Info, 1, "often"));
        (0..150).for_each(|_| say(log::Level::Debug, 2, "not shown, and not counted"));
        say(log::Level::Error, 3, "once");
        let kept = log.logger.0.lock();
        let often = kept.iter().filter(|line| *line == "often").count() as u64;
        // A machine that stands still for a second begins another one.
        assert!(often >= 100 && often + left_out.get() == 150, "{often} {}", left_out.get());
        assert_eq!(kept.last().map(String::as_str), Some("once"));
    }
}
