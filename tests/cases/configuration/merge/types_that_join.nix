{ evaluate, lib, ... }:
let inherit (lib) types mkOption; in
evaluate [
  { options = {
      lines = mkOption { type = types.lines; };
      commas = mkOption { type = types.commas; };
      anything = mkOption { type = types.anything; };
      same = mkOption { type = types.int; };
      either = mkOption { type = types.either types.int (types.listOf types.int); };
      number = mkOption { type = types.number; };
      maybe = mkOption { type = types.nullOr (types.listOf types.int); };
      function = mkOption { type = types.functionTo (types.listOf types.int); apply = f: f 10; };
      path = mkOption { type = types.path; };
      one = mkOption { type = types.oneOf [ types.bool types.str (types.ints.between 1 5) ]; };
    }; }
  { lines = "two"; commas = "b"; anything = { a.b = 1; list = [ 1 ]; }; same = 4; either = [ 1 ]; maybe = [ 1 ]; function = n: [ (n + 1) ]; path = "/etc/x"; one = 5; number = 1.5; }
  { lines = "one"; commas = "a"; anything = { a.c = 2; }; same = 4; either = [ 2 ]; maybe = lib.mkBefore [ 2 ]; function = n: [ (n + 2) ]; path = "/etc/x"; }
  { lines = lib.mkBefore "zero"; }
]
