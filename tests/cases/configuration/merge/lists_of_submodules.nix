{ evaluate, lib, ... }:
evaluate [
  { options.rules = lib.mkOption { type = lib.types.listOf (lib.types.submodule {
      options.port = lib.mkOption { type = lib.types.port; };
      options.protocol = lib.mkOption { type = lib.types.enum [ "tcp" "udp" ]; default = "tcp"; };
    }); default = [ ]; }; }
  { rules = [ { port = 22; } { port = 53; protocol = "udp"; } ]; }
  { rules = lib.mkBefore [ { port = 80; } ]; }
]
