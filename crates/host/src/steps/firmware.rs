//! The step `firmware`: one image of the whole partition of that name, with kernel and root file
//! system at their places, and what it says of itself behind them.

use model::digest::Digest;
use model::flash::manifest::{Manifest, Part};

use super::attributes::{Attribute, Wrong, output};
use super::closure::grouped;
use super::{read, write};

/// What is erased reads as ones.
const ERASED: u8 = 0xff;

pub fn make(attributes: &Attribute<'_>) -> Result<(), Wrong> {
    let out = output(attributes)?;
    let partitions = attributes.get("partitions")?;
    let place = |name: &str| -> Result<(u64, u64), Wrong> {
        let partition = partitions.get(name)?;
        Ok((partition.get("offset")?.number()?, partition.get("size")?.number()?))
    };
    let (begin, size) = place("firmware")?;
    let erased_behind = attributes.get("erasedBehind")?.texts()?;
    let mut firmware = Vec::new();
    let mut known = Vec::new();
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
        firmware.resize(place, ERASED);
        firmware.extend_from_slice(&bytes);
        known.push(Part {
            name: name.to_owned(),
            offset: place as u64,
            size: room,
            bytes: bytes.len() as u64,
            digest: Digest::of(&bytes),
            rest_erased: erased_behind.contains(&name),
        });
    }
    let erase_size = attributes.get("eraseSize")?.number()?;
    let whole = firmware.len().next_multiple_of(erase_size as usize);
    firmware.resize(whole, ERASED);
    let manifest = Manifest {
        device: attributes.get("device")?.text()?.to_owned(),
        generation: attributes.get("generation")?.text()?.to_owned(),
        partition: "firmware".into(),
        size,
        erase_bytes: u32::try_from(erase_size).map_err(|_| "eraseSize is too large")?,
        bytes: firmware.len() as u64,
        parts: known,
        signature: None,
    };
    firmware.extend(manifest.trailer().map_err(|error| format!("the firmware: {error}"))?);
    if firmware.len() as u64 > size {
        return Err(format!(
            "the firmware has {} bytes with its manifest, which takes one block, and its partition {}: \
             the root file system should leave a block of {} free",
            grouped(firmware.len() as u64),
            grouped(size),
            grouped(erase_size)
        ));
    }
    write(&out, firmware)
}
