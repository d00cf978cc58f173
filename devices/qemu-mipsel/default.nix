# QEMU's Malta board, little-endian: the processor of many real routers.
let eraseSize = 64 * 1024; in
{
  system.processor = "mipsel";
  module = { pkgs, ... }: {
    hardware = {
      description = "QEMU, MIPS Malta";
      kernel = {
        # Without pstore: nothing in memory outlives a restart, and there is no hardware.ramoops.
        package = "linux-image-4kc-malta";
        # The flash is a disk that plays one: QEMU has no memory that lies in a file for this board. What
        # is not synced is in the device's memory.
        early = [
          "module virtio_pci"
          "module virtio_blk"
          "wait /dev/vda"
          "module block2mtd block2mtd=/dev/vda,${toString eraseSize},flash0"
        ];
        modules = [ "virtio_net" "virtio_rng" ];
      };
      flash = import ../qemu-flash.nix { inherit eraseSize; };
      vm = {
        emulator = "qemu-system-mipsel";
        arguments = [ "-M" "malta" "-cpu" "24Kc" ];
        attach = "virtio-blk";
      };
      networkInterfaces = import ../qemu-network.nix pkgs;
    };
    boot.commandLine = [ "console=ttyS0" ];
  };
}
