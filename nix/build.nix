# From a device and a configuration to `pkgs`, `config` and `outputs`.
{ device, configuration, lib, nixpkgs, programs, packages }:
let
  processor = import ./processors.nix (device.system.processor or (throw "a device is a set with `system.processor` and `module`"));

  forDevice = if nixpkgs == null then debian processor else import ./packages/nixpkgs.nix { inherit nixpkgs processor; };
  # Images are made there: with all of its tools.
  forBuild =
    if nixpkgs != null then import ./packages/nixpkgs.nix { inherit nixpkgs; }
    else let packages = debian (import ./processors.nix "x86_64"); in packages // { mtdutils = packages.mtd-utils; };
  debian = processor: import ./packages/debian.nix { inherit processor; folder = packages; };

  services = import ./services.nix { inherit lib; inherit (forDevice) busybox; };
  pkgs = forDevice // additions // { inherit lib; buildPackages = forBuild; };
  additions = import ./packages/additions.nix {
    inherit lib processor programs services;
    packages = forDevice;
    inherit (debian processor) kernel kernelWithAdditions;
    build = forBuild;
    templates = evaluated.config.system.service;
    levitate = import ./levitate.nix {
      inherit lib pkgs services;
      outer = evaluated.config;
      evaluate = evaluate evaluated.config;
    };
  };

  modules = map (name: ./modules + "/${name}.nix") [ "base" "boot" "filesystem" "hardware" "log-flash" "logging" "outputs" "trust" "users" "vm" ];
  evaluated = evaluate null [ configuration ];
  # `outer`: what runs already where this is started, or null.
  evaluate = outer: own: lib.evalModules {
    specialArgs = { inherit services outer; };
    modules = modules ++ [
      {
        _file = ./build.nix;
        config = {
          _module.args = { inherit pkgs; };
          hardware.processor = processor.name;
          system.service = import ./templates.nix { inherit lib pkgs services; };
        };
      }
      device.module
    ] ++ own;
  };
  checked = it: builtins.seq (import ./force.nix lib evaluated.options) (sound it);
  sound =
    let failed = builtins.filter (it: !it.assertion) evaluated.config.assertions; in
    if failed == [ ] then it: it
    else throw (lib.concatMapStringsSep "\n" (it: it.message) failed);
in
{
  inherit pkgs processor;
  # For `nix-shell -p`, which looks for names at the top.
  inherit (pkgs) bashInteractive liminix-rebuild min-collect-garbage min-copy-closure;
  reference = import ./reference.nix lib evaluated.options evaluated.config.system.service;
  config = checked evaluated.config;
  outputs = checked evaluated.config.system.outputs;
}
