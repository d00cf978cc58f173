# A way to a network. What is given may be read by the shell, such as
# `via = "$(output ${services.wan} router)"`; better is `via = outputRef services.wan "router"`, which
# is looked at again when it changes.
{ text, optional, word, referred, serviceType, ifname, lib, oneshot, named, ... }:
let inherit (lib) mkOption types; in
{
  description = "a route";
  parameters = {
    target = mkOption { type = types.str; default = "default"; description = "the network it leads to"; };
    via = optional word "the router that it goes through";
    interface = optional (types.either types.str serviceType) "the interface that it leaves by";
    metric = optional types.ints.unsigned "the lower counts";
    family = mkOption { type = types.enum [ "inet" "inet6" ]; default = "inet"; description = "the kind of addresses"; };
  };
  build = p:
    let
      route = "\"${p.target}\""
        + lib.optionalString (p.via != null) " via \"${p.via}\""
        + lib.optionalString (p.interface != null) " dev ${ifname p.interface}"
        + lib.optionalString (p.metric != null) " metric ${toString p.metric}";
      version = if p.family == "inet6" then "-6" else "-4";
      known = "output() { cat \"$1/$2\"; }\n";
    in
    oneshot {
      name = named p ("route-${lib.replaceStrings [ "/" ":" ] [ "-" "-" ] p.target}"
        + lib.optionalString (p.family == "inet6") "-inet6");
      dependencies = lib.optional (p.interface != null && !(builtins.isString p.interface)) p.interface ++ referred [ p.via ] ++ p.dependencies;
      up = "${known}ip ${version} route replace ${route}\n";
      # The interface may have gone, and the route with it.
      down = "${known}ip ${version} route del ${route} || true\n";
    };
}
