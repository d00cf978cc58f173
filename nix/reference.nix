# Every option and every template by name, with what it is for: docs/reference is made of it, and
# docs/guide/configuration.md tells of all of them.
lib: options: templates:
let
  inherit (builtins) attrNames concatMap isAttrs isBool isFunction isInt isList isPath isString listToAttrs
    match replaceStrings toJSON tryEval;
  is = tag: value: isAttrs value && (value._type or null) == tag;
  walk = tag: found: path: set: concatMap
    (name:
      let value = set.${name}; inner = path ++ [ name ]; in
      if is tag value then found inner value
      else if isAttrs value && !(value ? _type) then walk tag found inner value
      else [ ])
    (attrNames set);
  dotted = path: replaceStrings [ ".[…]" ] [ "[…]" ] (lib.concatStringsSep "." path);

  # An option, and all that its type has below it.
  option = path: it:
    let type = it.type or { description = "anything"; }; in
    [ {
      name = dotted path;
      value = {
        description = it.description or "";
        type = type.description;
        readOnly = it.readOnly or false;
        default =
          if it ? defaultText then it.defaultText
          else if !(it ? default) then null
          else let text = written it.default; tried = tryEval (builtins.deepSeq text text); in
          if tried.success then tried.value else "(depends on others)";
      };
    } ] ++ below path type;
  below = path: type:
    concatMap (part: below (path ++ lib.optional (part.word != "") (lib.removePrefix "." part.word)) part.type) (type.inner or [ ])
    ++ lib.optionals (type ? module) (walk "option" option path (removeAttrs (optionsOf type.module) [ "_module" ]));
  optionsOf = module: (lib.evalModules {
    modules = (if isList module then module else [ module ]) ++ [ { _module.args.name = "NAME"; } ];
  }).options;

  # A value as one would write it in a configuration.
  written = value:
    if value == null then "null"
    else if isString value then toJSON value
    else if isBool value || isInt value then toJSON value
    else if isList value then if value == [ ] then "[ ]" else "[ ${lib.concatMapStringsSep " " element value} ]"
    else if isFunction value then "(a function)"
    else if isPath value then toString value
    else if isAttrs value && value ? outPath then "(the package ${value.name or "without a name"})"
    else if is "service" value then "(the service ${value.name})"
    else if isAttrs value then
      if value == { } then "{ }"
      else "{ ${lib.concatMapStringsSep " " (name: "${key name} = ${written value.${name}};") (attrNames value)} }"
    else toJSON value;
  element = value: if isInt value && value < 0 then "(${toString value})" else written value;
  key = name: if match "[A-Za-z_][A-Za-z0-9_'-]*" name != null then name else toJSON name;
in
{
  options = listToAttrs (walk "option" option [ ] (removeAttrs options [ "_module" ]));
  templates = listToAttrs (walk "service-template"
    (path: template: [ {
      name = dotted path;
      value = {
        description = template.description or "";
        parameters = listToAttrs (walk "option" option [ ] (template.parameters or { }));
      };
    } ])
    [ ]
    templates);
}
