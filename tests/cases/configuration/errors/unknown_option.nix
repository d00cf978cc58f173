{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; }; options.services = lib.mkOption { }; }
  {
    services = { };
    hostnam = "router";
  }
]
