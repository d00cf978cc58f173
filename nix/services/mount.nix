# A file system, where it shall be seen.
{ text, list, lib, oneshot, named, ... }:
let inherit (lib) mkOption types; in
{
  description = "a mounted file system";
  parameters = {
    device = mkOption { type = types.str; default = "none"; description = "what holds it, as mount has it: a device, LABEL=…, mtd:NAME"; };
    mountpoint = mkOption { type = types.strMatching "/.*"; description = "where it is seen"; };
    fstype = mkOption { type = types.str; default = "auto"; description = "its kind"; };
    options = list types.str "options of mount";
  };
  build = p:
    let at = lib.escapeShellArg p.mountpoint; in
    oneshot {
      name = named p "mount${lib.replaceStrings [ "/" ] [ "-" ] p.mountpoint}";
      inherit (p) dependencies;
      up = ''
        mkdir -p ${at}
        mount -t ${p.fstype} ${lib.optionalString (p.options != [ ]) "-o ${lib.escapeShellArg (lib.concatStringsSep "," p.options)} "}${lib.escapeShellArg p.device} ${at}
      '';
      down = "umount ${at}\n";
    };
}
