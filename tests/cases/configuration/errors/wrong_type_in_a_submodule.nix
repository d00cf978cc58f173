{ evaluate, lib, ... }:
evaluate [
  { options.users = lib.mkOption { type = lib.types.attrsOf (lib.types.submodule {
      options.shell = lib.mkOption { type = lib.types.nullOr (lib.types.enum [ "/bin/sh" "/bin/ash" ]); default = null; };
    }); }; }
  { users.root = {
      shell = "/bin/bash";
    }; }
]
