//! How many files and sockets the process may have open. Systems allow few unless they are asked, and a gateway that has none left
//! can accept nobody.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For listeners, logs, files that are served, Redis, the admin listener and health checks.
const RESERVE: u64 = 256;

/// Asks for all that the process may have, and says so when that is too little for so many clients.
pub(super) fn raise(connections: u32) {
    let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(e) => {
                log::warn!("the limit of open files stays at {soft}, though {hard} are allowed: {e}");
                soft
            }
        },
        Ok((soft, _)) => soft,
        Err(e) => return log::warn!("how many files may be open is not known: {e}"),
    };
    if let Some(warning) = shortage(connections, limit) {
        log::warn!("{warning}");
    }
}

/// What is wrong with a limit for so many clients, each of which may need a connection to a service too.
fn shortage(connections: u32, limit: u64) -> Option<String> {
    let needed = u64::from(connections) * 2 + RESERVE;
    let most = limit.saturating_sub(RESERVE) / 2;
    (needed > limit).then(|| {
        format!(
            "`connections.total: {connections}` may need {needed} open files and sockets, and this process is allowed {limit}: \
             raise its hard limit (`LimitNOFILE=` of systemd, `ulimits: nofile` of Docker), or lower `connections.total` to {most}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_with_both_numbers_and_what_to_do() {
        assert_eq!(shortage(10_000, 20_256), None);
        assert_eq!(shortage(1, 524_288), None);
        for (connections, limit, words) in [
            (10_000, 20_000, ["10000", "20256", "20000", "to 9872"]),
            (512, 1024, ["512", "1280", "1024", "to 384"]),
            (1, 10, ["1", "258", "10", "to 0"]),
        ] {
            let told = shortage(connections, limit).unwrap_or_default();
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise(1);
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
