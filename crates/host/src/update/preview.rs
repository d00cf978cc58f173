//! What an update would do on a device, found out here: the device only says what it runs by now.

use cli::Failure;
use engine::service::update::{Manner, plan};
use model::service::database::{Database, Entry};

use super::device::visit;
use crate::copy::line::Target;
use crate::nix::call::Nix;

/// What would become of services, in lines for people.
pub fn services(target: &Target, nix: &Nix, generation: &str) -> Result<Vec<String>, Failure> {
    let host = &target.host;
    let fetch = |file: &str| {
        let output = visit(target, &format!("cat {file}"))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Failure::refused(format!("cannot read {file} on {host}: {why}")))
            }
        }
    };
    let (old, bytes) = (fetch("/run/s6-rc/compiled/db")?, fetch("/run/s6-rc/state")?);
    // A link in a store elsewhere leads to where it does on the device.
    let link = nix.on_disk(generation).join("services");
    let services = std::fs::read_link(&link);
    let services = services
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", link.display())))?;
    let file = nix.on_disk(&services.to_string_lossy()).join("db");
    let new = std::fs::read(&file)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", file.display())))?;
    let open = |bytes, whose: &str| {
        Database::open(bytes).map_err(|error| {
            Failure::not_achieved(format!("cannot compare services: those of {whose}: {error}"))
        })
    };
    compare(&open(&old, host)?, &open(&new, "the new generation")?, &bytes)
}

fn compare(old: &Database<'_>, new: &Database<'_>, bytes: &[u8]) -> Result<Vec<String>, Failure> {
    let manner = Manner { essential: true, as_is: false };
    let plan = plan(old, new, bytes, &[], manner).map_err(|lost| {
        let name = old.service(lost.0).name();
        Failure::not_achieved(format!("{name} is essential, and would be gone"))
    })?;
    let stays = |name: &str| matches!(new.find(name), Some(Entry::Service(_)));
    let stopped = plan.stop.iter().map(|index| old.service(*index).name());
    let (again, gone): (Vec<&str>, Vec<&str>) = stopped.partition(|name| stays(name));
    let is_new = |name: &&str| old.find(name).is_none();
    let fresh: Vec<&str> = new.services().map(|service| service.name()).filter(is_new).collect();
    let mut lines = Vec::new();
    for (what, names) in [("start again", again), ("stop for good", gone), ("are new", fresh)] {
        if !names.is_empty() {
            lines.push(format!("services that {what}: {}", names.join(" ")));
        }
    }
    if lines.is_empty() {
        lines.push("no service would notice".into());
    }
    Ok(lines)
}
