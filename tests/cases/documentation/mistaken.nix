# A configuration with a mistake, whose message the guide shows.
{ pkgs, ... }: {
  services.ssh = pkgs.svc.ssh.build { prot = 22; };
}
