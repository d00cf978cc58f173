# Types of options: what a value must be, and how several definitions become one.
#
# A type has the fields that nixpkgs' types have, so that one made with `mkOptionType` serves
# both: `name`, `description`, `check = value: …`, `merge = path: definitions: …`, `emptyValue`.
# `inner` and `module` say what options there are below one, for the reference.
{ text, modules }:
let
  inherit (builtins) all any attrNames concatLists concatStringsSep elem elemAt filter foldl' genList
    head isAttrs isBool isFloat isFunction isInt isList isPath isString length listToAttrs map
    match stringLength substring tail toJSON typeOf zipAttrsWith;
  inherit (text) dotted place shown;

  values = map (definition: definition.value);
  isPackage = value: isAttrs value && (value.type or null) == "derivation";
  isStorePath = value: isString value && substring 0 (stringLength builtins.storeDir) value == builtins.storeDir;

  conflict = path: definitions: throw (
    "the option `${dotted path}` has several values, of which it can have one:"
    + concatStringsSep "" (map (d: "\n  ${place d}: ${shown d.value}") definitions)
    + "\n  lib.mkForce before one of them decides"
  );
  mergeOne = path: definitions:
    if length definitions == 1 then (head definitions).value else conflict path definitions;
  mergeEqual = path: definitions:
    let first = (head definitions).value; in
    if all (d: d.value == first) (tail definitions) then first else conflict path definitions;

  # The value of a part of an option (an element, a member), whose definitions may be conditional.
  merged = type: path: definitions: modules.mergeDefinitions path type definitions;

  mkOptionType =
    { name, description ? name, check ? (_: true), merge ? mergeOne, emptyValue ? { }, ... }@fields:
    { _type = "option-type"; } // fields // { inherit name description check merge emptyValue; };

  simple = description: check: mkOptionType { name = description; inherit description check; merge = mergeEqual; };
  between = low: high: simple "an integer from ${toString low} to ${toString high}" (v: isInt v && v >= low && v <= high);
