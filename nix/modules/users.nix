# Users and groups of the device.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  id = types.ints.between 0 65534;
  line = fields: lib.concatStringsSep ":" (map toString fields) + "\n";
  plain = types.strMatching "[^:\n]*";
  user = { name, ... }: {
    options = {
      uid = mkOption { type = id; description = "its number"; };
      gid = mkOption { type = id; default = 65534; description = "the number of its group"; };
      gecos = mkOption { type = plain; default = ""; description = "who it is"; };
      dir = mkOption { type = plain; default = "/run/user/${name}"; description = "its home"; };
      shell = mkOption { type = plain; default = "/bin/false"; description = "its shell"; };
      passwd = mkOption {
        type = plain;
        default = "!";
        description = "its password as crypt(3) has it; whoever can read the device's files can read it. `!`: none fits";
      };
      openssh.authorizedKeys.keys = mkOption {
        type = types.listOf types.singleLineStr;
        default = [ ];
        description = "keys that may log in by ssh";
      };
    };
  };
  group = {
    options = {
      gid = mkOption { type = id; description = "its number"; };
      usernames = mkOption { type = types.listOf plain; default = [ ]; description = "who belongs to it besides those whose group it is"; };
    };
  };
  withKeys = lib.filterAttrs (_: user: user.openssh.authorizedKeys.keys != [ ]) config.users;
in
{
  options = {
    users = mkOption { type = types.attrsOf (types.submodule user); default = { }; description = "users, by name"; };
    groups = mkOption { type = types.attrsOf (types.submodule group); default = { }; description = "groups, by name"; };
  };
  config = {
    users = {
      root = {
        uid = mkDefault 0;
        gid = mkDefault 0;
        gecos = mkDefault "root";
        dir = mkDefault "/root";
        shell = mkDefault "/bin/sh";
      };
      nobody = { uid = mkDefault 65534; dir = mkDefault "/"; };
      dnsmasq = { uid = mkDefault 100; gid = mkDefault 100; dir = mkDefault "/run/dnsmasq"; };
      # The home of this one is what the part that faces the world sees of the device.
      ntpd = { uid = mkDefault 101; gid = mkDefault 101; dir = mkDefault "/run/openntpd"; };
      status-page = { uid = mkDefault 102; gid = mkDefault 102; dir = mkDefault "/"; };
    };
    groups = {
      root.gid = mkDefault 0;
      tty.gid = mkDefault 5;
      dnsmasq.gid = mkDefault 100;
      ntpd.gid = mkDefault 101;
      status-page.gid = mkDefault 102;
      nogroup.gid = mkDefault 65534;
    };
    filesystem = {
      "/etc/passwd".text = lib.concatStrings (lib.mapAttrsToList
        (name: it: line [ name it.passwd it.uid it.gid it.gecos it.dir it.shell ])
        config.users);
      "/etc/group".text = lib.concatStrings (lib.mapAttrsToList
        (name: it: line [ name "x" it.gid (lib.concatStringsSep "," it.usernames) ])
        config.groups);
    } // lib.mapAttrs' (name: user: {
      name = "${user.dir}/.ssh/authorized_keys";
      value.text = lib.concatMapStrings (key: key + "\n") user.openssh.authorizedKeys.keys;
    }) withKeys;
  };
}
