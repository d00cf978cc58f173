# An uplink by PPPoE (pppd with its own plugin): ready once it has an address.
{ interface, ifname, needs, text, list, optional, flag, number, lib, longrun, named, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "an uplink by PPPoE (pppd)";
  parameters = {
    interface = interface "the interface that it goes through";
    ifname = mkOption { type = types.str; default = "ppp0"; description = "the interface that it makes"; };
    username = optional types.str "who one is to the provider";
    password = optional types.str "the password; whoever can read the device's files can read it";
    defaultRoute = flag true "whether the way to everywhere is through it";
    metric = number 0 "the metric of that route";
    ipv6 = flag true "whether to ask for IPv6";
    mtu = number 1492 "the largest packet";
    ppp-options = list types.str "further words for pppd";
  };
  build = p:
    let
      name = named p "pppoe-${p.ifname}";
      said = lib.escapeShellArg name;
      event = script: "\"$PWD/data/${script}\"";
      quoted = word: "\"${lib.escape [ "\\" "\"" ] word}\"";
    in
    longrun {
      inherit name;
      notification-fd = 10;
      # After a power cut, a modem may take minutes.
      timeout-up = null;
      dependencies = needs p.interface ++ p.dependencies;
      run = ''
        ip link set dev ${ifname p.interface} up
        exec ${pkgs.ppp}/bin/pppd plugin ${pkgs.ppp}/lib/pppd/*/pppoe.so nic-${ifname p.interface} \
          file data/options ip-up-script ${event "ip-up"} ip-down-script ${event "ip-down"}
      '';
      finish = "ward output unset ${said}\n";
      data.options = ''
        nodetach
        ifname ${p.ifname}
        noipdefault
        hide-password
        noauth
        usepeerdns
        lcp-echo-interval 10
        lcp-echo-failure 3
        mtu ${toString p.mtu}
        mru ${toString p.mtu}
      '' + lib.optionalString p.ipv6 "+ipv6\n"
      + lib.optionalString (p.username != null) "user ${quoted p.username}\n"
      + lib.optionalString (p.password != null) "password ${quoted p.password}\n"
      + lib.concatMapStrings (words: words + "\n") p.ppp-options;
      # Interface, terminal, speed, own address, the other's address. The descriptor comes through pppd.
      data.ip-up = ''
        #!${pkgs.busybox}/bin/sh -e
        PATH=${pkgs.busybox}/bin:/bin
      '' + lib.optionalString p.defaultRoute ''
        # pppd itself makes none where there is one of any metric.
        ip -4 route replace default dev "$1" metric ${toString p.metric}
      '' + ''
        # Who has one server names it twice.
        [ "$DNS2" != "$DNS1" ] || DNS2=
        dns=$(echo $DNS1 $DNS2)
        resolv=$(for server in $dns; do echo "nameserver $server"; done)
        ward output set ${said} ifname "$1" address "$4" router "$5" dns "$dns" resolv.conf "$resolv"
        # Only the first line is read; the descriptor may be closed by now.
        { echo >/proc/self/fd/10; } 2>/dev/null || true
      '';
      data.ip-down = ''
        #!${pkgs.busybox}/bin/sh
        exec /bin/ward output unset ${said}
      '';
    } // { inherit (p) ifname; modules = [ "pppoe" ]; };
}
