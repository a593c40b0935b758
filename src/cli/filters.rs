//! `hilum filters`: the catalogue, each with an entry that works.

use std::fmt::Write as _;
use std::process::ExitCode;

use hilum_filters::api::Registration;

use super::print;

pub(super) fn filters(registrations: &[&'static [Registration]], json: bool) -> anyhow::Result<ExitCode> {
    let all: Vec<&Registration> = registrations.iter().flat_map(|list| list.iter()).collect();
    if json {
        let rows =
            all.iter().map(|r| serde_json::json!({ "name": r.name, "example": r.example, "reasons": r.reasons }));
        print(&serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for registration in all {
        writeln!(text, "{}\n    - {}", registration.name, registration.example)?;
        if !registration.reasons.is_empty() {
            writeln!(text, "    refuses with {}", registration.reasons.join(", "))?;
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
