# Functions of `lib`, each with odd cases; functions.json is what nixpkgs' own say.
l:
{
  shell = l.escapeShellArgs [ "a b" "x=y" "it's" "" "a/b" "ü" ];
  strings = [ (l.removePrefix "ab" "abc") (l.removeSuffix "c" "abc") (l.hasInfix "b." "ab.c") (l.hasInfix "b." "abxc") (l.splitString "." "a.b..c") (l.trim "  a b \n") (l.trim "") (l.toLower "AbC") ];
  lists = [ (l.take 2 [1 2 3]) (l.drop 2 [1 2 3]) (l.take 9 [1]) (l.drop 9 [1]) (l.imap1 (i: x: i * x) [1 2 3]) (l.range 2 4) (l.range 4 2) (l.unique [1 2 1]) (l.flatten [1 [2 [3]]]) (l.last [1 2]) (l.init [1 2]) (l.reverseList [1 2 3]) (l.findFirst (x: x > 1) 0 [1 2 3]) (l.zipListsWith (a: b: a + b) [1 2] [3 4 5]) (l.subtractLists [1] [1 2]) (l.remove 2 [1 2 3])];
  sets = [ (l.recursiveUpdate {a.b=1;a.c=2;} {a.b=3;d=1;}) (l.filterAttrs (n: v: v > 1) {a=1;b=2;}) (l.mapAttrs' (n: v: l.nameValuePair (n + "x") v) {a=1;}) (l.genAttrs ["a" "b"] (n: n)) (l.attrByPath ["a" "b"] 0 {a.b=1;}) (l.attrByPath ["a" "c"] 0 {a.b=1;}) (l.setAttrByPath ["a" "b"] 1) (l.getAttrFromPath ["a"] {a=1;}) (l.mapAttrsToList (n: v: n) {b=1;a=2;})];
  others = [ (l.concatLines ["a" "b"]) (l.concatMapStringsSep "-" toString [1 2]) (l.concatStrings ["a" "b"]) (l.boolToString true) (l.escape ["a"] "banana") (l.optionalString false "x") (l.optionals true [1]) (l.optional false 1) (l.optionalAttrs true {a=1;}) (l.toList 1) (l.concatMapAttrsStringSep "," (n: v: n) {a=1;b=2;}) (l.pipe 1 [(x: x+1) toString]) (l.min 1 2) (l.max 1 2) (l.escapeRegex "a.b*c") (l.stringToCharacters "ab") (l.const 1 2) (l.flip (a: b: a) 1 2)];
}
