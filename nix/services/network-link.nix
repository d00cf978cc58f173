# A network interface that is there: up while the service is.
{ text, optional, macAddress, lib, oneshot, keep, named, ... }:
let inherit (lib) types; in
{
  description = "a network interface";
  parameters = {
    ifname = text "its name";
    mtu = optional types.ints.positive "the largest packet";
    macAddress = macAddress "the hardware address to take";
  };
  build = p:
    let name = named p "link-${p.ifname}"; in
    oneshot {
      inherit name;
      inherit (p) dependencies;
      up = lib.optionalString (p.macAddress != null) "ip link set dev ${p.ifname} address ${p.macAddress}\n"
        + lib.optionalString (p.mtu != null) "ip link set dev ${p.ifname} mtu ${toString p.mtu}\n"
        + "ip link set dev ${p.ifname} up\n"
        + keep name { inherit (p) ifname; };
      down = "ip link set dev ${p.ifname} down\n";
    } // { inherit (p) ifname; };
}
