# A file counts once, however often it is imported, at its first place.
{ evaluate, lib, ... }:
evaluate [
  { options.list = lib.mkOption { type = lib.types.listOf lib.types.str; }; }
  { imports = [ ./files/a.nix ./files/b.nix ]; list = [ "main" ]; }
  ./files/b.nix
]
