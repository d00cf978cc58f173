# An importing module's list comes behind those of what it imports; a later argument's before an earlier one's.
{ evaluate, lib, ... }:
evaluate [
  { options.list = lib.mkOption { type = lib.types.listOf lib.types.int; }; }
  { imports = [ { list = [ 11 ]; } { imports = [ { list = [ 121 ]; } ]; list = [ 12 ]; } ]; list = [ 1 ]; }
  { imports = [ { list = [ 21 ]; } ]; list = [ 2 ]; }
]
