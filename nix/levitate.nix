# The package `levitate`: a second, small system beside the usual one, which runs in memory while the
# flash is written. `levitate.override { config = …; }` says what is in it, as a configuration.
{ lib
, pkgs
, services
, evaluate  # of modules: a whole configuration of this device
, outer     # the configuration that the package is a part of
}:
let
  inherit (builtins) attrNames attrValues concatMap filter length;

  # What every maintenance system is, before its own configuration.
  basis = {
    _file = ./levitate.nix;
    config = {
      hostname = lib.mkDefault outer.hostname;
      # Nothing of the flash is mounted: that is what it is for.
      hardware.flash.persist = lib.mkForce null;
      # Whose images are written is not decided anew there.
      updates.trustedKeys = lib.mkDefault outer.updates.trustedKeys;
      services.maintenance = pkgs.svc.longrun {
        name = "maintenance";
        run = "exec ward maintenance\n";
      };
      filesystem = {
        "/etc/banner".text = lib.mkDefault ''

          MAINTENANCE: ${outer.hostname} runs in memory, with few of its services. Nothing
          uses the flash, so it may be written: `cat /proc/mtd` shows its parts,
          `flashcp -v FILE mtd:NAME` writes one.

          `reboot` starts the device from its flash again.

        '';
        # What a shell shows to those who log in.
        "/etc/motd".link = lib.mkDefault "/etc/banner";
      };
    };
  };

  wrong = message: throw "levitate: ${message}";

  # Whoever can log in is told from what services say of themselves.
  entrance = config:
    let
      doors = filter (service: service ? login)
        (attrValues (services.collect (attrValues config.services)));
      hasKey = user: user.openssh.authorizedKeys.keys != [ ];
      hasPassword = user: builtins.match "[^!*]+" user.passwd != null && user.passwd != "x";
      mayPass = door: name:
        let user = config.users.${name}; in
        (name != "root" || door.login.root) && (hasKey user || door.login.password && hasPassword user);
    in
    if doors == [ ] then
      wrong "nobody could log in to maintenance: its `services` have no svc.ssh; with `unchecked = true` beside `config` another way in is taken on trust"
    else if !(lib.any (door: lib.any (mayPass door) (attrNames config.users)) doors) then
      wrong "nobody could log in to maintenance: none of its `users` has a key for ssh, or a password that it takes (users.root = config.users.root; gives it those of the system)"
    else true;

  make =
    { config ? wrong "it has to be told what runs in maintenance: (levitate.override { config = { services = { inherit (config.services) …; }; users.root = config.users.root; }; })"
    , timeout ? 600 # seconds in which somebody must log in
    , unchecked ? false
    }@arguments:
    let
      evaluated = evaluate [ basis (if builtins.isFunction config then config else { _file = "(the `config` of levitate.override)"; inherit config; }) ];
      # What is wrong in it is found also where nobody reads it.
      inner = builtins.seq (import ./force.nix lib evaluated.options) evaluated.config;
      collected = attrValues (services.collect (attrValues inner.services));
      failed = filter (it: !it.assertion) inner.assertions;
      checked = it:
        if failed != [ ] then wrong (lib.concatMapStringsSep "\n" (it: it.message) failed)
        else if unchecked then it
        else builtins.seq (entrance inner) it;
      system = inner.system.outputs.systemConfiguration;
      longruns = length (filter (service: service.type == "longrun") collected);
      MiB = 1024 * 1024;
    in
    derivation {
      name = "levitate";
      system = "x86_64-linux";
      __structuredAttrs = true;
      builder = pkgs.doorward;
      args = [ "make" "levitate" ];
      ward = "${pkgs.ward}/bin/ward";
      maintenance = checked system;
      exportReferencesGraph.closure = [ system ];
      carried = lib.unique (concatMap (service: service.carries or [ ]) collected);
      inherit timeout;
      # What its processes want; init, the logger and a login are counted as one.
      spare = (4 + longruns) * MiB;
      memory = if outer.hardware.memory == null then null else outer.hardware.memory * MiB;
      device = outer.hardware.description;
    } // {
      type = "derivation";
      pname = "levitate";
      isLevitate = true;
      # What runs in maintenance, for those who look.
      maintenance = inner;
      override = new: make (arguments // (if builtins.isFunction new then new arguments else new));
    };
in
make { }
