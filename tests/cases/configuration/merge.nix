# All cases below merge/: each file's name with what it gives. `lib` is the one to try.
{ lib ? import ../../../nix/lib }:
let
  inherit (builtins) attrNames concatMap listToAttrs match readDir;
  evaluateWith = arguments: modules: (lib.evalModules (arguments // { inherit modules; })).config;
  cases = concatMap (file: let name = match "(.*)\\.nix" file; in if name == null then [ ] else name) (attrNames (readDir ./merge));
in
listToAttrs (map
  (name: {
    inherit name;
    value = removeAttrs (import (./merge + "/${name}.nix") {
      inherit lib evaluateWith;
      evaluate = evaluateWith { };
    }) [ "_module" ];
  })
  cases)
