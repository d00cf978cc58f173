{ evaluate, lib, ... }:
evaluate [
  { options.top.list = lib.mkOption { type = lib.types.listOf lib.types.int; };
    options.top.word = lib.mkOption { type = lib.types.str; }; }
  { top = lib.mkIf true (lib.mkMerge [ { list = [ 1 ]; } { list = lib.mkBefore [ 2 ]; word = lib.mkDefault "weak"; } ]); }
  { top = lib.mkMerge [ { word = lib.mkIf true (lib.mkMerge [ (lib.mkIf false "no") "strong" ]); } ]; }
  { config = lib.mkIf true { top.list = lib.mkIf true (lib.mkAfter [ 3 ]); }; }
]
