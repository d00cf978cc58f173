{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; description = "the name of the device"; }; }
]
