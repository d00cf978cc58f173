//! The bench runs to its end, with few services.

use std::process::Command;

#[test]
fn copies_are_measured_beside_their_peers_and_cost_what_they_may() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    let table = e2e::stdout(bench.args(["--quick", "--ward"]).arg(e2e::ward()).arg("copy"));
    let row = |what: &str| -> Vec<f64> {
        let row = table.lines().find(|line| line.starts_with(&format!("| {what} (")));
        let row = row.unwrap_or_else(|| panic!("no row has {what:?}:\n{table}"));
        let cells = row.split('|').filter(|cell| cell.contains("B, "));
        let measured = cells.filter(|cell| !cell.contains('≤')).map(|cell| {
            let (number, rest) = cell.trim().split_once(' ').expect("a number and its unit");
            let number: f64 = number.parse().expect("a number");
            if rest.starts_with("MB") { number * 1e3 } else { number }
        });
        measured.collect()
    };
    // Times are for a machine that does nothing else; bytes are the same everywhere.
    for what in ["nothing", "the script of one service"] {
        let kilobytes = row(what);
        assert_eq!(kilobytes.len(), 5, "{table}");
        assert!(kilobytes[0] > 1.0 && kilobytes[0] < 50.0, "{table}");
    }
    assert!(!table.contains("Memory of the receiver: 0 kB"), "{table}");
}

#[test]
fn the_bench_runs_to_its_end_and_fills_every_row() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    let table = e2e::stdout(bench.args(["--quick", "--large", "--ward"]).arg(e2e::ward()));
    for figure in [
        "cold start to all up, 20 longruns",
        "cold start to all up, 100 longruns",
        "chain of 5",
        "all down and dead, 20",
        "the whole tree ended, 20",
        "memory of all supervision (PSS), 20 up",
        "for each service more",
        "tmpfs",
        "restart of a process",
        "wake-ups of an idle tree",
        "`s6-rc -a list`, 20 services",
        "`s6-svstat`",
        "`s6-rc-init`, 20",
        "5 oneshots up",
        "compile 200 services",
        "`ward` static",
    ] {
        let row = table.lines().find(|line| line.contains(figure));
        let row = row.unwrap_or_else(|| panic!("no row has {figure:?}:\n{table}"));
        let ward = row.split('|').nth(2).unwrap_or_default().trim();
        assert!(ward.starts_with(|c: char| c.is_ascii_digit()), "nothing measured: {row}");
    }
}
