//! What systemd is told (sd_notify(3)): a datagram to the socket that `NOTIFY_SOCKET` names. Elsewhere there is none, and nobody is told.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Environment;

/// Whoever started this process and wants to hear of it.
pub(super) struct Systemd(Option<SocketAddr>);

impl Systemd {
    pub(super) fn of(environment: &Environment) -> Systemd {
        let Ok(name) = environment.value("NOTIFY_SOCKET") else { return Systemd(None) };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(name),
        };
        Systemd(address.map_err(|e| log::warn!("systemd can't be told anything: NOTIFY_SOCKET: {e}")).ok())
    }

    /// This process serves. `process`: it took over from the one that systemd knows, and its number.
    pub(super) fn ready(&self, process: Option<u32>) {
        match process {
            None => self.tell("READY=1"),
            // Before the other one ends, or all would be ended with it.
            Some(process) => self.tell(&format!("MAINPID={process}\nREADY=1")),
        }
    }

    /// The service stops, and not this process alone.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, text: &str) {
        let Some(address) = &self.0 else { return };
        let told = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(text.as_bytes(), address));
        if let Err(e) = told {
            log::warn!("systemd could not be told {text:?}: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at: &UnixDatagram) -> String {
        let mut text = [0; 64];
        let length = at.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    #[test]
    fn each_state_is_one_datagram() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        let name = format!("hilum-test-{}", std::process::id());
        let unnamed = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [(named, path.display().to_string()), (unnamed, format!("@{name}"))] {
            let systemd = Systemd::of(&Environment::of(&[("NOTIFY_SOCKET", &address)]));
            systemd.ready(None);
            systemd.ready(Some(123));
            systemd.stopping();
            assert_eq!(
                [heard(&socket), heard(&socket), heard(&socket)],
                ["READY=1", "MAINPID=123\nREADY=1", "STOPPING=1"]
            );
        }
    }

    #[test]
    fn without_systemd_nobody_is_told() {
        let systemd = Systemd::of(&Environment::of(&[]));
        assert!(systemd.0.is_none());
        systemd.ready(None);
    }
}
