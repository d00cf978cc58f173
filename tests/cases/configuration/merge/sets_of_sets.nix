# Members come together by name; a member that is off everywhere is not there.
{ evaluate, lib, ... }:
evaluate [
  { options.set = lib.mkOption { type = lib.types.attrsOf (lib.types.attrsOf (lib.types.listOf lib.types.int)); default = { }; }; }
  { set.a.x = [ 1 ]; set.b = lib.mkIf false { y = [ 9 ]; }; }
  { set.a.x = [ 2 ]; set.a.y = lib.mkBefore [ 3 ]; set.c = { }; }
  { set = lib.mkMerge [ { a.y = [ 4 ]; } { a.x = lib.mkAfter [ 5 ]; } ]; }
]
