//! Init scripts of OpenWrt as source directories: what procd is told, as far as it can be read.

mod instance;
mod reader;

use alloc::string::String;
use alloc::vec::Vec;

use self::instance::{Context, oneshot, write};
use self::reader::Reader;
use super::shell::{self, Kind};
use super::{Imported, Made, Remark, Remarks, Weight, readme};
use crate::service::name::Name;

/// Makes source directories of one script: one for each instance, and a bundle of the script's name
/// where it has several.
pub fn import(file: &str, name: &str, text: &str) -> Imported {
    let mut remarks = Remarks::default();
    if let Err(error) = Name::parse(name) {
        remarks.left_out((file, 0), alloc::format!("{name} is no name of a service: {error}"));
        return Imported { made: Vec::new(), remarks: remarks.0 };
    }
    let text = text.replace('\0', "");
    let script = shell::parse(&text);
    let mut reader = Reader::new(file, remarks);
    if let Some((line, why)) = script.wrong {
        reader.remarks.left_out(
            (file, line),
            alloc::format!("the script cannot be read from here on: {why}"),
        );
    }
    for item in &script.items {
        if let Kind::Function { name, body } = &item.kind {
            reader.functions.insert(name, (item.line, body));
        }
    }
    reader.top(&script.items);
    let procd = reader.is_set("USE_PROCD") || reader.functions.contains_key("start_service");
    if procd {
        reader.start("start_service");
    } else {
        reader.start("start");
    }
    let signal = reader.other_functions(procd);
    let instances = core::mem::take(&mut reader.instances);
    let before = core::mem::take(&mut reader.before);
    let stop = if procd { Vec::new() } else { reader.stop() };
    let unknown = core::mem::take(&mut reader.unknown);
    let remarks = core::mem::take(&mut reader.remarks.0);
    let context = Context { file, remarks: &remarks, unknown: &unknown, signal };
    let mut made: Vec<Made> = Vec::new();
    let several = instances.len() > 1;
    for (at, instance) in instances.iter().enumerate() {
        let own = match &instance.name {
            Some(own) if several => alloc::format!("{name}.{own}"),
            None if several => alloc::format!("{name}.{}", at + 1),
            _ => name.into(),
        };
        // Those that cannot be told apart, or have a name of no service, are numbered.
        let taken =
            |name: &str| Name::parse(name).is_err() || made.iter().any(|made| made.name == name);
        let numbered = alloc::format!("{name}.{}-{}", at + 1, instance.line);
        let own = if taken(&own) { numbered } else { own };
        if !taken(&own) {
            made.push(write(&own, instance, &before, &context));
        }
    }
    if several {
        let mut all = super::systemd::of_all(name, &made);
        all.files.retain(|file| file.path != "README");
        all.add("README", readme(file, &[], &remarks));
        made.push(all);
    }
    if instances.is_empty() && !(before.is_empty() && stop.is_empty()) {
        made.push(oneshot(name, &before, &stop, &context));
    }
    let mut remarks = remarks;
    if made.is_empty() {
        let what = String::from("nothing that it starts could be read");
        remarks.push(Remark { file: file.into(), line: 0, weight: Weight::LeftOut, what });
    }
    Imported { made, remarks }
}
