//! `hilum audit verify`: whether an audit log is as it was written.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;

use super::print;
use crate::config::Environment;
use crate::config::audit::AuditKey;
use crate::telemetry::audit::Key;
use crate::telemetry::audit::verify::{Older, verify};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Name the first record of each chain that is not as it was written.
    Verify {
        /// What `audit: { file }` says: all files of the log are read. Or one of its files alone.
        #[arg(required = true)]
        file: Vec<PathBuf>,
        /// The variable with the key.
        #[arg(long, default_value = "HILUM_AUDIT_KEY", value_name = "VARIABLE")]
        key: String,
        /// The oldest files were moved to an archive: that they are not here is no fault.
        #[arg(long)]
        older_elsewhere: bool,
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn audit(command: &Audit) -> anyhow::Result<ExitCode> {
    let Audit::Verify { file, key: variable, older_elsewhere, json } = command;
    let older = if *older_elsewhere { Older::Elsewhere } else { Older::Here };
    let environment = Environment::process();
    let secret = match environment.value(variable) {
        Ok(secret) => AuditKey::new(secret).map_err(anyhow::Error::msg)?,
        Err(why) => bail!("the variable `{variable}`, the key of the audit log, is {why}"),
    };
    let key = Key::new(secret.text());
    let (mut reports, mut text, mut is_good) = (Vec::new(), String::new(), true);
    for path in file {
        let report = verify(path, &key, older).with_context(|| format!("{} can't be verified", path.display()))?;
        for note in &report.notes {
            writeln!(text, "note: {note}")?;
        }
        for fault in &report.faults {
            writeln!(text, "bad: {fault}")?;
        }
        let span = match (&report.first, &report.last) {
            (Some(first), Some(last)) => format!(", {first} to {last}"),
            _ => String::new(),
        };
        let (path, records, files) = (path.display(), report.records, report.files);
        match report.faults.len() {
            0 => writeln!(text, "good: {path}: records: {records}, files: {files}{span}")?,
            count => writeln!(text, "bad: {path}: faults: {count}, good records: {records}, files: {files}{span}")?,
        }
        is_good &= report.faults.is_empty();
        reports.push(report);
    }
    print(&if *json { serde_json::to_string_pretty(&reports)? } else { text })?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
