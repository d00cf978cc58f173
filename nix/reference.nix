# Every option and every template by name, with what it is for; docs/guide/configuration.md tells of
# all of them.
lib: options: templates:
let
  inherit (builtins) attrNames concatMap isAttrs listToAttrs;
  is = tag: value: isAttrs value && (value._type or null) == tag;
  walk = tag: found: path: set: concatMap
    (name:
      let value = set.${name}; inner = path ++ [ name ]; in
      if is tag value then [ { name = lib.concatStringsSep "." inner; value = found value; } ]
      else if isAttrs value && !(value ? _type) then walk tag found inner value
      else [ ])
    (attrNames set);
  names = tag: found: set: listToAttrs (walk tag found [ ] set);
in
{
  options = names "option" (option: option.description or "") (removeAttrs options [ "_module" ]);
  templates = names "service-template"
    (template: {
      description = template.description or "";
      parameters = names "option" (option: option.description or "") (template.parameters or { });
    })
    templates;
}
