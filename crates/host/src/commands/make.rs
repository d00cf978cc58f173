//! `doorward make`: a step of a build. Nix calls it, and nobody else.

use clap::{Arg, ArgMatches, Command};
use cli::{Exit, Failure};

use crate::steps::attributes::{self, Attribute, Wrong};
use crate::steps::{firmware, image, kernel, levitate, manifest, modules, services, system, vm};

type Step = (&'static str, fn(&Attribute<'_>) -> Result<(), Wrong>);

const STEPS: [Step; 9] = [
    ("services", services::make),
    ("system", system::make),
    ("image", image::make),
    ("levitate", levitate::make),
    ("manifest", manifest::make),
    ("modules", modules::make),
    ("kernel", kernel::make),
    ("firmware", firmware::make),
    ("vm", vm::make),
];

pub fn command() -> Command {
    Command::new("make")
        .about("Do a step of a build; Nix calls this")
        .hide(true)
        .arg(Arg::new("STEP").required(true).value_parser(STEPS.map(|(name, _)| name)))
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let named: Option<&String> = matches.get_one("STEP");
    let step = STEPS.iter().find(|(name, _)| named.is_some_and(|named| named == name));
    let (_, step) = step.ok_or_else(|| Failure::usage("make what?"))?;
    let json = attributes::read().map_err(Failure::refused)?;
    step(&Attribute::root(&json)).map_err(Failure::not_achieved)?;
    Ok(Exit::DONE)
}
