//! `ward store pull`: from a cache that `nix copy` has made and nginx serves.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::documented::holds;
use e2e::json::Json;
use e2e::store::{Device, Store, noise, path, text};
use e2e::{Folder, shown, wait_for};

/// nginx with one folder, at a port of its own.
struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    fn new(folder: &Folder, served: &Path) -> Self {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("it has one").port()
        };
        let at = folder.path().display();
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ }}\n\
             http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; location /nix/ {{ alias {}/; }} }} }}\n",
            served.display()
        );
        let file = folder.write("nginx.conf", text);
        let nginx =
            ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|it| Path::new(it).exists());
        let mut command = Command::new(nginx.expect("nginx is missing; `./setup` installs it"));
        command.arg("-c").arg(file).arg("-p").arg(folder.path()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx runs");
        wait_for("nginx", Duration::from_secs(20), || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/nix", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program and its library, in a store and a cache made of it.
fn cache(folder: &Folder, store: &Store, compression: &str) -> [String; 2] {
    let (lib, app) = (path("a", "lib-1"), path("b", "app-1"));
    let mut bytes = noise(1, 100_000);
    bytes.resize(400_000, 7);
    store.add(&lib, &[("lib/x.so", &bytes)], &[]);
    store.add(&app, &[("bin/app", format!("#!{lib}").as_bytes())], &[&lib, &app]);
    let (secret, public) = (folder.join("secret"), folder.join("public"));
    let mut generate = Command::new("nix-store");
    generate.args(["--generate-binary-cache-key", "cache-1"]).arg(&secret).arg(&public);
    assert!(generate.env("NIX_CONFIG", "").status().expect("it runs").success());
    let to = format!(
        "file://{}?compression={compression}&secret-key={}",
        folder.join("cache").display(),
        secret.display()
    );
    let output = store.nix("nix").args(["copy", "--to", &to, &app]).output().expect("nix runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    [lib, app]
}

#[test]
fn a_closure_comes_from_a_cache_compressed_or_not() {
    for compression in ["xz", "none"] {
        let (folder, store, device) = (Folder::new("cache"), Store::new(), Device::new());
        let [lib, app] = cache(&folder, &store, compression);
        let nginx = Nginx::new(&folder, &folder.join("cache"));
        device.folder.write(
            "root/etc/doorward/trusted-keys",
            fs::read(folder.join("public")).expect("a key"),
        );
        let told = device.told(&["pull", "--keep", "app", "--json", &nginx.url(), &app]);
        let came = Json::parse(told.trim());
        holds("`ward store --json pull`", &came);
        let paths = came.get("paths").expect("they came").items();
        assert_eq!(paths.len(), 2, "{told}");
        paths.iter().for_each(|one| holds("Each of `paths`", one));
        let there = Json::parse(device.told(&["query", "--json"]).trim());
        holds("`ward store --json query`", &there);
        for one in there.get("paths").expect("they are there").items() {
            holds("Each of the `paths` that are there", one);
            let hash = one.text("hash").expect("somebody has said it");
            assert!(hash.starts_with("sha256:"), "{hash}");
            let same = |came: &&Json| came.text("path") == one.text("path");
            let came = paths.iter().find(same).expect("it came");
            assert_eq!(came.number("bytes"), one.number("bytes"));
        }
        for path in [&lib, &app] {
            let (here, there) = (store.on_disk(path), device.on_disk(path));
            let same =
                Command::new("diff").arg("-r").arg(here).arg(there).status().expect("it runs");
            assert!(same.success(), "{path}");
        }
        assert_eq!(device.told(&["verify"]), "2 paths are whole\n");
        device.told(&["collect"]);
        assert_eq!(device.told(&["verify"]), "2 paths are whole\n", "it is kept");
        assert_eq!(device.told(&["pull", &nginx.url(), &app]), "everything is there already\n");
    }
}

#[test]
fn a_cache_is_made_and_asked_as_the_page_has_it() {
    let (folder, store, device) = (Folder::new("cache"), Store::new(), Device::new());
    // What it makes is a key, here, and a cache that the page's one is beside.
    let [lib, app] = cache(&folder, &store, "xz");
    let steps = shown::blocks("docs/guide/updates.md", "pull.rs").remove(0);
    let [copy, pull] = shown::lines(&steps).try_into().expect("two lines");
    let served = folder.join("served");
    let copy = copy
        .replace("/srv/nix", &served.display().to_string())
        .replace("/root/home-1.secret", &folder.join("secret").display().to_string())
        .replace("./result", &app);
    let words = copy.strip_prefix("nix ").expect("it is Nix's").replace('\'', "");
    let output = store.nix("nix").args(words.split(' ')).output().expect("nix runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let nginx = Nginx::new(&folder, &served);
    let key = fs::read(folder.join("public")).expect("a key");
    device.folder.write("root/etc/doorward/trusted-keys", key);
    let pull = pull.replace("http://server/nix", &nginx.url()).replace("/nix/store/…-system", &app);
    let words = pull.strip_prefix("ward store ").expect("it is ward's");
    let told = device.told(&words.split(' ').collect::<Vec<_>>());
    assert!(told.ends_with("2 paths came\n"), "{told}");
    assert!(device.on_disk(&lib).exists());
}

#[test]
fn what_cannot_be_trusted_read_or_found_is_refused_with_its_reason() {
    let (folder, store, device) = (Folder::new("cache"), Store::new(), Device::new());
    let [lib, app] = cache(&folder, &store, "xz");
    let served = folder.join("cache");
    let nginx = Nginx::new(&folder, &served);
    let refused = |words: &[&str], why: &str| {
        let output = device.ward(&[&["pull"], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output));
        assert!(said.contains(why), "{said}");
    };
    let url = nginx.url();
    refused(&[&url, &app], "this device trusts no key");
    device.folder.write(
        "root/etc/doorward/trusted-keys",
        "other-1:OMQjf36HrKt9hEgOplFl5Egma/Wn1iA0TIojj9KpP98=\n",
    );
    refused(&[&url, &app], "is not signed by a key that this device trusts");
    refused(
        &[&url, &path("c", "none")],
        "the cache has no cccccccccccccccccccccccccccccccc.narinfo",
    );
    refused(&["https://127.0.0.1/nix", &app], "there is no TLS here");
    fs::remove_file(device.root().join("etc/doorward/trusted-keys")).expect("removed");

    // An archive that is another one than was said.
    let about = |path: &str| served.join(format!("{}.narinfo", &path[11..43]));
    let text = fs::read_to_string(about(&lib)).expect("it is there");
    let file = text.lines().find_map(|line| line.strip_prefix("URL: ")).expect("it has one");
    let bytes = fs::read(served.join(file)).expect("it is there");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    fs::write(served.join(file), &damaged).expect("written");
    let output = device.ward(&["pull", "--unsigned", &url, &app]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("{} is not taken: ", &lib[11..])), "{said}");
    assert_eq!(device.told(&["verify"]), "0 paths are whole\n");
    fs::write(served.join(file), &bytes[..bytes.len() - 100]).expect("written");
    refused(&["--unsigned", &url, &app], "is not taken: ");
    fs::write(served.join(file), &bytes).expect("written");
    fs::write(about(&lib), text.replace("Compression: xz", "Compression: zstd")).expect("written");
    refused(
        &["--unsigned", &url, &app],
        "is compressed with zstd there, and ward reads xz and none",
    );
    fs::write(about(&lib), text).expect("written");
    assert!(device.told(&["pull", "--unsigned", &url, &app]).ends_with("2 paths came\n"));
}
