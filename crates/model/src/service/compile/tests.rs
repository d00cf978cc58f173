//! What is too large or too odd to be a folder in `tests/cases/compile`.

use super::*;
use crate::service::database::Database;
use crate::service::source::Content;
use alloc::format;

/// A tree of services, each with its name and its files.
fn tree(services: impl IntoIterator<Item = (String, Vec<(&'static str, String)>)>) -> Tree {
    let mut tree = Tree::default();
    tree.add_root("source".into());
    for (name, files) in services {
        tree.add_directory(name.as_bytes());
        for (file, text) in files {
            let text = tree.add_text(text.as_bytes());
            tree.add_entry(file.as_bytes(), 0o644, Content::File(text));
        }
    }
    tree.sort();
    tree
}

fn oneshot(needs: String) -> Vec<(&'static str, String)> {
    Vec::from([("type", "oneshot".into()), ("up", String::new()), ("dependencies", needs)])
}

fn bundle(contents: String) -> Vec<(&'static str, String)> {
    Vec::from([("type", "bundle".into()), ("contents", contents)])
}

fn faults(tree: &Tree) -> Vec<Fault> {
    compile(tree).expect_err("something is wrong").into_iter().map(|m| m.fault).collect()
}

#[test]
fn fifty_thousand_services_compile_side_by_side_and_in_a_chain() {
    for chain in [false, true] {
        let needs = |number: u32| match number {
            1.. if chain => format!("s{}\n", number - 1),
            _ => String::new(),
        };
        let tree = tree((0..50_000).map(|n| (format!("s{n}"), oneshot(needs(n)))));
        let compiled = compile(&tree).expect("nothing is wrong");
        let database = Database::open(&compiled.database).expect("the compiler's own opens");
        assert_eq!(database.len(), 50_000);
        let with_needs = database.services().filter(|s| s.needs().len() == 1).count();
        assert_eq!(with_needs, if chain { 49_999 } else { 0 });
    }
}

#[test]
fn a_ring_of_many_is_drawn_without_its_middle() {
    let next = |n: u32| format!("s{:05}\n", (n + 1) % 20_000);
    let tree = tree((0..20_000).map(|n| (format!("s{n:05}"), oneshot(next(n)))));
    let faults = faults(&tree);
    let [cycle] = &faults[..] else { panic!("{} mistakes", faults.len()) };
    let text = format!("{cycle}");
    assert!(text.starts_with("a cycle: s00000 -> s00001 -> "), "{text}");
    assert!(text.contains(" -> (19980 more) -> s19990 -> "), "{text}");
    assert!(text.ends_with(" -> s19999 -> s00000"), "{text}");
}

#[test]
fn bundles_in_bundles_end_where_the_database_would_be_too_large() {
    // Each bundle holds all services of the one before it, and one more.
    let services = (0..30_000).flat_map(|n| {
        let before = if n > 0 { format!("b{}\n", n - 1) } else { String::new() };
        [
            (format!("s{n}"), oneshot(String::new())),
            (format!("b{n}"), bundle(format!("{before}s{n}\n"))),
        ]
    });
    assert_eq!(faults(&tree(services)), [Fault::DatabaseTooLarge]);
}

#[test]
fn little_text_does_not_become_large_scripts() {
    let deep = "{ ".repeat(900) + &"a ".repeat(1000) + &"} ".repeat(900);
    let script = || Vec::from([("type", "oneshot".into()), ("up", deep.clone())]);
    let tree = tree((0..1000).map(|n| (format!("s{n}"), script())));
    assert_eq!(faults(&tree), [Fault::DatabaseTooLarge]);
}

#[test]
fn more_services_than_a_database_holds_are_refused() {
    let many = SERVICES_MAX as u32 + 1;
    let tree = tree((0..many).map(|n| (format!("s{n}"), oneshot(String::new()))));
    assert_eq!(faults(&tree), [Fault::TooMany]);
}

#[test]
fn many_writers_to_one_reader_are_joined_quickly() {
    let longrun = |file: &'static str, text: String| {
        Vec::from([("type", "longrun".into()), ("run", String::new()), (file, text)])
    };
    let all: String = (0..20_000).map(|n| format!("s{n}\n")).collect();
    let writers = (0..20_000).map(|n| (format!("s{n}"), longrun("producer-for", "log\n".into())));
    let compiled = compile(&tree(writers.chain([("log".into(), longrun("consumer-for", all))])));
    assert_eq!(compiled.expect("both ends agree").contents.services[0].name, "log");
}

#[test]
fn only_so_many_unknown_names_are_compared_with_all_others() {
    let tree =
        tree((0..2000).map(|n| (format!("service{n:05}"), oneshot(format!("servise{n:05}")))));
    let faults = faults(&tree);
    let with_nearest = faults
        .iter()
        .filter(|fault| matches!(fault, Fault::UnknownName { nearest: Some(_), .. }))
        .count();
    assert_eq!((faults.len(), with_nearest), (2000, NEAREST_MAX));
}