in
rec {
  inherit mkOptionType;

  bool = simple "true or false" isBool;
  int = simple "an integer" isInt;
  float = simple "a number with a point" isFloat;
  number = either int float;
  ints = {
    inherit between;
    unsigned = simple "an integer from 0 on" (v: isInt v && v >= 0);
    positive = simple "an integer above 0" (v: isInt v && v > 0);
    u8 = between 0 255;
    u16 = between 0 65535;
    u32 = between 0 4294967295;
  };
  port = ints.u16;
  str = simple "a string" isString;
  singleLineStr = simple "a string of one line" (v: isString v && match "[^\n]*" v != null);
  nonEmptyStr = simple "a string that is not empty" (v: isString v && match "[[:space:]]*" v == null);
  strMatching = pattern: simple "a string like ${pattern}" (v: isString v && match pattern v != null);
  separatedString = separator: mkOptionType {
    name = "separatedString";
    description = "a string";
    check = isString;
    merge = _: definitions: concatStringsSep separator (values definitions);
  };
  lines = separatedString "\n";
  commas = separatedString ",";
  enum = allowed: simple "one of ${concatStringsSep ", " (map toJSON allowed)}" (v: elem v allowed);
  path = mkOptionType {
    name = "path";
    description = "an absolute path";
    check = v: isPath v || isPackage v || (isString v && substring 0 1 v == "/");
    merge = mergeEqual;
  };
  package = mkOptionType { name = "package"; description = "a package"; check = v: isPackage v || isStorePath v; };
  raw = mkOptionType { name = "raw"; description = "anything"; };
  functionTo = result: mkOptionType {
    name = "functionTo";
    description = "a function";
    check = isFunction;
    merge = path: definitions: argument:
      merged result (path ++ [ "(result)" ]) (map (d: d // { value = d.value argument; }) definitions);
  };

  # Sets are joined, everything else must be the same everywhere.
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    merge = path: definitions:
      let
        kind = v: if isAttrs v && (v ? outPath || v ? __toString) then "thing" else typeOf v;
        kinds = map (d: kind d.value) definitions;
        same = all (k: k == head kinds) kinds;
      in
      if !same then conflict path definitions
      else if head kinds == "set" then (attrsOf anything).merge path definitions
      else if elem (head kinds) [ "thing" "lambda" ] then mergeOne path definitions
      else mergeEqual path definitions;
  };
  unspecified = anything;

  nullOr = type: mkOptionType {
    name = "nullOr";
    inner = [ { word = ""; inherit type; } ];
    description = "null or ${type.description}";
    check = v: v == null || type.check v;
    emptyValue = { value = null; };
    merge = path: definitions:
      let nulls = filter (d: d.value == null) definitions; in
      if nulls == [ ] then type.merge path definitions
      else if length nulls == length definitions then null
      else conflict path definitions;
  };

  either = a: b: mkOptionType {
    name = "either";
    inner = [ { word = ""; type = a; } { word = ""; type = b; } ];
    description = "${a.description} or ${b.description}";
    check = v: a.check v || b.check v;
    merge = path: definitions:
      if all (d: a.check d.value) definitions then a.merge path definitions
      else if all (d: b.check d.value) definitions then b.merge path definitions
      else mergeOne path definitions;
  };
  oneOf = types: foldl' either (head types) (tail types);

  addCheck = type: check: type // { check = v: type.check v && check v; };

  # Values of one type that stand for those of another.
  coercedTo = from: change: to: mkOptionType {
    name = "coercedTo";
    inner = [ { word = ""; type = to; } ];
    inherit (to) description emptyValue;
    check = v: (from.check v && to.check (change v)) || to.check v;
    merge = path: definitions:
      to.merge path (map (d: if from.check d.value then d // { value = change d.value; } else d) definitions);
  };

  listOf = type: mkOptionType {
    name = "listOf";
    inner = [ { word = "[…]"; inherit type; } ];
    description = "a list of ${type.description}";
    check = isList;
    emptyValue = { value = [ ]; };
    merge = path: definitions:
      let
        element = d: at: modules.mergeOptional (path ++ [ "[${toString at}]" ]) type [ (d // { value = elemAt d.value at; }) ];
        elements = concatLists (map (d: genList (element d) (length d.value)) definitions);
      in
      concatLists (map (e: if e ? value then [ e.value ] else [ ]) elements);
  };
  nonEmptyListOf = type:
    let list = addCheck (listOf type) (v: v != [ ]); in list // { description = "a non-empty list of ${type.description}"; emptyValue = { }; };

  attrsOf = type: mkOptionType {
    name = "attrsOf";
    inner = [ { word = ".NAME"; inherit type; } ];
    description = "a set of ${type.description}";
    check = v: isAttrs v && !isPackage v;
    emptyValue = { value = { }; };
    merge = path: definitions:
      let
        found = zipAttrsWith (name: modules.mergeOptional (path ++ [ name ]) type)
          (map modules.members definitions);
      in
      listToAttrs (concatLists (map
        (name: if found.${name} ? value then [ { inherit name; inherit (found.${name}) value; } ] else [ ])
        (attrNames found)));
  };
  lazyAttrsOf = attrsOf;
  attrs = attrsOf anything;

  # Options below an option: a module, or several.
  submodule = module: mkOptionType {
    name = "submodule";
    inherit module;
    description = "a set of options";
    check = v: (isAttrs v && !isPackage v) || isFunction v || isPath v;
    emptyValue = { value = { }; };
    merge = path: definitions: (modules.evalModules {
      prefix = path;
      modules = (if isList module then module else [ module ])
        ++ [ { _module.args.name = elemAt path (length path - 1); } ]
        ++ map (d: { _file = d.file; _line = d.line or null; }
        // (if isAttrs d.value then { config = d.value; } else { imports = [ d.value ]; })) definitions;
    }).config;
  };

}
