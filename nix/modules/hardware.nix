# What the device is. A device's folder says it; a configuration reads it.
{ lib, services, ... }:
let
  inherit (lib) mkOption types;
  word = description: mkOption { type = types.singleLineStr; inherit description; };
  bytes = description: mkOption { type = types.ints.unsigned; inherit description; };
  partition = {
    options = {
      offset = bytes "where it begins, in bytes from the beginning of the flash";
      size = bytes "its size in bytes";
      readOnly = mkOption { type = types.bool; default = false; description = "whether nobody may write to it"; };
    };
  };
in
{
  options.hardware = {
    description = word "the device, as its maker calls it";
    processor = word "the kind of its processor";
    kernel = {
      package = word "the package of Debian's that has its kernel";
      modules = mkOption { type = types.listOf types.singleLineStr; default = [ ]; description = "modules that it needs to find its flash and its network, in the order of loading"; };
    };
    flash = {
      size = bytes "the size of the flash";
      eraseSize = bytes "how much of it is erased at once";
      partitions = mkOption {
        type = types.attrsOf (types.submodule partition);
        description = "its parts by name; one may cover others, as `firmware` does `kernel` and `rootfs`";
      };
      persist = mkOption {
        type = types.nullOr types.singleLineStr;
        default = null;
        description = "the partition that is /persist; null: a folder of the root file system";
      };
    };
    networkInterfaces = mkOption {
      type = types.attrsOf services.serviceType;
      default = { };
      description = "its network interfaces, by what is written on them";
    };
    watchdog = mkOption { type = types.nullOr types.path; default = null; description = "the device file of its watchdog"; };
  };
}
