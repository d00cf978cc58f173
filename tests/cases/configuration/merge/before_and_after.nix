{ evaluate, lib, ... }:
evaluate [
  { options.list = lib.mkOption { type = lib.types.listOf lib.types.str; }; }
  { list = lib.mkAfter [ "last" ]; }
  { list = [ "middle" ]; }
  { list = lib.mkBefore [ "first" ]; }
  { list = lib.mkMerge [ (lib.mkOrder 1400 [ "late" ]) (lib.mkOrder 600 [ "early" ]) [ "merged" ] ]; }
]
