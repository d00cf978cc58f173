//! `ward image verify`: whether an image is whole, and for this device.

use std::io::Write;
use std::path::Path;

use cli::{Args, Command, Exit, Failure, Opt, text};
use model::deploy::trust::{Signer, TrustedKey, signer};
use model::flash::manifest::Manifest;
use os::deploy::trusted;
use os::flash::image_file::{ImageFile, ImageTrouble};

use super::json::Object;

pub const COMMAND: Command = Command {
    name: "image",
    summary: "Check whether an image of the flash is whole, and for this device",
    usage: "ward image verify [--json] IMAGE",
    options: &[Opt("--json", "Print one object")],
    about: "\
Shows what the image says of itself, and reads all of it: every part must have \
its digest, and nothing may lie between them. Where /etc/doorward/trusted-keys has \
keys, one of them must have signed it. `-` is standard input. Exit codes: \
0 it is whole and for this device, 1 it is not, 111 it cannot be read.",
    run,
};

/// What this device is called, by whoever built it: an image says for which device it is.
pub const DEVICE: &str = "/etc/device";

/// What this device says that it is; none where the system was not built by Doorward.
pub fn this_device() -> Option<String> {
    let text = std::fs::read_to_string(DEVICE).ok()?;
    Some(text.trim_end().to_owned()).filter(|name| !name.is_empty())
}

fn run(args: &mut Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut json = false;
    let mut words = Vec::new();
    loop {
        while let Some(option) = args.option()? {
            match option.as_str() {
                "json" => json = true,
                _ => return Err(args.unknown(&option)),
            }
        }
        match args.operand() {
            Some(word) => words.push(word),
            None => break,
        }
    }
    let [verb, path] = &words[..] else {
        return Err(Failure::usage("it needs `verify` and the path of an image"));
    };
    if text(verb)? != "verify" {
        return Err(Failure::usage(format!("there is no `image {}`", verb.display())));
    }
    verify(Path::new(path), json, out)
}

/// The keys in which this device trusts; where it has some, it takes no other images.
pub fn keys() -> Result<Vec<TrustedKey>, Failure> {
    trusted::keys(Path::new("/")).map_err(Failure::refused)
}

/// What is known of who made an image.
pub fn signer_of<'a>(manifest: Option<&Manifest>, keys: &'a [TrustedKey]) -> Signer<'a> {
    manifest.map_or(Signer::Nobody, |it| signer(&it.signed_bytes(), it.signed(), keys))
}

fn verify(path: &Path, json: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let wrong = |trouble: ImageTrouble| trouble_with(path, &trouble);
    let mut image = ImageFile::open(path).map_err(wrong)?;
    let Some(manifest) = image.manifest.clone() else {
        let failure = Failure::not_achieved(format!("{} has no manifest", path.display()));
        return Err(failure.hint("it was cut off, or was not made by `doorward build`"));
    };
    let keys = keys()?;
    let signer = signer_of(Some(&manifest), &keys);
    if !json {
        writeln!(out, "{manifest}signature  {signer}")?;
    }
    image.check(manifest.erase_bytes, &mut |_| {}).map_err(wrong)?;
    if !signer.is_enough(&keys) {
        let why = format!("{} is whole, but {signer}", path.display());
        return Err(Failure::not_achieved(why));
    }
    match this_device() {
        Some(device) if device != manifest.device => Err(Failure::not_achieved(format!(
            "{} is whole, but for {}, and this is {device}",
            path.display(),
            manifest.device
        ))),
        _ if json => {
            writeln!(out, "{}", object(&manifest, &signer))?;
            Ok(Exit::DONE)
        }
        Some(_) => Ok(writeln!(out, "whole      yes; for this device").map(|()| Exit::DONE)?),
        None => Ok(writeln!(out, "whole      yes").map(|()| Exit::DONE)?),
    }
}

fn object(manifest: &Manifest, signer: &Signer<'_>) -> String {
    let parts = manifest.parts.iter().map(|part| {
        let mut object = Object::begin();
        object.text("name", &part.name);
        object.number("offset", part.offset);
        object.number("size", part.size);
        object.number("bytes", part.bytes);
        object.text("sha256", &part.digest.to_string());
        object.end()
    });
    let parts: Vec<String> = parts.collect();
    let mut object = Object::begin();
    object.text("device", &manifest.device);
    object.text("system", &manifest.generation);
    object.text("partition", &manifest.partition);
    object.number("size", manifest.size);
    object.number("bytes", manifest.bytes);
    object.number("block_bytes", manifest.erase_bytes.into());
    object.list("parts", &parts);
    object.text("signature", &signer.to_string());
    object.end()
}

/// What is wrong with an image, as a failure.
pub fn trouble_with(path: &Path, trouble: &ImageTrouble) -> Failure {
    let exit = match trouble {
        ImageTrouble::Read(_) | ImageTrouble::Memory { .. } => Exit::REFUSED,
        ImageTrouble::Manifest(_) | ImageTrouble::Damage(_) => Exit::NOT_ACHIEVED,
    };
    let failure = Failure::new(exit, format!("cannot use the image {}: {trouble}", path.display()));
    match trouble {
        ImageTrouble::Damage(_) | ImageTrouble::Manifest(_) => {
            failure.hint("copy it again; `doorward image verify` checks it where it was built")
        }
        _ => failure,
    }
}
