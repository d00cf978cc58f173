# Three network cards, in the order in which QEMU is given them.
pkgs: {
  lan = pkgs.svc.network.link.build { ifname = "eth0"; };
  wan = pkgs.svc.network.link.build { ifname = "eth1"; };
  wan2 = pkgs.svc.network.link.build { ifname = "eth2"; };
}
