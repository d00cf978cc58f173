# Evaluates every option that has a value, so that what is wrong is found also where nobody reads it.
# What stands for something larger (packages, services, templates) is not looked into.
lib:
let
  inherit (builtins) attrValues foldl' isAttrs isFunction isList seq;
  all = foldl' (done: value: seq (walk value) done) true;
  walk = value:
    if isList value then all value
    else if isAttrs value && !(value ? _type || value ? outPath || value ? __functor) then all (attrValues value)
    else seq value true;
  options = tree:
    if (tree._type or null) == "option" then (if tree.isDefined then walk tree.value else true)
    else foldl' (done: name: seq (if name == "_module" then true else options tree.${name}) done) true (builtins.attrNames tree);
in
options
