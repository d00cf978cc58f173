{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { typ = lib.types.str; }; }
]
