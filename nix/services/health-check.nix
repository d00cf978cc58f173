# A service that is asked again and again whether it does what it should, and restarted where it does not.
# What comes out is the service itself: others need it as they needed it before.
{ list, optional, ifname, text, serviceType, word, referred, lib, longrun, controlled, named, ... }:
let
  inherit (lib) mkOption types;
  seconds = description: optional types.number "${description}, in seconds";
  count = description: optional types.ints.positive description;
  millis = name: value:
    let rounded = builtins.floor (value * 1000 + 0.5); in
    if rounded < 0 then throw "health-check: ${name} is less than nothing" else toString rounded;
  way = {
    interface = optional (types.either types.str serviceType) "the interface that the question goes out by";
    source = optional types.str "the address that it comes from";
  };
  port = types.port;
  host = description: mkOption { type = word; description = "${description}: a name, an address, or an `outputRef` to one"; };
  # What `check METHOD` takes first, and what comes behind it by name.
  methods = {
    icmp = { first = [ "host" ]; named = [ ]; options = { host = host "who is to answer an echo"; }; };
    tcp = {
      first = [ "host" "port" ];
      named = [ ];
      options = { host = host "who is to take a connection"; port = mkOption { type = port; description = "at which port"; }; };
    };
    dns = {
      first = [ "name" ];
      named = [ "server" "type" ];
      options = {
        name = text "the name whose address is to be known";
        server = optional types.str "the address of a name server; those of this device, if none is named";
        type = mkOption { type = types.enum [ "A" "AAAA" ]; default = "A"; description = "the kind of address"; };
      };
    };
    http = {
      first = [ "url" ];
      named = [ "status" ];
      options = { url = text "what is fetched, http://…"; status = optional types.ints.positive "the status it is to have; 200 to 399, if none is named"; };
    };
  };
  submodule = method: types.nullOr (types.submodule { options = method.options // way; });
  check = types.either (types.either types.str types.path) (types.submodule {
    options = lib.mapAttrs (name: method: mkOption { type = submodule method; default = null; description = "a check by ${name}"; }) methods
      // { command = optional types.str "a command that exits 0 where all is well, as execline writes it"; };
  });
  # A script may be a path, what `pkgs.writeShellScript` makes, or a line.
  command = script:
    let line = toString script; in
    if builtins.match ".*\n.*" line != null
    then throw "health-check: a command is one line; `pkgs.writeShellScript` makes a file of several"
    else "check command ${line}\n";
  # An output is looked at whenever it is asked for: nothing is restarted for that.
  written = value:
    if referred [ value ] != [ ] then "@${value.service.name}/${value.output}"
    else if builtins.isAttrs value then ifname value
    else toString value;
  line = it:
    let
      chosen = builtins.filter (name: it.${name} or null != null) (builtins.attrNames methods ++ [ "command" ]);
      name = builtins.head chosen;
      given = it.${name};
      named = lib.concatMapStrings
        (key: lib.optionalString (given.${key} != null) " ${key} ${written given.${key}}")
        (methods.${name}.named ++ builtins.attrNames way);
    in
    if !(builtins.isAttrs it) || it ? outPath then command it
    else if builtins.length chosen != 1 then throw "health-check: each check is one of ${lib.concatStringsSep ", " (builtins.attrNames methods)} and command"
    else if name == "command" then command given
    else "check ${name} ${lib.concatMapStringsSep " " (key: written given.${key}) methods.${name}.first}${named}\n";
  times = {
    interval = seconds "from one round of checks to the next";
    retry = seconds "the same while the last one was bad";
    timeout = seconds "a check that takes longer has failed";
    jitter = seconds "each interval is longer by up to this, at random";
    grace = seconds "failures do not count so long after the service came up";
    wait = seconds "between the first restart and the second; each wait is twice as long as the one before";
    wait-max = seconds "the longest of these waits";
    calm = seconds "after being healthy for so long the first wait is the next";
  };
  counts = {
    tries = count "so often a probe asks within the timeout";
    threshold = count "bad rounds in a row until it is sick";
    rise = count "good rounds in a row until it is healthy";
  };
in
{
  description = "a service that is restarted when checks of it fail (ward health-check)";
  parameters = times // counts // {
    service = mkOption { type = serviceType; description = "the service that is checked"; };
    checks = list check "what is asked in each round: `{ icmp = { host = …; }; }`, tcp, dns, http, or a command";
    healthCheck = optional (types.either types.str types.path) "a command that exits 0 where all is well: the same as one of `checks`";
    quorum = optional (types.either types.ints.positive (types.enum [ "all" ])) "checks of a round that must succeed";
    on-sick = optional (types.enum [ "restart" "down" ]) "what becomes of it; `down` where a round-robin has another to put in its place";
  };
  build = p:
    let
      name = named p "${p.service.name}-health";
      setting = key: value: lib.optionalString (value != null) "${key} ${value}\n";
      plain = key: setting key (if p.${key} == null then null else toString p.${key});
    in
    controlled {
      inherit (p) service;
      controller = longrun {
        inherit name;
        inherit (p) dependencies;
        run = "exec ward health-check ${lib.escapeShellArg name}\n";
        notification-fd = 3;
        controls.${p.service.name} = "";
        controller = {
          kind = "health-check";
          settings = lib.concatMapStrings (key: setting key (if p.${key} == null then null else millis key p.${key})) (builtins.attrNames times)
            + lib.concatMapStrings plain (builtins.attrNames counts ++ [ "quorum" "on-sick" ])
            + lib.concatMapStrings line (p.checks ++ lib.optional (p.healthCheck != null) p.healthCheck);
        };
      };
    };
}
