{ evaluate, lib, ... }:
let
  user = { name, config, ... }: {
    options = {
      uid = lib.mkOption { type = lib.types.int; };
      home = lib.mkOption { type = lib.types.str; default = "/home/${name}"; };
      groups = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
      shell = lib.mkOption { type = lib.types.nullOr lib.types.str; default = null; };
    };
    config.shell = lib.mkIf (config.uid == 0) "/bin/sh";
  };
in
evaluate [
  { options.users = lib.mkOption { type = lib.types.attrsOf (lib.types.submodule user); }; }
  { users.root = { uid = lib.mkDefault 7; groups = [ "a" ]; }; users.one = { uid = 1; shell = "/bin/x"; }; }
  { users.root = { uid = 0; groups = [ "b" ]; home = "/root"; }; }
  { users.root = { name, ... }: { groups = lib.mkBefore [ "group-of-${name}" ]; }; users.one.groups = lib.mkAfter [ "z" ]; }
]
