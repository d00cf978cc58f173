//! Something for each of many store paths: a sorted list, which is a tenth of a tree's code in `ward`.

use alloc::vec::Vec;

use super::store_path::StorePath;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths<V> {
    /// In the order of the names.
    all: Vec<(StorePath, V)>,
}

/// Paths alone.
pub type PathSet = Paths<()>;

impl<V> Default for Paths<V> {
    fn default() -> Self {
        Self { all: Vec::new() }
    }
}

impl<V> Paths<V> {
    /// Where a path is in the list.
    pub fn place(&self, path: &StorePath) -> Option<usize> {
        self.all.binary_search_by(|(known, _)| known.cmp(path)).ok()
    }

    /// The path with this hash.
    pub fn by_hash(&self, hash: &[u8]) -> Option<&StorePath> {
        let at = self.all.binary_search_by(|(known, _)| known.hash().cmp(hash)).ok()?;
        Some(&self.all[at].0)
    }

    pub fn get(&self, path: &StorePath) -> Option<&V> {
        self.place(path).map(|at| &self.all[at].1)
    }

    pub fn has(&self, path: &StorePath) -> bool {
        self.place(path).is_some()
    }

    /// Adds one, or gives another value to one that is there.
    pub fn insert(&mut self, path: StorePath, value: V) {
        match self.all.binary_search_by(|(known, _)| known.cmp(&path)) {
            Ok(at) => self.all[at].1 = value,
            Err(at) => self.all.insert(at, (path, value)),
        }
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> &[(StorePath, V)] {
        &self.all
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn clear(&mut self) {
        self.all.clear();
    }

    pub fn into_all(self) -> Vec<(StorePath, V)> {
        self.all
    }
}

impl PathSet {
    pub fn add(&mut self, path: StorePath) {
        self.insert(path, ());
    }

    pub fn names(&self) -> impl Iterator<Item = &StorePath> {
        self.all.iter().map(|(path, ())| path)
    }
}

impl FromIterator<StorePath> for PathSet {
    fn from_iter<I: IntoIterator<Item = StorePath>>(paths: I) -> Self {
        let mut set = Self::default();
        paths.into_iter().for_each(|path| set.add(path));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn each_path_is_there_once_and_found_by_its_name_or_hash() {
        let path = |letter: &str, name: &str| {
            StorePath::parse(&format!("{}-{name}", letter.repeat(32))).expect("it is one")
        };
        let mut paths = Paths::default();
        for (at, letter) in ["c", "a", "b", "a"].into_iter().enumerate() {
            paths.insert(path(letter, "x"), at);
        }
        let values: Vec<usize> = paths.all().iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [3, 2, 0]);
        assert_eq!(paths.get(&path("b", "x")), Some(&2));
        assert_eq!(paths.get(&path("b", "y")), None);
        assert_eq!(paths.by_hash(&[b'c'; 32]), Some(&path("c", "x")));
        assert_eq!(paths.by_hash(&[b'd'; 32]), None);
        let set: PathSet = [path("a", "x"), path("a", "x")].into_iter().collect();
        assert_eq!((set.len(), set.has(&path("a", "x"))), (1, true));
    }
}
