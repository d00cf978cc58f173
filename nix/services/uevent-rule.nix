# A service that is up exactly while a device that matches is there. One controller has the rules of
# all of them.
{ serviceType, controlled, joined, optional, flag, number, lib, longrun, ... }:
let
  inherit (builtins) attrNames isAttrs isBool isInt isList isString;
  inherit (lib) mkOption types;
  plain = where: value:
    if isString value then value
    else if isInt value then toString value
    else throw "uevent-rule: `${where}` takes a text or a number, with `*`, `?` and `[…]` as patterns";
  letters = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyz-";
  upper = lib.replaceStrings letters (lib.stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
  pairs = key: upper: set: map (name: "${key} ${upper name}=${plain "${key}.${name}" set.${name}}\n") (attrNames set);
  same = name: name;
  term = name: value:
    if lib.elem name [ "subsystem" "devtype" "path" ] then [ "${name} ${plain name value}\n" ]
    else if lib.elem name [ "attr" "attrs" ] then pairs "attr" same value
    else if lib.elem name [ "parent-attr" "parentAttr" "parentAttrs" ] then pairs "parent-attr" same value
    else if lib.elem name [ "property" "properties" ] then pairs "property" upper value
    else if name == "carrier" && isBool value then [ "carrier ${if value then "yes" else "no"}\n" ]
    else if isAttrs value then throw "uevent-rule: there are no terms `${name}`; there are attrs, parentAttrs and properties"
    # As everybody writes it: `partname = "backup"`.
    else pairs "property" upper { ${name} = value; };
  alternative = terms: lib.concatStrings (lib.concatLists (lib.mapAttrsToList term terms));
in
{
  description = "a service that is up while a device is there (ward hotplug)";
  parameters = {
    service = mkOption { type = serviceType; description = "the service"; };
    terms = mkOption {
      type = types.either types.attrs (types.listOf types.attrs);
      description = "what must be true of the device: subsystem, devtype, path, attrs.NAME, parentAttrs.NAME, properties.NAME, carrier; any other name is that of a property. A list: alternatives";
    };
    settle = optional types.ints.unsigned "milliseconds that the device must have been there";
    restartWhenReplaced = flag false "its device has gone while another is there: start again with that one; otherwise only its outputs change";
    symlink = optional (types.strMatching "[^/[:space:]].*") "the name of a link in /dev to the device's node";
  };
  build = p:
    let
      inherit (p.service) name;
      alternatives = if isList p.terms then p.terms else [ p.terms ];
      rule = lib.concatStringsSep "or\n" (map alternative alternatives)
        + lib.optionalString (p.settle != null) "settle ${toString p.settle}\n"
        + lib.optionalString p.restartWhenReplaced "replaced restart\n"
        + lib.optionalString (p.symlink != null) "link ${p.symlink}\n";
    in
    controlled {
      inherit (p) service;
      controller = joined (longrun {
        name = "hotplug";
        inherit (p) dependencies;
        notification-fd = 3;
        run = "exec ward hotplug hotplug\n";
        controller.kind = "hotplug";
        controls.${name} = rule;
      });
    };
}
