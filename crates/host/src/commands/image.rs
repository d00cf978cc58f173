//! `doorward image`: whether an image is whole, who has signed it, and signing it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use cli::{Exit, Failure};
use model::deploy::trust::{self, Signer, SigningKey, TrustedKey, signer};
use model::flash::manifest::{Checker, Manifest, Signature};
use os::flash::image_file::{ImageFile, ImageTrouble};
use serde_json::{Value, json};

use super::copy::signing_key;

pub fn command() -> Command {
    let path = |name: &'static str| Arg::new(name).value_parser(value_parser!(PathBuf));
    let image = path("image").value_name("IMAGE").required(true);
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue);
    Command::new("image")
        .about("Look into images of the flash, and sign them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("verify")
                .about("Check whether an image is whole, and show for which device it is")
                .after_help(
                    "Exit codes: 0 it is whole (and signed with one of the keys, where some are given), 1 it \
                     is not, 111 it cannot be read.",
                )
                .arg(
                    path("keys")
                        .short('k')
                        .long("keys")
                        .value_name("FILE")
                        .action(ArgAction::Append)
                        .help("Want a signature of a key in this file, as /etc/doorward/trusted-keys has them"),
                )
                .arg(json.clone().help("Print one object"))
                .arg(image.clone().help("The image, or - for standard input")),
        )
        .subcommand(
            Command::new("sign")
                .about("Sign an image, so that devices with keys take it")
                .long_about(
                    "Signs an image: what it says of itself, and with it every byte. Devices that have keys \
                     (`updates.trustedKeys`) take no other images. A signature that is there is replaced.",
                )
                .arg(
                    path("key")
                        .short('k')
                        .long("key")
                        .value_name("FILE")
                        .required(true)
                        .help("The secret key, as `nix-store --generate-binary-cache-key` makes it"),
                )
                .arg(
                    path("to")
                        .short('o')
                        .long("output")
                        .value_name("FILE")
                        .help("Where the signed image goes [default: it takes the place of IMAGE]"),
                )
                .arg(json.help("Print one object, of the signed image"))
                .arg(image.help("The image")),
        )
}

pub fn run(matches: &ArgMatches) -> Result<Exit, Failure> {
    match matches.subcommand() {
        Some(("verify", matches)) => verify(matches),
        Some(("sign", matches)) => sign(matches),
        _ => Err(Failure::usage("it needs a command")), // The parser has refused this.
    }
}

fn verify(matches: &ArgMatches) -> Result<Exit, Failure> {
    let path = matches.get_one::<PathBuf>("image").expect("it is required");
    let wanted: Vec<&PathBuf> = matches.get_many("keys").into_iter().flatten().collect();
    let mut keys: Vec<TrustedKey> = Vec::new();
    for file in &wanted {
        keys.extend(trusted_keys(file)?);
    }
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
    let signer = signer(&manifest.signed_bytes(), manifest.signed(), &keys);
    let told = match &signer {
        // It was held against no key.
        Signer::Stranger(key) if keys.is_empty() => {
            format!("signed with {key}; whose that is -k FILE tells")
        }
        signer => signer.to_string(),
    };
    let json = matches.get_flag("json");
    if !json {
        println!("{manifest}signature  {told}");
    }
    image.check(manifest.erase_bytes, &mut |_| {}).map_err(wrong)?;
    match json {
        true => println!("{:#}", object(&manifest, &signer.to_string())),
        false => println!("whole      yes"),
    }
    match signer.is_enough(&keys) {
        true => Ok(Exit::DONE),
        false => {
            let failure = Failure::not_achieved(format!("{} is {signer}", path.display()));
            Err(failure
                .hint("devices with these keys do not take it; `doorward image sign` signs it"))
        }
    }
}

fn trusted_keys(file: &Path) -> Result<Vec<TrustedKey>, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    if SigningKey::parse(&text).is_ok() {
        return Err(wrong(
            "this is a secret key, and what it has signed is known by the public one".into(),
        ));
    }
    match trust::keys(&text).map_err(|error| wrong(error.to_string()))? {
        keys if keys.is_empty() => Err(wrong("there is no key in it".into())),
        keys => Ok(keys),
    }
}

fn sign(matches: &ArgMatches) -> Result<Exit, Failure> {
    let path = matches.get_one::<PathBuf>("image").expect("it is required");
    let key = signing_key(matches.get_one::<PathBuf>("key").expect("it is required"))?;
    let to = matches.get_one::<PathBuf>("to");
    if to.is_none() && path.is_symlink() {
        let why = format!("{} is a link to what was built", path.display());
        return Err(Failure::usage(why).hint("-o says where the signed image goes"));
    }
    let to = to.unwrap_or(path);
    let signed = signed(path, &key)?;
    let mut partial = to.clone().into_os_string();
    partial.push(".partial");
    let written = fs::File::create(&partial)
        .and_then(|mut file| file.write_all(&signed).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&partial, to));
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        Failure::refused(format!("cannot write {}: {error}", to.display()))
    })?;
    if matches.get_flag("json") {
        let wrong = |why| Failure::refused(format!("cannot read what was just written: {why}"));
        let found = Manifest::of_file(&signed).map_err(|error| wrong(error.to_string()))?;
        let manifest = found.ok_or_else(|| wrong("it has no manifest".into()))?;
        let signer = signer(&manifest.signed_bytes(), manifest.signed(), &[]);
        println!("{:#}", object(&manifest, &signer.to_string()));
    }
    Ok(Exit::DONE)
}

/// An image with a signature. Nobody signs what is damaged.
pub fn signed(path: &Path, key: &SigningKey) -> Result<Vec<u8>, Failure> {
    let wrong =
        |why: String| Failure::not_achieved(format!("cannot sign {}: {why}", path.display()));
    let mut image = fs::read(path)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    let found = Manifest::of_file(&image).map_err(|error| wrong(error.to_string()))?;
    let mut manifest = found.ok_or_else(|| wrong("it has no manifest".into()))?;
    image.truncate(usize::try_from(manifest.bytes).unwrap_or(usize::MAX));
    let mut checker = Checker::new(&manifest);
    let whole = checker.update(&image).and_then(|()| checker.finish());
    whole.map_err(|damage| wrong(damage.to_string()))?;
    let (key, bytes) = key.sign_bytes(&manifest.signed_bytes());
    manifest.signature = Some(Signature { key, bytes });
    image.extend(manifest.trailer().map_err(|error| wrong(error.to_string()))?);
    Ok(image)
}

fn object(manifest: &Manifest, signature: &str) -> Value {
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
        "signature": signature,
    })
}
