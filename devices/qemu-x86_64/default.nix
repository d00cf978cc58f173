# QEMU's q35 with a flash in memory that lies in a file: the device that tests run on.
{
  system.processor = "x86_64";
  module = { pkgs, ... }: {
    hardware = {
      description = "QEMU, x86_64";
      kernel = {
        package = "linux-image-amd64";
        modules = [ "virtio_ring" "virtio" "virtio_pci_legacy_dev" "virtio_pci_modern_dev" "virtio_pci" "net_failover" "failover" "virtio_net" "mtd" "mtdblock" "phram" "jffs2" "squashfs" ];
      };
      flash = import ../qemu-flash.nix { eraseSize = 64 * 1024; };
      networkInterfaces = import ../qemu-network.nix pkgs;
      watchdog = "/dev/watchdog";
    };
    boot.commandLine = [ "console=ttyS0" ];
  };
}
