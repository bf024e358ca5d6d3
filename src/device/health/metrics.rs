//! A snapshot as metrics, in the text form that Prometheus reads (exposition format 0.0.4),
//! for node_exporter's textfile collector. Names of cases, images and patients never stand
//! in it.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::{Condition, Snapshot};
use crate::device::counts::Histogram;

/// The snapshot's metrics.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    identity(snapshot, &mut page);
    cases(snapshot, &mut page);
    sinks(snapshot, &mut page);
    machine(snapshot, &mut page);
    page.0
}

fn identity(snapshot: &Snapshot, page: &mut Page) {
    page.head(
        "info",
        "gauge",
        "Which device this is, and what answers on it.",
    );
    let bundle = &snapshot.bundle;
    page.value(
        "info",
        &[
            ("device", &snapshot.device),
            ("software", &snapshot.software),
            ("bundle", &bundle.name),
            ("bundle_version", &bundle.version),
            ("bundle_sha256", &bundle.sha256),
        ],
        1,
    );
    page.head(
        "state",
        "gauge",
        "What the device does: 1 for one of these.",
    );
    for state in Condition::ALL {
        let is_this = u8::from(state == snapshot.state);
        page.value("state", &[("state", state.word())], is_this);
    }
    page.head("trouble", "gauge", "Why it does not answer, by code.");
    if let Some(device_fault) = &snapshot.device_fault {
        page.value("trouble", &[("code", &device_fault.code)], 1);
    }
    page.head(
        "warning",
        "gauge",
        "What needs a person before long, by code.",
    );
    for code in &snapshot.warnings {
        page.value("warning", &[("code", code)], 1);
    }
    help(snapshot, page);
    page.one(
        "uptime_seconds",
        "gauge",
        "Since the device started.",
        snapshot.uptime_s,
    );
    page.one(
        "written_seconds",
        "gauge",
        "When this was written, since 1970.",
        snapshot.written.as_second(),
    );
    if let Some(tested) = &snapshot.self_test {
        page.one(
            "self_test_passed",
            "gauge",
            "The last self-test.",
            u8::from(tested.passed),
        );
        page.one(
            "self_test_seconds",
            "gauge",
            "When it was, since 1970.",
            tested.time.as_second(),
        );
    }
}

/// What to do, for whoever writes an alert: beside the codes, so that these stay as they are.
fn help(snapshot: &Snapshot, page: &mut Page) {
    page.head("help", "gauge", "What to do about a trouble or a warning.");
    let trouble = snapshot.device_fault.iter();
    let trouble = trouble.map(|fault| (fault.code.as_str(), fault.help.as_str()));
    let mut told = BTreeSet::new();
    for (code, help) in trouble.chain(snapshot.cures()) {
        if told.insert(code) {
            page.value("help", &[("code", code), ("help", help)], 1);
        }
    }
}

fn cases(snapshot: &Snapshot, page: &mut Page) {
    let ends = &snapshot.ends;
    page.head("cases_total", "counter", "Cases that ended, by how.");
    for (end, count) in [
        ("finding", ends.findings),
        ("refusal", ends.refusals.values().sum()),
        ("aborted", ends.aborted),
    ] {
        page.value("cases_total", &[("end", end)], count);
    }
    page.head(
        "refusals_total",
        "counter",
        "Cases that were refused, by code.",
    );
    for (code, count) in &ends.refusals {
        page.value("refusals_total", &[("code", code)], count);
    }
    page.head(
        "dicom_refused_total",
        "counter",
        "DICOM instances that were refused before they were stored, by why.",
    );
    for (code, count) in &ends.unstored {
        page.value("dicom_refused_total", &[("code", code)], count);
    }
    page.times(
        "run_seconds",
        "From a case's start to its answer.",
        &ends.run,
    );
    page.times(
        "latency_seconds",
        "From a case's acceptance to its answer.",
        &ends.latency,
    );
    let queue = &snapshot.queue;
    page.one(
        "decoding_seconds_total",
        "counter",
        "Processor time of the processes that decode images.",
        snapshot.decoding.processor_s,
    );
    page.one(
        "senders_held_back",
        "gauge",
        "Senders that had more than their share of it.",
        snapshot.decoding.held_back,
    );
    page.one("queue_waiting", "gauge", "Cases that wait.", queue.waiting);
    page.one(
        "queue_running_seconds",
        "gauge",
        "How long the case that runs has been running.",
        queue.running_s.unwrap_or(0.0),
    );
}

