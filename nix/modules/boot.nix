# How the device starts: the kernel's words, and what is done before the first service.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkOption types;
  words = description: mkOption { type = types.listOf types.singleLineStr; default = [ ]; inherit description; };
  mount = {
    options = {
      type = mkOption { type = types.singleLineStr; description = "the kind of file system"; };
      source = mkOption { type = types.singleLineStr; default = "none"; description = "what holds it"; };
      options = words "how it is mounted";
    };
  };
in
{
  options.boot = {
    commandLine = words "the kernel's command line";
    modules = words "modules of the kernel that are loaded first, in this order";
    moduleParameters = mkOption {
      type = types.attrsOf types.singleLineStr;
      default = { };
      description = "what modules of the kernel are told when they are loaded, by their names";
    };
    mounts = mkOption {
      type = types.attrsOf (types.submodule mount);
      default = { };
      description = "file systems that are there before the first service, by where they are seen";
    };
    rootfs = mkOption {
      type = types.enum [ "jffs2" "squashfs" ];
      default = "jffs2";
      description = "the file system of the flash: one that can be updated, or a smaller one that cannot";
    };
    compression = mkOption {
      type = types.enum [ "xz" "zstd" "lzo" "gzip" ];
      default = "xz";
      description = "of a squashfs: xz is the smallest, the others are read and made faster";
    };
  };
  config.boot = {
    # A panic is not the end.
    commandLine = [ "panic=5" "init=/boot/system/init" "root=mtd:rootfs" "rootfstype=${config.boot.rootfs}" ]
      ++ [ (if config.boot.rootfs == "jffs2" then "rw" else "ro") ];
    # What the root file system is has come with the kernel.
    modules = lib.optional (config.hardware.flash.persist != null && config.boot.rootfs != "jffs2") "jffs2";
    mounts = {
      "/proc" = { type = mkDefault "proc"; options = mkDefault [ "nosuid" "nodev" "noexec" ]; };
      "/sys" = { type = mkDefault "sysfs"; options = mkDefault [ "nosuid" "nodev" "noexec" ]; };
      "/dev" = { type = mkDefault "devtmpfs"; options = mkDefault [ "nosuid" "mode=0755" ]; };
      "/dev/pts" = { type = mkDefault "devpts"; options = mkDefault [ "nosuid" "noexec" "gid=5" "mode=0620" "ptmxmode=0666" ]; };
      "/run" = { type = mkDefault "tmpfs"; options = mkDefault [ "nosuid" "nodev" "mode=0755" ]; };
      "/tmp" = { type = mkDefault "tmpfs"; options = mkDefault [ "nosuid" "nodev" "mode=1777" ]; };
    } // lib.optionalAttrs (config.hardware.flash.persist != null) {
      "/persist" = { type = mkDefault "jffs2"; source = mkDefault "mtd:${config.hardware.flash.persist}"; options = mkDefault [ "nosuid" "nodev" "noatime" ]; };
    };
  };
}
