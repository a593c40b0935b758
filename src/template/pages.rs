//! HTML for people: the templates of a folder, checked when a page names them, and written out as Flask would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use hilum_filters::api::{Placed, Problem, did_you_mean};
use minijinja::value::{Kwargs, Object};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::expression::check_filters_and_tests;
use super::gateway::{self, Gateway};
use super::tags::{Tag, tags};
use super::{Endpoints, Failed, GatewayNames, markup};

/// The largest page.
const SIZE: usize = 8 * 1024 * 1024;

/// All templates of a folder, and where their links lead.
pub struct Pages {
    environment: Environment<'static>,
    /// What they were made of: what is wrong with one is found when a page names it.
    texts: BTreeMap<String, String>,
    /// Those that can't be used, and why. Only who needs one is told.
    broken: BTreeMap<String, String>,
    endpoints: Arc<Endpoints>,
    gateway: Arc<Gateway>,
    /// How the folder is called in texts.
    root: String,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} templates)", self.texts.len())
    }
}

/// One template, with everything that it extends and includes: all of it is there, parses, and names what exists.
#[derive(Clone, Debug)]
pub struct Page {
    pages: Arc<Pages>,
    name: Box<str>,
}

/// What the names of a template stand for. What is not there is undefined, as where Flask's view did not give it.
#[derive(Debug, Default)]
pub struct PageNames {
    /// The claims of a caller who is known.
    pub user: Option<Value>,
    /// The others, by name.
    pub more: Value,
}

impl Object for PageNames {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "user" => self.user.clone(),
            _ => self.more.get_item(key).ok().filter(|value| !value.is_undefined()),
        }
    }
}

impl Pages {
    /// Takes the templates by their paths below the folder `root`; one that could not be read comes with the reason.
    pub fn new(root: &str, files: Vec<(String, Result<String, String>)>, endpoints: Endpoints) -> Pages {
        let endpoints = Arc::new(endpoints);
        let mut environment = markup::environment();
        let links = endpoints.clone();
        environment.add_function("url_for", move |endpoint: &str, values: Kwargs| {
            links.url(endpoint, &values).map_err(|why| Error::new(ErrorKind::InvalidOperation, why))
        });
        let gateway = Arc::new(Gateway::default());
        environment.add_global(gateway::NAME, Value::from_dyn_object(gateway.clone()));
        let (mut texts, mut broken) = (BTreeMap::new(), BTreeMap::new());
        for (name, text) in files {
            let at = |line: usize, why: &str| format!("{root}/{name}:{line}: {why}");
            let why = match text {
                Err(why) => Some(format!("{root}/{name} {why}")),
                Ok(text) => match environment.add_template_owned(name.clone(), text.clone()) {
                    Ok(()) => {
                        texts.insert(name.clone(), text);
                        None
                    }
                    Err(error) => Some(at(error.line().unwrap_or(1), error.detail().unwrap_or("this is no template"))),
                },
            };
            broken.extend(why.map(|why| (name, why)));
        }
        Pages { environment, texts, broken, endpoints, gateway, root: root.to_owned() }
    }

    /// Whether one of the templates shows what the gateway says of itself.
    pub fn show_the_gateway(&self) -> bool {
        self.texts.values().any(|text| tags(text).iter().any(|tag| tag.words.contains(&gateway::NAME)))
    }

    /// What the gateway says of itself, once the table is whole.
    pub fn tell(&self, names: GatewayNames) {
        self.gateway.fill(names);
    }

    /// The template of that name, for which these names exist.
    ///
    /// # Errors
    /// Everything that is wrong with it or with a template that it needs, with file and line.
    pub fn page(self: &Arc<Pages>, name: &str, names: &[&str]) -> Result<Page, Vec<String>> {
        let mut flaws = Vec::new();
        let needed = self.needed(name, &mut flaws);
        let known = self.known(names, &needed);
        for template in &needed {
            self.check(template, &known, &mut flaws);
        }
        if flaws.is_empty() { Ok(Page { pages: self.clone(), name: name.into() }) } else { Err(flaws) }
    }

