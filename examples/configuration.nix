# A home router: what examples/router is, for a device with three sockets.
#
#   nix-build -I liminix-config=./examples/configuration.nix --argstr deviceName qemu-x86_64 -A outputs.rootfs
#
# docs/guide/configuration.md goes through it.
{ config, pkgs, lib, ... }:
let
  svc = config.system.service;
  inherit (config.hardware) networkInterfaces;
  home = "192.168.7";
  # An uplink is dead when nobody answers through it: not the provider's router, nor those who are
  # known everywhere. At home say `quorum = 2;` beside them: then somebody behind that router has to
  # answer as well. Without the internet, where this is tried out, nobody would.
  watched = uplink: svc.health-check.build {
    service = uplink;
    checks = [
      { icmp = { host = pkgs.liminix.outputRef uplink "router"; interface = uplink; }; }
      { icmp = { host = "1.1.1.1"; interface = uplink; }; }
      { dns = { name = "example.org"; server = "9.9.9.9"; interface = uplink; }; }
    ];
  };
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

  # The world outside: through the first of these, and while that is silent through the other one, such
  # as a modem behind a third socket. A provider with PPPoE:
  #   services.uplink = watched (svc.pppoe.build { interface = networkInterfaces.wan; username = "me@isp"; password = "…"; });
  services.uplink = watched (svc.network.dhcp.client.build {
    interface = networkInterfaces.wan;
    hostname = config.hostname;
    metric = 10;
  });
  services.reserve = watched (svc.network.dhcp.client.build {
    interface = networkInterfaces.wan2;
    hostname = config.hostname;
    metric = 20;
  });
  services.wan = svc.round-robin.build {
    name = "wan";
    services = [ services.uplink services.reserve ];
    defaultRoute = true;
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
    outer = [ services.uplink services.reserve ];
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

  # A disk that is plugged into USB, for as long as it is there.
  services.usb = svc.uevent-rule.build {
    service = svc.mount.build {
      name = "usb";
      device = "/dev/usb-disk";
      mountpoint = "/mnt/usb";
      fstype = "vfat";
      options = [ "noatime" "flush" ];
    };
    terms = { subsystem = "block"; devtype = "partition"; path = "*/usb*"; };
    symlink = "usb-disk";
  };
  boot.modules = [ "xhci_pci" "usb_storage" "sd_mod" "vfat" "nls_cp437" "nls_ascii" ];

  # What of it this machine sees, where it is tried out here: names, at port 8053, and the time.
  vm.forward = [ "8053:53" "udp:8053:53" "udp:8123:123" ];

  users.root.openssh.authorizedKeys.keys = [
    # Your own key: `ssh-keygen -t ed25519` makes one.
  ];

  # What else is typed at its prompt: `with pkgs; [ tcpdump ]`, for example.
  defaultProfile.packages = [ ];
}
