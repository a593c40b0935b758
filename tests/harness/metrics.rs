//! The metrics of a gateway, read.

/// One reading of `/metrics`.
pub(crate) struct Samples(pub(crate) String);

impl Samples {
    /// The sum of all series of this name that carry at least these labels; 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).map(|(_, value)| value).sum()
    }

    /// Whether there is a series of this name with at least these labels.
    pub(crate) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.series(name, labels).next().is_some()
    }

    /// Whether a family of this name is declared.
    pub(crate) fn declares(&self, name: &str) -> bool {
        self.0.lines().any(|line| line.strip_prefix("# TYPE ").and_then(|l| l.split(' ').next()) == Some(name))
    }

    fn series<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let fits = found == name && labels.iter().all(|(key, value)| rest.contains(&format!("{key}=\"{value}\"")));
            Some((series, value.parse().ok()?)).filter(|_| fits)
        })
    }
}
