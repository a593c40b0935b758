//! `services:` → pools. A pool whose options are unchanged is the one that runs already, health and all.

use std::time::Duration;

use hilum_filters::api::{LineOrMap, Placed, Problem};
use hilum_filters::units::Span;

use super::Parts;
use crate::actions::Named;
use crate::config::routes::Routes;
use crate::config::service::{BalanceName, Eject, Health, Limits, Retry, RetryCause, Service, Timeouts};
use crate::services::{self as run, Pool, Share};

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
    let eject = match &service.eject {
        None => None,
        Some(eject) => Some(eject_options(eject.0.as_ref()?)),
    };
    let retry = match &service.retry {
        None => run::RetryOptions::default(),
        Some(retry) => retry_options(retry.0.as_ref()?, problems),
    };
    Some(run::ServiceOptions {
        name: name.value.as_str().into(),
        peers: peers.into_iter().collect::<Option<_>>()?,
        balance,
        health,
        eject,
        retry,
        limits: limit_options(service.limits.0.as_ref()),
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

fn eject_options(eject: &Eject) -> run::EjectOptions {
    let usual = run::EjectOptions::default();
    run::EjectOptions {
        after: eject.after.and_then(|it| it.0).map_or(usual.after, |it| it.0),
        span: eject.span.and_then(|it| it.0).map_or(usual.span, |it| it.get()),
        share: eject.share.and_then(|it| it.0).map_or(usual.share, |it| Share::of(it.get())),
        panic: eject.panic.and_then(|it| it.0).map_or(usual.panic, |it| Share::of(it.get())),
    }
}

fn retry_options(retry: &Retry, problems: &mut Vec<Problem>) -> run::RetryOptions {
    let usual = run::RetryOptions::default();
    let attempts = retry.attempts.and_then(|it| it.0);
    if let Some(attempts) = attempts.filter(|it| !(1..=run::MOST_ATTEMPTS).contains(&it.value)) {
        let text = format!("expected 1 to {} attempts, found {}", run::MOST_ATTEMPTS, attempts.value);
        problems.push(Problem::new(attempts.at, text));
    }
    if let (Some(attempts), Some(when)) = (attempts, &retry.when)
        && attempts.value == 1
    {
        problems.push(Problem::new(when.at, "`when` has no effect: there is one attempt only"));
    }
    let when = retry.when.as_ref().map_or(usual.when, |when| {
        let causes: Vec<RetryCause> = when.value.iter().filter_map(|cause| cause.0).collect();
        let status = |cause: &RetryCause| match cause {
            RetryCause::ConnectFailed => None,
            RetryCause::Status(status) => Some(*status),
        };
        run::Causes {
            connect_failed: causes.contains(&RetryCause::ConnectFailed),
            statuses: causes.iter().filter_map(status).collect(),
        }
    });
    run::RetryOptions {
        attempts: attempts.map_or(usual.attempts, |it| it.value),
        when,
        backoff: retry.backoff.and_then(|it| it.0).map_or(usual.backoff, Span::get),
        budget: retry.budget.and_then(|it| it.0).map_or(usual.budget, |it| Share::of(it.get())),
    }
}

fn limit_options(limits: Option<&Limits>) -> run::LimitOptions {
    let usual = run::LimitOptions::default();
    let Some(limits) = limits else { return usual };
    run::LimitOptions {
        in_flight: limits.in_flight.and_then(|it| it.0).map_or(usual.in_flight, |it| it.0),
        queue: limits.queue.and_then(|it| it.0).map_or(usual.queue, |it| it.value),
        slow_start: limits.slow_start.and_then(|it| it.0).map_or(usual.slow_start, Span::get),
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
