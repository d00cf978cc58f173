{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; }; }
  {
    hostname = 3;
  }
]
