//! `mutants`: breaks the engine on purpose, one way after the other, and sees
//! that the simulation notices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::shell::{Failed, Outcome, cargo, failed, root, target};

const FOLDER: &str = "tests/sim/mutations";

/// What the simulation is built from.
const CRATES: [&str; 3] = ["crates/model", "crates/engine", "tests/sim"];

/// How many are played beside one another, each in a workspace of its own: most of the time goes into
/// building one crate after the other, which fills one core.
const LANES: usize = 2;

/// One way to break the engine.
#[derive(Debug, PartialEq, Eq)]
struct Mutation {
    name: String,
    /// The sentence that says what goes wrong.
    meaning: String,
    /// The law that is expected to be found broken, and the test that plays it.
    law: String,
    test: String,
    changes: Vec<Change>,
}

/// Lines of one file, and those in their place.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    file: String,
    old: String,
    new: String,
}

pub fn chore(words: &[String]) -> Outcome {
    let mut mutations = all()?;
    if !words.is_empty() {
        mutations.retain(|mutation| words.contains(&mutation.name));
    }
    if mutations.is_empty() {
        return Err(failed(format!("there is no such mutation in {FOLDER}")));
    }
    println!("{:28} {:20} seconds", "mutation", "caught by");
    let (next, wrong) = (Mutex::new(mutations.iter()), Mutex::new(Vec::new()));
    let lane = &|number: usize| -> Outcome {
        let copy = target().join("mutants").join(number.to_string());
        make_copy(&copy)?;
        loop {
            let taken = next.lock().unwrap().next();
            let Some(mutation) = taken else { return Ok(()) };
            let start = Instant::now();
            let caught = mutation.play(&copy)?;
            let verdict = caught.as_deref().unwrap_or("nothing");
            println!("{:28} {verdict:20} {:.1}", mutation.name, start.elapsed().as_secs_f32());
            if verdict != mutation.law {
                let line = format!("{} was to be caught by {}", mutation.name, mutation.law);
                wrong.lock().unwrap().push(line);
            }
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|number| scope.spawn(move || lane(number))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("a lane does not panic"))
    })?;
    let wrong = wrong.into_inner().unwrap();
    if wrong.is_empty() { Ok(()) } else { Err(failed(wrong.join("\n"))) }
}

fn all() -> Result<Vec<Mutation>, Failed> {
    let entries = fs::read_dir(FOLDER).map_err(|error| failed(format!("{FOLDER}: {error}")))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Mutation, Failed> {
    let wrong = |why: &str| failed(format!("{}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&name, &text).ok_or_else(|| wrong("it is not written as a mutation is"))
}

/// A sentence, the law, the test; then files, each with lines to take away (`-`)
/// and lines to put there (`+`).
fn parse(name: &str, text: &str) -> Option<Mutation> {
    let mut lines = text.lines();
    let meaning = lines.next()?.to_owned();
    let law = lines.next()?.strip_prefix("caught by: ")?.to_owned();
    let test = lines.next()?.strip_prefix("in: ")?.to_owned();
    let (mut changes, mut file) = (Vec::<Change>::new(), String::new());
    let mut open = false;
    for line in lines {
        let add = |text: &mut String, line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        if let Some(old) = line.strip_prefix('-') {
            if !open {
                let file = file.clone();
                changes.push(Change { file, old: String::new(), new: String::new() });
            }
            open = true;
            add(&mut changes.last_mut()?.old, old);
        } else if let Some(new) = line.strip_prefix('+') {
            open = false;
            add(&mut changes.last_mut()?.new, new);
        } else if !line.is_empty() {
            (file, open) = (line.to_owned(), false);
        }
    }
    let whole = !changes.is_empty() && changes.iter().all(|change| !change.file.is_empty());
    whole.then(|| Mutation { name: name.to_owned(), meaning, law, test, changes })
}

/// A workspace of its own, with what the simulation is built from.
fn make_copy(copy: &Path) -> Outcome {
    let trouble = |error: std::io::Error| failed(format!("{}: {error}", copy.display()));
    for package in CRATES {
        let there = copy.join(package);
        let _ = fs::remove_dir_all(&there);
        copy_folder(&root().join(package), &there).map_err(trouble)?;
    }
    let manifest = fs::read_to_string("Cargo.toml").map_err(trouble)?;
    let members = manifest.lines().filter(|line| !line.starts_with("default-members"));
    let members = members.map(|line| match line.split(" = ").next() {
        Some("members") => format!("members = {CRATES:?}"),
        // Nobody reads where a mutant panicked: it is built more quickly without.
        Some("debug") => "debug = false".to_owned(),
        _ => line.to_owned(),
    });
    let manifest = members.collect::<Vec<_>>().join("\n");
    fs::write(copy.join("Cargo.toml"), manifest).map_err(trouble)?;
    fs::copy("Cargo.lock", copy.join("Cargo.lock")).map_err(trouble)?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &there)?,
            false => drop(fs::copy(entry.path(), there)?),
        }
    }
    Ok(())
}

