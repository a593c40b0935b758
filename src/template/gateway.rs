//! `gateway` in templates: what the running table says of itself, `gateway.routes` and `gateway.reasons`, each a list of maps.
//!
//! Templates are checked before the table is whole, so the lists are handed in once, when it is; and before that is known which names
//! they have.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use hilum_filters::api::did_you_mean;
use minijinja::Value;
use minijinja::value::Object;

use super::tags::Tag;

/// What it is called in a template.
pub(super) const NAME: &str = "gateway";

/// The names of the entries of its lists.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub list: &'static str,
    pub names: &'static [&'static str],
}

impl Fields {
    pub const ROUTES: Fields = Fields {
        list: "routes",
        names: &[
            "name", "group", "match", "methods", "path", "auth", "access", "require", "action", "does", "services",
            "buffered", "limits", "rates", "audit",
        ],
    };
    pub const REASONS: Fields = Fields { list: "reasons", names: &["reason", "status", "class", "message", "filter"] };

    const ALL: [Fields; 2] = [Fields::ROUTES, Fields::REASONS];
}

/// Both lists.
#[derive(Debug)]
pub struct GatewayNames {
    pub routes: Value,
    pub reasons: Value,
}

/// The name `gateway`; it has nothing in it until the table is whole.
#[derive(Debug, Default)]
pub(super) struct Gateway(OnceLock<GatewayNames>);

impl Gateway {
    /// Hands the lists in. Those of the first time stay: a table is never changed.
    pub(super) fn fill(&self, names: GatewayNames) {
        let _ = self.0.set(names);
    }
}

impl Object for Gateway {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let names = self.0.get()?;
        match key.as_str()? {
            "routes" => Some(names.routes.clone()),
            "reasons" => Some(names.reasons.clone()),
            _ => None,
        }
    }
}

/// What these tags ask of `gateway` that it has not, each with its line.
pub(super) fn flaws(tags: &[Tag<'_>]) -> Vec<(usize, String)> {
    let mut flaws = Vec::new();
    for tag in tags {
        for (at, _) in tag.words.iter().enumerate().filter(|(at, word)| **word == NAME && !tag.is_attribute(*at)) {
            let list = match tag.words[at + 1..] {
                [".", list, ..] => list,
                _ => "",
            };
            if !Fields::ALL.iter().any(|fields| fields.list == list) {
                let near = did_you_mean(list, Fields::ALL.iter().map(|fields| fields.list));
                let near = near.map(|near| format!("; did you mean `{NAME}.{near}`?"));
                let both = || format!("; there are `{NAME}.routes` and `{NAME}.reasons`");
                let what = if list.is_empty() { format!("`{NAME}` by itself") } else { format!("`{NAME}.{list}`") };
                flaws.push((tag.line, format!("{what} is nothing to show{}", near.unwrap_or_else(both))));
            }
        }
    }
    for (entry, fields) in entries(tags) {
        for tag in tags {
            for (at, _) in tag.words.iter().enumerate().filter(|(at, word)| **word == entry && !tag.is_attribute(*at)) {
                let field = match tag.words[at + 1..] {
                    // Methods are Python's, not the table's.
                    [".", _, "(", ..] => continue,
                    [".", field, ..] => field,
                    _ => continue,
                };
                if !fields.names.contains(&field) {
                    let near = did_you_mean(field, fields.names.iter().copied());
                    let near = near.map(|near| format!("; did you mean `{near}`?"));
                    let all = || format!("; there are {}", fields.names.join(", "));
                    let what = format!("an entry of `{NAME}.{}` has no `{field}`", fields.list);
                    flaws.push((tag.line, format!("{what}{}", near.unwrap_or_else(all))));
                }
            }
        }
    }
    flaws
}

/// What loops call the entries of the lists. A name that stands for something else as well is left alone.
fn entries<'t>(tags: &[Tag<'t>]) -> Vec<(&'t str, Fields)> {
    let (mut found, mut others) = (Vec::<(&str, Fields)>::new(), BTreeSet::new());
    for tag in tags {
        match tag.words[..] {
            ["for", entry, "in", NAME, ".", list, ref rest @ ..] if !rest.contains(&"|") => {
                found.extend(Fields::ALL.iter().find(|fields| fields.list == list).map(|fields| (entry, *fields)));
            }
            _ => others.extend(tag.gives()),
        }
    }
    found.sort_by_key(|(entry, fields)| (*entry, fields.list));
    found.dedup_by_key(|(entry, fields)| (*entry, fields.list));
    let is_one = |entry: &str| found.iter().filter(|(other, _)| *other == entry).count() == 1;
    found.iter().copied().filter(|(entry, _)| is_one(entry) && !others.contains(entry)).collect()
}
