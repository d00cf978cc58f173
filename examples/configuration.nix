# A home router: what examples/router is, for a device with two sockets.
#
#   nix-build -I liminix-config=./examples/configuration.nix --argstr deviceName qemu-x86_64 -A outputs.rootfs
#
# docs/guide/configuration.md goes through it.
{ config, pkgs, lib, ... }:
let
  svc = config.system.service;
  inherit (config.hardware) networkInterfaces;
  home = "192.168.7";
in
rec {
  hostname = "router";

  # The network at home: a bridge, so that a second socket or a wireless one can join it.
  services.int = svc.network.address.build {
    interface = svc.bridge.primary.build { ifname = "br-lan"; };
    address = "${home}.1";
    prefixLength = 24;
  };
  services.bridge = svc.bridge.members.build {
    primary = services.int;
    members = [ networkInterfaces.lan ];
  };

  # The world outside. A provider with PPPoE:
  #   services.wan = svc.pppoe.build { interface = networkInterfaces.wan; username = "me@isp"; password = "…"; };
  services.wan = svc.network.dhcp.client.build {
    interface = networkInterfaces.wan;
    hostname = config.hostname;
  };

  # What both know of servers for names, and who may pass.
  services.dns = svc.dnsmasq.build {
    interface = services.int;
    domain = "lan";
    ranges = [ "${home}.100,${home}.199,12h" ];
    hosts.${config.hostname}.v4 = "${home}.1";
    resolvconf = services.wan;
  };
  services.firewall = svc.firewall.build {
    inner = [ services.int ];
    outer = [ services.wan ];
  };
  services.forwarding = svc.network.forward.build { dependencies = [ services.firewall ]; };

  services.ssh = svc.ssh.build {
    address = "${home}.1";
    dependencies = [ services.int services.firewall ];
  };
  services.ntp = svc.ntp.build {
    pools = [ "pool.ntp.org" ];
    listen = [ "${home}.1" ];
    dependencies = [ services.int ];
  };
  services.syslog = svc.syslog.build { };

  # What of it this machine sees, where it is tried out here: names, at port 8053, and the time.
  vm.forward = [ "8053:53" "udp:8053:53" "udp:8123:123" ];

  users.root.openssh.authorizedKeys.keys = [
    # Your own key: `ssh-keygen -t ed25519` makes one.
  ];

  # What else is typed at its prompt: `with pkgs; [ tcpdump ]`, for example.
  defaultProfile.packages = [ ];
}
