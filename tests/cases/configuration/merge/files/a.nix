{ imports = [ ./common.nix ]; list = [ "a" ]; }
