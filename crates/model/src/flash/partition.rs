//! The partitions of the flash, as the kernel lists them.

/// One line of `/proc/mtd`. Source: Linux `drivers/mtd/mtdcore.c`, `mtd_proc_show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition<'a> {
    /// Of `/dev/mtdN` and `/dev/mtdblockN`.
    pub number: u32,
    pub name: &'a str,
}

/// Reads `/proc/mtd`: `mtd0: 04000000 00010000 "flash"`. What is no such line is passed over, as
/// the first one, which has the titles.
pub fn listed(text: &str) -> impl Iterator<Item = Partition<'_>> {
    text.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("mtd")?.split_once(':')?;
        let (_, name) = rest.split_once('"')?;
        Some(Partition { number: number.parse().ok()?, name: name.strip_suffix('"')? })
    })
}

/// The number of the partition of this name; of several the first.
pub fn number_of(text: &str, name: &str) -> Option<u32> {
    listed(text).find(|partition| partition.name == name).map(|partition| partition.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_found_by_their_names() {
        let text = "dev:    size   erasesize  name\n\
                    mtd0: 04000000 00010000 \"flash\"\n\
                    mtd1: 00080000 00010000 \"u-boot env\"\n\
                    mtd12: 00080000 00010000 \"root\"fs\"\n\
                    mtdx: 1 1 \"a\"\nmtd2: 1 1 \"b\nmtd3\n";
        assert_eq!(listed(text).count(), 3);
        assert_eq!(number_of(text, "u-boot env"), Some(1));
        assert_eq!(number_of(text, "root\"fs"), Some(12)); // names are not quoted any further
        assert_eq!(number_of(text, "a"), None);
        assert_eq!(number_of(text, "name"), None);
    }
}
