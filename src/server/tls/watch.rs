//! Certificates that change while the gateway runs: whoever renews them writes files, and nobody is asked to restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

use super::files::Content;
use super::{Loaded, Tls, TlsMetrics};
use crate::server::control::{Look, SETTLED, look};

/// The TLS of all listeners, looked after.
pub struct Certificates {
    listeners: Vec<Arc<Tls>>,
    pub(in crate::server) metrics: TlsMetrics,
    /// How the files looked when they were read last.
    looked: Mutex<Vec<Option<Look>>>,
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(250);

impl Certificates {
    pub fn new(listeners: Vec<Arc<Tls>>, metrics: TlsMetrics) -> Certificates {
        let certificates = Certificates { listeners, metrics, looked: Mutex::default() };
        certificates.tell();
        certificates
    }

    fn tell(&self) {
        for loaded in self.listeners.iter().map(|tls| tls.loaded.load()) {
            loaded.certificates.iter().for_each(|it| self.metrics.expires(&it.file, it.expires));
            loaded.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        }
    }

    /// Takes files whenever they look otherwise than they did. Never ends where there are any.
    pub(in crate::server) async fn tend(&self) {
        if self.listeners.is_empty() {
            return;
        }
        let mut look_again = tokio::time::interval(LOOK);
        look_again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look_again.tick().await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let paths: Vec<PathBuf> = self.listeners.iter().flat_map(|tls| tls.files.paths()).collect();
        let looks = tokio::task::spawn_blocking(move || paths.iter().map(|path| look(path)).collect()).await;
        let Ok(looks) = looks else { return };
        let mut looked = self.looked.lock().await;
        if *looked != looks {
            *looked = looks;
            // Told already; the files are looked at again when they change again.
            let _ = self.take().await;
        }
    }

    /// Takes the files as they are, once they hold still. Listeners whose files are as before keep what they have, their clients'
    /// sessions included.
    ///
    /// # Errors
    /// What is wrong with them; the listeners keep what they have.
    pub(in crate::server) async fn reload(&self) -> Result<(), String> {
        // One after the other: what was read first must not be stored last.
        let _looked = self.looked.lock().await;
        self.take().await
    }

    async fn take(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        for tls in &self.listeners {
            match tls.reload().await {
                Ok(false) => {}
                Ok(true) => {
                    self.metrics.reloaded("loaded");
                    let files = tls
                        .loaded
                        .load()
                        .certificates
                        .iter()
                        .map(|it| it.file.display().to_string())
                        .collect::<Vec<_>>();
                    log::info!("certificates reloaded: {}", files.join(", "));
                    self.tell();
                }
                Err(why) => {
                    self.metrics.reloaded("refused");
                    log::error!("certificates were not reloaded, the running ones are kept:\n{why}");
                    wrong.push(why);
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

impl Tls {
    /// Whether something else is shown to clients now.
    async fn reload(self: &Arc<Self>) -> Result<bool, String> {
        let contents = self.settled().await?;
        if contents == self.loaded.load().contents {
            return Ok(false);
        }
        let tls = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let mut problems = Vec::new();
            let now = SystemTime::now();
            let loaded = Loaded::new(&tls.files, tls.http2, contents, now, &mut problems);
            let mut wrong: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            wrong.extend(loaded.iter().flat_map(|new| new.expired(&tls.loaded.load(), now)));
            loaded.filter(|_| wrong.is_empty()).ok_or_else(|| wrong.join("\n"))
        });
        let loaded = loaded.await.map_err(|_| "the files could not be read: a defect of the gateway".to_owned())??;
        self.loaded.store(Arc::new(loaded));
        Ok(true)
    }

    /// The files, once two reads agree: a half-written one is never shown, nor a certificate whose key is still on its way.
    async fn settled(self: &Arc<Self>) -> Result<Vec<Content>, String> {
        let read = || {
            let tls = self.clone();
            async { tokio::task::spawn_blocking(move || tls.files.read()).await.map_err(|e| e.to_string()) }
        };
        let mut last = read().await?;
        for _ in 0..50 {
            tokio::time::sleep(SETTLED).await;
            let now = read().await?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
        Err("the files do not hold still".to_owned())
    }
}

impl Loaded {
    /// Certificates that are over, in the place of some that are not: clients would be locked out by a mistake.
    fn expired(&self, running: &Loaded, now: SystemTime) -> Vec<String> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let is_over = |expires: i64| u64::try_from(expires).is_ok_and(|expires| expires <= now);
        let pairs = self.certificates.iter().zip(&running.certificates);
        let worse = pairs.filter(|(new, old)| is_over(new.expires) && !is_over(old.expires));
        worse.map(|(new, _)| format!("{} has expired, and the running one has not", new.file.display())).collect()
    }
}
