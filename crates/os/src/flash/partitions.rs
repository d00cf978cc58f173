//! The partitions that the kernel knows, and which of them lie on the same part of a flash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/mtd";

/// One flash or partition, by what sysfs says of it.
///
/// Source: Linux `Documentation/ABI/testing/sysfs-class-mtd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub number: u32,
    pub name: String,
    pub bytes: u64,
    pub erase_bytes: u32,
    /// Where in its flash it begins; none for a whole flash.
    offset: Option<u64>,
    /// Where in sysfs its flash is, as far as sysfs shows that.
    place: PathBuf,
    /// What all partitions of a flash have in common.
    likeness: String,
}

/// All of them, by their numbers.
pub fn all() -> io::Result<Vec<Partition>> {
    all_in(Path::new(CLASS))
}

fn all_in(class: &Path) -> io::Result<Vec<Partition>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(class)?.flatten() {
        // `mtd3ro` is the same as `mtd3`.
        if let Some(number) = entry.file_name().to_str().and_then(number_in)
            && let Some(partition) = read(number, &entry.path())
        {
            found.push(partition);
        }
    }
    found.sort_by_key(|partition| partition.number);
    Ok(found)
}

/// The number in `mtd3`.
fn number_in(name: &str) -> Option<u32> {
    name.strip_prefix("mtd")?.parse().ok()
}

fn read(number: u32, folder: &Path) -> Option<Partition> {
    let text = |folder: &Path, name: &str| {
        fs::read_to_string(folder.join(name)).ok().map(|text| text.trim_end().to_owned())
    };
    let said = |name: &str| text(folder, name);
    let mut place = folder.canonicalize().ok()?;
    // Those that lie in others lie in their folders, each with its place in the one around it.
    let mut offset = None;
    while let Some(inner) = text(&place, "offset").and_then(|text| text.parse::<u64>().ok()) {
        offset = Some(offset.unwrap_or(0) + inner);
        let outer = place.parent()?.to_owned();
        let is_partition =
            outer.file_name().and_then(|name| name.to_str()).and_then(number_in).is_some();
        place = outer;
        if !is_partition {
            break;
        }
    }
    let alike = ["type", "writesize", "oobsize"].map(|name| said(name).unwrap_or_default());
    Some(Partition {
        number,
        name: said("name")?,
        bytes: said("size")?.parse().ok()?,
        erase_bytes: said("erasesize")?.parse().ok()?,
        offset,
        place,
        likeness: alike.join(" "),
    })
}

impl Partition {
    pub fn start(&self) -> u64 {
        self.offset.unwrap_or(0)
    }

    fn end(&self) -> u64 {
        self.start().saturating_add(self.bytes)
    }

    /// Whether `flash` is one that this may be a partition of. Most kernels do not say it: it is
    /// found in the same place, is alike, was there before, and this does not reach out of it.
    fn may_lie_in(&self, flash: &Self) -> bool {
        let same_place = self.place == flash.place || Some(&*self.place) == flash.place.parent();
        flash.offset.is_none()
            && self.offset.is_some()
            && same_place
            && self.likeness == flash.likeness
            && flash.number < self.number
            && self.end() <= flash.bytes
    }

    /// Whether the two share blocks; where that cannot be known, they do.
    pub fn overlaps(&self, other: &Self, all: &[Self]) -> bool {
        if self.number == other.number {
            return true;
        }
        if self.end() <= other.start() || other.end() <= self.start() {
            return false;
        }
        match (self.offset, other.offset) {
            (None, None) => false,
            (Some(_), None) => self.may_lie_in(other),
            (None, Some(_)) => other.may_lie_in(self),
            (Some(_), Some(_)) => {
                let both = |it: &Self| self.may_lie_in(it) && other.may_lie_in(it);
                let either = |it: &Self| self.may_lie_in(it) || other.may_lie_in(it);
                let alike = self.place == other.place && self.likeness == other.likeness;
                all.iter().any(both) || alike && !all.iter().any(either)
            }
        }
    }

