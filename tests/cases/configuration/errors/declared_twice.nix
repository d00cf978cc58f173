{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; default = "a"; }; }
  { options.hostname = lib.mkOption { type = lib.types.int; default = 1; }; }
]
