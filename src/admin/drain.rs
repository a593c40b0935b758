//! `/services/NAME/peers/ADDRESS/drain`: a peer that shall get no new requests, so that it can be stopped when what it works on is done.

/// The service and the peer of such a path. Names of services hold no `/`, and addresses need no escapes but for brackets.
pub(super) fn target(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/services/")?.strip_suffix("/drain")?;
    let (service, address) = rest.split_once("/peers/")?;
    (!service.is_empty() && !address.is_empty() && !address.contains('/')).then_some((service, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_service_and_a_peer() {
        for (path, expected) in [
            ("/services/patients/peers/10.0.0.1:8004/drain", Some(("patients", "10.0.0.1:8004"))),
            ("/services/patients/peers/[::1]:8004/drain", Some(("patients", "[::1]:8004"))),
            ("/services/patients/peers/10.0.0.1:8004", None),
            ("/services/patients/drain", None),
            ("/services//peers/10.0.0.1:8004/drain", None),
            ("/services/patients/peers//drain", None),
            ("/services/patients/peers/a/b/drain", None),
            ("/drain", None),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
