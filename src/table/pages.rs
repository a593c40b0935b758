//! The folder of templates, read; and how an edit of it is told.

use std::path::{Path, PathBuf};

/// Where the templates are, and what they were when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub root: PathBuf,
    digest: Box<[u8]>,
}

/// The templates by their paths below the folder, with a reason for each that can't be read.
pub(super) type Files = Vec<(String, Result<String, String>)>;

/// The largest template.
const SIZE: u64 = 1024 * 1024;
/// A link may lead round in circles; no folder of templates is that deep.
const DEPTH: usize = 16;

impl Folder {
    /// Reads all of it. Dot files are no templates: editors leave them behind.
    pub(super) fn read(root: &Path) -> (Folder, Files) {
        let mut paths = Vec::new();
        walk(root, "", 0, &mut paths);
        let files: Files = paths.into_iter().map(|name| (name.clone(), read(&root.join(&name)))).collect();
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (name, text) in &files {
            let text = text.as_ref().unwrap_or_else(|why| why);
            for part in [name.as_bytes(), text.as_bytes()] {
                context.update(&part.len().to_le_bytes());
                context.update(part);
            }
        }
        (Folder { root: root.to_owned(), digest: context.finish().as_ref().into() }, files)
    }
}

impl Folder {
    /// The templates that are there now.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.root, "", 0, &mut found);
        found.into_iter().map(|name| self.root.join(name)).collect()
    }

    /// Whether the templates are still what they were.
    pub fn is_unchanged(&self) -> bool {
        Folder::read(&self.root).0 == *self
    }
}

fn walk(root: &Path, below: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(root.join(below)) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    for name in names {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        match root.join(&path) {
            full if full.is_dir() && depth < DEPTH => walk(root, &path, depth + 1, found),
            full if full.is_file() => found.push(path),
            _ => {}
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|e| format!("can't be read: {e}"))?;
    if about.len() > SIZE {
        return Err("is larger than 1MiB".to_owned());
    }
    let bytes = std::fs::read(path).map_err(|e| format!("can't be read: {e}"))?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}
