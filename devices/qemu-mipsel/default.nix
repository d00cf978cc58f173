# QEMU's Malta board, little-endian: the processor of many real routers.
{
  system.processor = "mipsel";
  module = { pkgs, ... }: {
    hardware = {
      description = "QEMU, MIPS Malta";
      kernel = {
        package = "linux-image-4kc-malta";
        # The flash is a disk that plays one: this kernel has no driver for memory that does.
        modules = [ "virtio_ring" "virtio" "virtio_pci_legacy_dev" "virtio_pci_modern_dev" "virtio_pci" "net_failover" "failover" "virtio_net" "virtio_blk" "block2mtd" "jffs2" "squashfs" ];
      };
      flash = import ../qemu-flash.nix { eraseSize = 64 * 1024; };
      networkInterfaces = import ../qemu-network.nix pkgs;
    };
    boot.commandLine = [ "console=ttyS0" ];
  };
}
