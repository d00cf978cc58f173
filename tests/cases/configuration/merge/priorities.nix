{ evaluate, lib, ... }:
let option = default: lib.mkOption { type = lib.types.str; inherit default; }; in
evaluate [
  { options = { a = option "option"; b = option "option"; c = option "option"; d = option "option"; e = option "option"; }; }
  { a = lib.mkDefault "default"; b = lib.mkDefault "default"; c = lib.mkForce "force"; d = lib.mkOverride 10 "least"; }
  { b = "plain"; c = "plain"; d = lib.mkForce "force"; }
]
