# Processors of devices: the names that everybody has for them.
let
  known = {
    x86_64 = {
      debian = "amd64";
      debianTriplet = "x86_64-linux-gnu";
      loader = "ld-linux-x86-64.so.2";
      rust = "x86_64-unknown-linux-musl";
      nixpkgs = "x86_64-unknown-linux-musl";
    };
    aarch64 = {
      debian = "arm64";
      debianTriplet = "aarch64-linux-gnu";
      loader = "ld-linux-aarch64.so.1";
      rust = "aarch64-unknown-linux-musl";
      nixpkgs = "aarch64-unknown-linux-musl";
    };
    # 32 bits, little-endian.
    mipsel = {
      debian = "mipsel";
      debianTriplet = "mipsel-linux-gnu";
      loader = "ld.so.1";
      rust = "mipsel-unknown-linux-musl";
      nixpkgs = "mipsel-unknown-linux-musl";
    };
  };
in
name:
let names = builtins.concatStringsSep ", " (builtins.attrNames known);
in if known ? ${name} then known.${name} // { inherit name; }
else throw "a device's system.processor is ${builtins.toJSON name}; there are ${names}"
