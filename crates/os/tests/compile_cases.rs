//! Compiles every folder of `tests/cases/compile` and compares what comes out
//! with the text beside it. `UPDATE=1` writes the text anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use model::service::compile::{Compiled, compile};
use model::service::database::{Database, Kind, Longrun};
use model::service::mistake::report;
use os::service::source_dir;

#[test]
fn every_case_gives_the_text_beside_it() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/compile");
    let mut failed = Vec::new();
    for case in folders(&cases, "") {
        // Messages name files as they were given: from inside of the case.
        std::env::set_current_dir(&case).expect("a case is a folder");
        let sources = folders(Path::new("."), "source");
        let names: Vec<PathBuf> = sources
            .iter()
            .map(|path| path.strip_prefix(".").expect("it is below").into())
            .collect();
        let tree = source_dir::read(&names).expect("sources are folders");
        let found = match compile(&tree) {
            Ok(compiled) => listing(&compiled),
            Err(mistakes) => report(&mistakes, true),
        };
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &found).expect("the text can be written");
        } else if std::fs::read_to_string(&expected).ok().as_deref() != Some(&*found) {
            failed.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(failed.is_empty(), "not as expected (UPDATE=1 accepts):\n{}", failed.join("\n"));
}

fn folders(at: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(at)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.is_dir())
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)))
        .collect();
    found.sort();
    found
}

/// What the database says, as it is read back from its bytes.
fn listing(compiled: &Compiled) -> String {
    let mut text = report(&compiled.warnings, true);
    let database = Database::open(&compiled.database).expect("the compiler's own opens");
    let contents = database.contents();
    assert_eq!(contents, compiled.contents);
    let names = |indices: &[u32]| -> String {
        indices.iter().map(|i| format!(" {}", contents.services[*i as usize].name)).collect()
    };
    for service in &contents.services {
        let kind = if matches!(service.kind, Kind::Longrun(_)) { "longrun" } else { "oneshot" };
        let _ = write!(text, "{kind} {}", service.name);
        for (is, flag) in [(service.essential, " essential"), (service.recommended, " recommended")]
        {
            text.push_str(if is { flag } else { "" });
        }
        text.push('\n');
        if !service.needs.is_empty() {
            let _ = writeln!(text, "  needs{}", names(&service.needs));
        }
        for (limit, what) in [(service.timeout_up, "up"), (service.timeout_down, "down")] {
            if !limit.is_zero() {
                let _ = writeln!(text, "  {what} within {} ms", limit.as_millis());
            }
        }
        match &service.kind {
            Kind::Longrun(longrun) => {
                if let Some(consumer) = longrun.consumer {
                    let _ = writeln!(text, "  writes to{}", names(&[consumer]));
                }
                let plain = Longrun { consumer: None, ..longrun.clone() };
                if plain != Longrun::default() {
                    let _ = writeln!(text, "  {plain:?}");
                }
            }
            Kind::Oneshot(oneshot) => {
                let up = Some(&oneshot.up);
                let down = Some(&oneshot.down).filter(|words| !words.is_empty());
                for (what, words) in
                    [("up", up), ("down", down), ("reload", oneshot.reload.as_ref())]
                {
                    let Some(words) = words else { continue };
                    let words: String = words
                        .iter()
                        .map(|word| format!(" {:?}", String::from_utf8_lossy(word)))
                        .collect();
                    let _ = writeln!(text, "  {what}:{words}");
                }
            }
        }
    }
    for controller in &contents.controllers {
        let service = database.service(controller.service);
        let _ = writeln!(text, "controller {}: {}", service.name(), controller.kind.name());
        for control in &controller.controls {
            let controlled = database.service(control.service);
            let starts = controlled.started_by() == Some(controller.service);
            let how = if starts { "starts" } else { "watches" };
            let _ = writeln!(text, "  {how} {}: {:?}", controlled.name(), control.text);
            assert!(controlled.controlled_by().any(|by| by.service().name() == service.name()));
        }
    }
    for reaction in &contents.reactions {
        let (user, need) = (names(&[reaction.user]), names(&[reaction.need]));
        let _ = writeln!(text, "on restart of{need}:{user}: {}", reaction.reaction.name());
    }
    for bundle in &contents.bundles {
        let _ = write!(text, "bundle {}", bundle.name);
        for (is, flag) in [(bundle.essential, " essential"), (bundle.recommended, " recommended")] {
            text.push_str(if is { flag } else { "" });
        }
        let _ = writeln!(text, ":{}", names(&bundle.contents));
    }
    text
}
