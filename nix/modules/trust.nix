# Whose store paths the device takes.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkOption types;
  keys = config.updates.trustedKeys;
in
{
  options.updates.trustedKeys = mkOption {
    type = types.listOf (types.strMatching "[^:[:space:]#]+:[A-Za-z0-9+/]{43}=");
    default = [ ];
    description = "keys in Nix's form, `NAME:BASE64`; when there are some, only what one of them has signed is taken";
  };
  config.filesystem = mkIf (keys != [ ]) {
    "/etc/doorward/trusted-keys".text = lib.concatStringsSep "\n" keys + "\n";
  };
}
