# An uplink by PPPoE (pppd with its own plugin): ready once it has an address.
{ interface, ifname, needs, text, list, optional, flag, number, lib, longrun, outputsOf, named, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "an uplink by PPPoE (pppd)";
  parameters = {
    interface = interface "the interface that it goes through";
    ifname = mkOption { type = types.str; default = "ppp0"; description = "the interface that it makes"; };
    username = optional types.str "who one is to the provider";
    password = optional types.str "the password; whoever can read the device's files can read it";
    defaultRoute = flag true "whether the way to everywhere is through it";
    ipv6 = flag true "whether to ask for IPv6";
    mtu = number 1492 "the largest packet";
    ppp-options = list types.str "further words for pppd";
  };
  build = p:
    let
      name = named p "pppoe-${p.ifname}";
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
      finish = "rm -f ${outputsOf name}/*\n";
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
      '' + lib.optionalString p.defaultRoute "defaultroute\n"
      + lib.optionalString p.ipv6 "+ipv6\n"
      + lib.optionalString (p.username != null) "user ${quoted p.username}\n"
      + lib.optionalString (p.password != null) "password ${quoted p.password}\n"
      + lib.concatMapStrings (words: words + "\n") p.ppp-options;
      # Interface, terminal, speed, own address, the other's address. The descriptor comes through pppd.
      data.ip-up = ''
        #!${pkgs.busybox}/bin/sh -e
        PATH=${pkgs.busybox}/bin
        outputs=${outputsOf name}
        mkdir -p $outputs
        echo "$1" >$outputs/ifname
        echo "$4" >$outputs/address
        echo "$5" >$outputs/router
        # Who has one server names it twice.
        [ "$DNS2" != "$DNS1" ] || DNS2=
        echo $DNS1 $DNS2 >$outputs/dns
        for server in $DNS1 $DNS2; do echo "nameserver $server"; done >$outputs/resolv.conf
        # Only the first line is read; the descriptor may be closed by now.
        { echo >/proc/self/fd/10; } 2>/dev/null || true
      '';
      data.ip-down = ''
        #!${pkgs.busybox}/bin/sh
        ${pkgs.busybox}/bin/rm -f ${outputsOf name}/*
      '';
    } // { inherit (p) ifname; modules = [ "pppoe" ]; };
}
