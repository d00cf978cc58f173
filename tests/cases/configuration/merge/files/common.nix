{ list = [ "common" ]; }
