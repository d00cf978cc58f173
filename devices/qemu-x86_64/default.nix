# QEMU's q35 with a flash in memory that lies in a file: the device that tests run on.
let eraseSize = 64 * 1024; in
{
  system.processor = "x86_64";
  module = { config, pkgs, ... }: {
    hardware = {
      description = "QEMU, x86_64";
      kernel = {
        package = "linux-image-amd64";
        additions = config.logging.persistent.enable;
        early = [ "memory flash0 ${toString eraseSize} 1af4:1110 2" ];
        modules = [ "virtio_pci" "virtio_net" "virtio_rng" "i6300esb" ];
      };
      flash = import ../qemu-flash.nix { inherit eraseSize; };
      # Below what starts the kernel: that uses the end of the memory.
      ramoops = {
        module = "ramoops_pmsg";
        address = 240 * 1024 * 1024;
        size = 512 * 1024;
        commandLine = [ "memmap=512K$240M" ];
      };
      vm = {
        emulator = "qemu-system-x86_64";
        arguments = [ "-M" "q35" "-device" "i6300esb" "-action" "watchdog=reset" ];
        attach = "ivshmem";
      };
      networkInterfaces = import ../qemu-network.nix pkgs;
      watchdog = "/dev/watchdog";
    };
    boot.commandLine = [ "console=ttyS0" ];
  };
}
