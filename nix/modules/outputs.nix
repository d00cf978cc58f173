# What can be built of a configuration.
{ config, lib, pkgs, services, ... }:
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
      inherit services;
      boot = {
        modules = lib.unique (config.hardware.kernel.modules ++ config.boot.modules);
        mounts = lib.mapAttrsToList (target: mount: mount // { inherit target; }) config.boot.mounts;
        log = { inherit (config.logging) directory fileSize files; };
      };
    };
    jffs2 = image "jffs2";
    squashfs = image "squashfs";
    rootfs = image config.boot.rootfs;
    manifest = step "${config.hostname}-manifest.json" {
      step = "manifest";
      inherit (config) hostname;
      device = { inherit (config.hardware) description processor kernel; };
      flash = { inherit (flash) size eraseSize partitions; };
      commandLine = config.boot.commandLine;
      generation = systemConfiguration;
      exportReferencesGraph.closure = [ systemConfiguration ];
      services = lib.mapAttrs (_: service: { inherit (service.definition) type; needs = map (need: need.name) service.needs; }) collected;
      images.rootfs = { file = rootfs; type = config.boot.rootfs; partition = "rootfs"; };
      sha256sum = "${pkgs.buildPackages.busybox}/bin/sha256sum";
    };
    default = rootfs;
  };
}
