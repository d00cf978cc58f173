# Services of which one at a time is up: when it ends, the next one is tried. What the one that serves
# says the controller says, too, so that others need not know which that is.
{ serviceType, optional, flag, onRestart, lib, longrun, oneshot, named, ... }:
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
    defaultRoute = flag false "whether the way to everywhere is through the one that serves: by its outputs `ifname` and `router`, whatever routes others have made";
  };
  build = p:
    let
      name = named p "round-robin";
      quoted = lib.escapeShellArg name;
      keys = [ "start-limit" "back-off" "back-off-max" "healthy" "fail-back" "fail-back-after" "overlap" "dwell" ];
      value = given: if given == true then "yes" else if given == false then "no" else toString given;
      setting = key: lib.optionalString (p.${key} != null) "${key} ${value p.${key}}\n";
      numbered = lib.imap1 (number: service: { inherit (service) name; value = "order ${toString number}\n"; }) p.services;
      # More special than any default route: each of them may have its own, for its health check.
      halves = [ "0.0.0.0/1" "128.0.0.0/1" ];
      each = line: lib.concatMapStrings (half: "  ip -4 route ${line half}\n") halves;
      leave = each (half: "del ${half} 2>/dev/null || true");
      lead = ''
        router=$(ward output get ${quoted} router 2>/dev/null) || router=
        router=''${router%% *}
        if ifname=$(ward output get ${quoted} ifname 2>/dev/null); then
      '' + each (half: "replace ${half} \${router:+via \$router} dev \"\$ifname\" || echo \"there is no way through \$ifname\"")
      + "else\n" + leave + "fi\n";
      # A controller's outputs change without its being started anew.
      route = oneshot {
        name = "${name}-route";
        dependencies = [ (onRestart "notify" controller) ];
        up = lead;
        reload = lead;
        down = leave;
      };
      controller = longrun {
        inherit name;
        inherit (p) dependencies;
        notification-fd = 3;
        run = "exec ward round-robin ${quoted}\n";
        controller = { kind = "round-robin"; settings = lib.concatMapStrings setting keys; };
        controls = lib.listToAttrs numbered;
      };
      companions = lib.optional p.defaultRoute route;
    in
    controller // { inherit companions; related = p.services ++ companions; };
}
