# `lib`: what modules use, for who has no nixpkgs. Its functions do what those of the same name
# in nixpkgs do; only what modules here and usual configurations need is there.
let
  inherit (builtins) attrNames concatMap concatStringsSep elem elemAt filter
    foldl' genList getAttr hasAttr head isAttrs isList length listToAttrs map mapAttrs match
    replaceStrings stringLength substring tail toJSON toString;

  text = import ./text.nix;
  types = import ./types.nix { inherit text modules; };
  modules = import ./modules.nix { inherit text lib types; };

  lib = builtins // {
    inherit types;
    inherit (types) mkOptionType;
    inherit (modules) evalModules mkIf mkMerge mkOverride mkOrder mkOption mkDefault mkForce
      mkOptionDefault mkBefore mkAfter mkEnableOption;

    id = it: it;
    const = it: _: it;
    flip = f: a: b: f b a;
    pipe = foldl' (value: f: f value);

    optional = condition: it: if condition then [ it ] else [ ];
    optionals = condition: list: if condition then list else [ ];
    optionalString = condition: string: if condition then string else "";
    optionalAttrs = condition: set: if condition then set else { };

    last = list: elemAt list (length list - 1);
    init = list: genList (elemAt list) (length list - 1);
    reverseList = list: genList (at: elemAt list (length list - 1 - at)) (length list);
    take = count: list: genList (elemAt list) (if count < length list then count else length list);
    drop = count: list: genList (at: elemAt list (at + count)) (if count < length list then length list - count else 0);
    imap0 = f: list: genList (at: f at (elemAt list at)) (length list);
    imap1 = f: list: genList (at: f (at + 1) (elemAt list at)) (length list);
    range = first: last: if first > last then [ ] else genList (at: first + at) (last - first + 1);
    unique = foldl' (seen: it: if elem it seen then seen else seen ++ [ it ]) [ ];
    toList = it: if isList it then it else [ it ];
    flatten = it: if isList it then concatMap lib.flatten it else [ it ];
    remove = it: filter (other: other != it);
    subtractLists = taken: filter (it: !(elem it taken));
    findFirst = predicate: otherwise: list:
      let found = filter predicate list; in if found == [ ] then otherwise else head found;
    zipListsWith = f: a: b:
      genList (at: f (elemAt a at) (elemAt b at)) (if length a < length b then length a else length b);

    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    filterAttrs = keep: set: removeAttrs set (filter (name: !(keep name set.${name})) (attrNames set));
    genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
    attrByPath = path: otherwise: set:
      if path == [ ] then set
      else if isAttrs set && hasAttr (head path) set then lib.attrByPath (tail path) otherwise (getAttr (head path) set)
      else otherwise;
    getAttrFromPath = path: lib.attrByPath path (throw "there is no `${text.dotted path}`");
    setAttrByPath = path: value:
      if path == [ ] then value else { ${head path} = lib.setAttrByPath (tail path) value; };
    recursiveUpdate = a: b: a // mapAttrs
      (name: value: if isAttrs value && isAttrs (a.${name} or null) then lib.recursiveUpdate a.${name} value else value)
      b;
    isDerivation = value: isAttrs value && (value.type or null) == "derivation";
    getBin = package: package.bin or package;
    getExe = package: "${package}/bin/${package.meta.mainProgram or package.pname or package.name}";
    getExe' = package: name: "${package}/bin/${name}";

    concatStrings = concatStringsSep "";
    concatMapStrings = f: list: concatStringsSep "" (map f list);
    concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
    concatMapAttrsStringSep = separator: f: set: concatStringsSep separator (lib.mapAttrsToList f set);
    concatLines = list: concatStringsSep "" (map (line: line + "\n") list);
    boolToString = value: if value then "true" else "false";
    hasPrefix = prefix: string: substring 0 (stringLength prefix) string == prefix;
    hasSuffix = suffix: string:
      let long = stringLength string; short = stringLength suffix; in
      long >= short && substring (long - short) short string == suffix;
    hasInfix = part: string: length (builtins.split (lib.escapeRegex part) string) > 1;
    removePrefix = prefix: string:
      if lib.hasPrefix prefix string then substring (stringLength prefix) (-1) string else string;
    removeSuffix = suffix: string:
      if lib.hasSuffix suffix string then substring 0 (stringLength string - stringLength suffix) string else string;
    stringToCharacters = string: genList (at: substring at 1 string) (stringLength string);
    escape = characters: replaceStrings characters (map (c: "\\" + c) characters);
    escapeRegex = lib.escape (lib.stringToCharacters "\\[{()^$?*+|.");
    splitString = separator: string: filter builtins.isString (builtins.split (lib.escapeRegex separator) string);
    trim = string: head (match "[[:space:]]*(.*[^[:space:]]|)[[:space:]]*" string);
    toLower = replaceStrings (lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz");
    escapeShellArg = argument:
      let string = toString argument; in
      if match "[A-Za-z0-9_@%+:,./-]+" string != null then string
      else "'${replaceStrings [ "'" ] [ "'\\''" ] string}'";
    escapeShellArgs = list: concatStringsSep " " (map lib.escapeShellArg list);
    generators.toJSON = _: toJSON;

    min = a: b: if a < b then a else b;
    max = a: b: if a > b then a else b;
    assertMsg = condition: message: condition || throw message;
    warn = message: it: builtins.trace "warning: ${message}" it;
  };
in
lib
