//! `docs`: man pages and the reference from their tables, and the book in target/docs.
//!
//! mdBook makes it of a copy of the pages in which everything lies where it does in the sources, so
//! that links, also those to examples, lead to the same things in both.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::install;
use crate::shell::{Failed, Outcome, cargo, failed, root, run, target};

/// The list of chapters, with links as they lead from where it is.
pub const SUMMARY: &str = "docs/SUMMARY.md";
/// What mdBook is told, and how pages look; beside the list.
const SETTINGS: [&str; 2] = ["book.toml", "book.css"];
/// What is made.
const MADE: &str = "docs";

/// Everything that is printed for people to read.
pub fn docs(_: &[String]) -> Outcome {
    install::docs(&[])?;
    let reference = root().join("docs/reference");
    run(cargo(None)
        .args(["run", "--quiet", "--package", "manual", "--", "reference"])
        .arg(reference))?;
    chore(&[])
}

/// The book alone.
pub fn chore(_: &[String]) -> Outcome {
    let site = build()?;
    println!("links that lead elsewhere, which nobody follows here:");
    for (url, page) in elsewhere().map_err(|error| failed(format!("docs: {error}")))? {
        println!("  {url} ({page})");
    }
    println!("{}", site.join("index.html").display());
    Ok(())
}

/// The pages that are chapters, in their order.
pub fn chapters() -> Vec<PathBuf> {
    let text = fs::read_to_string(root().join(SUMMARY)).unwrap_or_default();
    text.lines().filter_map(chapter).map(|(_, path)| path).collect()
}

/// What a line of the list names: as it is written, and from the top. A title above others names nothing.
fn chapter(line: &str) -> Option<(String, PathBuf)> {
    let target = pages::links(line).into_iter().next()?.target;
    let (path, _) = pages::resolve(Path::new(SUMMARY), &target).filter(|_| !target.is_empty())?;
    Some((target, path))
}

/// Makes the book, and follows every link of it.
pub fn build() -> Result<PathBuf, Failed> {
    let stage = target().join("book");
    let site = target().join(MADE);
    for folder in [&stage, &site] {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(format!("{}: {error}", folder.display())));
            }
            _ => {}
        }
    }
    lay_out(&stage).map_err(|error| failed(format!("{}: {error}", stage.display())))?;
    let mut mdbook = Command::new("mdbook");
    mdbook.arg("build").arg(&stage).arg("--dest-dir").arg(&site);
    // What it says of success is for nobody.
    let output = mdbook
        .output()
        .map_err(|error| failed(format!("cannot start mdbook: {error}; `./setup` installs it")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("WARN") || said.contains("ERROR") {
        return Err(failed(format!("mdbook: {}", said.trim())));
    }
    let lost = lost(&site).map_err(|error| failed(format!("{}: {error}", site.display())))?;
    match lost.is_empty() {
        true => Ok(site),
        false => Err(failed(format!("links that lead nowhere:\n{}", lost.join("\n")))),
    }
}

/// Links to web servers, each with the first page that has it.
fn elsewhere() -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for chapter in chapters() {
        for link in pages::links(&fs::read_to_string(root().join(&chapter))?) {
            if pages::resolve(&chapter, &link.target).is_none() {
                found.entry(link.target).or_insert_with(|| chapter.display().to_string());
            }
        }
    }
    Ok(found)
}

/// Copies chapters, and all that they link to.
fn lay_out(stage: &Path) -> std::io::Result<()> {
    let source = stage.join("src");
    fs::create_dir_all(&source)?;
    for name in SETTINGS {
        fs::copy(root().join("docs").join(name), stage.join(name))?;
    }
    let summary = fs::read_to_string(root().join(SUMMARY))?;
    let mut text = String::new();
    for line in summary.lines() {
        match chapter(line) {
            Some((target, path)) => {
                let path = renamed(&path.display().to_string());
                text += &line.replace(&format!("]({target})"), &format!("]({path})"));
            }
            None => text += line,
        }
        text.push('\n');
    }
    fs::write(source.join("SUMMARY.md"), text)?;
    for chapter in chapters() {
        let mut page = fs::read_to_string(root().join(&chapter))?;
        for link in pages::links(&page) {
            if let Some((path, _)) = pages::resolve(&chapter, &link.target) {
                if path.extension().is_none_or(|e| e != "md") {
                    copy(&path, &source)?;
                }
                let there = renamed(&link.target);
                page = page.replace(&format!("]({}", link.target), &format!("]({there}"));
            }
        }
        let place = source.join(renamed(&chapter.display().to_string()));
        fs::create_dir_all(place.parent().unwrap_or(&source))?;
        fs::write(place, breakable(&page))?;
    }
    Ok(())
}

