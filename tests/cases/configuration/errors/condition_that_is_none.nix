{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; }; }
  { hostname = lib.mkIf "yes" "router"; }
]
