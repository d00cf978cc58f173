//! Which packages are wanted, and what they need, as the archive has it today.

use std::path::Path;

use cli::Failure;

use super::apt::{Apt, Stanza};
use super::lock::{Package, Packages};

/// Debian's architectures that there are devices for. Builds run on the first.
pub const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "mipsel"];

/// Named as libraries, and nothing that a program is linked with: they belong to
/// logging in, to reading documentation, and to installing on a running Debian.
const NO_LIBRARIES: &[&str] = &["libpam-modules", "libpam-modules-bin", "libpam-runtime"];

/// Reads the list of wanted packages and gives those of one architecture.
///
/// # Errors
/// A line that names an architecture that there is not.
pub fn wanted(path: &Path, architecture: &str) -> Result<Vec<String>, Failure> {
    let wrong = |line: usize, reason: String| {
        Failure::refused(format!("{}:{line}: {reason}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(0, error.to_string()))?;
    let mut names = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(name) = words.next() else { continue };
        let only: Vec<&str> = words.collect();
        if let Some(unknown) = only.iter().find(|word| !ARCHITECTURES.contains(word)) {
            let known = ARCHITECTURES.join(", ");
            return Err(wrong(number + 1, format!("there is no {unknown} among {known}")));
        }
        if only.is_empty() || only.contains(&architecture) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Finds the newest version of each package, and of the libraries that it is linked with.
///
/// # Errors
/// The archive lacks one that is wanted.
pub fn resolve(apt: &Apt, wanted: &[String]) -> Result<Packages, Failure> {
    let mut packages = Packages::new();
    let mut names = wanted.to_vec();
    while !names.is_empty() {
        let stanzas = apt.show(&names)?;
        let mut next = Vec::new();
        for name in &names {
            let Some(stanza) = newest(&stanzas, name) else {
                // A name that only other packages provide is no library of ours.
                if wanted.contains(name) {
                    return Err(Failure::refused(format!("the archive has no package {name}")));
                }
                continue;
            };
            // What every processor shares is data or scripts, and no library.
            if !wanted.contains(name) && stanza.field("Architecture") == Some("all") {
                continue;
            }
            let package = package(stanza)?;
            next.extend(package.needs.iter().cloned());
            packages.insert(name.clone(), package);
        }
        next.sort();
        next.dedup();
        next.retain(|name| !packages.contains_key(name));
        names = next;
    }
    let known: Vec<String> = packages.keys().cloned().collect();
    for package in packages.values_mut() {
        package.needs.retain(|need| known.binary_search(need).is_ok());
    }
    Ok(packages)
}

/// The newest version of a package that is older than this one.
///
/// # Errors
/// The archive has none, or does not know this one, so that nobody could say what is older.
pub fn older(apt: &Apt, name: &str, version: &str) -> Result<Package, Failure> {
    let stanzas = apt.show(&[name.to_owned()])?;
    let own = stanzas.iter().filter(|stanza| stanza.field("Package") == Some(name));
    // They come with the newest first; more than one source may have a version.
    let mut rest = own.skip_while(|stanza| stanza.field("Version") != Some(version));
    match rest.find(|stanza| stanza.field("Version") != Some(version)) {
        Some(stanza) => package(stanza),
        None => Err(Failure::not_achieved(format!(
            "the archive has no version of {name} that is older than {version}"
        ))),
    }
}

/// The first one with this name: `apt-cache show` begins with the newest.
fn newest<'a>(stanzas: &'a [Stanza], name: &str) -> Option<&'a Stanza> {
    stanzas.iter().find(|stanza| stanza.field("Package") == Some(name))
}

/// What a stanza says, with all libraries that it may need.
///
/// # Errors
/// It lacks a field that every package in an archive has.
pub fn package(stanza: &Stanza) -> Result<Package, Failure> {
    let field = |name: &str| {
        stanza.field(name).map(str::to_owned).ok_or_else(|| {
            let package = stanza.field("Package").unwrap_or("a package");
            Failure::refused(format!("the archive does not say the {name} of {package}"))
        })
    };
    let version = field("Version")?;
    let size = field("Size")?;
    Ok(Package {
        file: format!(
            "{}_{}_{}.deb",
            field("Package")?,
            version.replace(':', "%3a"),
            field("Architecture")?
        ),
        version,
        size: size.parse().map_err(|_| Failure::refused(format!("{size} is no size")))?,
        sha256: field("SHA256")?,
        needs: libraries(stanza),
    })
}

/// The first alternative of each dependency, where its name is that of a library; or of a kernel,
/// whose general name is a package that needs the newest one.
fn libraries(stanza: &Stanza) -> Vec<String> {
    let lists = ["Pre-Depends", "Depends"].into_iter().filter_map(|field| stanza.field(field));
    let mut names: Vec<String> = lists
        .flat_map(|list| list.split(','))
        .filter_map(|alternatives| {
            let first = alternatives.split('|').next()?.trim();
            first.split([' ', '(', ':']).next()
        })
        .filter(|name| {
            ["lib", "linux-image-"].iter().any(|start| name.starts_with(start)) || *name == "zlib1g"
        })
        .filter(|name| !NO_LIBRARIES.contains(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_a_program_is_linked_with() {
        let stanza = &Stanza::parse(
            "Package: ppp\nVersion: 2.4.9-1+1.1+b1\nArchitecture: amd64\nSize: 7\nSHA256: ab\n\
             Pre-Depends: dpkg (>= 1.15), libc6 (>= 2.34)\n\
             Depends: libpam-modules, libpcap0.8 (>= 0.9.8) | libpcap, zlib1g:any, procps, \
             libc6 (>= 2.36)\n",
        )[0];
        let package = package(stanza).expect("it has all fields");
        assert_eq!(package.needs, ["libc6", "libpcap0.8", "zlib1g"]);
        assert_eq!(package.file, "ppp_2.4.9-1+1.1+b1_amd64.deb");
    }
}
