//! Readers of what other systems' people wrote about services.

use model::import::{Made, procd as scripts, systemd as units};
use model::service::compile::compile;
use model::service::source::{Content, Tree};

// `doorward import systemd` reads units that somebody else wrote, each behind a line `== NAME`;
// behind `== + FILE` stands a drop-in of the unit before.
pub fn systemd(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut found: Vec<units::Unit> = Vec::new();
    for line in text.lines() {
        let last = found.last_mut();
        match (line.strip_prefix("== "), last) {
            (Some(drop_in), Some(unit)) if drop_in.starts_with("+ ") => {
                unit.sources.push(units::Source { file: drop_in.into(), text: String::new() });
            }
            (Some(name), _) => found.push(units::Unit {
                name: name.into(),
                sources: vec![units::Source { file: name.into(), text: String::new() }],
                ..units::Unit::default()
            }),
            (None, Some(unit)) => {
                let source = unit.sources.last_mut().expect("each has one");
                source.text.push_str(line);
                source.text.push('\n');
            }
            (None, None) => {}
        }
    }
    let imported = units::import(&found, &[], Some("all-of-it"));
    sound(&imported.made);
    assert!(imported.remarks.iter().all(|remark| !remark.what.contains('\n')));
}

// `doorward import procd` reads scripts.
pub fn procd(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let imported = scripts::import("script", "script", &text);
    assert!(!imported.made.is_empty() || !imported.remarks.is_empty(), "it says why");
    sound(&imported.made);
}

/// Whatever came in, what is made compiles.
fn sound(made: &[Made]) {
    let mut tree = Tree::default();
    tree.add_root("source".into());
    for made in made {
        tree.add_directory(made.name.as_bytes());
        for file in &made.files {
            let (path, folder) = match file.path.split_once('/') {
                Some((folder, name)) => {
                    assert!(!name.contains('/') && !name.is_empty(), "{}", file.path);
                    (file.path.as_str(), Some(folder))
                }
                None => (file.path.as_str(), None),
            };
            assert!(!path.split('/').any(|part| part == ".."), "{path}");
            if let Some(folder) = folder
                && !made
                    .files
                    .iter()
                    .take_while(|other| other.path != file.path)
                    .any(|other| other.path.starts_with(&format!("{folder}/")))
            {
                tree.add_entry(folder.as_bytes(), 0o755, Content::Folder);
            }
            let text = tree.add_text(file.text.as_bytes());
            tree.add_entry(path.as_bytes(), 0o644, Content::File(text));
        }
    }
    tree.sort();
    if let Err(mistakes) = compile(&tree) {
        panic!("{}", model::service::mistake::report(&mistakes, true));
    }
}
