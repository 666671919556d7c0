//! Prometheus' text exposition format, version 0.0.4: one `# HELP` and `# TYPE` for each family,
//! then its samples. Source: prometheus.io/docs/instrumenting/exposition_formats.

use std::fmt::Write;

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A value that only grows.
    Counter,
    Gauge,
    Histogram,
}

/// Writes the exposition format.
#[derive(Default)]
pub struct Exposition {
    text: String,
}

/// The names and values of a sample's labels.
pub type Labels<'a> = [(&'a str, &'a str)];

impl Exposition {
    /// Starts a family. All its samples must follow before the next family.
    pub fn family(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {}\n# TYPE {name} {kind}", escaped(help, false));
    }

    /// Writes a sample of a counter or gauge.
    pub fn sample(&mut self, name: &str, labels: &Labels<'_>, value: f64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(text, true));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = match value {
            f64::INFINITY => writeln!(self.text, " +Inf"),
            f64::NEG_INFINITY => writeln!(self.text, " -Inf"),
            value => writeln!(self.text, " {value}"),
        };
    }

    /// Writes a histogram. `cumulative` yields each bound with the number of values up to it.
    pub fn histogram(
        &mut self,
        name: &str,
        labels: &Labels<'_>,
        cumulative: impl Iterator<Item = (f64, u64)>,
        sum: f64,
        count: u64,
    ) {
        let bucket = format!("{name}_bucket");
        let mut line = |bound: &str, value: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            self.sample(&bucket, &labels, value as f64);
        };
        cumulative.for_each(|(bound, value)| line(&bound.to_string(), value));
        line("+Inf", count);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, count as f64);
    }

    /// The text written so far.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Escapes backslashes and line feeds and, in the value of a label, quotes.
fn escaped(text: &str, quoted: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => safe.push_str("\\\\"),
            '\n' => safe.push_str("\\n"),
            '"' if quoted => safe.push_str("\\\""),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_help_type_and_samples() {
        let mut text = Exposition::default();
        text.family("x_total", Type::Counter, "How \"many\"\nof \\ them.");
        text.sample("x_total", &[], 3.0);
        text.sample("x_total", &[("a", "1"), ("b", "q\"\\\n")], 0.5);
        assert_eq!(
            text.into_text(),
            "# HELP x_total How \"many\"\\nof \\\\ them.\n# TYPE x_total counter\nx_total 3\nx_total{a=\"1\",b=\"q\\\"\\\\\\n\"} 0.5\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_the_infinite_bucket_the_sum_and_the_count() {
        let mut text = Exposition::default();
        text.histogram("t_seconds", &[("m", "a")], [(0.01, 1), (2.5, 2)].into_iter(), 9.25, 3);
        assert_eq!(
            text.into_text(),
            "t_seconds_bucket{m=\"a\",le=\"0.01\"} 1\nt_seconds_bucket{m=\"a\",le=\"2.5\"} 2\n\
             t_seconds_bucket{m=\"a\",le=\"+Inf\"} 3\nt_seconds_sum{m=\"a\"} 9.25\nt_seconds_count{m=\"a\"} 3\n"
        );
    }

    #[test]
    fn infinity_is_written_in_the_form_of_prometheus() {
        let mut text = Exposition::default();
        text.sample("g", &[], f64::INFINITY);
        assert_eq!(text.into_text(), "g +Inf\n");
    }
}