fn sinks(snapshot: &Snapshot, page: &mut Page) {
    page.head("sink_owed", "gauge", "Cases that a sink has not delivered.");
    for sink in &snapshot.sinks {
        page.value("sink_owed", &[("sink", &sink.name)], sink.owed);
    }
    page.head(
        "sink_delivered_total",
        "counter",
        "Cases that it has delivered.",
    );
    for sink in &snapshot.sinks {
        page.value(
            "sink_delivered_total",
            &[("sink", &sink.name)],
            sink.delivered,
        );
    }
    page.head(
        "sink_obstacle",
        "gauge",
        "What its last try failed of, by code.",
    );
    for sink in &snapshot.sinks {
        if let Some(code) = &sink.delivery_error {
            page.value("sink_obstacle", &[("sink", &sink.name), ("code", code)], 1);
        }
    }
    page.head(
        "sink_failed",
        "gauge",
        "Cases that a sink will never have by a fault, since the device started.",
    );
    for sink in &snapshot.sinks {
        page.value("sink_failed", &[("sink", &sink.name)], sink.failed);
    }
    page.head(
        "sink_without",
        "gauge",
        "Parts that the answer which was delivered last went without, by code.",
    );
    for sink in &snapshot.sinks {
        for (part, code) in sink.without.iter().filter_map(|text| text.split_once(": ")) {
            let labels = [("sink", sink.name.as_str()), ("part", part), ("code", code)];
            page.value("sink_without", &labels, 1);
        }
    }
}

fn machine(snapshot: &Snapshot, page: &mut Page) {
    if let Some(disk) = &snapshot.disk {
        page.one(
            "disk_free_bytes",
            "gauge",
            "Of the state folder's disk.",
            disk.free_bytes,
        );
        page.one(
            "disk_total_bytes",
            "gauge",
            "Of the same disk.",
            disk.total_bytes,
        );
        page.one(
            "kept_images_bytes",
            "gauge",
            "What images of answered cases take.",
            disk.kept_bytes,
        );
    }
    let memory = &snapshot.memory;
    page.head(
        "resident_bytes",
        "gauge",
        "Memory of the device and of its worker.",
    );
    for (process, bytes) in [
        ("device", memory.device_bytes),
        ("worker", memory.worker_bytes),
    ] {
        if let Some(bytes) = bytes {
            page.value("resident_bytes", &[("process", process)], bytes);
        }
    }
    if let Some(bytes) = memory.available_bytes {
        page.one(
            "memory_available_bytes",
            "gauge",
            "What can still be had.",
            bytes,
        );
    }
    if let Some(degrees) = snapshot.temperature_c {
        page.one(
            "temperature_celsius",
            "gauge",
            "Of the hottest part.",
            degrees,
        );
    }
    page.one(
        "clock_sets_total",
        "counter",
        "How often the clock was set.",
        snapshot.clock_sets,
    );
}

/// Lines of metrics, each name with the device's own before it.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0 += &format!("# HELP medfocus_{name} {help}\n# TYPE medfocus_{name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        self.0 += &format!("medfocus_{name}{labels} {value}\n");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.value(name, &[], value);
    }

    fn times(&mut self, name: &str, help: &str, times: &Histogram) {
        self.head(name, "histogram", help);
        let mut sum = 0;
        let bounds = Histogram::BOUNDS.map(|bound| bound.to_string());
        let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
        for (bound, count) in bounds.zip(times.counts) {
            sum += count;
            self.value(&format!("{name}_bucket"), &[("le", bound)], sum);
        }
        self.value(&format!("{name}_sum"), &[], times.seconds);
        self.value(&format!("{name}_count"), &[], sum);
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_and_labels_are_escaped() {
        let mut page = Page::default();
        let mut times = Histogram {
            seconds: 2.5,
            ..Histogram::default()
        };
        times.counts[1] = 2;
        times.counts[10] = 1;
        page.times("x", "Help.", &times);
        let lines: Vec<&str> = page.0.lines().collect();
        assert_eq!(
            lines[..2],
            ["# HELP medfocus_x Help.", "# TYPE medfocus_x histogram"]
        );
        for (line, expected) in [
            (2, "medfocus_x_bucket{le=\"0.25\"} 0"),
            (3, "medfocus_x_bucket{le=\"0.5\"} 2"),
            (11, "medfocus_x_bucket{le=\"300\"} 2"),
            (12, "medfocus_x_bucket{le=\"+Inf\"} 3"),
            (13, "medfocus_x_sum 2.5"),
            (14, "medfocus_x_count 3"),
        ] {
            assert_eq!(lines[line], expected);
        }
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