    /// The template that the file names there. What is wrong with one that several need is told once, at the first of them.
    pub fn placed(
        self: &Arc<Pages>,
        name: &Placed<String>,
        names: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Option<Page> {
        let flaws = match self.page(&name.value, names) {
            Ok(page) => return Some(page),
            Err(flaws) => flaws,
        };
        for flaw in flaws {
            if !problems.iter().any(|problem| problem.message == flaw) {
                problems.push(Problem::new(name.at, flaw));
            }
        }
        None
    }

    /// A template and all that it needs, as far as their names are fixed.
    fn needed<'p>(&'p self, name: &str, flaws: &mut Vec<String>) -> Vec<Template<'p>> {
        let mut needed: Vec<Template<'p>> = Vec::new();
        let mut open = vec![(name.to_owned(), String::new())];
        while let Some((name, from)) = open.pop() {
            if needed.iter().any(|template| template.name == name) {
                continue;
            }
            if let Some((name, text)) = self.texts.get_key_value(&name) {
                let tags = tags(text);
                let needs = tags.iter().filter_map(|tag| Some((tag.needs()?.to_owned(), self.at(name, tag.line))));
                open.extend(needs);
                let template = self.environment.get_template(name).map(|template| template.undeclared_variables(false));
                let unknown = template.into_iter().flatten().collect();
                needed.push(Template { name, tags, unknown });
            } else if let Some(why) = self.broken.get(&name) {
                flaws.push(why.clone());
            } else {
                let all = self.texts.keys().chain(self.broken.keys());
                let near = did_you_mean(&name, all.map(String::as_str))
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default();
                flaws.push(format!("{from}there is no template `{name}` in {}{near}", self.root));
            }
        }
        needed
    }

    /// The names that exist, besides those that the page brings: functions, and what the templates give to one another.
    fn known<'p>(&'p self, names: &[&'p str], needed: &'p [Template<'p>]) -> BTreeSet<&'p str> {
        let globals = self.environment.globals().map(|(name, _)| name);
        let tags = needed.iter().flat_map(|template| &template.tags);
        let given = tags.flat_map(|tag| tag.gives().into_iter().chain(tag.asks()));
        let jinja = ["loop", "self", "super", "caller", "varargs", "kwargs"];
        jinja.into_iter().chain(globals).chain(given).chain(names.iter().copied()).collect()
    }

    fn check(&self, template: &Template<'_>, known: &BTreeSet<&str>, flaws: &mut Vec<String>) {
        let mut flaw = |line, why: String| {
            let text = format!("{}{why}", self.at(template.name, line));
            if !flaws.contains(&text) {
                flaws.push(text);
            }
        };
        for name in template.unknown.iter().filter(|name| !known.contains(name.as_str())) {
            let line = template.tags.iter().find(|tag| tag.words.contains(&name.as_str())).map_or(1, |tag| tag.line);
            let near = did_you_mean(name, known.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            flaw(line, format!("nothing is called `{name}` here{near}"));
        }
        if template.unknown.contains(gateway::NAME) {
            gateway::flaws(&template.tags).into_iter().for_each(|(line, why)| flaw(line, why));
        }
        for tag in &template.tags {
            let _ = check_filters_and_tests(&tag.words, &self.environment).map_err(|why| flaw(tag.line, why));
            for link in tag.links() {
                let check = self.endpoints.check(link.endpoint, &link.given, link.spread);
                let _ = check.map_err(|why| flaw(tag.line, why));
            }
        }
    }

    fn at(&self, name: &str, line: usize) -> String {
        format!("{}/{name}:{line}: ", self.root)
    }
}

/// A template that parses.
struct Template<'p> {
    name: &'p str,
    tags: Vec<Tag<'p>>,
    unknown: BTreeSet<String>,
}

impl Page {
    /// The page for these names.
    ///
    /// # Errors
    /// A template that could not be evaluated to its end, or has none. Never half a page.
    pub fn render(&self, names: PageNames) -> Result<Vec<u8>, Failed> {
        let mut out = Bounded(Vec::with_capacity(4096));
        let rendered = self
            .pages
            .environment
            .get_template(&self.name)
            .and_then(|template| template.render_captured_to(Value::from_object(names), &mut out).map(drop));
        // A detail may quote what was in the names, so the kind and the place must do.
        rendered.map(|()| out.0).map_err(|error| {
            let name = error.name().unwrap_or(&self.name);
            Failed(format!("{}{}", self.pages.at(name, error.line().unwrap_or(1)), error.kind()))
        })
    }
}

/// Takes no more than a page may be.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > SIZE {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