impl Mutation {
    /// The law that the simulation finds broken, if any.
    fn play(&self, copy: &Path) -> Result<Option<String>, Failed> {
        let files: Vec<&str> = self.changes.iter().map(|change| change.file.as_str()).collect();
        for change in &self.changes {
            change.make(copy).map_err(|why| failed(format!("{}: {why}", self.name)))?;
        }
        let found = match test(copy, Some(&self.test))? {
            Some(law) => Some(law),
            None => test(copy, None)?,
        };
        for file in files {
            fs::copy(file, copy.join(file)).map_err(|error| failed(format!("{file}: {error}")))?;
        }
        Ok(found)
    }
}

impl Change {
    fn make(&self, copy: &Path) -> Result<(), String> {
        let path = copy.join(&self.file);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", self.file))?;
        match text.matches(&self.old).count() {
            1 => fs::write(&path, text.replace(&self.old, &self.new)).map_err(|e| e.to_string()),
            count => Err(format!("{} has its lines {count} times, not once", self.file)),
        }
    }
}

/// Plays one test, or all, until the first law is broken.
fn test(copy: &Path, name: Option<&str>) -> Result<Option<String>, Failed> {
    let mut command: Command = cargo(None);
    command.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target")).env("FIRST", "1");
    command.args(["test", "--quiet", "--offline", "--package", "sim"]);
    // Only the file that the test is in is built then.
    match name {
        Some(name) => command.arg("--test").arg(file_of(copy, name)?),
        None => command.arg("--tests"),
    };
    command.arg("--");
    command.args(["--nocapture", "--test-threads=1"]).args(name);
    let output =
        command.output().map_err(|error| failed(format!("cannot start cargo: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(None);
    }
    if let Some((_, rest)) = text.split_once("law `") {
        return Ok(rest.split('`').next().map(str::to_owned));
    }
    match text.contains("panicked at crates/engine") {
        true => Ok(Some("a panic".to_owned())),
        false => Err(failed(text.into_owned())),
    }
}

/// The file of tests that has this one, as cargo calls it.
fn file_of(copy: &Path, test: &str) -> Result<String, Failed> {
    let folder = copy.join("tests/sim/tests");
    let entries = fs::read_dir(&folder).map_err(|error| failed(error.to_string()))?;
    let head = format!("fn {test}(");
    let has_it = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(&head));
    let found = entries.flatten().map(|entry| entry.path()).find(has_it);
    let name = found.and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    name.ok_or_else(|| failed(format!("no file of tests/sim/tests has the test {test}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutation_says_what_it_changes() {
        let text = "It breaks.\ncaught by: gap\nin: all_is_well\n\na.rs\n-  one\n-  two\n+  2\n-3\nb.rs\n-4\n+5\n";
        let mutation = parse("x", text).unwrap();
        assert_eq!((&*mutation.law, &*mutation.test), ("gap", "all_is_well"));
        let change = |file: &str, old: &str, new: &str| Change {
            file: file.into(),
            old: old.into(),
            new: new.into(),
        };
        let expected = [
            change("a.rs", "  one\n  two\n", "  2\n"),
            change("a.rs", "3\n", ""),
            change("b.rs", "4\n", "5\n"),
        ];
        assert_eq!(mutation.changes, expected);
        assert_eq!(parse("x", "It breaks.\ncaught by: gap\nin: t\n\n-a\n"), None);
    }

    #[test]
    fn every_mutation_in_the_folder_still_fits_the_sources() {
        std::env::set_current_dir(root()).unwrap();
        let mutations = all().unwrap_or_else(|error| panic!("{}", error.message));
        let page = fs::read_to_string("docs/proof.md").unwrap();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.rsplit('|').nth(1));
        let told: Vec<&str> = rows.skip(1).map(str::trim).collect();
        let laws: Vec<&str> = mutations.iter().map(|mutation| &*mutation.law).collect();
        assert_eq!(told, laws, "docs/proof.md tells of them in this order");
        for mutation in mutations {
            assert!(mutation.meaning.ends_with('.'), "{}", mutation.name);
            for change in mutation.changes {
                let text = fs::read_to_string(&change.file).unwrap();
                assert_eq!(
                    text.matches(&change.old).count(),
                    1,
                    "{}: {}",
                    mutation.name,
                    change.old
                );
            }
        }
    }
}
