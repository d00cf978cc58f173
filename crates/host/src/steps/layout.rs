//! Where the files of a configuration lie on the device.
//!
//! A generation brings a folder `root` with all of them. The folders of the device's root
//! directory that a configuration declares are real; what else is in it is a link into `root` of
//! the generation that runs, so that one rename changes all of it. In real folders every file is
//! such a link by itself. docs/formats/system.md is the page about it.

use std::collections::BTreeMap;

use model::deploy::generation::{CURRENT, Entry};

use super::attributes::{Attribute, Wrong};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Text {
        text: String,
        executable: bool,
    },
    /// What lies there, a file or a folder.
    Source(String),
    Link(String),
    Directory,
}

/// What a configuration wants at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: Content,
    pub mode: Option<u32>,
    pub user: u32,
    pub group: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// What lies below `root` of the generation.
    pub tree: BTreeMap<String, Content>,
    /// What must be in the device's root directory, in this order.
    pub entries: Vec<Entry>,
}

/// Reads the attribute `files`.
pub fn read(files: &Attribute<'_>) -> Result<BTreeMap<String, File>, Wrong> {
    let mut found = BTreeMap::new();
    for file in files.list()? {
        let (path, content) = (file.get("path")?.text()?, file.get("content")?.text()?.to_owned());
        let content = match file.get("kind")?.text()? {
            "text" => Content::Text { text: content, executable: file.get("executable")?.truth()? },
            "source" => Content::Source(content),
            "link" => Content::Link(content),
            "directory" => Content::Directory,
            _ => return Err(file.get("kind")?.unknown()),
        };
        let mode = match file.maybe("mode") {
            Some(mode) => Some(
                u32::from_str_radix(mode.text()?, 8)
                    .map_err(|_| format!("filesystem.\"{path}\".mode is no octal number"))?,
            ),
            None => None,
        };
        let number = |name: &str| {
            u32::try_from(file.get(name)?.number()?)
                .map_err(|_| format!("filesystem.\"{path}\": no {name} has so large a number"))
        };
        let (user, group) = (number("user")?, number("group")?);
        found.insert(checked(path)?.to_owned(), File { content, mode, user, group });
    }
    Ok(found)
}

/// A path that means one place, and fits into a line.
fn checked(path: &str) -> Result<&str, Wrong> {
    let sound = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !rest.contains(|c: char| c.is_control())
    });
    match sound {
        true => Ok(path),
        false => Err(format!(
            "filesystem.\"{path}\": a path begins with /, and has neither empty parts nor dots \
             alone in it"
        )),
    }
}

/// Decides where everything lies.
///
/// # Errors
/// Two things want one place, or a file cannot be as it shall be.
pub fn lay_out(files: &BTreeMap<String, File>) -> Result<Layout, Wrong> {
    let files = behind_links(files)?;
    let mut layout = Layout::default();
    let mut directories = BTreeMap::new();
    let mut others = BTreeMap::new();
    for (path, file) in &files {
        if let Some(holder) = ancestors(path)
            .find(|above| files.get(*above).is_some_and(|f| f.content != Content::Directory))
        {
            return Err(format!("filesystem.\"{path}\" lies in \"{holder}\", which is no folder"));
        }
        let top = &path[..path[1..].find('/').map_or(path.len(), |at| at + 1)];
        let is_real = files.get(top).is_some_and(|file| file.content == Content::Directory);
        if is_real {
            real(path, file, &mut layout.tree, &mut directories, &mut others);
        } else {
            shared(path, top, file, &mut layout.tree, &mut others)?;
        }
    }
    layout.entries = directories.into_values().chain(others.into_values()).collect();
    Ok(layout)
}

/// Puts what lies behind declared links to where these lead.
fn behind_links(files: &BTreeMap<String, File>) -> Result<BTreeMap<String, File>, Wrong> {
    let mut found: BTreeMap<String, File> = BTreeMap::new();
    for (path, file) in files {
        let mut place = path.clone();
        for _ in 0..files.len() {
            let link = ancestors(&place).find_map(|above| match &files.get(above)?.content {
                Content::Link(target) if target.starts_with('/') => {
                    Some(format!("{target}{}", &place[above.len()..]))
                }
                _ => None,
            });
            match link {
                Some(next) => place = next,
                None => break,
            }
        }
        let again = found.insert(place.clone(), file.clone());
        if again.is_some_and(|other| other != *file) {
            return Err(format!("filesystem.\"{path}\": something else is at {place}"));
        }
    }
    Ok(found)
}

/// The folders that a path lies in, from the outermost on, without the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(|(at, _)| &path[..at])
}

