# How much of what services print is kept.
{ lib, ... }:
let inherit (lib) mkOption types; in
{
  options.logging = {
    directory = mkOption { type = types.strMatching "/.*"; default = "/run/uncaught-logs"; description = "where it is kept"; };
    fileSize = mkOption { type = types.ints.between 4096 268435455; default = 99999; description = "bytes after which a new file is begun"; };
    files = mkOption { type = types.ints.between 1 1000; default = 10; description = "finished files that are kept"; };
  };
}
