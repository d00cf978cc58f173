# The templates that every configuration has, each in a file of its own below services/.
{ lib, pkgs, services }:
let
  inherit (lib) mkOption types;
  inherit (services) serviceType;

  # What the files below have in common.
  help = {
    inherit lib pkgs;
    inherit (services) longrun oneshot bundle serviceType controlled joined onRestart outputRef;

    # A word of a script, or an output of a service that becomes one.
    word = types.either types.str services.outputRefType;
    # The outputs among such words: needs of whoever has them in its scripts.
    referred = builtins.filter services.outputRefType.check;

    # An interface is given by name, or as the service that makes it.
    interface = description: mkOption { type = types.either types.str serviceType; inherit description; };
    ifname = interface:
      if builtins.isString interface then interface
      else interface.ifname or (throw "${interface.place}: the service `${interface.name}` is no network interface");
    needs = interface: lib.optional (!(builtins.isString interface)) interface;

    text = description: mkOption { type = types.str; inherit description; };
    optional = type: description: mkOption { type = types.nullOr type; default = null; inherit description; };
    macAddress = help.optional (types.strMatching "([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}");
    list = type: description: mkOption { type = types.listOf type; default = [ ]; inherit description; };
    flag = default: description: mkOption { type = types.bool; inherit default description; };
    number = default: description: mkOption { type = types.ints.unsigned; inherit default description; };

    # Lines of a script that say what a service knows to others.
    keep = name: values: lib.concatMapStrings
      (key: "ward output set ${lib.escapeShellArg name} ${key} ${lib.escapeShellArg values.${key}}\n")
      (builtins.attrNames values);

    named = given: default: if given.name != null then given.name else default;
  };
  template = name: file:
    let it = import (./services + "/${file}.nix") help; in services.template ({ inherit name; } // it);
  plain = build: {
    _type = "service-template";
    inherit build;
    __functor = self: self.build;
  };
in
{
  bridge.primary = template "bridge.primary" "bridge-primary";
  bridge.members = template "bridge.members" "bridge-members";
  dnsmasq = template "dnsmasq" "dnsmasq";
  firewall = template "firewall" "firewall";
  health-check = template "health-check" "health-check";
  hostname = template "hostname" "hostname";
  log-shipping = template "log-shipping" "log-shipping";
  # Those that are not of a kind.
  longrun = plain services.longrun;
  mount = template "mount" "mount";
  network.address = template "network.address" "network-address";
  network.dhcp.client = template "network.dhcp.client" "dhcp-client";
  network.forward = template "network.forward" "network-forward";
  network.link = template "network.link" "network-link";
  network.route = template "network.route" "network-route";
  ntp = template "ntp" "ntp";
  oneshot = plain services.oneshot;
  bundle = plain services.bundle;
  pppoe = template "pppoe" "pppoe";
  round-robin = template "round-robin" "round-robin";
  ssh = template "ssh" "ssh";
  status-page = template "status-page" "status-page";
  syslog = template "syslog" "syslog";
  uevent-rule = template "uevent-rule" "uevent-rule";
  vlan = template "vlan" "vlan";
  watchdog = template "watchdog" "watchdog";
}
