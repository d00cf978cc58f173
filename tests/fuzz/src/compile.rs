//! Readers of what people and generators write about services.

use model::limits::{SCRIPT_BYTES_MAX, WORD_BYTES_MAX};
use model::service::compile::compile;
use model::service::database::Database;
use model::service::source::{Content, Tree, known_names};
use model::service::{conversion, definition, execline, mistake, name, signal};

// The compiler reads these of every oneshot.
pub fn script(bytes: &[u8]) {
    let Ok(words) = execline::parse(bytes) else { return };
    let total: usize = words.iter().map(|word| word.len() + 1).sum();
    assert!(total <= SCRIPT_BYTES_MAX);
    assert!(words.iter().all(|word| word.len() <= WORD_BYTES_MAX && !word.contains(&0)));
    // Quoted, the same words are read again.
    let mut quoted = Vec::new();
    for word in &words {
        quoted.push(b'"');
        for byte in word {
            quoted.extend_from_slice(format!("\\0x{byte:02x}").as_bytes());
        }
        quoted.extend_from_slice(b"\" ");
    }
    assert_eq!(execline::parse(&quoted), Ok(words));
}

// The compiler reads these of every service. The first byte chooses the file,
// the second the type, the rest is what the file says.
pub fn definition(bytes: &[u8]) {
    let [file, kind, text @ ..] = bytes else { return };
    let kind = ["longrun", "oneshot", "bundle\n"][usize::from(*kind) % 3];
    let names: Vec<&str> = known_names().filter(|name| *name != "type").collect();
    let mut tree = Tree::default();
    tree.add_root("source".into());
    tree.add_directory(b"service");
    for (name, text) in [("type", kind.as_bytes()), (names[usize::from(*file) % names.len()], text)]
    {
        let text = tree.add_text(text);
        tree.add_entry(name.as_bytes(), 0o644, Content::File(text));
    }
    tree.sort();
    let mut mistakes = Vec::new();
    assert!(definition::parse(&tree, 0, &mut mistakes).is_some(), "the type is right");
    let _ = mistake::report(&mistakes, true);
}

/// Builds the tree that `bytes` describe: lines of `root`, `service NAME`, or
/// `PATH CONTENT`, where `\n` in the content is a line's end.
fn tree(bytes: &[u8]) -> Tree {
    let mut tree = Tree::default();
    tree.add_root("source".into());
    for line in bytes.split(|byte| *byte == b'\n') {
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (path, rest) = (&line[..space], line.get(space + 1..).unwrap_or_default());
        match path {
            b"root" => tree.add_root("another".into()),
            b"service" => tree.add_directory(rest),
            b"" => tree.add_problem("as told"),
            _ => {
                let text = String::from_utf8_lossy(rest).replace("\\n", "\n").into_bytes();
                let span = tree.add_text(&text);
                let content = match text.first() {
                    Some(b'/') => Content::Folder,
                    Some(b'>') => Content::Link(span),
                    Some(b'!') => Content::Unreadable(span),
                    Some(b'?') => Content::Present,
                    _ => Content::File(span),
                };
                tree.add_entry(path, u32::from(*text.last().unwrap_or(&0)), content);
            }
        }
    }
    tree.sort();
    tree
}

// `s6-rc-compile` and `doorward services` read whole trees of these.
pub fn source_tree(bytes: &[u8]) {
    let tree = tree(bytes);
    match compile(&tree) {
        Err(mistakes) => {
            assert!(mistakes.iter().any(|mistake| !mistake.fault.is_warning()));
            assert!(!mistake::report(&mistakes, false).is_empty());
        }
        Ok(compiled) => {
            let database = Database::open(&compiled.database).expect("the compiler's own opens");
            assert_eq!(database.contents(), compiled.contents);
            assert_eq!(database.longruns(), compiled.directories.len());
            for (service, number) in database.services().zip(&compiled.directories) {
                let directory = &tree.directories()[*number as usize];
                assert_eq!(tree.name(directory), service.name().as_bytes());
            }
            assert!(compiled.warnings.iter().all(|mistake| mistake.fault.is_warning()));
        }
    }
}

// s6-rc-update reads a file that says what is called otherwise by now.
pub fn conversions(bytes: &[u8]) {
    match conversion::parse(bytes) {
        Ok(found) => assert!(found.len() <= bytes.split(|byte| *byte == b'\n').count()),
        Err(error) => assert!((1..=bytes.len() + 1).contains(&error.line)),
    }
}

// Names and signals come from the command line, from files and from folders.
pub fn names(bytes: &[u8]) {
    if let Ok(text) = name::check(bytes) {
        assert!(!text.contains('/') && !text.starts_with('.'));
        let _ = name::nearest(text, ["dns", "dnsmasq", text]);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(number) = signal::parse(text)
    {
        assert!((1..=64).contains(&number));
    }
}
