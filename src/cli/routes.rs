//! `hilum routes`: what the file became.

use std::fmt::Write as _;
use std::process::ExitCode;

use hilum_filters::api::Registration;

use super::load::{load, tell};
use super::{Paths, print};
use crate::table::{Description, Line};

pub(super) fn routes(paths: &Paths, filters: &[&'static [Registration]], json: bool) -> anyhow::Result<ExitCode> {
    let table = match load(paths, filters)? {
        Ok(loaded) => loaded.table,
        Err(reports) => return tell(&reports, json),
    };
    if json {
        let rows: Vec<Description> = table.routes.iter().map(|route| Description::of(route)).collect();
        print(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<[String; 4]> =
        table.routes.iter().map(|r| Line::of(r)).map(|l| [l.rule, l.name, l.auth, l.does]).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (rule, name, who) = (width(0), width(1), width(2));
    let mut text = String::new();
    for row in &rows {
        writeln!(text, "{:<rule$}  {:<name$}  {:<who$}  {}", row[0], row[1], row[2], row[3])?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
