{ evaluate, lib, ... }:
evaluate [
  { options.boot.commandLine = lib.mkOption { type = lib.types.listOf lib.types.str; };
    options.boot.modules = lib.mkOption { }; }
  { config = lib.mkIf true (lib.mkMerge [
      { boot.commandLine = [ "quiet" ]; }
      { boot = lib.mkIf true {
          comandLine = [ "loud" ];
        }; }
    ]); }
]
