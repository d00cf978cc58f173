# A default counts as the weakest definition, goes through `apply`, and may read other options.
{ evaluate, lib, ... }:
evaluate [
  ({ config, ... }: { options = {
    a = lib.mkOption { type = lib.types.int; default = config.b + 1; };
    b = lib.mkOption { type = lib.types.int; default = 1; apply = it: it * 10; };
    c = lib.mkOption { type = lib.types.attrsOf lib.types.int; default = { x = 1; }; };
    d = lib.mkOption { type = lib.types.attrsOf lib.types.int; };
    e = lib.mkOption { type = lib.types.listOf lib.types.int; };
    f = lib.mkOption { type = lib.types.nullOr lib.types.int; };
    g = lib.mkOption { type = lib.types.str; readOnly = true; };
  }; })
  { b = lib.mkDefault 2; c.y = 2; g = "once"; }
]
