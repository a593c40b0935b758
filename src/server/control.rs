//! The background work of one process: health checks, the watch on `routes.yaml` and its templates, reloads, the session store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::sync::{Mutex, watch};

use super::opening::Opening;
use super::tls::Certificates;
use super::{Load, Loader};
use crate::admin::reload::{Reloaded, Reloader};
use crate::admin::status::{Outcome, Reloads};
use crate::proxy::Gateway;
use crate::table::{Folder, Table, hash};
use crate::telemetry::audit;

/// How often the files are looked at. With [`SETTLED`] an edit is live well within a second.
const LOOK: Duration = Duration::from_millis(250);
/// Two reads this far apart must agree before a file is taken: a half-written one is never a table.
pub(super) const SETTLED: Duration = Duration::from_millis(100);

/// How long a new table waits for its names.
const RESOLVE: Duration = Duration::from_millis(300);

/// The background service.
pub(super) struct Control {
    gateway: Gateway,
    loader: Arc<Loader>,
    certificates: Arc<Certificates>,
    requests: Mutex<Reloader>,
    /// What `/status` tells of reloads.
    told: watch::Sender<Reloads>,
    /// The text that the running table was made of at the start.
    loaded: String,
    opening: Opening,
}

/// What tells two versions of a file apart without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// What was judged last: the text of the file, and the templates that it was judged with.
struct Seen {
    text: String,
    pages: Option<Folder>,
}

/// The file, and each of its templates.
type Looks = (Option<Look>, Vec<(PathBuf, Option<Look>)>);

impl Control {
    pub(super) fn new(
        gateway: Gateway,
        (loader, certificates): (Loader, Arc<Certificates>),
        requests: Reloader,
        told: watch::Sender<Reloads>,
        loaded: String,
        opening: Opening,
    ) -> Self {
        Control {
            gateway,
            loader: Arc::new(loader),
            certificates,
            requests: Mutex::new(requests),
            told,
            loaded,
            opening,
        }
    }

    /// Reads the file until it and its templates hold still, and takes it. `seen` is what was judged last.
    async fn reload(&self, seen: &mut Seen, asked: bool) -> Option<Reloaded> {
        let text = match settled(&self.loader.path, seen.pages.as_ref()).await {
            Ok(text) => text,
            // Between two steps of a rename there is no file; what it will be is looked at again.
            Err(_) if !asked => return None,
            Err(e) => return Some(self.refuse(None, format!("{} can't be read: {e}", self.loader.path.display()))),
        };
        // A touched file, or one that was refused already, says nothing new.
        if !asked && seen.text == text && is_unchanged(seen.pages.clone()).await {
            return None;
        }
        let (loader, content) = (self.loader.clone(), text.clone());
        // Parsing thousands of routes takes a while, and this thread has health checks to run.
        let load = tokio::task::spawn_blocking(move || loader.compile(&content)).await;
        let hash = hash(&text);
        seen.text = text;
        Some(match load {
            Err(_) => self
                .refuse(Some(&hash), "the file could not be compiled: a defect of the gateway, see its log".to_owned()),
            Ok(Load::Problems(report, pages)) => {
                // A file that can't be read any more may still be about the same templates.
                seen.pages = pages.or(seen.pages.take());
                self.refuse(Some(&hash), report.to_string())
            }
            Ok(Load::Table(table)) => {
                seen.pages.clone_from(&table.pages);
                self.take(*table).await
            }
        })
    }

    fn refuse(&self, hash: Option<&str>, why: String) -> Reloaded {
        self.gateway.metrics().refused();
        self.told.send_modify(|reloads| reloads.note(SystemTime::now(), Outcome::Refused));
        if let Some(log) = self.gateway.audit() {
            log.config(audit::Outcome::Refused, hash);
        }
        log::error!("routes were not reloaded, the running ones are kept:\n{why}");
        Reloaded::Refused(why)
    }

    async fn take(&self, table: Table) -> Reloaded {
        let table = Arc::new(table);
        let reloaded = Reloaded::Loaded { hash: table.hash.clone(), routes: table.routes.len() };
        // Watched before they are used, so that no request meets a pool that nobody looks after.
        self.watch(&table).await;
        let old = self.gateway.swap(table.clone());
        let gone = old.routes.iter().filter(|route| !table.routes.iter().any(|r| r.name == route.name));
        self.gateway.metrics().forget_routes(gone.map(|route| route.name.clone()));
        self.gateway.metrics().loaded(&table.hash);
        self.told.send_modify(|reloads| reloads.note(SystemTime::now(), Outcome::Loaded));
        if let Some(log) = self.gateway.audit() {
            log.config(audit::Outcome::Success, Some(&table.hash));
        }
        log::info!("routes reloaded: {} routes, hash {}", table.routes.len(), table.hash);
        reloaded
    }

