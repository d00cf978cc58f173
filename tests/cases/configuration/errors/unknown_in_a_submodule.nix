{ evaluate, lib, ... }:
evaluate [
  { options.users = lib.mkOption { type = lib.types.attrsOf (lib.types.submodule {
      options.uid = lib.mkOption { type = lib.types.int; default = 0; };
    }); }; }
  { users.root = {
      uid = 0;
      gid = 0;
    }; }
]
