//! `make bench`: measures what the budgets speak of, beside the peers that are
//! installed and beside the floor, and prints the table.
#![forbid(unsafe_code)]

mod bare_log;
mod bench;
mod boot;
mod copy;
mod cores;
mod devices;
mod flash;
mod floor;
mod link;
mod logs;
mod processes;
mod program;
mod rows;
mod series;
mod services;
mod table;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use bench::Bench;

const USAGE: &str = "\
usage: bench [--quick] [--large] [--alone] [--runs N] [--ward FILE] [MEASUREMENT...]";

/// It has a table of its own, and is measured where it is asked for.
const COPY: &str = "copy";

/// How often the slow things are measured.
const RUNS: usize = 7;

struct Options {
    quick: bool,
    large: bool,
    /// Without the peers.
    alone: bool,
    runs: usize,
    ward: PathBuf,
    chosen: Vec<String>,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == devices::PLUG) {
        devices::plug(std::env::args().skip(2));
        return ExitCode::SUCCESS;
    }
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("bench: {why}\n{USAGE}");
            for (name, _, _) in rows::ALL {
                eprintln!("  {name}");
            }
            eprintln!("  {COPY}");
            return ExitCode::from(100);
        }
    };
    println!(
        "{}, everything on one core, {} runs, load {}\n",
        options.ward.display(),
        options.runs,
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim_end()
    );
    let mut bench = Bench::new(options.ward, options.runs, options.quick);
    if options.alone {
        bench.peers.clear();
    }
    let mut rows = Vec::new();
    for (name, measure, always) in rows::ALL {
        let wanted = match options.chosen.as_slice() {
            [] => *always || options.large,
            chosen => chosen.iter().any(|chosen| chosen == name),
        };
        if wanted {
            eprintln!("bench: {name}");
            rows.extend(measure(&bench));
        }
    }
    if !rows.is_empty() {
        table::print(&rows, !options.quick);
    }
    if options.chosen.iter().any(|chosen| chosen == COPY) {
        copy::measure(&bench);
    }
    ExitCode::SUCCESS
}

fn options() -> Result<Options, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let ward = target.join("x86_64-unknown-linux-musl/release/ward");
    let mut options =
        Options { quick: false, large: false, alone: false, runs: RUNS, ward, chosen: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => (options.quick, options.runs) = (true, 1),
            "--large" => options.large = true,
            "--alone" => options.alone = true,
            "--runs" => {
                let runs = words.next().and_then(|word| word.parse().ok());
                options.runs = runs.filter(|runs| *runs > 0).ok_or("--runs needs a number")?;
            }
            "--ward" => options.ward = words.next().ok_or("--ward needs a file")?.into(),
            name if name == COPY || rows::ALL.iter().any(|(known, _, _)| *known == name) => {
                options.chosen.push(word);
            }
            other => return Err(format!("there is no {other}")),
        }
    }
    options.ward = options
        .ward
        .canonicalize()
        .map_err(|error| format!("cannot use {}: {error}", options.ward.display()))?;
    Ok(options)
}
