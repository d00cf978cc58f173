# Services as values: what makes them, and all that a set of them needs.
#
# A service is made by `longrun`, `oneshot` or `bundle`, and named by others as a value: whatever a
# service needs comes along with it, and its controller. In text a service stands for the folder of
# its outputs.
{ lib, busybox }:
let
  inherit (builtins) any attrNames concatMap elem filter foldl' genericClosure hashString head length listToAttrs
    map substring tail toJSON unsafeDiscardStringContext unsafeGetAttrPos;
  inherit (lib) mkOption types;
  text = import ./lib/text.nix;

  mergeOne = path: definitions:
    if tail definitions == [ ] then (head definitions).value
    else throw "`${text.dotted path}` is given by several modules: ${lib.concatMapStringsSep ", " (d: toString d.file) definitions}";
  serviceType = lib.mkOptionType {
    name = "service";
    description = "a service";
    check = value: builtins.isAttrs value && (value._type or null) == "service";
    merge = mergeOne;
  };
  isService = value: builtins.isAttrs value && (value._type or null) == "service";
  # What is done when a need runs afresh, or says something else: a service that is needed with that
  # word, and perhaps one of its outputs.
  reactions = [ "ignore" "notify" "restart" ];
  isDependency = value: isService value
    || builtins.isAttrs value && isService (value.service or null) && elem (value.on-restart or "ignore") reactions
    && removeAttrs value [ "_type" "__toString" "service" "on-restart" "output" ] == { };
  dependencyType = lib.mkOptionType {
    name = "dependency";
    description = "a service, or `{ service = …; on-restart = \"ignore\" | \"notify\" | \"restart\"; }`";
    check = isDependency;
    merge = mergeOne;
  };
  outputRefType = lib.mkOptionType {
    name = "output reference";
    description = "an output of a service (`outputRef`)";
    check = value: builtins.isAttrs value && (value._type or null) == "output-reference";
    merge = mergeOne;
  };
  serviceOf = need: if isService need then need else need.service;
  templateType = lib.mkOptionType {
    name = "template";
    description = "a template of services";
    check = value: builtins.isAttrs value && (value._type or null) == "service-template";
    merge = mergeOne;
  };

  # Where a call was written: that of its first argument.
  placeOf = arguments:
    let
      places = filter (place: place != null) (map (name: unsafeGetAttrPos name arguments) (attrNames arguments));
      first = foldl' (a: b: if b.line < a.line then b else a) (head places) places;
    in
    if places == [ ] then "(somewhere)" else "${first.file}:${toString first.line}";

  # Arguments that became typed parameters, with their defaults.
  parametersOf = path: declared: arguments: (lib.evalModules {
    prefix = path;
    modules = [
      { options = declared; }
      (if builtins.isAttrs arguments then { _file = placeOf arguments; config = arguments; }
      else throw "`${text.dotted path}` takes a set of arguments, and was given ${text.shown arguments}")
    ];
  }).config;

  number = description: default: mkOption { type = types.nullOr types.ints.unsigned; inherit default description; };
  script = description: mkOption { type = types.nullOr types.lines; default = null; inherit description; };
  flag = description: mkOption { type = types.bool; default = false; inherit description; };
  named = {
    name = mkOption { type = types.strMatching "[^/.[:space:]][^/[:space:]]*"; description = "what it is called on the device"; };
  };
  needing = {
    dependencies = mkOption { type = types.listOf dependencyType; default = [ ]; description = "what must be up before it"; };
    outputs-owner = mkOption { type = types.nullOr types.str; default = null; description = "the user whom its outputs belong to"; };
    timeout-up = number "milliseconds to become ready, null: no limit" 20000;
    timeout-down = number "milliseconds to go down" null;
    flag-essential = flag "only an explicit order takes it down";
    flag-recommended = flag "for tools that choose services";
  };
  kinds = {
    longrun = named // needing // {
      run = mkOption { type = types.lines; description = "the program: a script, with or without its first line"; };
      finish = script "a script that runs after each death";
      notification-fd = number "the descriptor on which it says that it is ready" null;
      lock-fd = number "a descriptor that stays locked while it lives" null;
      timeout-kill = number "milliseconds from the down signal to SIGKILL" null;
      timeout-finish = number "milliseconds that finish may take" null;
      max-death-tally = number "deaths to remember" null;
      restart-wait = number "milliseconds from one start to the next, at least" null;
      down-signal = mkOption { type = types.nullOr types.str; default = null; description = "the signal that ends it"; };
      reload-signal = mkOption { type = types.nullOr types.str; default = null; description = "the signal that has it read its settings again"; };
      flag-newpidns = flag "a pid namespace of its own";
      flag-timeout-killpg = flag "SIGKILL goes to its process group";
      producer-for = mkOption { type = types.nullOr types.str; default = null; description = "the name of the service that reads its output"; };
      consumer-for = mkOption { type = types.listOf types.str; default = [ ]; description = "the names of the services whose output it reads"; };
      pipeline-name = mkOption { type = types.nullOr types.str; default = null; description = "a bundle of the whole pipeline that ends here"; };
      controller = mkOption {
        type = types.nullOr (types.submodule {
          options = {
            kind = mkOption { type = types.enum [ "hotplug" "round-robin" "health-check" "other" ]; description = "what it goes by"; };
            settings = mkOption { type = types.lines; default = ""; description = "its settings: lines of a key and a value"; };
          };
        });
        default = null;
        description = "it says when other services are up";
      };
      controls = mkOption { type = types.attrsOf types.lines; default = { }; description = "the services that it controls, by name, each with its settings"; };
      data = mkOption { type = types.attrsOf types.lines; default = { }; description = "files of its folder data, by name"; };
      env = mkOption { type = types.attrsOf types.str; default = { }; description = "files of its folder env, by name"; };
    };
    oneshot = named // needing // {
      up = mkOption { type = types.lines; default = ""; description = "a script that brings it up"; };
      down = script "a script that brings it down";
      reload = script "a script that has it read its settings again";
    };
    bundle = named // {
      contents = mkOption { type = types.listOf serviceType; description = "the services it stands for"; };
      flag-essential = flag "all it holds is essential";
      flag-recommended = flag "all it holds is recommended";
    };
  };

  outputsOf = name: "/run/services/outputs/${name}";

  # Programs of busybox are those of one store path, and change with it. What the profile holds
  # (`ward`, for one) is the one that runs now: its update restarts nothing.
  path = "PATH=${busybox}/bin:/bin";
  # `read`: lines that put outputs of others into variables.
  whole = read: name: body:
    if substring 0 2 body != "#!" then "#!${busybox}/bin/sh -e\nexec 2>&1\n${path}\nexport PATH\n${read}${body}"
    else if read == "" then body
    else throw "the service `${name}` refers to outputs, which its script would have to read itself, as it has a first line of its own";
  words = read: name: body:
    if builtins.match "[[:space:]]*" body != null then [ ]
    else [ "${busybox}/bin/sh" "-ec" "exec 2>&1\n${path}\nexport PATH\n${read}${body}" name ];
  variable = need: "output_${lib.replaceStrings [ "-" "." ":" "@" "+" ] [ "_" "_" "_" "_" "_" ] "${need.service.name}_${need.output}"}";
  readOutput = need: "ward output get ${lib.escapeShellArg need.service.name} ${lib.escapeShellArg need.output}";

  service = type: arguments: extra:
    let
      given = parametersOf [ type arguments.name or "(without a name)" ] kinds.${type} arguments;
      # What must be there is there even where it is nothing.
      isSet = name: elem name [ "contents" "up" ] || !(elem given.${name} [ null false [ ] { } ]);
      set = filter isSet (attrNames kinds.${type});
      dependencies = given.dependencies or [ ];
      referred = filter (need: need ? output) dependencies;
      # Whoever starts ends here, with a message, where one of them is missing; whoever ends goes on.
      read = lib.concatMapStrings (need: "${variable need}=$(${readOutput need})\n") referred;
      readAtEnd = lib.concatMapStrings (need: "${variable need}=$(${readOutput need} 2>/dev/null) || ${variable need}=\n") referred;
      reacting = filter (need: need.on-restart or "ignore" != "ignore") dependencies;
      value = name: {
        run = whole read given.name given.run;
        finish = whole readAtEnd given.name given.finish;
        up = words read given.name given.up;
        down = words readAtEnd given.name given.down;
        reload = words read given.name given.reload;
        controller = "kind ${given.controller.kind}\n${given.controller.settings}";
        dependencies = lib.unique (map (need: (serviceOf need).name) dependencies);
        contents = map (part: part.name) given.contents;
      }.${name} or given.${name};
    in
    {
      _type = "service";
      inherit type;
      inherit (given) name;
      # What the compiler is given; the others know it by its name.
      definition = { inherit type; } // listToAttrs
        (map (name: { inherit name; value = value name; }) (filter (name: name != "name") set))
        // lib.optionalAttrs (reacting != [ ]) {
          on-restart = listToAttrs (map (need: { inherit (need.service) name; value = need.on-restart; }) reacting);
        };
      needs = map serviceOf dependencies ++ given.contents or [ ];
      # What it speaks of without having to wait for it.
      related = [ ];
      # What it needs of the kernel, if that has it as modules.
      modules = [ ];
      place = placeOf arguments;
      outputs = outputsOf given.name;
      __toString = self: self.outputs;
    } // extra;
