# Every template, also those that the example does without, each with most of its parameters.
{ config, pkgs, lib, ... }:
let
  svc = config.system.service;
  nic = config.hardware.networkInterfaces;
in
rec {
  logging.flash = { enable = true; totalSize = 1000000; interval = 60; };

  # As Liminix has them: a tree of files, and a template of one's own.
  filesystem = with pkgs.pseudofile; dir {
    etc = dir {
      link = symlink "/run/elsewhere";
      text = { type = "f"; file = "some text"; };
      empty = dir { };
    };
  };
  system.service.web = pkgs.liminix.services.template {
    name = "web";
    description = "a web server";
    parameters.port = lib.mkOption { type = lib.types.port; default = 80; };
    build = p: pkgs.svc.longrun { name = "web"; inherit (p) dependencies; run = "exec httpd -f -p ${toString p.port}\n"; };
  };

  services = {
    # A controller of one's own, what it controls, and who uses that.
    plugs = pkgs.svc.longrun {
      name = "plugs";
      run = "exec sleep 100000\n";
      controller = { kind = "other"; settings = "anything goes\n"; };
      controls.disk = "match subsystem=block\n";
    };
    disk = pkgs.liminix.services.controlled {
      controller = services.plugs;
      service = pkgs.svc.oneshot { name = "disk"; up = "ward output set disk device /dev/sda1\n"; outputs-owner = "nobody"; };
    };
    share = pkgs.svc.longrun {
      name = "share";
      run = "exec serve ${pkgs.liminix.outputRef services.disk "device"}\n";
      finish = "echo ${pkgs.liminix.outputRef services.disk "device"}\n";
      dependencies = [
        (pkgs.liminix.outputRef services.disk "device")
        (pkgs.liminix.services.onRestart "notify" services.spare)
      ];
    };
    way = svc.network.route.build { name = "way"; target = "10.0.0.0/8"; via = pkgs.liminix.outputRef services.spare "router"; };
    guests = svc.dnsmasq.build { name = "guests"; interface = "lo"; domain = "guests"; upstreams = [ "192.0.2.1" (pkgs.liminix.outputRef services.wan "dns") ]; };
    web = svc.web.build { port = 8080; };
    functions = pkgs.svc.oneshot { name = "functions"; up = ". ${pkgs.serviceFns}\n(in_outputs functions; echo x >y)\n"; };
    home = svc.bridge.primary.build { ifname = "br-lan"; macAddress = "02:00:00:00:00:01"; };
    members = svc.bridge.members.build { primary = services.home; members = [ nic.lan "port2" ]; };
    wan = svc.pppoe.build { interface = nic.wan; username = "me@isp"; password = "a \"b\\"; ppp-options = [ "debug" ]; mtu = 1480; };
    spare = svc.network.dhcp.client.build { name = "spare"; interface = "usb0"; defaultRoute = false; metric = 20; hostname = "it's me"; };
    port2 = svc.network.link.build { ifname = "port2"; mtu = 1400; macAddress = "02:00:00:00:00:02"; };
    vlan = svc.vlan.build { ifname = "eth0.3"; primary = nic.lan; vid = 3; };
    iptv = svc.network.address.build { interface = services.vlan; family = "inet6"; address = "fd00::1"; prefixLength = 64; };
    v6 = svc.network.route.build { family = "inet6"; target = "2001:db8::/32"; via = "fd00::2"; interface = services.iptv; metric = 5; };
    via = svc.network.route.build { name = "via"; via = "$(output ${services.spare} router)"; dependencies = [ services.spare ]; };
    forwarding = svc.network.forward.build { enableIPv6 = false; };
    firewall = svc.firewall.build {
      inner = [ services.iptv "br-lan" ];
      outer = [ services.wan ];
      allow.tcp = [ 22 "https" ];
      allow.udp = [ 51820 ];
      forward = [ { port = 8080; to = "192.168.7.9:80"; } ];
      rules = "  set bad { type ipv4_addr; }\n";
    };
    strict = svc.firewall.build { name = "strict"; ruleset = "table inet strict { }\n"; };
    dns = svc.dnsmasq.build {
      interface = services.iptv;
      domain = "lan";
      ranges = [ "::,constructor:eth0.3,ra-stateless" ];
      hosts.printer = { v4 = "192.168.7.9"; v6 = "fd00::9"; mac = "02:00:00:00:00:09"; };
      upstreams = [ "192.0.2.1" ];
      resolvconf = services.wan;
      settings = "cache-size=500\n";
    };
    sshd = svc.ssh.build { address = "192.168.7.1"; port = 2222; allowRoot = false; allowPasswordLogin = true; allowPortForward = true; options = [ "-I" "600" ]; };
    ntp = svc.ntp.build { servers = [ "192.0.2.2" ]; pools."pool.ntp.org" = [ "iburst" ]; listen = [ "192.168.7.1" ]; };
    name = svc.hostname.build { name = "name"; hostname = "it's me"; };
    usb = svc.mount.build { device = "LABEL=backup"; mountpoint = "/srv/my-disk"; fstype = "ext4"; options = [ "ro" "noatime" ]; };
    plugged = svc.uevent-rule.build {
      service = services.usb;
      terms = [
        { subsystem = "block"; devtype = "partition"; partname = "backup"; parentAttrs.idVendor = "0951"; }
        { path = "*/mtdblock[0-9]"; attrs.size = 4096; properties.MAJOR = 31; }
      ];
      settle = 100;
      restartWhenReplaced = true;
      symlink = "backup-disk";
    };
    cable = svc.uevent-rule.build { service = services.once; terms = { subsystem = "net"; interface = "eth0"; carrier = true; }; };
    turn = svc.round-robin.build {
      name = "turn";
      services = [ services.custom services.spare ];
      start-limit = 10000; back-off = 1000; back-off-max = 60000; healthy = 60000;
      fail-back = true; fail-back-after = 30000; overlap = false; dwell = 5000; defaultRoute = true;
    };
    watchdog = svc.watchdog.build { timeout = 30; interval = 5; };
    syslog = svc.syslog.build { };
    page = svc.status-page.build { listen = [ "192.168.7.1:8080" "/run/status page.sock" ]; names = [ "router.lan" ]; };
    away = svc.log-shipping.build { target = "syslog+tcp://192.168.7.9:514"; dependencies = [ services.iptv ]; };
    victoria = svc.log-shipping.build {
      name = "victoria";
      target = "http://192.168.7.9:9428/insert/jsonline?_stream_fields=host,service";
      hostname = "it's me";
      cursor = "/persist/victoria";
      directory = "/run/uncaught-logs";
    };
    # The check of the manual's form, and all there are; others need what is checked as before.
    probed = svc.health-check.build {
      service = services.spare;
      checks = [
        { icmp = { host = "9.9.9.9"; interface = services.spare; }; }
        { icmp = { host = pkgs.liminix.outputRef services.spare "router"; }; }
        { tcp = { host = "1.1.1.1"; port = 443; source = "192.0.2.5"; }; }
        { dns = { name = "example.org"; server = "9.9.9.9"; interface = "usb0"; }; }
        { http = { url = "http://example.org/"; status = 200; }; }
        { command = "test -e /run/well"; }
        "true"
      ];
      interval = 1.5;
      threshold = 4;
      quorum = 2;
      on-sick = "restart";
      wait = 30;
    };
    manual = svc.health-check.build {
      service = services.custom;
      interval = 10;
      threshold = 3;
      healthCheck = pkgs.writeShellScript "well" "exit 0\n";
    };
    behind = svc.oneshot.build { name = "behind"; up = "true"; dependencies = [ services.probed ]; };
    custom = svc.longrun.build { name = "custom"; run = "exec sleep 1000\n"; finish = "echo \"$@\"\n"; env.A = "b"; data.x = "y"; restart-wait = 5000; down-signal = "SIGINT"; notification-fd = 3; };
    once = svc.oneshot.build { name = "once"; up = "echo up\n"; down = "echo down\n"; reload = "echo again\n"; timeout-up = null; };
    both = svc.bundle.build { name = "both"; contents = [ services.custom services.once ]; };
  };
}
