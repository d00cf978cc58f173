# One case below errors/, evaluated to its end: it fails with the message in the file beside it.
{ case }:
let
  lib = import ../../../nix/lib;
  value = import (./errors + "/${case}.nix") {
    inherit lib;
    evaluate = modules: (lib.evalModules { inherit modules; }).config;
  };
in
builtins.deepSeq value "no error"
