# How much of what services print is kept, and where.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkOption types;
  inherit (config.hardware) ramoops;
  wanted = config.logging.persistent.enable;
in
{
  options.logging = {
    directory = mkOption { type = types.strMatching "/.*"; default = "/run/uncaught-logs"; description = "where it is kept"; };
    fileSize = mkOption { type = types.ints.between 4096 268435455; default = 99999; description = "bytes after which a new file is begun"; };
    files = mkOption { type = types.ints.between 1 1000; default = 10; description = "finished files that are kept"; };
    totalSize = mkOption { type = types.nullOr types.ints.positive; default = null; description = "bytes that all finished files may have together"; };
    maxAge = mkOption { type = types.nullOr types.ints.positive; default = null; description = "seconds after which a new file is begun, too"; };
    processor = mkOption { type = types.nullOr types.str; default = null; description = "a command of /bin/sh that makes something else of each finished file, from its standard input to its standard output"; };
    persistent.enable = mkOption {
      type = types.bool;
      default = false;
      description = "whether the last of it, and what the kernel says when it crashes, outlives a restart in memory: hardware.ramoops";
    };
  };
  config = mkIf wanted {
    assertions = [
      {
        assertion = ramoops != null;
        message = "logging.persistent.enable: ${config.hardware.description} has no memory that outlives a restart, or no kernel that keeps anything there; hardware.ramoops in the folder of a device that can do it says where";
      }
    ] ++ lib.optional (ramoops != null && ramoops.address != null) {
      assertion = ramoops.recordSize + ramoops.consoleSize + ramoops.ftraceSize + ramoops.pmsgSize <= ramoops.size;
      message = "hardware.ramoops.size: ${toString ramoops.size} bytes have no room for the log, and what the kernel says at a crash";
    };
    boot = mkIf (ramoops != null) {
      # All that fits into a record.
      commandLine = [ "pstore.kmsg_bytes=${toString ramoops.recordSize}" ] ++ ramoops.commandLine;
      modules = [ ramoops.module ];
      moduleParameters.${ramoops.module} = lib.optionalString (ramoops.address != null) (
        "mem_address=${toString ramoops.address} mem_size=${toString ramoops.size} record_size=${toString ramoops.recordSize}"
        + " console_size=${toString ramoops.consoleSize} ftrace_size=${toString ramoops.ftraceSize}"
        + " pmsg_size=${toString ramoops.pmsgSize} ecc=${toString ramoops.ecc}"
      );
      mounts."/sys/fs/pstore" = { type = "pstore"; options = [ "nosuid" "nodev" "noexec" ]; };
    };
  };
}
