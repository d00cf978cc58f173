# What can be built of a configuration.
{ config, lib, pkgs, services, outer ? null, ... }:
let
  inherit (lib) mkOption types;
  collected =
    let first = services.collect (lib.attrValues config.services); in
    services.collect (lib.attrValues config.services ++ services.aliases config.services first);
  # A build whose builder is `doorward`, which reads all of this from a file.
  step = name: attributes: derivation ({
    inherit name;
    system = "x86_64-linux";
    __structuredAttrs = true;
    builder = pkgs.doorward;
    args = [ "make" attributes.step ];
  } // removeAttrs attributes [ "step" ]) // { type = "derivation"; };

  userOf = path: name: (config.users.${name} or (throw "filesystem.${builtins.toJSON path}: there is no user ${name}")).uid;
  groupOf = path: name: (config.groups.${name} or (throw "filesystem.${builtins.toJSON path}: there is no group ${name}")).gid;
  file = path: entry:
    let
      contents = lib.filterAttrs (_: value: value != null && value != false) { inherit (entry) text source link directory; };
      kinds = builtins.attrNames contents;
      kind = builtins.head kinds;
    in
    if builtins.length kinds != 1 then
      throw "filesystem.${builtins.toJSON path}: exactly one of text, source, link and directory says what it is, and ${if kinds == [ ] then "none" else lib.concatStringsSep " and " kinds} does"
    else {
      inherit path kind;
      content = if kind == "source" then "${entry.source}" else if kind == "directory" then "" else entry.${kind};
      inherit (entry) mode executable;
      user = userOf path entry.user;
      group = groupOf path entry.group;
    };

  inherit (config.hardware) flash;
  kernelPackage =
    (if config.hardware.kernel.additions then pkgs.kernelWithAdditions else pkgs.kernel) config.hardware.kernel.package;
  # What services need of the kernel comes with them.
  modulesOf = it: if it == null || !it.hardware.kernel.modular then [ ] else lib.unique (it.hardware.kernel.modules ++ it.boot.modules
    ++ lib.concatMap (service: service.modules) (lib.attrValues (services.collect (lib.attrValues it.services))));
  # What runs before it has loaded its own.
  modules = lib.subtractLists (modulesOf outer) (modulesOf config);
  # The maintenance system that belongs to it.
  levitates = lib.filter (package: package.isLevitate or false) config.defaultProfile.packages;
  levitate =
    if levitates == [ ] then null
    else if builtins.length levitates == 1 then "${builtins.head levitates}"
    else throw "defaultProfile.packages: there are ${toString (builtins.length levitates)} of levitate, and a device has one maintenance system";
  # Whether this flash is one that an image of the whole is made for.
  whole = flash.partitions ? kernel && flash.partitions ? firmware;
  # How `ward` finds the root file system.
  early = config.hardware.kernel.early
    ++ map (it: "partition ${flash.name} ${it.name} ${toString (flash.offset + it.offset)} ${toString it.size} ${if it.readOnly then "ro" else "rw"}")
      (lib.sort (a: b: a.offset < b.offset || a.offset == b.offset && a.size > b.size)
        (lib.mapAttrsToList (name: it: { inherit name; inherit (it) offset size readOnly; }) flash.partitions))
    ++ lib.optional (config.boot.rootfs == "squashfs") "module mtdblock"
    ++ [ "module ${config.boot.rootfs}" ];
  image = type: step "${config.hostname}-rootfs.${type}" {
    step = "image";
    inherit type;
    generation = config.system.outputs.systemConfiguration;
    inherit (pkgs.buildPackages) busybox;
    exportReferencesGraph.closure = [ config.system.outputs.systemConfiguration ];
    inherit (flash) eraseSize;
    partition = flash.partitions.rootfs.size or null;
    inherit (config.boot) compression;
    # Branches of programs compress better once they are made absolute; Linux can undo that for
    # these processors.
    filter = if config.boot.compression == "xz" && config.hardware.processor == "x86_64" then "x86" else null;
    mounts = builtins.attrNames config.boot.mounts;
    tool =
      if type == "jffs2" then "${pkgs.buildPackages.mtdutils}/bin/mkfs.jffs2"
      else "${pkgs.buildPackages.squashfsTools}/bin/mksquashfs";
  };
in
{
  options.system.outputs = mkOption {
    type = types.lazyAttrsOf types.package;
    default = { };
    description = "what can be built with -A outputs.NAME";
  };
  config.system.outputs = rec {
    # The database of the services.
    services = step "${config.hostname}-services" {
      step = "services";
      services = lib.mapAttrs (_: service: service.definition) collected;
    };
    # All that a generation is: what it needs is all that must be copied to a device.
    systemConfiguration = step "${config.hostname}-system" {
      step = "system";
      files = lib.mapAttrsToList file config.filesystem;
      profile = map (package: "${package}") config.defaultProfile.packages;
      init = "${pkgs.ward}/bin/ward";
      inherit services levitate;
      # Maintenance runs on the kernel that has been started.
      commandLine = if outer == null then config.boot.commandLine else null;
      modules = if modules == [ ] then null else step "${config.hostname}-modules" {
        step = "modules";
        kernel = kernelPackage;
        inherit modules;
      };
      boot = {
        # Those of the kernel first: what else is mounted may need to be looked up in them.
        mounts =
          let all = lib.mapAttrsToList (target: mount: mount // { inherit target; }) config.boot.mounts; in
          lib.concatMap (isKernels: lib.filter (it: lib.elem it.type [ "devtmpfs" "proc" "sysfs" ] == isKernels) all) [ true false ];
        inherit (config.boot) moduleParameters;
        log = {
          inherit (config.logging) directory fileSize files;
          # Words of `ward logger`.
          options = lib.filterAttrs (_: value: value != null) (lib.mapAttrs (_: value: if value == null then null else toString value) {
            p = if config.logging.persistent.enable then "/dev/pmsg0" else null;
            t = config.logging.totalSize;
            r = config.logging.maxAge;
            x = config.logging.processor;
          });
        };
      };
    };
    jffs2 = image "jffs2";
    squashfs = image "squashfs";
    rootfs = image config.boot.rootfs;
    # For the boot loader: the kernel, and what finds the root file system.
    kernel = step "${config.hostname}-kernel" {
      step = "kernel";
      kernel = kernelPackage;
      inherit early;
      inherit (config.boot) commandLine;
      inherit (config.hardware) processor;
      title = config.hostname;
      ward = "${pkgs.ward}/bin/ward";
      partition = flash.partitions.kernel.size or null;
    };
    # All that an update of the whole writes, as one image of the partition of this name.
    firmware = step "${config.hostname}-firmware.bin" {
      step = "firmware";
      inherit (flash) eraseSize partitions;
      parts = { inherit kernel rootfs; };
      # What the image says of itself.
      device = config.hardware.description;
      generation = systemConfiguration;
      # A JFFS2 takes what it finds behind its image for its own.
      erasedBehind = lib.optional (config.boot.rootfs == "jffs2") "rootfs";
    };
    # A script that runs it.
    vm = step "${config.hostname}-vm" {
      step = "vm";
      inherit (config) hostname;
      inherit (pkgs) doorward;
      inherit firmware;
      vm = {
        inherit (config.hardware.vm) arguments memory attach rom;
        emulator =
          if config.hardware.vm.emulator != null then config.hardware.vm.emulator
          else throw "outputs.vm: ${config.hardware.description} is no device of QEMU's; hardware.vm in devices/ tells how those are described";
        # Where one logs in, if one can.
        ssh = lib.findFirst (it: it != null) null (map (service: service.listens or null) (lib.attrValues collected));
        inherit (config.vm) forward;
        inherit (config) hostname;
        inherit (config.hardware) description;
        flash = { inherit (flash) size eraseSize partitions; };
      };
    };
    manifest = step "${config.hostname}-manifest.json" {
      step = "manifest";
      inherit (config) hostname;
      device = { inherit (config.hardware) description processor kernel; };
      flash = { inherit (flash) size eraseSize partitions; };
      commandLine = config.boot.commandLine;
      generation = systemConfiguration;
      exportReferencesGraph.closure = [ systemConfiguration ];
      services = lib.mapAttrs (_: service: { inherit (service.definition) type; needs = map (need: need.name) service.needs; }) collected;
      images = {
        rootfs = { file = rootfs; type = config.boot.rootfs; partition = "rootfs"; };
      } // lib.optionalAttrs whole {
        kernel = { file = kernel; type = "uImage"; partition = "kernel"; };
        firmware = { file = firmware; type = "raw"; partition = "firmware"; };
      };
      sha256sum = "${pkgs.buildPackages.busybox}/bin/sha256sum";
    };
    default = if whole then firmware else rootfs;
  };
}
