# The flash of the devices that QEMU plays: 64 MiB, laid out as those of real routers are, with a
# kernel of a general distribution in it, which is larger than theirs.
{ eraseSize }:
let
  MiB = 1024 * 1024;
  block = 256 * 1024; # A multiple of each erase size.
in
{
  size = 64 * MiB;
  inherit eraseSize;
  persist = "persist";
  partitions = {
    u-boot = { offset = 0; size = 2 * block; readOnly = true; };
    u-boot-env = { offset = 2 * block; size = block; };
    factory = { offset = 3 * block; size = block; readOnly = true; };
    # All that an image of the whole replaces.
    firmware = { offset = 1 * MiB; size = 56 * MiB; };
    kernel = { offset = 1 * MiB; size = 28 * MiB; };
    rootfs = { offset = 29 * MiB; size = 28 * MiB; };
    persist = { offset = 57 * MiB; size = 7 * MiB; };
  };
}
