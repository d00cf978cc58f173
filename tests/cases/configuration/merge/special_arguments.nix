{ evaluateWith, lib, ... }:
evaluateWith { specialArgs = { folder = "special"; }; prefix = [ "some" "where" ]; } [
  ({ folder, ... }: { options.${folder} = lib.mkOption { type = lib.types.str; default = "x"; }; })
  ({ folder, lib, ... }: { config.${folder} = lib.mkForce folder; })
]
