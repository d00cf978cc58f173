{ evaluate, lib, ... }:
evaluate [
  { options.boot.modules = lib.mkOption { type = lib.types.listOf lib.types.str; }; }
  { boot = [ "virtio" ]; }
]
