{ imports = [ ./common.nix ]; list = [ "b" ]; }
