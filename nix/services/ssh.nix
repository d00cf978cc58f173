# ssh (dropbear). The key of the device is made at its first start and stays.
{ optional, list, flag, text, lib, oneshot, longrun, named, pkgs, ... }:
let inherit (lib) mkOption types; in
{
  description = "ssh (dropbear)";
  parameters = {
    address = optional types.str "the address to listen on";
    port = mkOption { type = types.port; default = 22; description = "the port to listen on"; };
    allowRoot = flag true "whether root may come in";
    allowPasswordLogin = flag false "whether a password is enough, and not only a key";
    allowPortForward = flag false "whether it carries other connections";
    hostKey = mkOption { type = types.str; default = "/persist/ssh/host_key"; description = "where the key of the device is kept"; };
    options = list types.str "further arguments";
  };
  build = p:
    let
      name = named p "ssh";
      key = oneshot {
        name = "${name}-host-key";
        # A device that has just started may wait long for randomness, and without a key nobody gets in.
        timeout-up = null;
        # On its medium before it counts: half a key would lock everybody out.
        up = ''
          [ ! -e ${p.hostKey} ] || exit 0
          mkdir -p ${builtins.dirOf p.hostKey}
          rm -f ${p.hostKey}.new
          ${pkgs.dropbear}/bin/dropbearkey -t ed25519 -f ${p.hostKey}.new
          sync
          mv ${p.hostKey}.new ${p.hostKey}
        '';
      };
      # It takes so many bytes before the other end has to wait for its answer: by itself it takes 24 kB, and a
      # copy over a line of 70 ms would get 350 kB/s at most, however wide the line is.
      arguments = [ "-W" "131072" "-F" "-E" "-P" "" "-r" p.hostKey "-p" "${lib.optionalString (p.address != null) "${p.address}:"}${toString p.port}" ]
        ++ lib.optional (!p.allowRoot) "-w"
        ++ lib.optional (!p.allowPasswordLogin) "-s"
        ++ lib.optionals (!p.allowPortForward) [ "-j" "-k" ]
        ++ p.options;
    in
    longrun {
      inherit name;
      dependencies = [ key ] ++ p.dependencies;
      run = "exec ${pkgs.dropbear}/bin/dropbear ${lib.concatMapStringsSep " " (a: if a == "" then "''" else lib.escapeShellArg a) arguments}\n";
    } // {
      listens = { inherit (p) address port; };
      # For a maintenance system: who comes in, and by what they know this device.
      login = { root = p.allowRoot; password = p.allowPasswordLogin; };
      carries = [ p.hostKey ];
    };
}
