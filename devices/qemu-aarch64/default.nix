# QEMU's virt board with NOR flash chips: the one whose flash behaves as a real one does.
{
  system.processor = "aarch64";
  module = { pkgs, ... }: {
    hardware = {
      description = "QEMU, ARM virt";
      kernel = {
        package = "linux-image-arm64";
        modules = [ "virtio_pci" "virtio_net" ];
      };
      flash = import ../qemu-flash.nix { eraseSize = 256 * 1024; };
      networkInterfaces = import ../qemu-network.nix pkgs;
    };
    boot.commandLine = [ "console=ttyAMA0" ];
  };
}
