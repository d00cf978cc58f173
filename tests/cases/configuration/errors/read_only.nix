{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; readOnly = true; default = "fixed"; }; }
  { hostname = "mine"; }
]
