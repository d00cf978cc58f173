# `nix-shell` in this folder: a shell with the build machine's commands, as the manual has them.
#
#   nix-shell --run "min-copy-closure root@the-device result/"
let inherit (import ./. { }) pkgs; in
pkgs.runCommand "shell" { buildInputs = [ pkgs.min-copy-closure ]; } ""
