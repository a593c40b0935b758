//! `services:` → pools. A pool whose options are unchanged is the one that runs already, health and all.

use std::time::Duration;

use hilum_filters::api::{LineOrMap, Placed, Problem};
use hilum_filters::units::Span;

use super::Parts;
use crate::actions::Named;
use crate::config::routes::Routes;
use crate::config::service::{BalanceName, Health, Service, Timeouts};
use crate::services::{self as run, Pool};

pub(super) fn pools(routes: &Routes, parts: &Parts<'_>, problems: &mut Vec<Problem>) -> Named<Pool> {
    Named::new(routes.services.0.iter().map(|(name, service)| {
        let options = service.0.as_ref().and_then(|service| options(name, service, problems));
        (name.value.clone(), options.map(|options| parts.fleet.pool(&options)))
    }))
}

fn options(name: &Placed<String>, service: &Service, problems: &mut Vec<Problem>) -> Option<run::ServiceOptions> {
    if service.peers.value.is_empty() {
        problems.push(Problem::new(service.peers.at, format!("the service `{}` has no peers", name.value)));
        return None;
    }
    let peers = service.peers.value.iter().map(|peer| match peer.0.as_ref()? {
        LineOrMap::Line(peer) => Some(peer.value.clone()),
        LineOrMap::Map(map) => {
            let mut peer = map.address.value.clone();
            if let Some(weight) = &map.weight {
                if !(1..=1000).contains(&weight.value) {
                    problems
                        .push(Problem::new(weight.at, format!("a weight is from 1 to 1000, found {}", weight.value)));
                }
                peer.weight = weight.value;
            }
            Some(peer)
        }
    });
    let peers: Vec<_> = peers.collect();
    let balance = match &service.balance {
        None => run::Balance::RoundRobin,
        Some(balance) => match balance.0.as_ref()? {
            LineOrMap::Map(_) => run::Balance::Hash,
            LineOrMap::Line(line) => match line.value {
                BalanceName::RoundRobin => run::Balance::RoundRobin,
                BalanceName::LeastRequests => run::Balance::LeastRequests,
            },
        },
    };
    let health = match &service.health {
        None => None,
        Some(health) => Some(health_options(health.0.as_ref()?, problems)),
    };
    Some(run::ServiceOptions {
        name: name.value.as_str().into(),
        peers: peers.into_iter().collect::<Option<_>>()?,
        balance,
        health,
        timeouts: timeouts(service.timeouts.0.as_ref()),
        resolve_every: run::ServiceOptions::RESOLVE_EVERY,
    })
}

fn health_options(health: &Health, problems: &mut Vec<Problem>) -> run::HealthOptions {
    let path = health.path.as_ref().and_then(|path| {
        path.value.parse().map_err(|why: run::NotAPath| problems.push(Problem::new(path.at, why.to_string()))).ok()
    });
    run::HealthOptions {
        path,
        every: health.every.and_then(|it| it.0).map_or(Duration::from_secs(5), |it| it.get()),
        timeout: health.timeout.and_then(|it| it.0).map_or(Duration::from_secs(1), |it| it.get()),
        down_after: health.down_after.and_then(|it| it.0).map_or(3, |it| it.0),
        up_after: health.up_after.and_then(|it| it.0).map_or(2, |it| it.0),
    }
}

fn timeouts(written: Option<&Timeouts>) -> run::Timeouts {
    let usual = run::Timeouts::default();
    let Some(written) = written else { return usual };
    run::Timeouts {
        connect: written.connect.and_then(|it| it.0).map_or(usual.connect, |it| it.get()),
        response: written.response.and_then(|it| it.0).map_or(usual.response, |it| it.get()),
        idle: written.idle.and_then(|it| it.0).map_or(usual.idle, Span::get),
    }
}
