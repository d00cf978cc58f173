//! Links of a page, and the places in it that others may lead to.

use std::path::{Component, Path, PathBuf};

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// From 1 on.
    pub line: usize,
    /// As it is written: `guide/README.md#the-end`, `https://…`, `#below`.
    pub target: String,
}

/// The links and pictures of a page, outside of code.
pub fn links(page: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (at, line) in plain_lines(page) {
        let mut rest = without_code(line);
        while let Some(start) = rest.find("](") {
            let target = &rest[start + 2..];
            let Some(end) = target.find(')') else { break };
            let target = target[..end].split(' ').next().unwrap_or_default().to_owned();
            rest = rest[start + 2 + end..].to_owned();
            found.push(Link { line: at, target });
        }
        // A picture that is not shown in its full size.
        for part in without_code(line).split("<img ").skip(1) {
            let target = part.split_once("src=\"").and_then(|(_, rest)| rest.split('"').next());
            found.extend(target.map(|target| Link { line: at, target: target.to_owned() }));
        }
    }
    found
}

/// What can stand behind the `#` of a link to the page: its titles, as GitHub and mdBook make them.
pub fn anchors(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in plain_lines(page) {
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if !(1..=6).contains(&level) || !title.starts_with(' ') {
            continue;
        }
        let plain = anchor(title.trim());
        let twins = found.iter().filter(|other| {
            *other == &plain
                || other
                    .strip_prefix(&format!("{plain}-"))
                    .is_some_and(|n| n.parse::<u32>().is_ok())
        });
        let twins = twins.count();
        found.push(if twins == 0 { plain } else { format!("{plain}-{twins}") });
    }
    found
}

fn anchor(title: &str) -> String {
    let mut text = String::new();
    let mut rest = title;
    // Of a link its words count.
    while let Some((before, link)) = rest.split_once("](") {
        text.push_str(before);
        rest = link.split_once(')').map_or("", |(_, behind)| behind);
    }
    text.push_str(rest);
    let kept = text.to_lowercase();
    kept.chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

/// Where a link of a page leads, relative to the top: the file, and what stands behind `#`. `None`
/// where it leads elsewhere, such as to a web server. What leads out of the sources leads to nothing.
pub fn resolve(page: &Path, target: &str) -> Option<(PathBuf, Option<String>)> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor.to_owned())),
        None => (target, None),
    };
    if file.is_empty() {
        return Some((page.to_owned(), anchor));
    }
    let mut path = page.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir => {
                return Some((Path::new("(outside)").join(file.trim_start_matches('/')), anchor));
            }
            part => path.push(part),
        }
    }
    Some((path, anchor))
}

/// The lines that are not in fenced blocks, with their numbers.
fn plain_lines(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    page.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            return None;
        }
        (!inside).then_some((at + 1, line))
    })
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let page = "[a](b.md#c) and ![p](p.png \"x\")\n<img width=\"3\" src=\"q.png\">\n```text\n[no](no)\n```\n`[no](no)` [`d`](d)\n";
        let found: Vec<(usize, String)> =
            links(page).into_iter().map(|link| (link.line, link.target)).collect();
        let expected = [(1, "b.md#c"), (1, "p.png"), (2, "q.png"), (6, "d")];
        assert_eq!(found, expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn titles_become_what_browsers_look_for() {
        let page = "# Write an image: `flashcp`\n## The [log](log.md)\n### The log\n```sh\n# no\n```\n#no\n";
        assert_eq!(anchors(page), ["write-an-image-flashcp", "the-log", "the-log-1"]);
    }

    #[test]
    fn links_lead_from_where_their_page_is() {
        let page = Path::new("docs/guide/README.md");
        let to =
            |target| resolve(page, target).map(|(path, anchor)| (path, anchor.unwrap_or_default()));
        let is = |path: &str, anchor: &str| Some((PathBuf::from(path), anchor.to_owned()));
        assert_eq!(to("../formats/log.md#a"), is("docs/formats/log.md", "a"));
        assert_eq!(to("#b"), is("docs/guide/README.md", "b"));
        assert_eq!(to("../../examples/x.nix"), is("examples/x.nix", ""));
        assert_eq!(to("../../../x"), is("(outside)/../../../x", ""));
        assert_eq!(to("/etc/passwd"), is("(outside)/etc/passwd", ""));
        assert_eq!(to("https://example.org/#x"), None);
    }
}
