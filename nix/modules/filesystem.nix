# Files, links and folders anywhere on the device.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  optional = type: description: mkOption { type = types.nullOr type; default = null; inherit description; };
  entry = {
    options = {
      text = optional types.lines "a file with this text";
      source = optional types.path "a file or folder with this content";
      link = optional types.str "a symbolic link that leads there";
      directory = mkOption { type = types.bool; default = false; description = "a folder"; };
      executable = mkOption { type = types.bool; default = false; description = "whether the text is a program"; };
      mode = optional (types.strMatching "0?[0-7]{3,4}") "permissions, in octal: for a folder, or a file that is copied and not only seen";
      user = mkOption { type = types.str; default = "root"; description = "whose it is"; };
      group = mkOption { type = types.str; default = "root"; description = "the group whose it is"; };
    };
  };
in
{
  options.filesystem = mkOption {
    type = types.attrsOf (types.submodule entry);
    default = { };
    description = "files, links and folders, by their path";
  };
  # In memory, all but what a person puts into /persist.
  config.filesystem = {
    "/var".link = "/run/var";
  } // lib.genAttrs [ "/boot" "/dev" "/nix" "/run"  "/persist" "/mnt" "/home" "/srv" "/run/var/lib" "/run/var/log" "/run/var/empty" ]
    (_: { directory = true; })
  // {
    "/proc" = { directory = true; mode = "0555"; };
    "/root" = { directory = true; mode = "0700"; };
    "/sys" = { directory = true; mode = "0555"; };
    "/tmp" = { directory = true; mode = "1777"; };
    "/run/var/run".link = "/run";
    "/run/var/tmp".link = "/tmp";
  };
}
