# A log that outlives restarts, beside the one in memory.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit (config.logging) flash;
in
{
  options.logging.flash = {
    enable = mkOption { type = types.bool; default = false; description = "whether the log is kept on flash, too: compressed, and written seldom"; };
    directory = mkOption { type = types.strMatching "/.*"; default = "/persist/log"; description = "where, in a file system that outlives restarts"; };
    totalSize = mkOption { type = types.ints.between 65536 1073741824; default = 4194304; description = "bytes that it may take"; };
    interval = mkOption { type = types.ints.between 1 86400; default = 900; description = "seconds that lines may wait for others to be written with, unless one is an error"; };
  };
  config.services = lib.mkIf flash.enable {
    log-flash = pkgs.svc.longrun {
      name = "log-flash";
      run = "exec ${pkgs.ward}/bin/ward ship -d ${lib.escapeShellArg config.logging.directory} "
        + "-t ${toString flash.totalSize} -i ${toString flash.interval} ${lib.escapeShellArg flash.directory}\n";
    };
  };
}
