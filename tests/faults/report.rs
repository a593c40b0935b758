//! Figures, and the one table they end in.

use std::fmt::Display;

use crate::harness::PATIENCE;

/// One thing that was measured of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    measured: String,
    value: String,
    /// What Hilum has to keep, in words, and whether the value does.
    bound: Option<(String, bool)>,
}

impl Figure {
    pub(crate) fn new(measured: impl Display, value: impl Display) -> Figure {
        Figure { measured: measured.to_string(), value: value.to_string(), bound: None }
    }

    /// The same with a bound. It is Hilum's: other gateways are measured only.
    pub(crate) fn must(mut self, bound: impl Display, is_kept: bool) -> Figure {
        self.bound = Some((bound.to_string(), is_kept));
        self
    }
}

/// The figures of one scenario, a column for each gateway.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    broken: Vec<String>,
}

struct Row {
    scenario: &'static str,
    measured: String,
    bound: String,
    /// By column.
    values: [Option<String>; COLUMNS.len()],
}

pub(crate) const COLUMNS: [&str; 3] = ["Hilum", "nginx", "HAProxy"];

impl Report {
    pub(crate) fn add(&mut self, scenario: &'static str, column: usize, figures: Vec<Figure>) {
        for Figure { measured, value, bound } in figures {
            if let (0, Some((bound, false))) = (column, &bound) {
                self.broken.push(format!("{scenario}: {measured}: {value}, and not {bound}"));
            }
            let at = self.rows.iter().position(|row| row.scenario == scenario && row.measured == measured);
            let at = at.unwrap_or_else(|| {
                let bound = bound.map_or_else(String::new, |(bound, _)| bound);
                self.rows.push(Row { scenario, measured, bound, values: [const { None }; COLUMNS.len()] });
                self.rows.len() - 1
            });
            self.rows[at].values[column] = Some(value);
        }
    }

    /// A scenario that came to no end.
    pub(crate) fn failed(&mut self, scenario: &'static str, column: usize) {
        self.add(scenario, column, vec![Figure::new("has come to its end", "no, see above").must("yes", false)]);
    }

    /// What is missing in this column, such as a gateway that is not here.
    pub(crate) fn print(&self, missing: &[&str; COLUMNS.len()]) {
        println!("\n| scenario | measured | {} | bound |", COLUMNS.join(" | "));
        println!("|---|---|{}---|", "---|".repeat(COLUMNS.len()));
        for row in &self.rows {
            let values: Vec<&str> =
                row.values.iter().zip(missing).map(|(value, missing)| value.as_deref().unwrap_or(missing)).collect();
            println!("| {} | {} | {} | {} |", row.scenario, row.measured, values.join(" | "), row.bound);
        }
        println!();
    }

    /// Each bound that was broken.
    pub(crate) fn broken(&self) -> &[String] {
        &self.broken
    }
}

/// How much of it is run: all of it, or what fits between the other tests of a debug build.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) is_full: bool,
}

impl Form {
    pub(crate) fn either<T>(self, short: T, full: T) -> T {
        if self.is_full { full } else { short }
    }

    /// Bounds of time are those of the build that ships. A debug build beside other tests is given this many times as long.
    pub(crate) const SLACK: u32 = if cfg!(debug_assertions) { 5 } else { 1 };
}

/// Milliseconds, as a table shows them.
pub(crate) fn ms(time: std::time::Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if time >= PATIENCE {
        format!("over {} s", PATIENCE.as_secs())
    } else if ms < 10.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{ms:.0} ms")
    }
}
