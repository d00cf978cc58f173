# Pats the watchdog of the hardware: when that ends, the device restarts.
{ number, lib, longrun, named, ... }:
let inherit (lib) mkOption types; in
{
  description = "the watchdog of the hardware";
  parameters = {
    device = mkOption { type = types.str; default = "/dev/watchdog"; description = "its device"; };
    timeout = number 60 "seconds without a pat after which the device restarts";
    interval = number 10 "seconds from one pat to the next";
  };
  build = p: longrun {
    name = named p "watchdog";
    inherit (p) dependencies;
    run = "exec ward watchdog -T ${toString p.timeout} -t ${toString p.interval} ${p.device}\n";
  };
}
