//! A store path with all that it needs, as Nix describes it to a build.

use super::attributes::{Attribute, Wrong};

/// One store path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePath {
    pub path: String,
    /// Bytes of its archive: a little more than those of its files.
    pub size: u64,
    pub hash: String,
    pub references: Vec<String>,
}

/// Reads what `exportReferencesGraph.closure` has become.
pub fn read(attributes: &Attribute<'_>) -> Result<Vec<StorePath>, Wrong> {
    let one = |path: &Attribute<'_>| {
        Ok(StorePath {
            path: path.get("path")?.text()?.to_owned(),
            size: path.get("narSize")?.number()?,
            hash: path.get("narHash")?.text()?.to_owned(),
            references: path.get("references")?.texts()?.into_iter().map(str::to_owned).collect(),
        })
    };
    let mut paths =
        attributes.get("closure")?.list()?.iter().map(one).collect::<Result<Vec<_>, Wrong>>()?;
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(paths)
}

/// The largest ones, a line each.
pub fn largest(paths: &[StorePath], count: usize) -> String {
    let mut sorted: Vec<&StorePath> = paths.iter().collect();
    sorted.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    let line = |path: &&StorePath| format!("\n  {:>10}  {}", grouped(path.size), path.path);
    sorted.iter().take(count).map(line).collect()
}

/// A number of bytes, in groups of three digits.
pub fn grouped(bytes: u64) -> String {
    let digits = bytes.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_grouped_by_thousands() {
        for (bytes, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(bytes), text);
        }
    }
}
