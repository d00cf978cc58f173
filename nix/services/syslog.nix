# What programs send to /dev/log becomes output like any other, in the log of everything.
{ lib, longrun, named, ... }:
{
  description = "messages to /dev/log, into the log of everything (busybox syslogd)";
  build = p: longrun {
    name = named p "syslog";
    inherit (p) dependencies;
    run = "exec syslogd -n -S -O -\n";
  };
}
