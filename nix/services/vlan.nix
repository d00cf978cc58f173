# A VLAN of another interface, as an interface of its own.
{ text, interface, ifname, needs, lib, oneshot, keep, named, ... }:
let inherit (lib) mkOption types; in
{
  description = "a VLAN of another interface";
  parameters = {
    ifname = text "its name";
    primary = interface "the interface that carries it";
    vid = mkOption { type = types.ints.between 1 4094; description = "its number"; };
  };
  build = p:
    let name = named p "vlan-${p.ifname}"; in
    oneshot {
      inherit name;
      dependencies = needs p.primary ++ p.dependencies;
      up = ''
        ip link add link ${ifname p.primary} name ${p.ifname} type vlan id ${toString p.vid}
        ip link set dev ${p.ifname} up
      '' + keep name { inherit (p) ifname; };
      down = "ip link del dev ${p.ifname}\n";
    } // { inherit (p) ifname; modules = [ "8021q" ]; };
}