/// A page whose tables have names such as `updates.trustedKeys` in parts: a narrow screen breaks them
/// between those, and the search, which knows words and their beginnings, finds each as well as the whole. Only
/// the name that a row begins with is one to look up.
fn breakable(page: &str) -> String {
    let mut text = String::new();
    for line in page.lines() {
        let row = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |"));
        match row {
            Some((name, rest)) if name.contains('.') && name.chars().all(is_plain) => {
                let parts = name.replace('.', ".<wbr>");
                text += &format!("| <span hidden>{name}</span><code>{parts}</code> |{rest}");
            }
            _ => text += line,
        }
        text.push('\n');
    }
    text
}

/// Of names; anything else would mean something to Markdown.
fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '.' | '-' | '[' | ']' | '…')
}

/// What a page is called in the book: one that stands for its folder is what a server shows of that,
/// which mdBook knows of a page but not of links to it.
fn renamed(path: &str) -> String {
    match path.split_once("README.md") {
        Some((folder, rest)) => format!("{folder}index.md{rest}"),
        None => path.to_owned(),
    }
}

/// A file, or a folder with everything in it.
fn copy(path: &Path, to: &Path) -> std::io::Result<()> {
    let from = root().join(path);
    let place = to.join(path);
    if from.is_dir() {
        for entry in fs::read_dir(&from)? {
            copy(&path.join(entry?.file_name()), to)?;
        }
        return Ok(());
    }
    fs::create_dir_all(place.parent().unwrap_or(to))?;
    let copied = fs::copy(&from, place);
    copied.map(drop).map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", from.display())))
}

/// Links of the book that lead nowhere, as `PAGE: LINK`.
fn lost(site: &Path) -> std::io::Result<Vec<String>> {
    let mut pages = Vec::new();
    collect(site, &mut pages)?;
    let texts: Vec<(PathBuf, String)> = pages
        .into_iter()
        .map(|path| fs::read_to_string(&path).map(|text| (path, text)))
        .collect::<Result<_, _>>()?;
    let mut lost = Vec::new();
    for (path, text) in &texts {
        let own = path.strip_prefix(site).unwrap_or(path);
        // The page of what is not there knows not where it is; the one for printing is all pages in one.
        if own == Path::new("404.html") {
            continue;
        }
        for target in attributes(text, "href").chain(attributes(text, "src")) {
            let Some((to, anchor)) = pages::resolve(own, target) else { continue };
            let to = if site.join(&to).is_dir() { to.join("index.html") } else { to };
            let there = match anchor.filter(|anchor| !anchor.is_empty()) {
                None => site.join(&to).exists(),
                Some(anchor) => {
                    let found = texts.iter().find(|(path, _)| *path == site.join(&to));
                    found.is_some_and(|(_, text)| attributes(text, "id").any(|id| id == anchor))
                }
            };
            if !there {
                lost.push(format!("{}: {target}", own.display()));
            }
        }
    }
    lost.sort();
    lost.dedup();
    Ok(lost)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "html") {
            found.push(path);
        }
    }
    Ok(())
}

/// The values of an attribute, wherever it stands.
fn attributes<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let before = format!(" {name}=\"");
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(&before)? + before.len();
        let end = start + rest[start..].find('"')?;
        let found = &rest[start..end];
        rest = &rest[end..];
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rows_begin_with_are_made_of_parts() {
        let page = "| `a.b[…].c` | x.y | `d.e` |\n| `a.*` | |\n`a.b` | `c`\n";
        let parts = "<span hidden>a.b[…].c</span><code>a.<wbr>b[…].<wbr>c</code>";
        let expected = format!("| {parts} | x.y | `d.e` |\n| `a.*` | |\n`a.b` | `c`\n");
        assert_eq!(breakable(page), expected);
    }

    #[test]
    fn attributes_are_found_wherever_they_stand() {
        let text = "<a class=\"x\" href=\"a#b\">t</a><img src=\"p.png\"><a href=\"\">";
        assert_eq!(attributes(text, "href").collect::<Vec<_>>(), ["a#b", ""]);
    }
}
