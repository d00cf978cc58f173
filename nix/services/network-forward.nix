# Whether packets go from one network to another.
{ flag, lib, oneshot, named, ... }:
{
  description = "forwarding of packets between networks";
  parameters = {
    enableIPv4 = flag true "forward IPv4";
    enableIPv6 = flag true "forward IPv6";
  };
  build = p:
    let
      settings = lib.optional p.enableIPv4 "ipv4/ip_forward" ++ lib.optional p.enableIPv6 "ipv6/conf/all/forwarding";
      set = value: lib.concatMapStrings (setting: "echo ${value} >/proc/sys/net/${setting}\n") settings;
    in
    oneshot { name = named p "forwarding"; inherit (p) dependencies; up = set "1"; down = set "0"; };
}
