# What a configuration gives for a device:
#
#   nix-build -I liminix-config=./my-configuration.nix --arg device "import ./devices/mydevice" -A outputs.rootfs
#
# docs/guide/configuration.md tells the rest.
{ device ? import (./devices + "/${deviceName}")
, deviceName ? "qemu-x86_64"
  # A module: the configuration.
, configuration ? null
  # Where the user has nixpkgs, its `lib` and packages are used; null: neither.
, nixpkgs ? (import ./nix/search.nix).nixpkgs
, lib ? if nixpkgs == null then import ./nix/lib else import (nixpkgs + "/lib")
  # The folder that cargo builds into, and the one that packages are fetched to.
, programs ? (import ./nix/search.nix).programs
, packages ? (import ./nix/search.nix).packages
  # What `nix-shell` says of itself.
, inNixShell ? false
}@arguments:
import ./nix/build.nix {
  inherit device lib nixpkgs programs packages;
  configuration = arguments.configuration or (import ./nix/search.nix).configuration;
}
