//! What is measured: Hilum, and beside it nginx and HAProxy, configured for the same work. Each is a process with files of its own.

mod haproxy;
mod hilum;
mod nginx;
mod process;

use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) use hilum::Hilum;

use crate::harness::{Client, eventually};
use crate::services::Service;
use haproxy::HaProxy;
use nginx::Nginx;

/// Which of them.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Hilum,
    Nginx(PathBuf),
    HaProxy(PathBuf),
}

/// The files of one scenario, one for each kind. `{edition}` in them tells which one is live; other words are filled in by the scenario.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) hilum: &'static str,
    pub(crate) nginx: &'static str,
    pub(crate) haproxy: &'static str,
    /// More of Hilum's settings.
    pub(crate) conf: &'static str,
    /// What stands for each word.
    pub(crate) words: Vec<(&'static str, String)>,
}

/// The three files `conf/NAME.*`.
macro_rules! files {
    ($name:literal) => {
        $crate::gateways::Files {
            hilum: include_str!(concat!("../conf/", $name, ".yaml")),
            nginx: include_str!(concat!("../conf/", $name, ".nginx.conf")),
            haproxy: include_str!(concat!("../conf/", $name, ".haproxy.cfg")),
            conf: "",
            words: Vec::new(),
        }
    };
}
pub(crate) use files;

/// A running gateway. Dropped, it is killed.
pub(crate) enum Subject {
    Hilum(Box<Hilum>),
    Nginx(Nginx),
    HaProxy(HaProxy),
}

impl Files {
    /// For a scenario that only Hilum can be measured in.
    pub(crate) fn of_hilum(hilum: &'static str) -> Files {
        Files { hilum, nginx: "", haproxy: "", conf: "", words: Vec::new() }
    }

    pub(crate) fn with(mut self, word: &'static str, value: usize) -> Files {
        self.words.push((word, value.to_string()));
        self
    }

    /// The file of one kind, complete.
    fn fill(&self, text: &str, edition: usize, services: &[Service]) -> String {
        let mut text = text.replace("{edition}", &edition.to_string());
        for (word, value) in &self.words {
            text = text.replace(&format!("{{{word}}}"), value);
        }
        for (word, service) in ["{A}", "{B}", "{C}"].iter().zip(services) {
            text = text.replace(word, &service.address().to_string());
        }
        text
    }
}

impl Kind {
    pub(crate) fn is_hilum(&self) -> bool {
        matches!(self, Kind::Hilum)
    }

    /// Starts it before these services, and waits until it answers.
    pub(crate) async fn start(&self, files: &Files, services: &[Service]) -> Subject {
        let subject = match self {
            Kind::Hilum => Subject::Hilum(Box::new(Hilum::start(files, services).await)),
            Kind::Nginx(program) => Subject::Nginx(Nginx::start(program, files, services)),
            Kind::HaProxy(program) => Subject::HaProxy(HaProxy::start(program, files, services)),
        };
        subject.is_live(0).await;
        subject
    }
}

impl Subject {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Subject::Hilum(hilum) => hilum.gateway.address(),
            Subject::Nginx(nginx) => nginx.address(),
            Subject::HaProxy(haproxy) => haproxy.address(),
        }
    }

    /// Puts the next edition of its file in place, and waits until it answers.
    pub(crate) async fn reload(&mut self, edition: usize) {
        match self {
            Subject::Hilum(hilum) => hilum.reload(edition).await,
            Subject::Nginx(nginx) => nginx.reload(edition),
            Subject::HaProxy(haproxy) => haproxy.reload(edition),
        }
        self.is_live(edition).await;
    }

    /// Puts a file in place that is none, which must be refused. The one before stays.
    pub(crate) async fn refuses_a_broken_file(&mut self, edition: usize) {
        match self {
            Subject::Hilum(hilum) => hilum.refuses_a_broken_file().await,
            Subject::Nginx(nginx) => nginx.refuses_a_broken_file().await,
            Subject::HaProxy(haproxy) => haproxy.refuses_a_broken_file().await,
        }
        self.is_live(edition).await;
    }

    /// Tells it to answer what is there and to end.
    pub(crate) fn drain(&self) {
        match self {
            Subject::Hilum(hilum) => hilum.drain(),
            Subject::Nginx(nginx) => nginx.drain(),
            Subject::HaProxy(haproxy) => haproxy.drain(),
        }
    }

    /// Waits until it is gone.
    pub(crate) async fn ended(&mut self) {
        match self {
            Subject::Hilum(hilum) => hilum.ended().await,
            Subject::Nginx(nginx) => nginx.ended().await,
            Subject::HaProxy(haproxy) => haproxy.ended().await,
        }
    }

    /// Lets another process take its place, and waits until the one before is gone.
    pub(crate) async fn upgrade(&mut self) {
        match self {
            Subject::Hilum(hilum) => hilum.upgrade().await,
            Subject::Nginx(nginx) => nginx.upgrade().await,
            Subject::HaProxy(haproxy) => haproxy.upgrade().await,
        }
    }

    pub(crate) fn hilum(&self) -> Option<&Hilum> {
        match self {
            Subject::Hilum(hilum) => Some(hilum),
            _ => None,
        }
    }

    async fn is_live(&self, edition: usize) {
        let (address, wanted) = (self.address(), edition.to_string());
        eventually(&format!("edition {edition}"), async || {
            let mut client = Client::try_connect(address).await.ok()?;
            if !client.try_write(b"GET /edition HTTP/1.1\r\nHost: hilum.test\r\nConnection: close\r\n\r\n").await {
                return None;
            }
            let answer = client.try_read(false).await?;
            (answer.status == 200 && answer.text().trim() == wanted).then_some(())
        })
        .await;
    }
}
