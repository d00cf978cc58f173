# The module evaluator: from modules that declare options and define them to one set of values.
#
# A module is a path, a function of `{ config, lib, … }` or a set with `imports`, `options` and
# `config` (or definitions alone). It does what nixpkgs' evaluator does for the modules that both
# understand, in the same order; tests/cases/configuration holds the two against each other's results.
# Messages say where in which file, which nixpkgs' cannot.
{ text, lib, types }:
let
  inherit (builtins) attrNames concatMap elem elemAt filter foldl' functionArgs head isAttrs isBool
    isFunction isPath isString length listToAttrs map mapAttrs sort toString unsafeGetAttrPos;
  inherit (text) dotted place shown suggestion;

  tagged = tag: value: isAttrs value && (value._type or null) == tag;
  isOption = tagged "option";
  reverse = list: let last = length list - 1; in builtins.genList (at: elemAt list (last - at)) (length list);

  # Priorities: of several definitions the lowest number counts.
  ordinary = 100;
  middle = 1000; # Where between `mkBefore` and `mkAfter` everything else lies.

  # ---- What can be wrapped around a definition

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOrder = priority: content: { _type = "order"; inherit priority content; };

  optionFields = [ "apply" "default" "defaultText" "description" "example" "internal" "readOnly" "relatedPackages" "type" "visible" ];
  mkOption = fields:
    let unknown = filter (name: !(elem name optionFields)) (attrNames fields); in
    if unknown == [ ] then fields // { _type = "option"; }
    else throw "${at (head unknown) fields}an option has no field `${head unknown}`${suggestion (head unknown) optionFields}";

  # The place of an attribute, as the beginning of a message.
  at = name: set:
    let found = unsafeGetAttrPos name set; in
    if found == null then "" else "${found.file}:${toString found.line}: ";

  argumentPlace = file: function: name:
    let found = at name (functionArgs function); in if found == "" then "${toString file}: " else found;

  condition = definition: value:
    if isBool value.condition then value.condition
    else throw "${place definition}: the condition of mkIf should be true or false, and is ${shown value.condition}";

  # The definitions that are left when conditions and merges are gone, each with its priority.
  discharge = definition:
    let
      inherit (definition) value;
      inner = content: discharge (definition // { value = content; });
    in
    if tagged "if" value then (if condition definition value then inner value.content else [ ])
    else if tagged "merge" value then concatMap inner value.contents
    else if tagged "override" value then map (d: d // { inherit (value) priority; }) (inner value.content)
    else if tagged "order" value then map (d: d // { order = value.priority; }) (inner value.content)
    else [ definition ];

  # Those that count, in the order in which they do.
  chosen = definitions:
    let
      all = concatMap discharge definitions;
      priority = d: d.priority or ordinary;
      least = foldl' (low: d: if priority d < low then priority d else low) (priority (head all)) all;
      order = d: d.order or middle;
    in
    if all == [ ] then [ ]
    else sort (a: b: order a < order b) (filter (d: priority d == least) all);

  checked = path: type: definitions:
    let wrong = filter (d: !(type.check d.value)) definitions; in
    if wrong == [ ] then type.merge path definitions
    else throw ("${place (head wrong)}: `${dotted path}` should be ${type.description}, and is ${shown (head wrong).value}");

  # `{ value = …; }`, or nothing where no definition is left.
  mergeOptional = path: type: definitions:
    let left = chosen definitions; in
    if left == [ ] then { } else { value = checked path type left; };

  mergeDefinitions = path: type: definitions:
    let found = mergeOptional path type definitions; in
    found.value or (throw "`${dotted path}` has no value");

  # The members of a definition that is a set, each a definition with a place of its own.
  members = definition: mapAttrs (name: value: placeOf name definition.value definition // { inherit value; }) definition.value;
  placeOf = name: set: otherwise:
    let found = unsafeGetAttrPos name set; in
    if found == null then { inherit (otherwise) file; line = otherwise.line or null; } else { inherit (found) file line; };

  # ---- Modules

  loadAll = arguments:
    let
      load = parent: module:
        let
          fromFile = isPath module || isString module || (isAttrs module && module ? outPath);
          file = if fromFile then toString module else parent;
          raw = if fromFile then import module else module;
          value = if isFunction raw then raw (arguments file raw) else raw;
          shownFile = value._file or file;
          reserved = [ "_file" "_line" "_class" "key" "meta" "imports" "disabledModules" ];
          plain = !(value ? config || value ? options);
          extra = filter (name: !(elem name (reserved ++ [ "config" "options" ]))) (attrNames value);
        in
        if !(isAttrs value) then
          throw "${toString file}: a module should be a set or a function that gives one, and is ${shown value}"
        else if !plain && extra != [ ] then
          throw "${at (head extra) value}`${head extra}` stands beside `config` or `options`; it belongs into `config`"
        else {
          key = value.key or (if fromFile then file else null);
          file = shownFile;
          line = value._line or null;
          options = value.options or { };
          config = if plain then removeAttrs value reserved else value.config or { };
          imports = map (load shownFile) (value.imports or [ ]);
        };
      # Level by level, each file once: what is imported comes behind all that import.
      levels = seen: modules:
        let
          fresh = foldl'
            (found: module:
              if module.key != null && elem module.key found.seen then found
              else {
                seen = if module.key == null then found.seen else found.seen ++ [ module.key ];
                modules = found.modules ++ [ module ];
              }) { inherit seen; modules = [ ]; }
            modules;
        in
        if modules == [ ] then [ ]
        else fresh.modules ++ levels fresh.seen (concatMap (module: module.imports) fresh.modules);
    in
    modules: levels [ ] (map (load "(a module that is no file)") modules);

  # A set of definitions, without what is wrapped around it: sets of members and what to wrap
  # around each of these.
  layers = path: definition:
    let
      inherit (definition) value;
      inner = content: layers path (definition // { value = content; });
      wrap = around: map (layer: layer // { wrap = member: around (layer.wrap member); });
    in
    if tagged "if" value then wrap (mkIf value.condition) (inner value.content)
    else if tagged "merge" value then concatMap inner value.contents
    else if tagged "override" value then wrap (mkOverride value.priority) (inner value.content)
    else if isAttrs value && !(value ? outPath) then
      [ { inherit (definition) file; line = definition.line or null; set = value; wrap = member: member; } ]
    else
      throw "${place definition}: `${dotted path}` holds options, and cannot be ${shown value}";

  member = name: layer: placeOf name layer.set layer // { value = layer.wrap layer.set.${name}; };

  # Options and values below a path.
  evaluate = path: declarations: definitions:
    let
      sets = concatMap (layers path) definitions;
      names = attrNames (foldl' (all: d: all // d.value) { } declarations);
      unknown = concatMap (layer: map (name: { inherit name layer; })
        (filter (name: !(elem name names)) (attrNames layer.set))) sets;
      first = head unknown;
      below = map (name: {
        inherit name;
        value = one (path ++ [ name ])
          (concatMap (d: if d.value ? ${name} then [ (placeOf name d.value d // { value = d.value.${name}; }) ] else [ ]) declarations)
          (concatMap (layer: if layer.set ? ${name} then [ (member name layer) ] else [ ]) sets);
      }) names;
      results = listToAttrs below;
    in
    {
      options = mapAttrs (_: it: it.options) results;
      config =
        if unknown == [ ] then mapAttrs (_: it: it.config) results
        else throw "${place (member first.name first.layer)}: there is no option `${dotted (path ++ [ first.name ])}`${suggestion first.name names}";
    };

  one = path: declarations: definitions:
    let declared = filter (d: isOption d.value) declarations; in
    if declared == [ ] then
      evaluate path
        (map (d: if isAttrs d.value then d
        else throw "${place d}: `options.${dotted path}` should be an option or a set of options, and is ${shown d.value}") declarations)
        definitions
    else if length declarations > 1 then
      throw ("the option `${dotted path}` is declared more than once:"
        + builtins.concatStringsSep "" (map (d: "\n  ${place d}") declarations))
    else option path (head declared) definitions;

  option = path: declaration: definitions:
    let
      declared = declaration.value;
      type = declared.type or types.unspecified;
      default = if declared ? default then [ {
        inherit (declaration) file line;
        value = mkOverride 1500 declared.default;
      } ] else [ ];
      readOnly = (declared.readOnly or false) && length (concatMap discharge definitions) > (if declared ? default then 0 else 1);
      left = chosen (definitions ++ default);
      found =
        if readOnly then throw "${place (head definitions)}: the option `${dotted path}` is given by Doorward and can only be read"
        else if left != [ ] then checked path type left
        else type.emptyValue.value or (throw
          ("the option `${dotted path}` has no value" + (if declared ? description then " (${toString declared.description})" else "")
          + "; it is declared in ${place declaration}"));
      value = (declared.apply or (it: it)) found;
    in
    {
      config = value;
      options = declared // {
        inherit value type;
        loc = path;
        isDefined = left != [ ];
        definitions = map (d: d.value) left;
        files = map (d: d.file) left;
      };
    };

  evalModules = { modules, specialArgs ? { }, prefix ? [ ] }:
    let
      own = { inherit lib; inherit (result) config options; } // specialArgs;
      loaded = reverse (loadAll arguments modules);
      arguments = file: function: own // mapAttrs
        (name: _: own.${name} or (given.${name} or (throw
          "${argumentPlace file function name}there is no module argument `${name}`${suggestion name (attrNames (own // given))}")))
        (functionArgs function);
      # What modules define as `_module.args`, which no option declares.
      tops = concatMap (module: layers prefix { inherit (module) file line; value = module.config; }) loaded;
      defined = concatMap (layer: layers (prefix ++ [ "_module" ]) (member "_module" layer)) (filter (layer: layer.set ? _module) tops);
      given = builtins.zipAttrsWith (name: mergeDefinitions [ "_module" "args" name ] types.raw)
        (concatMap (layer: map (set: mapAttrs (name: _: member name set) set.set)
          (layers [ "_module" "args" ] (member "args" layer))) (filter (layer: layer.set ? args) defined));
      result = evaluate prefix
        (map (module: { inherit (module) file line; value = module.options; }) loaded)
        (map (module: { inherit (module) file line; value = hide module.config; }) loaded);
    in
    { inherit (result) config options; };

  # A module's definitions without `_module`, wherever it stands in what is wrapped around them.
  hide = value:
    if tagged "merge" value then value // { contents = map hide value.contents; }
    else if isAttrs value && value ? content then value // { content = hide value.content; }
    else if isAttrs value && value ? _module then removeAttrs value [ "_module" ]
    else value;
in
{
  inherit evalModules mergeDefinitions mergeOptional members;
  inherit mkIf mkMerge mkOverride mkOrder mkOption;
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkOptionDefault = mkOverride 1500;
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  mkEnableOption = what: mkOption { type = types.bool; default = false; description = "Whether to enable ${what}."; };
}
