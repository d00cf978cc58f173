//! Where the parts of an image go, in which order, and whether they may.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use model::flash::manifest::Manifest;
use model::limits::FLASH_BLOCKS_MAX;

use super::write::Part;

/// The part that is written last: without it nothing starts, with it all does.
const LAST: &str = "kernel";

/// The partition that an image is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub bytes: u64,
    pub erase_bytes: u32,
    /// What lies in it, besides.
    pub inside: Vec<Inside>,
}

/// A partition inside of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    pub name: String,
    /// Where in the outer one it begins, and its size.
    pub offset: u64,
    pub bytes: u64,
}

/// Why an image cannot go there. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    TooLarge {
        bytes: u64,
        room: u64,
    },
    Empty,
    /// The partition cannot be: no blocks, or too many.
    Impossible,
    OtherDevice {
        image: String,
        device: String,
    },
    OtherPartition {
        image: String,
    },
    OtherSize {
        image: u64,
        device: u64,
    },
    /// A part does not begin or end where blocks do.
    OtherBlocks {
        image: u32,
        device: u32,
    },
    /// A partition of the device lies elsewhere than the image has it.
    OtherPlace {
        name: String,
        image: (u64, u64),
        device: (u64, u64),
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, room } => {
                write!(f, "it has {bytes} bytes, and the partition {room}")
            }
            Self::Empty => f.write_str("it is empty"),
            Self::Impossible => f.write_str("the partition has no blocks, or too many"),
            Self::OtherDevice { image, device } => {
                write!(f, "it is for {image}, and this is {device}")
            }
            Self::OtherPartition { image } => write!(f, "it is for the partition {image}"),
            Self::OtherSize { image, device } => {
                write!(f, "it is for a partition of {image} bytes, and this one has {device}")
            }
            Self::OtherBlocks { image, device } => {
                write!(f, "it is laid out for blocks of {image} bytes, and the flash has {device}")
            }
            Self::OtherPlace { name, image, device } => write!(
                f,
                "it has {name} at {} with {} bytes, and the device at {} with {}",
                image.0, image.1, device.0, device.1
            ),
        }
    }
}

/// Where an image goes of which nothing is known but its size: from the first block on. With
/// `all`, what it does not reach is erased.
pub fn whole(bytes: u64, target: &Target, all: bool) -> Result<Vec<Part>, Mismatch> {
    let blocks = blocks(target)?;
    if bytes == 0 {
        return Err(Mismatch::Empty);
    }
    if bytes > target.bytes {
        return Err(Mismatch::TooLarge { bytes, room: target.bytes });
    }
    let pieces = bytes.div_ceil(target.erase_bytes.into()) as u32;
    let covers = if all { blocks } else { pieces };
    Ok(vec![Part { first: 0, blocks, piece: 0, pieces, covers }])
}

/// Where the parts of an image go that says of itself what it is. `device` is what this one says
/// that it is, if that counts.
pub fn parts(
    manifest: &Manifest,
    device: Option<&str>,
    target: &Target,
    all: bool,
) -> Result<Vec<Part>, Mismatch> {
    let blocks = blocks(target)?;
    if let Some(device) = device.filter(|device| *device != manifest.device) {
        let image = manifest.device.clone();
        return Err(Mismatch::OtherDevice { image, device: device.into() });
    }
    if manifest.partition != target.name {
        return Err(Mismatch::OtherPartition { image: manifest.partition.clone() });
    }
    if manifest.bytes > target.bytes {
        return Err(Mismatch::TooLarge { bytes: manifest.bytes, room: target.bytes });
    }
    if manifest.size != target.bytes {
        return Err(Mismatch::OtherSize { image: manifest.size, device: target.bytes });
    }
    for part in &manifest.parts {
        let same_name = |inside: &&Inside| inside.name == part.name;
        if let Some(inside) = target.inside.iter().find(same_name)
            && (inside.offset, inside.bytes) != (part.offset, part.size)
        {
            return Err(Mismatch::OtherPlace {
                name: part.name.clone(),
                image: (part.offset, part.size),
                device: (inside.offset, inside.bytes),
            });
        }
    }
    let erase = u64::from(target.erase_bytes);
    let other_blocks =
        Mismatch::OtherBlocks { image: manifest.erase_bytes, device: target.erase_bytes };
    let count = |bytes: u64| match bytes.is_multiple_of(erase) {
        true => Ok((bytes / erase) as u32),
        false => Err(other_blocks.clone()),
    };
    let end = manifest.bytes.div_ceil(erase) as u32;
    let mut plan: Vec<(bool, Part)> = Vec::new();
    let mut before = 0;
    let gap = |first: u32, until: u32| Part {
        first,
        blocks: until - first,
        piece: first,
        pieces: 0,
        covers: if all { until - first } else { end.clamp(first, until) - first },
    };
    for part in &manifest.parts {
        let (first, size) = (count(part.offset)?, count(part.size)?);
        if first > before {
            plan.push((false, gap(before, first)));
        }
        before = first + size;
        let pieces = part.bytes.div_ceil(erase) as u32;
        let rest = all || part.rest_erased;
        let covers = if rest { size } else { end.clamp(first, before) - first };
        let blocks = Part { first, blocks: size, piece: first, pieces, covers };
        plan.push((part.name == LAST, blocks));
    }
    if before < blocks {
        plan.push((false, gap(before, blocks)));
    }
    plan.retain(|(_, part)| part.pieces > 0 || part.covers > 0);
    plan.sort_by_key(|(last, _)| *last);
    Ok(plan.into_iter().map(|(_, part)| part).collect())
}

fn blocks(target: &Target) -> Result<u32, Mismatch> {
    let blocks = target.bytes.checked_div(target.erase_bytes.into()).unwrap_or(0);
    match (1..=u64::from(FLASH_BLOCKS_MAX)).contains(&blocks) {
        true => Ok(blocks as u32),
        false => Err(Mismatch::Impossible),
    }
}

#[cfg(test)]
mod tests;
