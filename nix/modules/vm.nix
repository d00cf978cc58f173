# What a trial of the device in QEMU is like.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  port = "[1-9][0-9]{0,4}";
  forward = lib.mkOptionType {
    name = "forward";
    description = "two ports, as in \"8080:80\" or \"udp:5353:53\"";
    check = value:
      let ports = builtins.match "(tcp:|udp:)?(${port}):(${port})" value; in
      builtins.isString value && ports != null && lib.all (it: builtins.fromJSON it < 65536) (builtins.tail ports);
  };
in
{
  options.vm.forward = mkOption {
    type = types.listOf forward;
    default = [ ];
    description = "ports of the build machine that lead to ports of the device";
  };
}
