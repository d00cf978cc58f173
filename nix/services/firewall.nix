# What may come in, go through, and leave (nftables): all of the networks at home, answers, and
# what is allowed here. What leaves by an outer interface does so with the router's own address.
{ ifname, list, optional, flag, serviceType, lib, oneshot, named, pkgs, ... }:
let
  inherit (lib) mkOption types;
  port = types.either types.port types.str;
in
{
  description = "a firewall";
  parameters = {
    inner = list (types.either types.str serviceType) "interfaces of the networks at home";
    outer = list (types.either types.str serviceType) "interfaces to the world outside";
    masquerade = flag true "whether the world outside sees the router's address only";
    allow.tcp = list port "ports that are open to the world outside";
    allow.udp = list port "the same for UDP";
    forward = list
      (types.submodule {
        options = {
          protocol = mkOption { type = types.enum [ "tcp" "udp" ]; default = "tcp"; description = "of the port"; };
          port = mkOption { type = types.port; description = "the port of the router"; };
          to = mkOption { type = types.str; description = "ADDRESS or ADDRESS:PORT at home"; };
        };
      }) "ports that lead to a machine at home";
    rules = mkOption { type = types.lines; default = ""; description = "further lines of the table `inet router`: chains, sets"; };
    ruleset = optional types.lines "all of it, for nft, instead of the above";
  };
  build = p:
    let
      names = interfaces: "{ ${lib.concatMapStringsSep ", " (i: "\"${ifname i}\"") interfaces} }";
      open = protocol: ports: lib.optional (ports != [ ])
        "${protocol} dport { ${lib.concatMapStringsSep ", " toString ports} } accept";
      fromInner = lib.optional (p.inner != [ ]) "iifname ${names p.inner} accept";
      chain = name: lines: "  chain ${name} {\n${lib.concatMapStrings (line: "    ${line}\n") lines}  }\n";
      ruleset = if p.ruleset != null then p.ruleset else
        "table inet router {\n"
        + chain "input" ([
          "type filter hook input priority filter; policy drop;"
          "ct state established,related accept"
          "iifname \"lo\" accept"
          "meta l4proto { icmp, ipv6-icmp } accept"
        ] ++ fromInner ++ open "tcp" p.allow.tcp ++ open "udp" p.allow.udp)
        + chain "forward" ([
          "type filter hook forward priority filter; policy drop;"
          # No connection is told of larger packets than its way carries: one by PPPoE carries less than
          # others, and many a network behind it drops what would say so.
          "tcp flags syn tcp option maxseg size set rt mtu"
          "ct state established,related accept"
          "ct status dnat accept"
        ] ++ fromInner)
        + lib.optionalString (p.outer != [ ] && p.masquerade) (chain "leave" [
          "type nat hook postrouting priority srcnat; policy accept;"
          "oifname ${names p.outer} meta nfproto ipv4 masquerade"
        ])
        + lib.optionalString (p.outer != [ ] && p.forward != [ ]) (chain "arrive" ([
          "type nat hook prerouting priority dstnat; policy accept;"
        ] ++ map (f: "iifname ${names p.outer} ${f.protocol} dport ${toString f.port} dnat ip to ${f.to}") p.forward))
        + p.rules
        + "}\n";
    in
    oneshot {
      name = named p "firewall";
      # Before the interfaces that it guards: their names may be ruled before they are there.
      inherit (p) dependencies;
      up = "${pkgs.nftables}/bin/nft -f - <<'RULES'\n${ruleset}RULES\n";
      down = if p.ruleset != null then "${pkgs.nftables}/bin/nft flush ruleset\n" else "${pkgs.nftables}/bin/nft delete table inet router\n";
    } // {
      modules = [ "nf_tables" "nft_ct" "nft_chain_nat" "nft_masq" "nft_nat" "nft_redir" "nft_reject_inet" "nft_limit" "nft_log" ];
    };
}
