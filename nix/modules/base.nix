# What every device has: a name, services, programs.
{ config, lib, pkgs, services, ... }:
let
  inherit (lib) mkDefault mkOption types;
  inherit (services) serviceType templateType;
  set = types.lazyAttrsOf;
in
{
  options = {
    hostname = mkOption {
      type = types.strMatching "[A-Za-z0-9]([A-Za-z0-9-]{0,62})";
      default = "router";
      description = "the name of the device";
    };
    services = mkOption {
      type = types.attrsOf serviceType;
      default = { };
      description = "services; `default` is a bundle of those that are up after a start, at first all of them";
    };
    defaultProfile.packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      description = "packages whose programs are in everybody's PATH; of two that have the same program the first one counts";
    };
    assertions = mkOption {
      type = types.listOf (types.submodule {
        options = {
          assertion = mkOption { type = types.bool; description = "what must be so"; };
          message = mkOption { type = types.str; description = "what is told where it is not"; };
        };
      });
      default = [ ];
      description = "what must be so before anything is built";
    };
    system.service = mkOption {
      type = set (types.either templateType (set (types.either templateType (set templateType))));
      description = "templates of services";
    };
  };
  config = {
    services = {
      hostname = mkDefault (pkgs.svc.hostname.build { inherit (config) hostname; });
      loopback = mkDefault (pkgs.svc.network.link.build { name = "loopback"; ifname = "lo"; });
      default = mkDefault (pkgs.svc.bundle {
        name = "default";
        contents = lib.concatMap (service: [ service ] ++ service.companions or [ ])
          (lib.attrValues (removeAttrs config.services [ "default" ]));
      });
    };
    # Last: programs of others come before those of the same name in it.
    defaultProfile.packages = lib.mkMerge [ (lib.mkBefore [ pkgs.ward ]) (lib.mkAfter [ pkgs.busybox ]) ];
    filesystem = {
      "/etc/hostname".text = "${config.hostname}\n";
      "/etc/hosts".text = mkDefault ''
        127.0.0.1 localhost ${config.hostname}
        ::1 localhost
      '';
      "/etc/profile".text = mkDefault ''
        export PATH=/bin
        # What was brought here by itself: `doorward install`, `ward store keep`.
        for package in /nix/var/doorward/roots/*/bin; do
          [ ! -d "$package" ] || PATH=$PATH:$package
        done
        export PS1='\u@\h:\w\$ '
        # What became of the last update, where somebody reads it.
        [ ! -t 1 ] || ward generation notice
      '';
      "/etc/protocols".source = mkDefault "${pkgs.iana-etc}/etc/protocols";
      "/etc/services".source = mkDefault "${pkgs.iana-etc}/etc/services";
      "/etc/nsswitch.conf".text = mkDefault "hosts: files dns\n";
      "/etc/shells".text = mkDefault "/bin/sh\n/bin/ash\n";
      # Whoever is told of servers by an uplink writes it; until then only this device is asked.
      "/etc/resolv.conf".link = mkDefault "/run/resolv.conf";
      "/etc/mtab".link = "/proc/mounts";
    };
  };
}
