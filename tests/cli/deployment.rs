//! The files of a deployment agree with each other: what is read is explained, what is named is there, and only the edge is open.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{hilum, root};

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn compose() -> Value {
    yaml("docker-compose.yml")
}

/// The names behind `${`, comments left out; `$${` is no variable.
fn variables(text: &str) -> BTreeSet<String> {
    let code = text
        .lines()
        .map(|line| if line.trim_start().starts_with('#') { "" } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    let code = code.replace("$${", "");
    let names =
        code.split("${").skip(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next());
    names.flatten().map(str::to_owned).collect()
}

/// The variables of `.env.example` with their values.
fn listed() -> Vec<(String, String)> {
    let text = file(".env.example");
    let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).filter_map(|line| line.split_once('='));
    let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    lines.filter(|(name, _)| is_name(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_variable_that_is_read_is_explained_and_no_other() {
    let read: BTreeSet<String> =
        ["routes.yaml", "conf/hilum.yaml", "conf/edge/hilum.yaml", "conf/edge/routes.yaml", "docker-compose.yml"]
            .iter()
            .flat_map(|path| variables(&file(path)))
            .collect();
    let mut explained: BTreeSet<String> = listed().into_iter().map(|(name, _)| name).collect();
    // Docker Compose reads it by itself.
    assert!(explained.remove("COMPOSE_PROFILES"));
    assert_eq!(read, explained);
    assert!(read.len() > 25, "{read:?}");
}

#[test]
fn no_secret_has_a_default() {
    for (name, value) in listed() {
        let is_secret = ["SECRET", "PASSWORD", "TOKEN", "KEY"].iter().any(|word| name.contains(word));
        assert!(!is_secret || value.is_empty(), "{name} has a value");
    }
    for (at, line) in file("docker-compose.yml").lines().enumerate() {
        for name in variables(line)
            .iter()
            .filter(|name| ["SECRET", "PASSWORD", "TOKEN", "KEY"].iter().any(|w| name.contains(w)))
        {
            assert!(line.contains(&format!("${{{name}:?")), "docker-compose.yml:{}: {name} is not required", at + 1);
        }
    }
}

#[test]
fn only_the_edge_is_reached_from_outside_and_every_service_is_hardened() {
    let compose = compose();
    let services = compose["services"].as_object().expect("services");
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["edge", "gateway", "redis", "demo", "prometheus", "grafana"]);
    for (name, service) in services {
        assert_eq!(service.get("ports").is_some(), name == "edge", "{name}");
        assert!(service.get("network_mode").is_none() && service.get("privileged").is_none(), "{name}");
        // A name or an address of its own would keep a second replica from starting.
        assert!(service.get("container_name").is_none(), "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["read_only"] == true, name != "prometheus", "{name}");
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        for (other, needs) in service.get("depends_on").and_then(Value::as_object).into_iter().flatten() {
            assert!(services.contains_key(other) && needs["condition"] == "service_healthy", "{name} {other}");
        }
    }
    // The demo's passwords are known to everybody: it runs only where somebody says so, and no address leads to it by itself.
    assert_eq!(services["demo"]["profiles"], serde_json::json!(["demo"]));
    for (name, value) in services["gateway"]["environment"].as_object().expect("variables") {
        assert!(!name.ends_with("_SERVICE_URL") || value.as_str().is_some_and(|v| v.contains(":?")), "{name}");
    }
    // The alias is on the network of the edge alone, so that a name stands for each gateway once.
    assert_eq!(services["gateway"]["networks"]["front"]["aliases"], serde_json::json!(["gateways"]));
    for name in ["demo", "redis", "prometheus", "grafana"] {
        let networks = services[name]["networks"].as_array().expect("networks");
        assert!(!networks.contains(&"front".into()), "{name} would be a trusted proxy");
    }
    assert!(file("docker-compose.yml").contains("--appendonly yes"), "sessions outlive a restart of Redis");
}

#[test]
fn every_file_that_is_named_is_there() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().expect("services") {
        for volume in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
            let (source, _) = volume.as_str().and_then(|v| v.split_once(':')).expect("source:target");
            let there = match source.strip_prefix("./") {
                Some(path) => root().join(path).exists(),
                None => compose["volumes"].get(source).is_some(),
            };
            assert!(there, "{name}: {source}");
        }
        if let Some(build) = service.get("build") {
            let dockerfile = file(build["dockerfile"].as_str().expect("a file"));
            let target = build["target"].as_str().expect("a target");
            assert!(dockerfile.contains(&format!(" AS {target}\n")), "{name}: {target}");
        }
    }
    let dockerfile = file("conf/Dockerfile");
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from")) {
        for source in line.split_whitespace().skip(1).take(line.split_whitespace().count() - 2) {
            assert!(root().join(source).exists(), "conf/Dockerfile: {source}");
        }
    }
    assert!(dockerfile.contains("\nUSER 10001\n") && dockerfile.contains("--locked"));
    let prometheus = yaml("conf/prometheus.yml");
    for job in prometheus["scrape_configs"].as_array().expect("jobs") {
        assert_eq!(job["authorization"]["credentials_file"], "/run/secrets/hilum_admin_token");
        let names = job["dns_sd_configs"][0]["names"].as_array().expect("names");
        assert!(
            names.iter().all(|name| compose["services"].get(name.as_str().expect("a name")).is_some()),
            "{names:?}"
        );
    }
    assert_eq!(yaml("conf/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]["uid"], "prometheus");
    let folder = yaml("conf/grafana/provisioning/dashboards/hilum.yml")["providers"][0]["options"]["path"].clone();
    let mounted = format!("./conf/grafana/dashboards:{}:ro", folder.as_str().expect("a path"));
    assert!(compose["services"]["grafana"]["volumes"].as_array().expect("a list").contains(&mounted.into()));
}

/// The lines of the unit of systemd, by their names.
fn unit() -> Vec<(String, String)> {
    let text = file("conf/hilum.service");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    lines.map(|line| line.split_once('=').expect("name=value")).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn the_unit_of_systemd_can_be_upgraded_and_may_do_little_else() {
    let unit = unit();
    let value = |name: &str| {
        let values: Vec<&str> = unit.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0]
    };
    // What is told by a successor counts, and only the main process is asked to stop.
    for (name, expected) in [
        ("Type", "notify"),
        ("NotifyAccess", "all"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("KillMode", "mixed"),
        ("Restart", "on-failure"),
        ("User", "hilum"),
        ("RuntimeDirectory", "hilum"),
        ("RuntimeDirectoryMode", "0700"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateTmp", "yes"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    let conf = yaml("conf/hilum.yaml");
    let drain = conf["drain"].as_str().and_then(|text| text.strip_suffix('s')).expect("seconds");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    assert!(number(value("TimeoutStopSec")) >= number(drain) + 10, "it is killed before it has drained");
    assert!(number(value("LimitNOFILE")) > conf["connections"]["total"].as_u64().expect("a number") * 2 + 256);
    // It is started with flags that there are, and variables that are read; what it writes is in folders that are its own.
    let start = value("ExecStart").split_once(' ').expect("arguments").1.to_owned();
    let flags: Vec<&str> = start.split(' ').filter(|word| word.starts_with("--")).collect();
    assert_eq!(flags, ["--conf", "--routes"]);
    let read: BTreeSet<String> = ["routes.yaml", "conf/hilum.yaml"].iter().flat_map(|p| variables(&file(p))).collect();
    for word in value("Environment").split(' ') {
        let (name, path) = word.split_once('=').expect("name=value");
        assert!(read.contains(name), "{name}");
        assert!(path.starts_with("/run/hilum/") || path.starts_with("/var/lib/hilum/"), "{path}");
    }
}

#[test]
fn the_files_of_the_edge_have_no_problem() {
    let ran = hilum(&root(), "check --conf conf/edge/hilum.yaml --routes conf/edge/routes.yaml", &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let composed = [
        ("EDGE_LISTEN", "0.0.0.0:8080"),
        ("EDGE_ADMIN", "0.0.0.0:9901"),
        ("HILUM_ADMIN_TOKEN", "a-token-of-operators-that-is-long-enough"),
        ("GATEWAYS", "http://gateways:5000"),
    ];
    let ran = hilum(&root(), "check --conf conf/edge/hilum.yaml --routes conf/edge/routes.yaml", &composed);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let open = hilum(&root(), "check --conf conf/edge/hilum.yaml --routes conf/edge/routes.yaml", &composed[..2]);
    assert!(open.code == 1 && open.stderr.contains("needs a token"), "{open:?}");
}
