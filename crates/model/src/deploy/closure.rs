//! Closures: what is missing of one, and in which order it comes.

use alloc::vec::Vec;

use super::path_info::PathInfo;
use super::paths::Paths;
use super::store_path::StorePath;

/// What keeps paths from having an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoOrder {
    /// This one refers, by others, to itself.
    Circle(StorePath),
    /// The second refers to the first, which is neither there nor among them.
    Missing { path: StorePath, by: StorePath },
}

/// The order in which paths come to be: what one refers to before it. Numbers of places in `paths`;
/// what `has` says is there already is in no order.
pub fn order(paths: &[PathInfo], has: impl Fn(&StorePath) -> bool) -> Result<Vec<usize>, NoOrder> {
    let mut places = Paths::default();
    for (place, info) in paths.iter().enumerate() {
        places.insert(info.path.clone(), place);
    }
    // 0: not seen; 1: on the way; 2: done.
    let mut states = alloc::vec![0_u8; paths.len()];
    let mut ordered = Vec::new();
    for first in 0..paths.len() {
        if states[first] != 0 || has(&paths[first].path) {
            continue;
        }
        let mut way = alloc::vec![(first, 0_usize)];
        states[first] = 1;
        while let Some((place, next)) = way.last_mut() {
            let info = &paths[*place];
            let Some(reference) = info.references.get(*next) else {
                states[*place] = 2;
                ordered.push(*place);
                way.pop();
                continue;
            };
            *next += 1;
            if *reference == info.path || has(reference) {
                continue;
            }
            let Some(needed) = places.get(reference).copied() else {
                let (path, by) = (reference.clone(), info.path.clone());
                return Err(NoOrder::Missing { path, by });
            };
            match states[needed] {
                0 => {
                    states[needed] = 1;
                    way.push((needed, 0));
                }
                1 => return Err(NoOrder::Circle(reference.clone())),
                _ => {}
            }
        }
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::nar_hash::sha256;
    use alloc::format;

    fn path(name: &str) -> StorePath {
        StorePath::parse(&format!("{}-{name}", "0".repeat(32))).expect("it is one")
    }

    fn infos(table: &[(&str, &str)]) -> Vec<PathInfo> {
        let one = |(name, references): &(&str, &str)| PathInfo {
            path: path(name),
            hash: sha256(name.as_bytes()),
            size: 1,
            references: references.split_whitespace().map(path).collect(),
            signatures: Vec::new(),
        };
        table.iter().map(one).collect()
    }

    fn names(table: &[(&str, &str)], has: &[&str]) -> Result<Vec<alloc::string::String>, NoOrder> {
        let infos = infos(table);
        let order = order(&infos, |p| has.iter().any(|name| path(name) == *p))?;
        Ok(order.into_iter().map(|place| infos[place].path.name().into()).collect())
    }

    #[test]
    fn what_one_needs_comes_before_it() {
        let table = [
            ("system", "dns ssh"),
            ("dns", "dns libc"),
            ("ssh", "libc ssl"),
            ("ssl", "libc"),
            ("libc", ""),
        ];
        assert_eq!(names(&table, &[]).unwrap(), ["libc", "dns", "ssl", "ssh", "system"]);
        assert_eq!(names(&table, &["libc", "ssl"]).unwrap(), ["dns", "ssh", "system"]);
        assert_eq!(names(&table[..4], &["libc"]).unwrap(), ["dns", "ssl", "ssh", "system"]);
        let (missing, by) = (path("libc"), path("dns"));
        assert_eq!(names(&table[..4], &[]), Err(NoOrder::Missing { path: missing, by }));
        assert_eq!(names(&[("a", "b"), ("b", "a")], &[]), Err(NoOrder::Circle(path("a"))));
    }
}
