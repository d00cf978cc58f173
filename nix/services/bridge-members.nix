# The ports of a bridge.
{ interface, ifname, needs, serviceType, lib, oneshot, named, ... }:
let inherit (lib) mkOption types; in
{
  description = "the ports of a bridge";
  parameters = {
    primary = interface "the bridge";
    members = mkOption { type = types.listOf (types.either types.str serviceType); description = "its ports"; };
  };
  build = p:
    let
      bridge = ifname p.primary;
      ports = map ifname p.members;
    in
    oneshot {
      name = named p "bridge-${bridge}-members";
      dependencies = needs p.primary ++ lib.concatMap needs p.members ++ p.dependencies;
      up = lib.concatMapStrings (port: "ip link set dev ${port} master ${bridge}\n") ports;
      down = lib.concatMapStrings (port: "ip link set dev ${port} nomaster\n") ports;
    } // { ifname = bridge; };
}
