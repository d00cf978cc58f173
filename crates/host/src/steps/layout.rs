//! Where the files of a configuration lie on the device.
//!
//! A generation brings a folder `root` with all of them. The folders of the device's root
//! directory that a configuration declares are real; what else is in it is a link into `root` of
//! the generation that runs, so that one rename changes all of it. In real folders every file is
//! such a link by itself. docs/formats/system.md is the page about it.

use std::collections::BTreeMap;

use super::attributes::{Attribute, Wrong};

/// The generation that runs: a link that early boot and activation make.
pub const CURRENT: &str = "/run/current-system";

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
    pub user: u64,
    pub group: u64,
}

/// What must be done for the device's root directory, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Directory {
        path: String,
        mode: u32,
        user: u64,
        group: u64,
    },
    Link {
        path: String,
        target: String,
    },
    /// A file that is not only seen but is there: it has an owner or permissions.
    Copy {
        path: String,
        source: String,
        mode: u32,
        user: u64,
        group: u64,
    },
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// What lies below `root` of the generation.
    pub tree: BTreeMap<String, Content>,
    pub actions: Vec<Action>,
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
        let (user, group) = (file.get("user")?.number()?, file.get("group")?.number()?);
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
    layout.actions = directories.into_values().chain(others.into_values()).collect();
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
    directories: &mut BTreeMap<String, Action>,
    others: &mut BTreeMap<String, Action>,
) {
    let directory = |path: &str, mode, user, group| Action::Directory {
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
    let action = match &file.content {
        Content::Directory => {
            let mode = file.mode.unwrap_or(0o755);
            directories.insert(path.to_owned(), directory(path, mode, user, group));
            return;
        }
        Content::Link(target) => Action::Link { path: path.to_owned(), target: target.clone() },
        content if (file.mode, user, group) == (None, 0, 0) => {
            tree.insert(path.to_owned(), content.clone());
            Action::Link { path: path.to_owned(), target: source }
        }
        content => {
            tree.insert(path.to_owned(), content.clone());
            let executable = matches!(content, Content::Text { executable: true, .. });
            let mode = file.mode.unwrap_or(if executable { 0o755 } else { 0o644 });
            Action::Copy { path: path.to_owned(), source, mode, user, group }
        }
    };
    others.insert(path.to_owned(), action);
}

/// In a folder that is wholly the generation's.
fn shared(
    path: &str,
    top: &str,
    file: &File,
    tree: &mut BTreeMap<String, Content>,
    others: &mut BTreeMap<String, Action>,
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
    others.insert(top.to_owned(), Action::Link { path: top.to_owned(), target: link });
    Ok(())
}

/// The actions as lines: words with tabs between them.
pub fn lines(actions: &[Action]) -> String {
    let line = |action: &Action| match action {
        Action::Directory { path, mode, user, group } => {
            format!("directory\t{path}\t{mode:04o}\t{user}\t{group}\n")
        }
        Action::Link { path, target } => format!("link\t{path}\t{target}\n"),
        Action::Copy { path, source, mode, user, group } => {
            format!("copy\t{path}\t{mode:04o}\t{user}\t{group}\t{source}\n")
        }
    };
    actions.iter().map(line).collect()
}

/// Reads such lines again.
pub fn parse(text: &str) -> Result<Vec<Action>, Wrong> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split('\t').collect();
        let mode = |word: &str| u32::from_str_radix(word, 8).ok();
        let number = |word: &str| word.parse::<u64>().ok();
        let action = match words[..] {
            ["directory", path, m, u, g] => (|| {
                let (mode, user, group) = (mode(m)?, number(u)?, number(g)?);
                Some(Action::Directory { path: path.into(), mode, user, group })
            })(),
            ["link", path, target] => {
                Some(Action::Link { path: path.into(), target: target.into() })
            }
            ["copy", path, m, u, g, source] => (|| {
                let (mode, user, group) = (mode(m)?, number(u)?, number(g)?);
                let (path, source) = (path.into(), source.into());
                Some(Action::Copy { path, source, mode, user, group })
            })(),
            _ => None,
        };
        action.ok_or_else(|| format!("this is no line of a list of files: {line:?}"))
    };
    text.lines().map(one).collect()
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
        assert_eq!(parse(&lines(&layout.actions)), Ok(layout.actions.clone()));
        Ok((layout.tree.into_keys().collect(), lines(&layout.actions)))
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
