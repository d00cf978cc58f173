# A client of DHCP (busybox udhcpc): ready once it has an address.
{ interface, ifname, needs, flag, number, optional, lib, longrun, named, pkgs, ... }:
let inherit (lib) types; in
{
  description = "an address by DHCP";
  parameters = {
    interface = interface "where to ask";
    defaultRoute = flag true "whether the way to everywhere is through the router that it names";
    metric = number 0 "the metric of that route";
    hostname = optional types.str "the name to give to the server";
  };
  build = p:
    let
      dev = ifname p.interface;
      name = named p "dhcp-client-${dev}";
      said = lib.escapeShellArg name;
    in
    longrun {
      inherit name;
      # udhcpc uses the lower ones itself.
      notification-fd = 10;
      # After a power cut, a modem may take minutes.
      timeout-up = null;
      dependencies = needs p.interface ++ p.dependencies;
      run = "exec udhcpc -f -R -i ${dev} -t 4 -T 2 -A 5 -s \"$PWD/data/event\""
        + lib.optionalString (p.hostname != null) " -x hostname:${lib.escapeShellArg p.hostname}" + "\n";
      # A lease that ends with the process leaves nothing behind.
      finish = ''
        ip -4 address flush dev ${dev} || true
        ward output unset ${said}
      '';
      data.event = ''
        #!${pkgs.busybox}/bin/sh -e
        # What udhcpc calls: $1 is what happened, the lease lies in variables.
        PATH=${pkgs.busybox}/bin:/bin
        says() { ward output get ${said} "$1" 2>/dev/null; }
        case $1 in
        deconfig)
          ip -4 address flush dev "$interface"
          ip link set dev "$interface" up
          ward output unset ${said}
          ;;
        bound | renew)
          if [ "$1" = bound ] || [ "$ip/$mask" != "$(says address)/$(says prefix-length)" ]; then
            ip -4 address flush dev "$interface"
            ip -4 address add "$ip/$mask" broadcast + dev "$interface"
          fi
          resolv=$([ -z "$domain" ] || echo "search $domain"; for server in $dns; do echo "nameserver $server"; done)
          ward output set ${said} ifname "$interface" address "$ip" prefix-length "$mask" \
            router "$router" dns "$dns" domain "$domain" resolv.conf "$resolv"
      '' + lib.optionalString p.defaultRoute ''
          for gateway in $router; do
            ip -4 route replace default via "$gateway" dev "$interface" metric ${toString p.metric}
            break
          done
      '' + ''
          # Only the first line is read; the descriptor may be closed by now.
          { echo >/proc/self/fd/10; } 2>/dev/null || true
          ;;
        nak) echo "the server refused: $message" ;;
        leasefail) echo "no server answers on $interface" ;;
        esac
      '';
    } // { ifname = dev; };
}
