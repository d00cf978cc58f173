# DHCP and DNS for a network: ready once it answers a question.
{ interface, ifname, needs, list, optional, text, serviceType, word, referred, onRestart, lib, longrun, oneshot, named, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "DHCP and DNS for a network (dnsmasq)";
  parameters = {
    interface = interface "the network's interface";
    domain = text "the domain of the network";
    ranges = list types.str "addresses to give away, as dnsmasq's dhcp-range has them";
    hosts = mkOption {
      type = types.attrsOf (types.submodule {
        options = {
          v4 = optional types.str "its IPv4 address";
          v6 = optional types.str "its IPv6 address";
          mac = optional types.str "its hardware address: DHCP gives it the address above";
        };
      });
      default = { };
      description = "machines with an address of their own, by name";
    };
    upstreams = list word "servers that know other names, as dnsmasq's server has them; `outputRef services.wan \"dns\"` are those of an uplink, which is then needed";
    resolvconf = optional serviceType "a service whose output resolv.conf names such servers, once it is there";
    settings = mkOption { type = types.lines; default = ""; description = "further lines of its configuration"; };
    leases = mkOption { type = types.str; default = "/run/dnsmasq/leases"; description = "where it keeps who has which address"; };
    user = mkOption { type = types.str; default = "dnsmasq"; description = "the user that it becomes"; };
  };
  build = p:
    let
      dev = ifname p.interface;
      host = name: h:
        lib.optionalString (h.v4 != null || h.v6 != null)
          "host-record=${lib.concatStringsSep "," ([ name "${name}.${p.domain}" ] ++ lib.optional (h.v4 != null) h.v4 ++ lib.optional (h.v6 != null) h.v6)}\n"
        + lib.optionalString (h.mac != null)
          "dhcp-host=${lib.concatStringsSep "," ([ h.mac ] ++ lib.optional (h.v4 != null) h.v4 ++ [ name ])}\n";
      # Nothing to become means to stay root, and works where there is nobody else.
      user = if p.user == "root" then "" else p.user;
      # Only it can answer this question.
      question = "is-ready.${p.domain}";
      name = named p "dnsmasq";
      outputs = referred p.upstreams;
      # dnsmasq watches this folder for as long as it runs, so it must not come and go with the uplink:
      # a service that does copies its servers there.
      folder = "/run/${name}";
      servers = oneshot {
        name = "${name}-servers";
        dependencies = [ (onRestart "notify" p.resolvconf) ];
        up = copy;
        reload = copy;
        down = "rm -f ${folder}/resolv.conf\n";
      };
      copy = ''
        mkdir -p ${folder}
        ward output get ${p.resolvconf.name} resolv.conf >${folder}/new 2>/dev/null || true
        mv ${folder}/new ${folder}/resolv.conf
      '';
    in
    longrun {
      inherit name;
      notification-fd = 3;
      dependencies = needs p.interface ++ outputs ++ p.dependencies;
      run = ''
        mkdir -p ${builtins.dirOf p.leases}${lib.optionalString (p.resolvconf != null) " ${folder}"}
        ${lib.optionalString (p.user != "root") "chown ${p.user} ${builtins.dirOf p.leases}"}
      '' + lib.optionalString (outputs != [ ]) ''
        set --
        for server in ${lib.concatMapStringsSep " " toString outputs}; do set -- "$@" "--server=$server"; done
      '' + ''
        exec s6-notifyoncheck -d -n 0 -w 100 ${pkgs.dnsmasq}/bin/dnsmasq --conf-file=data/dnsmasq.conf --keep-in-foreground${lib.optionalString (outputs != [ ]) " \"$@\""}
      '';
      data."check" = ''
        #!${pkgs.busybox}/bin/sh
        exec ${pkgs.busybox}/bin/nslookup ${question} 127.0.0.1 >/dev/null 2>&1
      '';
      data."dnsmasq.conf" = ''
        user=${user}
        group=${user}
        pid-file=
        log-facility=-
        interface=${dev}
        bind-dynamic
        no-hosts
        domain=${p.domain}
        local=/${p.domain}/
        expand-hosts
        dhcp-authoritative
        dhcp-leasefile=${p.leases}
        host-record=${question},127.0.0.1
      '' + (if p.resolvconf != null then "resolv-file=${folder}/resolv.conf\n" else "no-resolv\n")
      + lib.concatMapStrings (range: "dhcp-range=${range}\n") p.ranges
      + lib.concatMapStrings (server: "server=${server}\n") (builtins.filter builtins.isString p.upstreams)
      + lib.concatStrings (lib.mapAttrsToList host p.hosts)
      + p.settings;
    }
    # Names at home are known, and addresses given away, while the world outside is not there.
    // lib.optionalAttrs (p.resolvconf != null) { related = [ servers ]; companions = [ servers ]; };
}