    /// The partitions in this one, each with where it begins in it.
    pub fn inside<'a>(&'a self, all: &'a [Self]) -> impl Iterator<Item = (u64, &'a Self)> {
        let inside = move |other: &&Self| {
            other.number != self.number
                && other.start() >= self.start()
                && other.end() <= self.end()
                && self.overlaps(other, all)
        };
        all.iter().filter(inside).map(|other| (other.start() - self.start(), other))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Number, where it lies, name, offset, size, and kind.
    type Row<'a> = (u32, &'a str, &'a str, Option<u64>, u64, &'a str);

    /// A pretend sysfs.
    fn sysfs(name: &str, list: &[Row<'_>]) -> Vec<Partition> {
        let top = std::env::temp_dir().join(format!("doorward-mtd-{name}-{}", std::process::id()));
        fs::create_dir_all(top.join("class")).expect("a folder can be made");
        for (number, place, name, offset, bytes, kind) in list {
            let folder = top.join(place).join(format!("mtd{number}"));
            fs::create_dir_all(&folder).expect("a folder can be made");
            let offset = offset.map(|offset| ("offset", offset.to_string()));
            let texts = [
                ("name", (*name).to_owned()),
                ("size", bytes.to_string()),
                ("erasesize", "65536".into()),
                ("writesize", "1".into()),
                ("oobsize", "0".into()),
                ("type", (*kind).to_owned()),
            ];
            for (file, text) in texts.into_iter().chain(offset) {
                fs::write(folder.join(file), text + "\n").expect("a file can be written");
            }
            symlink(&folder, top.join(format!("class/mtd{number}"))).expect("a link can be made");
            symlink(&folder, top.join(format!("class/mtd{number}ro"))).expect("a link can be made");
        }
        let found = all_in(&top.join("class")).expect("it can be read");
        fs::remove_dir_all(top).expect("it can be removed");
        found
    }

    #[track_caller]
    fn overlapping(all: &[Partition]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for one in all {
            for other in all {
                assert_eq!(one.overlaps(other, all), other.overlaps(one, all));
                if one.number < other.number && one.overlaps(other, all) {
                    found.push((one.number, other.number));
                }
            }
        }
        found
    }

    #[test]
    fn kernels_that_show_only_a_list() {
        let all = sysfs(
            "list",
            &[
                (0, "virtual", "flash0", None, 1000, "ram"),
                (1, "virtual", "firmware", Some(100), 800, "ram"),
                (2, "virtual", "kernel", Some(100), 300, "ram"),
                (3, "virtual", "rootfs", Some(400), 500, "ram"),
                (4, "virtual", "other flash", None, 2000, "ram"),
                (5, "virtual", "nand", None, 2000, "nand"),
                (6, "virtual", "too large for the first", Some(400), 900, "ram"),
                (7, "spi0", "elsewhere", Some(0), 500, "ram"),
            ],
        );
        assert_eq!(all.len(), 8);
        let expected = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (4, 6)];
        assert_eq!(overlapping(&all), expected);
        let inside: Vec<_> = all[1].inside(&all).map(|(at, it)| (at, &*it.name)).collect();
        assert_eq!(inside, [(0, "kernel"), (300, "rootfs")]);
    }

    #[test]
    fn kernels_that_show_what_lies_in_what() {
        let all = sysfs(
            "tree",
            &[
                (0, "spi", "flash", None, 1000, "nor"),
                (1, "spi/mtd0", "firmware", Some(100), 800, "nor"),
                (2, "spi/mtd0/mtd1", "rootfs", Some(300), 500, "nor"),
                (3, "spi/mtd0", "persist", Some(900), 100, "nor"),
                (4, "spi", "flash of another chip", None, 1000, "nor"),
                (5, "spi/mtd4", "copy", Some(100), 800, "nor"),
            ],
        );
        assert_eq!(all[2].start(), 400);
        assert_eq!(overlapping(&all), [(0, 1), (0, 2), (0, 3), (1, 2), (4, 5)]);
    }

    #[test]
    fn kernels_that_hide_the_flash_itself() {
        let all = sysfs(
            "hidden",
            &[
                (0, "spi", "boot", Some(0), 100, "nor"),
                (1, "spi", "firmware", Some(100), 800, "nor"),
                (2, "spi/mtd1", "rootfs", Some(300), 500, "nor"),
            ],
        );
        assert_eq!(overlapping(&all), [(1, 2)]);
    }
}
