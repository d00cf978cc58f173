# What the device is. A device's folder says it; a configuration reads it.
{ config, lib, services, ... }:
let
  inherit (lib) mkOption types;
  word = description: mkOption { type = types.singleLineStr; inherit description; };
  words = description: mkOption { type = types.listOf types.singleLineStr; default = [ ]; inherit description; };
  bytes = description: mkOption { type = types.ints.unsigned; inherit description; };
  partition = {
    options = {
      offset = bytes "where it begins, in bytes from the beginning of the flash";
      size = bytes "its size in bytes";
      readOnly = mkOption { type = types.bool; default = false; description = "whether nobody may write to it"; };
    };
  };
  # As the kernel's documentation calls it (Documentation/admin-guide/ramoops.rst in Linux).
  ramoops = {
    options = {
      module = mkOption { type = types.singleLineStr; default = "ramoops"; description = "the module of the kernel that keeps it"; };
      address = mkOption {
        type = types.nullOr types.ints.unsigned;
        default = null;
        description = "where it begins; null: the kernel has all of this from its device tree";
      };
      size = mkOption { type = types.ints.unsigned; default = 0; description = "how large it is in bytes"; };
      recordSize = mkOption { type = types.ints.unsigned; default = 65536; description = "bytes for the kernel's messages at one crash; as many as the rest has room for are kept"; };
      consoleSize = mkOption { type = types.ints.unsigned; default = 0; description = "bytes for all of the kernel's messages, where it can do that"; };
      ftraceSize = mkOption { type = types.ints.unsigned; default = 0; description = "bytes for calls of the kernel's functions"; };
      pmsgSize = mkOption { type = types.ints.unsigned; default = 262144; description = "bytes for the log of everything: a power of two"; };
      ecc = mkOption { type = types.ints.unsigned; default = 0; description = "bytes that mend damage in each 128; 0: none"; };
      commandLine = words "words for the kernel that keep it from using this memory for anything else";
    };
  };
in
{
  options.hardware = {
    description = word "the device, as its maker calls it";
    processor = word "the kind of its processor";
    memory = mkOption {
      type = types.nullOr types.ints.positive;
      default = if config.hardware.vm.emulator != null then config.hardware.vm.memory else null;
      description = "its memory in MiB; null: unknown, so that nobody can tell whether maintenance fits";
    };
    kernel = {
      package = word "the package of Debian's that has its kernel";
      early = words "what is done to find the flash, before there is a root directory: lines as docs/formats/system.md has them, with spaces for tabs";
      additions = mkOption { type = types.bool; default = false; description = "whether it needs modules that the package lacks, which `doorward packages modules` builds"; };
      modular = mkOption { type = types.bool; default = true; description = "whether it has modules; otherwise all that is needed is built into it"; };
      modules = words "modules that it needs besides: for its network, for its watchdog";
    };
    flash = {
      name = mkOption { type = types.singleLineStr; default = "flash0"; description = "the whole of it, as the kernel calls it"; };
      offset = mkOption { type = types.ints.unsigned; default = 0; description = "where it begins in what the kernel calls by that name, in bytes"; };
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
    ramoops = mkOption {
      type = types.nullOr (types.submodule ramoops);
      default = null;
      description = "memory that outlives a restart, for logging.persistent.enable; null: there is none";
    };
    networkInterfaces = mkOption {
      type = types.attrsOf services.serviceType;
      default = { };
      description = "its network interfaces, by what is written on them";
    };
    # Where the device is one of QEMU's: how that is told.
    vm = {
      emulator = mkOption { type = types.nullOr types.singleLineStr; default = null; description = "the program that plays it; null: it is made of metal"; };
      arguments = words "arguments of the emulator that make it this device";
      memory = mkOption { type = types.ints.positive; default = 256; description = "its memory in MiB"; };
      attach = mkOption { type = types.enum [ "ivshmem" "virtio-blk" "pflash" ]; default = "ivshmem"; description = "as what the file of its flash is seen"; };
      rom = mkOption { type = types.enum [ "host" "u-boot" ]; default = "host"; description = "who starts the kernel: what runs the emulator, or a boot loader in it"; };
    };
    watchdog = mkOption { type = types.nullOr types.path; default = null; description = "the device file of its watchdog"; };
  };
  # By this `flashcp` knows an image that is for another device.
  config.filesystem."/etc/device".text = "${config.hardware.description}\n";
  config.assertions =
    let
      inherit (config.hardware) flash;
      whole = number: number - number / flash.eraseSize * flash.eraseSize == 0;
      partition = name: it: [
        {
          assertion = it.offset + it.size <= flash.size;
          message = "hardware.flash.partitions.${name} ends at ${toString (it.offset + it.size)}, behind the end of the flash at ${toString flash.size}";
        }
        {
          assertion = whole it.offset && whole it.size;
          message = "hardware.flash.partitions.${name}: offset and size should be multiples of ${toString flash.eraseSize}, which is erased at once";
        }
      ];
    in
    lib.concatLists (lib.mapAttrsToList partition flash.partitions) ++ [
      {
        assertion = flash.persist == null || flash.partitions ? ${flash.persist};
        message = "hardware.flash.persist: there is no partition ${toString flash.persist}";
      }
    ];
}
