# What is typed on the build machine, as packages: `doorward`, by the names that people know its commands
# by. The folder has all that builds need, as `make install` would put it: it works wherever one stands.
{ lib, run, programs }:
let
  inherit (builtins) pathExists;
  top = ../..;
  processors = map import' [ "x86_64" "aarch64" "mipsel" ];
  import' = name: (import ../processors.nix name).rust;
  # Those that are built by now; a build for another processor says what is missing.
  built = name: lib.filter (triple: pathExists (programs + "/${triple}/release/${name}")) processors;
  copy = name: triple: ''
    mkdir -p $out/lib/doorward/${triple}/release
    cp ${builtins.path { inherit name; path = programs + "/${triple}/release/${name}"; }} $out/lib/doorward/${triple}/release/${name}
  '';
  expressions = builtins.path {
    name = "expressions";
    path = top;
    filter = path: _:
      let below = lib.removePrefix (toString top + "/") path; in
      lib.any (name: below == name || lib.hasPrefix "${name}/" below) [ "default.nix" "nix" "devices" ];
  };
in
run {
  name = "doorward";
  args = [ "-euc" ''
    mkdir -p $out/bin $out/share
    cp ${builtins.path { name = "doorward"; path = programs + "/x86_64-unknown-linux-musl/release/doorward"; }} $out/bin/doorward
    for name in liminix-rebuild min-collect-garbage min-copy-closure; do
      ln -s doorward $out/bin/$name
    done
    ${lib.concatMapStrings (copy "ward") (built "ward")}
    ${lib.concatMapStrings (copy "doorward") (built "doorward")}
    cp -r ${expressions} $out/share/doorward
  '' ];
} // { pname = "doorward"; }
