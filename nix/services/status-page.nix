# How everything is, for a browser, and numbers for Prometheus: as a user of its own, who may only look.
{ lib, longrun, named, list, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "a page with how everything is, and numbers for Prometheus (ward status-page)";
  parameters = {
    listen = mkOption {
      type = types.either types.str (types.listOf types.str);
      description = "where: an address at home with a port, such as 192.168.8.1:8080, or the path of a socket; or several";
    };
    names = list types.str "names of this device that browsers may call it by; addresses and localhost they may always";
    user = mkOption { type = types.str; default = "status-page"; description = "the user that it becomes"; };
  };
  build = p:
    let
      places = if builtins.isList p.listen then p.listen else [ p.listen ];
      words = [ "-u" p.user ] ++ lib.concatMap (name: [ "-n" name ]) p.names ++ places;
    in
    if places == [ ] then throw "status-page: `listen` names no place"
    else longrun {
      name = named p "status-page";
      inherit (p) dependencies;
      # As root, until it listens and its group may look.
      run = "exec ${pkgs.ward}/bin/ward status-page -r 3 ${lib.escapeShellArgs words}\n";
      notification-fd = 3;
    };
}