in
rec {
  inherit serviceType templateType dependencyType outputRefType outputsOf;

  # An output of a service, for the scripts of one that has it among its `dependencies`: in text it
  # stands for its value. It is read at the start, which fails where it is missing, and again when it
  # changes: what refers to it is restarted then, or as `// { on-restart = …; }` says.
  outputRef = service: output: {
    _type = "output-reference";
    inherit service output;
    on-restart = "restart";
    __toString = self: "\${${variable self}?the output ${self.output} of ${self.service.name} is not among the dependencies}";
  };
  # A need, and what is done when it runs afresh.
  onRestart = on-restart: service: { inherit service on-restart; };

  # A service that `controller` controls: whoever uses it has that as well.
  controlled = { service, controller }: service // { inherit controller; related = service.related ++ [ controller ]; };
  # A controller of which several are one, with what each of them controls.
  joined = controller: controller // { joined = true; };

  longrun = arguments: service "longrun" arguments { };
  oneshot = arguments: service "oneshot" arguments { };
  bundle = arguments: service "bundle" arguments { };
  target = bundle;

  # A template: `parameters` are options, `build` makes a service of their values. Every service
  # may be given another name and further needs.
  template = { name, description, parameters ? { }, build }: {
    _type = "service-template";
    inherit description parameters;
    build = arguments:
      let
        common = {
          name = mkOption { type = types.nullOr types.str; default = null; description = "what it is called on the device"; };
          dependencies = needing.dependencies // { description = "what must be up before it, besides what the arguments name"; };
        };
        given = parametersOf (lib.splitString "." name ++ [ "build" ]) (common // parameters) arguments;
      in
      build given // { place = placeOf arguments; };
    # `svc.ssh { … }` is the same as `svc.ssh.build { … }`.
    __functor = self: self.build;
  };

  # All services that `roots` need, by name.
  collect = roots:
    let
      meaning = service: hashString "sha256" (unsafeDiscardStringContext (toJSON service.definition));
      item = service: {
        # Two that differ in anything are two; and one brings along its controller, which another that
        # is the same otherwise may not know.
        key = "${service.name} ${meaning service} ${service.controller.name or ""}";
        inherit service;
      };
      all = map (found: found.service) (genericClosure {
        startSet = map item roots;
        operator = found: map item (found.service.needs ++ found.service.related);
      });
      byName = builtins.groupBy (service: service.name) all;
      same = found: lib.unique (map meaning found) == [ (meaning (head found)) ];
      one = name: found:
        if tail found == [ ] then head found
        else if builtins.all (service: service.joined or false) found then join name found
        else if same found then head (filter (service: service ? controller) found ++ found)
        else throw ("there are two services called `${name}`:"
          + lib.concatMapStrings (service: "\n  ${service.place}") found
          + "\n  `name = …;` gives one of them another name");
      join = name: found:
        let
          controls = builtins.zipAttrsWith (controlled: texts:
            if lib.unique texts == [ (head texts) ] then head texts
            else throw "`${name}` has two rules for the service `${controlled}`; a list of terms has alternatives")
            (map (service: service.definition.controls) found);
          each = name: concatMap (service: service.definition.${name} or [ ]) found;
        in
        head found // {
          definition = (head found).definition // { inherit controls; dependencies = lib.unique (each "dependencies"); };
        };
      collected = builtins.mapAttrs one byName;
      # The boot brings up `default`: also what controls anything that is meant by it.
      meant = map (found: found.key) (genericClosure {
        startSet = [ { key = "default"; } ];
        operator = { key }: map (need: { key = need.name; }) (collected.${key}.needs or [ ]);
      });
      controls = name: any (controlled: elem controlled meant) (attrNames (collected.${name}.definition.controls or { }));
      missing = filter (name: controls name && !(elem name meant)) (attrNames collected);
      default = collected.default // {
        definition = collected.default.definition // { contents = collected.default.definition.contents ++ missing; };
        needs = collected.default.needs ++ map (name: collected.${name}) missing;
      };
    in
    if (collected.default.type or null) == "bundle" && missing != [ ] then collected // { inherit default; } else collected;

  # A bundle for each attribute of `services` that is called otherwise than its service: on the
  # device it can be named both ways.
  aliases = services: collected: concatMap
    (name: if collected ? ${name} || services.${name}.name == name then [ ]
    else [ (bundle { inherit name; contents = [ services.${name} ]; }) ])
    (attrNames services);
}
