{ evaluate, lib, ... }:
evaluate [
  { options.a = lib.mkOption { type = lib.types.listOf lib.types.int; default = [ 0 ]; };
    options.b = lib.mkOption { type = lib.types.listOf lib.types.int; default = [ 0 ]; };
    options.c = lib.mkOption { type = lib.types.listOf lib.types.int; default = [ 0 ]; }; }
  { a = lib.mkForce [ 1 ]; b = [ 1 ]; }
  { a = [ 2 ]; b = lib.mkDefault [ 2 ]; }
  { a = lib.mkForce (lib.mkBefore [ 3 ]); b = lib.mkAfter [ 3 ]; }
]
