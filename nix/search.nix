# What is not given as an argument: found through -I, NIX_PATH and the environment.
let
  inherit (builtins) getEnv tryEval;
  found = looked: let it = tryEval looked; in if it.success then it.value else null;
  folder = variable: otherwise: let named = getEnv variable; in if named == "" then otherwise else /. + named;
  doorward = found <doorward-config>;
  liminix = found <liminix-config>;
in
{
  configuration =
    if doorward != null then doorward
    else if liminix != null then liminix
    else throw "no configuration: -c FILE names it (of nix-build -I doorward-config=FILE, or -I liminix-config=FILE)";
  # `nix-shell -p` may be told that it is here: that is no nixpkgs for builds.
  nixpkgs = let it = found <nixpkgs>; in if it == null || toString it == toString ../. then null else it;
  programs = folder "DOORWARD_PROGRAMS" ../target;
  packages = folder "DOORWARD_PACKAGES" ../target/packages;
}
