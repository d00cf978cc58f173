# The time, from servers outside (openntpd); and for a network at home, where it listens.
{ list, lib, longrun, named, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "the time, by NTP (openntpd)";
  parameters = {
    servers = list types.str "servers to ask";
    pools = mkOption {
      type = types.either (types.listOf types.str) (types.attrsOf (types.listOf types.str));
      default = [ ];
      description = "names that stand for many servers";
    };
    listen = list types.str "addresses on which it tells the time to others";
  };
  build = p:
    let pools = if builtins.isList p.pools then p.pools else builtins.attrNames p.pools; in
    longrun {
      name = named p "ntp";
      inherit (p) dependencies;
      run = ''
        # The last one is the home of the user `ntpd`: all that its part that faces the world sees.
        mkdir -p /var/lib/openntpd/db /var/lib/openntpd/run /run/openntpd
        exec ${pkgs.openntpd}/bin/ntpd -d -s -f data/ntpd.conf
      '';
      data."ntpd.conf" = lib.concatMapStrings (server: "server ${server}\n") p.servers
        + lib.concatMapStrings (pool: "servers ${pool}\n") pools
        + lib.concatMapStrings (address: "listen on ${address}\n") p.listen;
    };
}
