# The name of the device.
{ text, lib, oneshot, named, ... }:
{
  description = "the name of the device";
  parameters.hostname = text "the name";
  build = p: oneshot {
    name = named p "hostname";
    inherit (p) dependencies;
    up = "printf '%s' ${lib.escapeShellArg p.hostname} >/proc/sys/kernel/hostname\n";
  };
}
