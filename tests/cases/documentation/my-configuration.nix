# What the pages call "my configuration": small, and as it would be for a real router.
{ config, pkgs, ... }:
let svc = config.system.service; in
rec {
  hostname = "router";
  services.int = svc.network.address.build {
    interface = svc.bridge.primary.build { ifname = "br-lan"; };
    address = "192.168.7.1";
    prefixLength = 24;
  };
  services.bridge = svc.bridge.members.build {
    primary = services.int;
    members = [ config.hardware.networkInterfaces.lan ];
  };
  services.ssh = svc.ssh.build { address = "192.168.7.1"; dependencies = [ services.int ]; };
  users.root.openssh.authorizedKeys.keys = [ "KEY" ];
}
