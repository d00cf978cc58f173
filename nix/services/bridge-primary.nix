# A bridge, to which bridge.members adds ports.
{ text, macAddress, lib, oneshot, keep, named, ... }:
{
  description = "a bridge";
  parameters = {
    ifname = text "its name";
    macAddress = macAddress "its hardware address";
  };
  build = p:
    let name = named p "bridge-${p.ifname}"; in
    oneshot {
      inherit name;
      inherit (p) dependencies;
      up = ''
        # One that was left behind, by a script that was killed, is as good.
        [ -d /sys/class/net/${p.ifname}/bridge ] || ip link add name ${p.ifname} type bridge
        ${lib.optionalString (p.macAddress != null) "ip link set dev ${p.ifname} address ${p.macAddress}"}
        ip link set dev ${p.ifname} up
      '' + keep name { inherit (p) ifname; };
      down = "ip link del dev ${p.ifname}\n";
    } // { inherit (p) ifname; modules = [ "bridge" ]; };
}
