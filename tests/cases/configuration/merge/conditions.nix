# A condition may depend on other options, also of the same set; what is off is not there at all.
{ evaluate, lib, ... }:
evaluate [
  { options = {
      on = lib.mkOption { type = lib.types.bool; default = false; };
      list = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
      name = lib.mkOption { type = lib.types.str; default = "nobody"; };
      deep.er = lib.mkOption { type = lib.types.int; default = 0; };
    }; }
  ({ config, ... }: {
    config = lib.mkIf config.on { name = "somebody"; list = [ "on" ]; deep.er = 2; };
  })
  ({ config, ... }: { config = lib.mkIf (!config.on) { list = [ "off" ]; name = throw "this is not evaluated"; }; })
  { config = lib.mkMerge [ { on = true; } (lib.mkIf false { list = [ "never" ]; }) { list = [ "always" (lib.mkIf false "element") ]; } ]; }
]
