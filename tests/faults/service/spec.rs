//! What a service is able to do, as `services/*.txt` say it: a word and a value a line, `#` begins a remark.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// How many requests it works at, at the same time; others wait, first come first served.
    pub(crate) workers: usize,
    /// How long it works at one.
    pub(crate) takes: Duration,
}

impl Spec {
    pub(crate) fn parse(text: &str) -> Spec {
        let mut spec = Spec { workers: 1000, takes: Duration::ZERO };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("workers", value)) => spec.workers = value.parse().expect("a number of workers"),
                Some(("takes", value)) => spec.takes = time(value),
                _ => panic!("no such line in the file of a service: {line}"),
            }
        }
        spec
    }

    /// What it can answer in a second.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.takes.as_secs_f64()
    }
}

/// `250ms`, `2s`, `10m`.
pub(crate) fn time(text: &str) -> Duration {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().unwrap_or_else(|_| panic!("no time: {text}"));
    match &text[digits..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        _ => panic!("no time: {text}"),
    }
}
