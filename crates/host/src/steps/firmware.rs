//! The step `firmware`: one image of the whole partition of that name, with kernel and root file
//! system at their places.

use super::attributes::{Attribute, Wrong, output};
use super::closure::grouped;
use super::{read, write};

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let partitions = attributes.get("partitions")?;
    let place = |name: &str| -> Result<(u64, u64), Wrong> {
        let partition = partitions.get(name)?;
        Ok((partition.get("offset")?.number()?, partition.get("size")?.number()?))
    };
    let (begin, size) = place("firmware")?;
    let mut firmware = Vec::new();
    let mut parts = attributes.get("parts")?.members()?;
    parts.sort_by_key(|(name, _)| place(name).map(|(offset, _)| offset).unwrap_or(0));
    for (name, file) in parts {
        let (offset, room) = place(name)?;
        if offset < begin || offset + room > begin + size {
            return Err(format!(
                "the partition {name} does not lie in the partition firmware, so no image of that can hold it"
            ));
        }
        let bytes = read(file.path()?)?;
        let place = (offset - begin) as usize;
        if place < firmware.len() || bytes.len() as u64 > room {
            return Err(format!(
                "{name} has {} bytes, and there is no room for it at {}",
                grouped(bytes.len() as u64),
                grouped(offset)
            ));
        }
        // What is erased reads as ones.
        firmware.resize(place, 0xff);
        firmware.extend_from_slice(&bytes);
    }
    let whole = firmware.len().next_multiple_of(attributes.get("eraseSize")?.number()? as usize);
    firmware.resize(whole, 0xff);
    write(&out, firmware)
}
