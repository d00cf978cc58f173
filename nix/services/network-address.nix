# An address of an interface.
{ text, interface, ifname, needs, lib, oneshot, keep, named, ... }:
let inherit (lib) mkOption types; in
{
  description = "an address of a network interface";
  parameters = {
    interface = interface "whose address it is";
    family = mkOption { type = types.enum [ "inet" "inet6" ]; default = "inet"; description = "the kind of address"; };
    address = text "the address";
    prefixLength = mkOption { type = types.ints.between 0 128; description = "how many of its bits are those of the network"; };
  };
  build = p:
    let
      dev = ifname p.interface;
      name = named p "address-${dev}${lib.optionalString (p.family == "inet6") "-inet6"}";
      version = if p.family == "inet6" then "-6" else "-4";
      whole = "${p.address}/${toString p.prefixLength}";
    in
    oneshot {
      inherit name;
      dependencies = needs p.interface ++ p.dependencies;
      up = "ip ${version} address replace ${whole} ${lib.optionalString (p.family == "inet") "broadcast + "}dev ${dev}\n"
        + keep name { ifname = dev; inherit (p) address family; prefix-length = toString p.prefixLength; };
      down = "ip ${version} address del ${whole} dev ${dev}\n";
    } // { ifname = dev; inherit (p) address prefixLength; };
}
