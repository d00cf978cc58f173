# How values and places are written in messages, and which name was meant.
let
  inherit (builtins) concatStringsSep elemAt filter foldl' genList head isAttrs isFunction isList
    isString length match sort stringLength substring toJSON toString typeOf;

  characters = text: genList (at: substring at 1 text) (stringLength text);
  smaller = a: b: if a < b then a else b;

  # Edits (insert, delete, replace, exchange of neighbours) from one word to another: the last row
  # of the usual table.
  distance = a: b:
    let
      from = characters a;
      to = characters b;
      places = list: genList (at: at) (length list);
      row = rows: i:
        let
          letter = elemAt from i;
          cell = new: j:
            let
              here = elemAt to j;
              best = smaller (1 + smaller (elemAt new j) (elemAt rows.old (j + 1)))
                (elemAt rows.old j + (if here == letter then 0 else 1));
              exchanged = i > 0 && j > 0 && here == elemAt from (i - 1) && letter == elemAt to (j - 1);
            in
            new ++ [ (if exchanged then smaller best (1 + elemAt rows.older (j - 1)) else best) ];
        in
        { older = rows.old; old = foldl' cell [ (1 + head rows.old) ] (places to); };
    in
    elemAt (foldl' row { older = [ ]; old = genList (at: at) (length to + 1); } (places from)).old (length to);
in
rec {
  # The name that `wanted` was most likely meant to be, or null: at most a third of it is wrong.
  nearest = wanted: names:
    let
      allowed = let third = stringLength wanted / 3; in if third < 1 then 1 else third;
      measured = map (name: { inherit name; edits = distance wanted name; }) names;
      near = sort (a: b: a.edits < b.edits) (filter (it: it.edits <= allowed) measured);
    in
    if near == [ ] then null else (head near).name;

  # Behind a message about a name that is not there.
  suggestion = wanted: names:
    let near = nearest wanted names; in
    if near != null then "; did you mean `${near}`?"
    else if names == [ ] || length names > 12 then ""
    else "; there are ${concatStringsSep ", " names}";

  # A path of attributes and places in lists, as one would write it.
  dotted = path: foldl' (text: name: if text == "" || substring 0 1 name == "[" then text + part name else "${text}.${part name}") "" path;
  part = name: if match "[A-Za-z_][A-Za-z0-9_'-]*|\\[[0-9]+]" name != null then name else toJSON name;

  # A value, short enough for a line.
  shown = value:
    if isString value || value == null || typeOf value == "int" || typeOf value == "bool" || typeOf value == "float"
    then
      let text = toJSON value; in
      if stringLength text > 60 then "${substring 0 57 text}…" else text
    else if isFunction value then "a function"
    else if isList value then "a list"
    else if isAttrs value && value ? outPath then "the package ${value.name or "without a name"}"
    else if isAttrs value && value._type or null == "service" then "the service ${value.name}"
    else if isAttrs value then "a set"
    else "a ${typeOf value}";

  # Where a definition stands.
  place = definition:
    if definition.line or null == null then toString definition.file
    else "${toString definition.file}:${toString definition.line}";
}
