//! `pages`, `endpoint` and every `template:` → the templates of the file, with links to its routes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hilum_filters::api::{At, Placed, Problem};

use crate::config::action::Action;
use crate::config::route::Shared;
use crate::config::routes::Routes;
use crate::router::Pattern;
use crate::table::pages::Folder;
use crate::template::{Endpoints, Pages};

/// Where templates are unless the file says otherwise.
const ROOT: &str = "static/pages";

/// The templates, unless no page is made of one or the folder is missing; and the folder that is to be watched.
pub(super) fn pages(routes: &Routes, problems: &mut Vec<Problem>) -> (Option<Arc<Pages>>, Option<Folder>) {
    let endpoints = endpoints(routes, problems);
    let Some(first) = first_use(routes) else {
        no_effect(routes, problems);
        return (None, None);
    };
    let written = routes.pages.as_ref().map(|pages| &pages.value.root);
    let root = written.map_or_else(|| PathBuf::from(ROOT), |root| root.value.clone());
    let full = routes.base_dir.join(&root);
    let (folder, files) = Folder::read(&full);
    if !full.is_dir() {
        let text = format!("there is no folder `{}` for templates", root.display());
        let problem = Problem::new(written.map_or(first, |root| root.at), text);
        problems.push(problem.help("it is relative to this file; `pages: { root: FOLDER }` says where else it is"));
        return (None, Some(folder));
    }
    not_served(routes, &root, &full, problems);
    (Some(Arc::new(Pages::new(&root.display().to_string(), files, endpoints))), Some(folder))
}

/// The first place that names a template.
fn first_use(routes: &Routes) -> Option<At> {
    let of_errors = |shared: &Shared| {
        shared.errors.0.iter().find_map(|(_, shape)| shape.0.as_ref()?.page.as_ref().map(|page| page.at))
    };
    let of_routes = routes.routes.iter().filter_map(|route| match route.action.as_ref().map(|action| &action.value) {
        Some(Action::Page(page)) => Some(page.template.at),
        _ => of_errors(&route.shared),
    });
    of_routes.chain(routes.areas.iter().filter_map(|area| of_errors(&area.shared))).next()
}

fn endpoints(routes: &Routes, problems: &mut Vec<Problem>) -> Endpoints {
    let mut found: HashMap<String, (At, Pattern)> = HashMap::new();
    for route in &routes.routes {
        let (Some(Placed { at, value }), Some(rule)) = (&route.endpoint, &route.rule) else { continue };
        if let Some((first, _)) = found.get(value) {
            let text = format!("the endpoint `{value}` is that of the route in line {} already", first.line);
            problems.push(Problem::new(*at, text).help("a link leads to one route: leave it out of the other"));
        } else {
            found.insert(value.clone(), (*at, rule.value.path.clone()));
        }
    }
    Endpoints::new(found.into_iter().map(|(name, (_, path))| (name, path)))
}

fn no_effect(routes: &Routes, problems: &mut Vec<Problem>) {
    // A route that could not be read may be the page.
    if routes.routes.iter().any(|route| route.action.is_none()) {
        return;
    }
    let why = "no route is a `page`, and no `errors` has one";
    let pages = routes.pages.iter().map(|pages| ("pages", pages.at));
    let endpoints = routes.routes.iter().filter_map(|route| Some(("endpoint", route.endpoint.as_ref()?.at)));
    for (key, at) in pages.chain(endpoints) {
        problems.push(Problem::new(at, format!("`{key}` has no effect: {why}")));
    }
}

/// A template shows what is done with whom; only what it makes is for the world.
fn not_served(routes: &Routes, root: &Path, full: &Path, problems: &mut Vec<Problem>) {
    let Ok(templates) = full.canonicalize() else { return };
    for route in &routes.routes {
        let Some(Action::Files(files)) = route.action.as_ref().map(|action| &action.value) else { continue };
        let served = routes.base_dir.join(&files.root.value).canonicalize();
        if served.is_ok_and(|served| templates.starts_with(served)) {
            let text = format!(
                "`{}` has the templates in it, in `{}`, and would serve them",
                files.root.value.display(),
                root.display()
            );
            problems
                .push(Problem::new(files.root.at, text).help("serve a folder beside them, such as `static/assets`"));
        }
    }
}
