{ evaluate, lib, ... }:
evaluate [
  { options.seen = lib.mkOption { type = lib.types.listOf lib.types.str; }; }
  { _module.args.colour = lib.mkDefault "red"; _module.args.size = "large"; }
  { config = lib.mkIf true { _module.args = { colour = "blue"; }; }; }
  ({ colour, size, ... }: { seen = [ colour size ]; })
  ({ size, config, options, ... }@arguments: { seen = [ (if options.seen.isDefined then "defined" else "not") ]; })
]
