# Packages of the user's nixpkgs, in place of Debian's: for the device, or (processor null) for the
# machine that builds. They have the same names as those of debian.nix.
{ nixpkgs, processor ? null }:
import nixpkgs ({
  config = { };
  overlays = [ ];
} // (if processor == null then { } else { crossSystem.config = processor.nixpkgs; }))
