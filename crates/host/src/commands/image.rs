//! `doorward image`: whether an image is whole.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::flash::manifest::{Manifest, trust};
use os::flash::image_file::{ImageFile, ImageTrouble};
use serde_json::{Value, json};

pub fn command() -> Command {
    let image = Arg::new("image").value_name("IMAGE").required(true);
    let image =
        image.value_parser(value_parser!(PathBuf)).help("The image, or - for standard input");
    Command::new("image")
        .about("Look into images of the flash")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("verify")
                .about("Check whether an image is whole, and show for which device it is")
                .after_help("Exit codes: 0 it is whole, 1 it is not, 111 it cannot be read.")
                .arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .help("Print one object"),
                )
                .arg(image),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    let Some(("verify", matches)) = matches.subcommand() else {
        return Err(Failure::usage("it needs a command")); // The parser has refused this.
    };
    let path = matches.get_one::<PathBuf>("image").expect("it is required");
    let wrong = |trouble: ImageTrouble| {
        let exit = match trouble {
            ImageTrouble::Read(_) | ImageTrouble::Memory { .. } => Exit::REFUSED,
            ImageTrouble::Manifest(_) | ImageTrouble::Damage(_) => Exit::NOT_ACHIEVED,
        };
        Failure::new(exit, format!("{} is no image to be used: {trouble}", path.display()))
    };
    let mut image = ImageFile::open(path).map_err(wrong)?;
    let Some(manifest) = image.manifest.clone() else {
        let failure = Failure::not_achieved(format!("{} has no manifest", path.display()));
        return Err(failure.hint("it was cut off, or is not what `doorward build` makes"));
    };
    let json = matches.get_flag("json");
    if !json {
        print!("{manifest}");
    }
    image.check(manifest.erase_bytes, &mut |_| {}).map_err(wrong)?;
    match json {
        true => println!("{:#}", object(&manifest)),
        false => println!("whole      yes"),
    }
    Ok(Exit::DONE)
}

fn object(manifest: &Manifest) -> Value {
    let parts = manifest.parts.iter().map(|part| {
        json!({
            "name": part.name,
            "offset": part.offset,
            "size": part.size,
            "bytes": part.bytes,
            "sha256": part.digest.to_string(),
        })
    });
    json!({
        "device": manifest.device,
        "system": manifest.generation,
        "partition": manifest.partition,
        "size": manifest.size,
        "bytes": manifest.bytes,
        "block_bytes": manifest.erase_bytes,
        "parts": parts.collect::<Vec<Value>>(),
        "signature": trust(manifest).to_string(),
    })
}
