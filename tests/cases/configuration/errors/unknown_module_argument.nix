{ evaluate, lib, ... }:
evaluate [
  { options.hostname = lib.mkOption { type = lib.types.str; }; }
  { _module.args.pkgs = { }; }
  ({ pkg, ... }: { hostname = pkg; })
]
