# The log of everything, to a server: from the first line of this boot on, each line once it is said.
{ lib, longrun, named, optional, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "the log, to a syslog server or by HTTP (ward ship)";
  parameters = {
    target = mkOption {
      type = types.strMatching "(syslog\\+tcp|syslog\\+udp|http)://[^[:space:]]+";
      description = "where it is sent: syslog+tcp://HOST:PORT, syslog+udp://HOST:PORT, http://HOST:PORT/PATH";
    };
    hostname = optional types.str "what the device is called there";
    cursor = optional (types.strMatching "/.*") "the file that says how far it was sent; in memory unless something else is said";
    directory = optional (types.strMatching "/.*") "the log directory, where that is not the one of everything";
  };
  build = p:
    let
      name = named p "log-shipping";
      cursor = if p.cursor != null then p.cursor else "/run/log-shipping/${name}";
      option = flag: value: lib.optionalString (value != null) "${flag} ${lib.escapeShellArg value} ";
    in
    longrun {
      inherit name;
      inherit (p) dependencies;
      run = "exec ${pkgs.ward}/bin/ward ship -C ${lib.escapeShellArg cursor} "
        + option "-d" p.directory + option "--host" p.hostname + "${lib.escapeShellArg p.target}\n";
    };
}
