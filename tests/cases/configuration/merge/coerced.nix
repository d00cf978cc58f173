{ evaluate, lib, ... }:
let inherit (lib) types mkOption; in
evaluate [
  { options.list = mkOption { type = types.coercedTo types.str (s: [ s ]) (types.listOf types.str); };
    options.number = mkOption { type = types.coercedTo types.int toString types.str; }; }
  { list = "one"; number = 3; }
  { list = [ "two" "three" ]; }
]
