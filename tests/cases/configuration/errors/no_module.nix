{ evaluate, lib, ... }:
evaluate [ { imports = [ [ "x" ] ]; } ]
