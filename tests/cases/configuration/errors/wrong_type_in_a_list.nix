{ evaluate, lib, ... }:
evaluate [
  { options.ports = lib.mkOption { type = lib.types.listOf lib.types.port; }; }
  { ports = [ 22 80 ]; }
  { ports = [
      53 70000
    ]; }
]
