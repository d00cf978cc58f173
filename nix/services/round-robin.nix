# Services of which one at a time is up: when it ends, the next one is tried.
{ serviceType, optional, lib, longrun, named, ... }:
let
  inherit (lib) mkOption types;
  millis = description: optional types.ints.unsigned "milliseconds ${description}";
  yes = optional types.bool;
in
{
  description = "services in turn, such as a WAN and what stands in for it (ward round-robin)";
  parameters = {
    services = mkOption { type = types.listOf serviceType; description = "the services, the preferred one first"; };
    start-limit = millis "that one may take to come up (30000)";
    back-off = millis "that one which failed is left alone, doubled each time (5000)";
    back-off-max = millis "that it is left alone at most (300000)";
    healthy = millis "after which one that was up begins again with the shortest (120000)";
    fail-back = yes "whether a better one is gone back to (true)";
    fail-back-after = millis "until a better one is tried again (60000)";
    overlap = yes "whether it is tried beside the one that serves, which ends only then (true)";
    dwell = millis "that it has to be up before it takes over (20000)";
  };
  build = p:
    let
      name = named p "round-robin";
      keys = [ "start-limit" "back-off" "back-off-max" "healthy" "fail-back" "fail-back-after" "overlap" "dwell" ];
      value = given: if given == true then "yes" else if given == false then "no" else toString given;
      setting = key: lib.optionalString (p.${key} != null) "${key} ${value p.${key}}\n";
      numbered = lib.imap1 (number: service: { inherit (service) name; value = "order ${toString number}\n"; }) p.services;
    in
    longrun {
      inherit name;
      inherit (p) dependencies;
      notification-fd = 3;
      run = "exec ward round-robin ${lib.escapeShellArg name}\n";
      controller = { kind = "round-robin"; settings = lib.concatMapStrings setting keys; };
      controls = lib.listToAttrs numbered;
    }
    // { related = p.services; };
}
