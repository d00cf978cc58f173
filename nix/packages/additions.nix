# What the packages have beside Debian's or nixpkgs' own: `ward`, services, and small files.
{ lib
, packages  # for the device
, build     # for the build machine
, kernel    # one of Debian's, by its name
, kernelWithAdditions # the same with modules that it lacks
, processor
, programs  # the folder with the built ward and doorward
, services
, templates # what a configuration's modules made of the templates
, levitate  # the package of that name
}:
let
  busybox = build.busybox;
  run = attributes: derivation ({
    system = "x86_64-linux";
    builder = "${busybox}/bin/sh";
    PATH = "${busybox}/bin";
  } // attributes);

  program = triple: name:
    let path = programs + "/${triple}/release/${name}"; in
    if builtins.pathExists path then builtins.path { inherit name path; }
    else throw (
      if triple == here then "${name} is not built yet: `make build` does it, or set DOORWARD_PROGRAMS to where it is"
      else "${name} for ${triple} is not built yet: `make cross` does it, or set DOORWARD_PROGRAMS to where it is"
    );
  here = (import ../processors.nix "x86_64").rust;
in
rec {
  # The device's one program and all its names. The names are those that the build machine's says.
  ward = run {
    name = "ward";
    args = [ "-euc" ''
      mkdir -p $out/bin
      cp $native $out/bin/ward
      $out/bin/ward --install $out/bin
      cp -f $ward $out/bin/ward
    '' ];
    native = program here "ward";
    ward = program processor.rust "ward";
  } // { pname = "ward"; };

  # The build machine's program, which makes services, systems and images inside of builds.
  doorward = program here "doorward";

  # The same as a package, by the names that people know.
  min-copy-closure = import ./tools.nix { inherit lib run programs; };
  min-collect-garbage = min-copy-closure;
  liminix-rebuild = min-copy-closure;

  # What `nix-shell` asks for: an environment with programs on its PATH. nixpkgs has its own.
  runCommand = packages.runCommand or (name: attributes: script: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = "${busybox}/bin/sh";
    # Its variables are those of the environment: PATH is none of them, so that what was on it stays there.
    args = [ "-euc" "export PATH=${busybox}/bin; mkdir -p $out\n${script}" ];
    stdenv = run {
      name = "stdenv";
      args = [ "-euc" "mkdir $out; cp $setup $out/setup" ];
      setup = builtins.toFile "setup" "for input in $buildInputs; do PATH=$input/bin:$PATH; done; export PATH\n";
    };
  } // attributes));

  # And for its shell: that of the build machine.
  bashInteractive = packages.bashInteractive or (run {
    name = "bash";
    args = [ "-euc" "mkdir -p $out/bin; ln -s /bin/bash $out/bin/bash" ];
  });

  writeText = name: text: run {
    inherit name text;
    passAsFile = [ "text" ];
    args = [ "-euc" "cp $textPath $out" ];
  };
  writeScript = name: text: run {
    inherit name text;
    passAsFile = [ "text" ];
    args = [ "-euc" "cp $textPath $out; chmod 0755 $out" ];
  };
  writeShellScript = name: text: writeScript name "#!${packages.busybox}/bin/sh\n${text}";

  inherit kernel kernelWithAdditions levitate;

  svc = templates;
  liminix.services = { inherit (services) longrun oneshot bundle target template controlled onRestart outputRef; };
  liminix.outputRef = services.outputRef;

  # Functions for scripts of services: `. ${pkgs.serviceFns}`.
  serviceFns = writeText "service-functions" ''
    # output SERVICE NAME: prints what a service has put there.
    output() { cat "$1/$2"; }
    # in_outputs NAME: goes to where a service of this name puts what others may read.
    in_outputs() { mkdir -p "/run/services/outputs/$1" && cd "/run/services/outputs/$1"; }
  '';

  # Files and links as a tree, for `filesystem`. A folder with something in it is not declared by that:
  # it may be a part of the generation, or real, as others say.
  pseudofile = {
    dir = contents:
      if contents == { } then { "/" = { directory = true; }; }
      else lib.foldl' (all: name: all // below name contents.${name}) { } (builtins.attrNames contents);
    symlink = target: { link = target; };
  };
  below = name: entry:
    let
      isTree = builtins.all (lib.hasPrefix "/") (builtins.attrNames entry);
      # As Liminix writes a file.
      file = if entry ? file then removeAttrs entry [ "file" "type" ] // { text = entry.file; } else removeAttrs entry [ "type" ];
      inner = path: "/${name}${if path == "/" then "" else path}";
    in
    if isTree then lib.mapAttrs' (path: value: { name = inner path; inherit value; }) entry
    else { "/${name}" = file; };
}
