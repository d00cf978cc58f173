# QEMU's virt board with NOR flash chips: the one whose flash behaves as a real one does.
{
  system.processor = "aarch64";
  module = { pkgs, ... }: {
    hardware = {
      description = "QEMU, ARM virt";
      kernel = {
        package = "linux-image-arm64";
        # These are no modules of Debian's: `doorward packages modules` builds them.
        additions = true;
        early = [ "module cfi_probe" "module cfi_cmdset_0001" "module physmap" ];
        modules = [ "virtio_pci" "virtio_net" "virtio_rng" ];
      };
      # The kernel sees two banks as one flash. The first one is QEMU's, for a boot loader.
      flash = import ../qemu-flash.nix { eraseSize = 256 * 1024; } // {
        name = "0.flash";
        offset = 64 * 1024 * 1024;
      };
      # The end of the memory, of which the kernel is not told; at the very end a boot loader may be.
      ramoops = {
        module = "ramoops_pmsg";
        address = (1024 + 248) * 1024 * 1024;
        size = 512 * 1024;
        commandLine = [ "mem=248M" ];
      };
      vm = {
        emulator = "qemu-system-aarch64";
        arguments = [ "-M" "virt" "-cpu" "cortex-a53" ];
        attach = "pflash";
      };
      networkInterfaces = import ../qemu-network.nix pkgs;
    };
    boot.commandLine = [ "console=ttyAMA0" ];
  };
}
