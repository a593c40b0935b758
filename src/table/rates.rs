//! The limits of a route, by the slot in which their values are known, and what can't be counted where.

use std::collections::{HashMap, HashSet};

use hilum_filters::api::{At, LineOrMap, Placed, Problem, Try};

use crate::actions::Action;
use crate::actions::session::Session;
use crate::config::rate::{self, KeyOf};
use crate::config::route;
use crate::rates::{Count, Key, Limit, Place, Rates};

/// What requests to a route are counted against.
#[derive(Debug, Default)]
pub struct RouteRates {
    /// By client or header: before anything is asked about the caller.
    pub by_head: Box<[Limit]>,
    /// By a claim: as soon as the caller is known.
    pub by_caller: Box<[Limit]>,
    /// By the body, once it is read.
    pub by_body: Box<[Limit]>,
}

/// What was said of each limit of the file, over all the routes it is handed down to.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Where limits stand that some route counts by.
    used: HashSet<At>,
    /// Those that a route could not count by, and why the first of them could not.
    idle: HashMap<At, &'static str>,
}

/// What decides whether a limit can count anything on a route.
struct On<'r> {
    written: &'r route::Route,
    action: &'r Action,
    /// Callers have claims, and some of them may not fit.
    claims: (bool, bool),
}

impl RouteRates {
    /// Compiles `rate:`. `claims`: whether callers have any, and whether some may be refused for theirs.
    pub(super) fn compile(
        written: &route::Route,
        action: &Action,
        claims: (bool, bool),
        rates: &Rates,
        effects: &mut Effects,
    ) -> RouteRates {
        let on = On { written, action, claims };
        let mut slots = [Vec::new(), Vec::new(), Vec::new()];
        let list = written.shared.rate.as_ref().map_or(&[][..], |rate| &rate.value);
        for (index, Placed { at, value: Try(limit) }) in list.iter().enumerate() {
            let Some((limit, key)) = limit.as_ref().and_then(|limit| Some((limit, key_of(limit)?))) else { continue };
            let count = match limit.count.map(|count| count.value) {
                Some(rate::Count::Failures) => Count::Failures,
                Some(rate::Count::All) | None => Count::All,
            };
            if let Some(why) = on.why_idle(&key, count) {
                effects.idle.entry(*at).or_insert(why);
                continue;
            }
            effects.used.insert(*at);
            let slot = match key {
                Key::Client | Key::Header(_) => 0,
                Key::Claim(_) => 1,
                Key::Body(_) => 2,
            };
            let of = written.rate_of.clone();
            slots[slot].push(rates.limit(Place { of, index, allow: limit.allow.value, key, count }));
        }
        let [by_head, by_caller, by_body] = slots.map(Vec::into_boxed_slice);
        RouteRates { by_head, by_caller, by_body }
    }
}

fn key_of(limit: &rate::Limit) -> Option<Key> {
    Some(match limit.key.value.0.as_ref()? {
        LineOrMap::Line(_) => Key::Client,
        LineOrMap::Map(KeyOf::Header(name)) => Key::Header(name.value.0.clone()),
        LineOrMap::Map(KeyOf::Claim(path)) => Key::Claim(path.clone()),
        LineOrMap::Map(KeyOf::Body(path)) => Key::Body(path.clone()),
    })
}

impl On<'_> {
    fn reads_body(&self) -> bool {
        match self.action {
            Action::Forward(_) => true,
            Action::Respond(respond) => self.written.shared.validate.is_some() || respond.record.is_some(),
            _ => false,
        }
    }

    fn why_idle(&self, key: &Key, count: Count) -> Option<&'static str> {
        let is_login = matches!(self.action, Action::Session(Session::Login(_)));
        let (has_claims, may_not_fit) = self.claims;
        match (key, count) {
            (Key::Claim(_), _) if !has_claims => Some("the route is public, so nobody has claims"),
            (Key::Body(_), _) if !is_login && !self.reads_body() => Some("the route's action reads no body"),
            (Key::Body(_), _) if self.written.only_reads() => Some("a GET has no body"),
            (Key::Body(_), Count::Failures) if !is_login => {
                Some("a caller whose claims don't fit is refused before the body is read")
            }
            (_, Count::Failures) if !is_login && !may_not_fit => {
                Some("nobody signs in here, and no `auth: { claims }` could fail")
            }
            _ => None,
        }
    }
}

impl Effects {
    /// A limit that counts nothing on any route is a problem. One that counts on some is there for those.
    pub(super) fn tell(&self, problems: &mut Vec<Problem>) {
        for (at, why) in self.idle.iter().filter(|(at, _)| !self.used.contains(*at)) {
            let problem = Problem::new(*at, format!("this rate has no effect: {why}"));
            problems.push(problem.help("count by another `key`, or write it on a route where it counts"));
        }
    }
}

/// A header that carries an identity says nothing before the token was verified, and is removed afterwards.
pub(super) fn own_headers(written: &route::Route, own: &[http::HeaderName], problems: &mut Vec<Problem>) {
    let list = written.shared.rate.as_ref().map_or(&[][..], |rate| &rate.value);
    for limit in list.iter().filter_map(|limit| limit.value.0.as_ref()) {
        if let Some(LineOrMap::Map(KeyOf::Header(name))) = &limit.key.value.0
            && own.contains(&name.value.0)
        {
            let text = format!("`{}` is what a client says of itself here, and it may say anything", name.value.0);
            Problem::new(name.at, text).help("count by `{ claim: … }` of the verified token").record(problems);
        }
    }
}