/// In a folder that is the device's own: each thing by itself.
fn real(
    path: &str,
    file: &File,
    tree: &mut BTreeMap<String, Content>,
    directories: &mut BTreeMap<String, Entry>,
    others: &mut BTreeMap<String, Entry>,
) {
    let directory = |path: &str, mode, user, group| Entry::Directory {
        path: path.to_owned(),
        mode,
        user,
        group,
    };
    for above in ancestors(path) {
        directories.entry(above.to_owned()).or_insert_with(|| directory(above, 0o755, 0, 0));
    }
    let (user, group) = (file.user, file.group);
    let source = format!("{CURRENT}/root{path}");
    let entry = match &file.content {
        Content::Directory => {
            let mode = file.mode.unwrap_or(0o755);
            directories.insert(path.to_owned(), directory(path, mode, user, group));
            return;
        }
        Content::Link(target) => Entry::Link { path: path.to_owned(), target: target.clone() },
        content if (file.mode, user, group) == (None, 0, 0) => {
            tree.insert(path.to_owned(), content.clone());
            Entry::Link { path: path.to_owned(), target: source }
        }
        content => {
            tree.insert(path.to_owned(), content.clone());
            let executable = matches!(content, Content::Text { executable: true, .. });
            let mode = file.mode.unwrap_or(if executable { 0o755 } else { 0o644 });
            Entry::Copy { path: path.to_owned(), source, mode, user, group }
        }
    };
    others.insert(path.to_owned(), entry);
}

/// In a folder that is wholly the generation's.
fn shared(
    path: &str,
    top: &str,
    file: &File,
    tree: &mut BTreeMap<String, Content>,
    others: &mut BTreeMap<String, Entry>,
) -> Result<(), Wrong> {
    if (file.mode, file.user, file.group) != (None, 0, 0) {
        return Err(format!(
            "filesystem.\"{path}\": {top} is a part of the generation, which belongs to root and \
             cannot be written to; what has an owner or permissions belongs into a folder such as \
             /persist or /run, with a link to it here"
        ));
    }
    let link = match &file.content {
        // A link beside the folders needs no other one to it.
        Content::Link(target) if path == top => target.clone(),
        content => {
            tree.insert(path.to_owned(), content.clone());
            format!("{CURRENT}/root{top}")
        }
    };
    others.insert(top.to_owned(), Entry::Link { path: top.to_owned(), target: link });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> File {
        let content = Content::Text { text: text.into(), executable: false };
        File { content, mode: None, user: 0, group: 0 }
    }

    fn directory() -> File {
        File { content: Content::Directory, ..text("") }
    }

    fn link(target: &str) -> File {
        File { content: Content::Link(target.into()), ..text("") }
    }

    fn laid_out(files: &[(&str, File)]) -> Result<(Vec<String>, String), Wrong> {
        let files = files.iter().map(|(path, file)| ((*path).to_owned(), file.clone()));
        let layout = lay_out(&files.collect())?;
        let lines: String = layout.entries.iter().map(|entry| format!("{entry}\n")).collect();
        let again: Result<Vec<Entry>, _> = model::deploy::generation::lines(&lines).collect();
        assert_eq!(again, Ok(layout.entries));
        Ok((layout.tree.into_keys().collect(), lines))
    }

    #[test]
    fn folders_of_the_generation_are_one_link_and_others_one_for_each_file() {
        let files = [
            ("/etc/passwd", text("root")),
            ("/etc/ssl/ca", text("x")),
            ("/usr/bin/env", link("/bin/env")),
            ("/run", directory()),
            ("/run/var/lib", directory()),
            ("/var", link("/run/var")),
            ("/var/www/index.html", text("hello")),
            ("/root", File { mode: Some(0o700), ..directory() }),
            ("/root/.ssh/authorized_keys", text("key")),
            ("/root/token", File { mode: Some(0o600), user: 7, ..text("secret") }),
        ];
        let (tree, lines) = laid_out(&files).expect("it fits");
        assert_eq!(
            tree,
            [
                "/etc/passwd",
                "/etc/ssl/ca",
                "/root/.ssh/authorized_keys",
                "/root/token",
                "/run/var/www/index.html",
                "/usr/bin/env"
            ]
        );
        assert_eq!(
            lines,
            "directory\t/root\t0700\t0\t0\n\
             directory\t/root/.ssh\t0755\t0\t0\n\
             directory\t/run\t0755\t0\t0\n\
             directory\t/run/var\t0755\t0\t0\n\
             directory\t/run/var/lib\t0755\t0\t0\n\
             directory\t/run/var/www\t0755\t0\t0\n\
             link\t/etc\t/run/current-system/root/etc\n\
             link\t/root/.ssh/authorized_keys\t/run/current-system/root/root/.ssh/authorized_keys\n\
             copy\t/root/token\t0600\t7\t0\t/run/current-system/root/root/token\n\
             link\t/run/var/www/index.html\t/run/current-system/root/run/var/www/index.html\n\
             link\t/usr\t/run/current-system/root/usr\n\
             link\t/var\t/run/var\n"
        );
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (files, expected) in [
            (vec![("/etc", text("x")), ("/etc/passwd", text("x"))], "which is no folder"),
            (vec![("/etc/shadow", File { mode: Some(0o600), ..text("x") })], "belongs to root"),
            (
                vec![
                    ("/run", directory()),
                    ("/var", link("/run")),
                    ("/run/x", text("a")),
                    ("/var/x", text("b")),
                ],
                "something else is at /run/x",
            ),
        ] {
            let wrong = laid_out(&files).expect_err("it does not fit");
            assert!(wrong.contains(expected), "{wrong}");
        }
        for path in ["etc", "/", "/etc/", "/etc//x", "/etc/../x", "/etc/a\tb"] {
            assert!(checked(path).is_err(), "{path:?}");
        }
    }
}