    /// Looks after the pools and the published keys of a table; new names are given a moment to be looked up, so that their first request finds a peer.
    async fn watch(&self, table: &Table) {
        self.gateway.fleet().run(&table.pools, &tokio::runtime::Handle::current());
        let resolved = async {
            for pool in &table.pools {
                pool.resolved().await;
            }
        };
        // A name that does not resolve is a 503 of its own service and keeps nothing else waiting.
        let _ = tokio::time::timeout(RESOLVE, resolved).await;
        for keys in &table.key_sets {
            keys.tend();
        }
    }
}

#[async_trait]
impl BackgroundService for Control {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        self.watch(&self.gateway.table()).await;
        // In a task of its own, so that news of sessions are not kept waiting by a reload; it ends with the runtime.
        let store = self.loader.store.clone();
        tokio::spawn(async move { store.tend().await });
        // Nor are routes kept waiting by certificates that are being written.
        let certificates = self.certificates.clone();
        tokio::spawn(async move { certificates.tend().await });
        if !self.opening.begin().await {
            return;
        }
        let mut requests = self.requests.lock().await;
        // The first look always reads: the file may have been edited since it was loaded.
        let mut looked = None;
        let mut seen = Seen { text: self.loaded.clone(), pages: self.gateway.table().pages.clone() };
        let mut look_again = tokio::time::interval(LOOK);
        look_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = shutdown.changed() => break,
                Some(reply) = requests.recv() => {
                    let (certificates, reloaded) = tokio::join!(self.certificates.reload(), self.reload(&mut seen, true));
                    if let Some(reloaded) = reloaded {
                        let reloaded = match (reloaded, certificates) {
                            (reloaded, Ok(())) => reloaded,
                            (Reloaded::Refused(routes), Err(why)) => Reloaded::Refused(format!("{routes}\n{why}")),
                            (Reloaded::Loaded { .. }, Err(why)) => {
                                Reloaded::Refused(format!("routes were reloaded, certificates were not:\n{why}"))
                            }
                        };
                        // Whoever asked may have gone; the reload holds all the same.
                        let _ = reply.send(reloaded);
                    }
                }
                _ = look_again.tick() => {
                    // The path is followed anew each time, so renames and swapped links are seen; watching the file itself
                    // would go on watching the one that was replaced, and does not work on every file system.
                    let now = Some(look_at(&self.loader.path, seen.pages.as_ref()).await);
                    if now != looked {
                        self.reload(&mut seen, false).await;
                        looked = now;
                    }
                }
            }
        }
        self.gateway.fleet().stop();
    }
}

async fn look_at(path: &Path, pages: Option<&Folder>) -> Looks {
    let (path, pages) = (path.to_owned(), pages.cloned());
    let looks = tokio::task::spawn_blocking(move || {
        let templates = pages.map(|pages| pages.paths()).unwrap_or_default();
        (look(&path), templates.into_iter().map(|path| (path.clone(), look(&path))).collect())
    });
    looks.await.unwrap_or_default()
}

pub(super) fn look(path: &Path) -> Option<Look> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some(Look { modified: about.modified().ok(), len: about.len(), inode: about.ino() })
}

async fn is_unchanged(pages: Option<Folder>) -> bool {
    let Some(pages) = pages else { return true };
    tokio::task::spawn_blocking(move || pages.is_unchanged()).await.unwrap_or(false)
}

/// The content, once two reads agree in size, time and content, and the templates in size and time.
async fn settled(path: &Path, pages: Option<&Folder>) -> std::io::Result<String> {
    let mut last = (look_at(path, pages).await, tokio::fs::read_to_string(path).await?);
    // Somebody who writes without a pause is waited for, but not for ever: the next look comes soon.
    for _ in 0..50 {
        tokio::time::sleep(SETTLED).await;
        let now = (look_at(path, pages).await, tokio::fs::read_to_string(path).await?);
        if now == last {
            return Ok(now.1);
        }
        last = now;
    }
    Err(std::io::Error::other("the file does not hold still"))
}
