{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; };
    config = { };
    hostname = "x"; }
]
