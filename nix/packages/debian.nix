# Packages for the store, made of Debian's: those of lock.json, for one processor.
#
# They are downloaded before (`doorward packages fetch`); here they are only unpacked and made
# to find each other in the store. An attribute's name is Debian's, or that of nixpkgs where
# the table below has one.
{ processor # one of processors.nix
, folder    # where the packages were fetched to
}:
let
  inherit (builtins) attrNames concatLists elem filter genericClosure head listToAttrs map pathExists;

  lockFile = folder + "/lock.json";
  lock =
    if pathExists lockFile then builtins.fromJSON (builtins.readFile lockFile)
    else throw "Debian's packages are not there yet: `doorward packages fetch` puts them into ${toString folder}";
  packagesOf = architecture: lock.${architecture} or (throw
    "Debian's packages for ${architecture} are not there yet: run `doorward packages fetch ${architecture}`");
  locked = packagesOf processor.debian;

  # What Debian's versions may hold and the names of store paths may not.
  legal = builtins.replaceStrings [ "~" ":" "%" ] [ "-" "-" "-" ];
  deb = architecture: name:
    let package = (packagesOf architecture).${name}; in builtins.path {
      name = legal "${name}-${package.version}.deb";
      path = folder + "/${architecture}/${package.file}";
      recursive = false;
      inherit (package) sha256;
    };

  bootstrap = builtins.path { name = "bootstrap-busybox"; path = folder + "/bootstrap"; };
  script = file: builtins.path { name = baseNameOf file; path = file; };
  run = attributes: derivation ({
    system = "x86_64-linux"; # The build machine's programs are of this kind.
    builder = "${bootstrap}/busybox";
    PATH = bootstrap;
  } // attributes);

  # patchelf as it is in Debian's package, through the loader in another one.
  patchelf = run {
    name = "patchelf-unpacked";
    args = [ "sh" "-eu" (script ./unpack-only.sh) ];
    debs = map (deb "amd64") [ "libc6" "libgcc-s1" "libstdc++6" "patchelf" ];
  };

  # libc6 and libgcc-s1 need each other, and a store has no circles.
  glibc = [ "libc6" "libgcc-s1" ];
  parts = name: if name == "glibc" then glibc else [ name ];
  place = name: if elem name glibc then "glibc" else name;
  needs = name: filter (need: need != name)
    (map place (concatLists (map (part: locked.${part}.needs) (parts name))));
  allNeeds = name: filter (need: need != name) (map (item: item.key) (genericClosure {
    startSet = [ { key = name; } ];
    operator = item: map (key: { inherit key; }) (needs item.key);
  }));

  # What of a package a device has no use for, as patterns below its root. (What nobody uses, such
  # as manual pages, unpack.sh leaves out of all of them.)
  unused = {
    # Character sets, the parts for debuggers and profilers, and names of libraries that are parts of
    # libc by now: two thirds of it.
    glibc = "bin libexec lib/gconv lib/audit lib/libBrokenLocale* lib/libanl* lib/libc_malloc_debug*"
      + " lib/libmemusage* lib/libmvec* lib/libnsl* lib/libnss_* lib/libpcprofile* lib/librt.so*"
      + " lib/libthread_db* lib/libutil* share";
    # For programs with threads that change their capabilities.
    libcap2 = "lib/libpsx*";
    # The server and what makes its key. `dropbear-bin` is the whole of it, with a client.
    dropbear = "bin/dropbearconvert bin/dbclient";
    # For programs that compile descriptions of terminals.
    libtinfo6 = "lib/libtic*";
    # Made on the build machine, by `mtd-utils`.
    mtdutils = "bin/mkfs.*";
    ppp = "bin/chat bin/poff bin/pon bin/plog bin/pppdump bin/pppstats etc share"
      + " lib/pppd/*/minconn* lib/pppd/*/pass* lib/pppd/*/pppoatm* lib/pppd/*/pppol2tp*"
      + " lib/pppd/*/openl2tp* lib/pppd/*/rad* lib/pppd/*/winbind*";
  };

  make = name: debianName: run {
    name = legal "${name}-${locked.${head (parts debianName)}.version}";
    args = [ "sh" "-eu" (script ./unpack.sh) ];
    debs = map (deb processor.debian) (parts debianName);
    needs = map (need: packages.${need}) (allNeeds debianName);
    inherit (processor) debianTriplet;
    interpreter = if debianName == "glibc" then "" else "${packages.glibc}/lib/${processor.loader}";
    # Scripts of what busybox itself needs have no interpreter, and are left out.
    shell = if elem debianName ([ "glibc" "busybox" ] ++ allNeeds "busybox") then "" else "${packages.busybox}/bin/sh";
    unused = unused.${name} or "";
    applets = if debianName == "busybox" then applets else "";
    inherit patchelf;
  } // { pname = name; inherit (locked.${head (parts debianName)}) version; };

  # A busybox that this machine can run says what it is; the device's says the same.
  applets =
    if processor.debian == "amd64" then "self"
    else "${(import ./debian.nix { processor = import ../processors.nix "x86_64"; inherit folder; }).busybox}/bin/busybox";

  # A kernel by its general name, which is a package that needs the newest one.
  kernel = name:
    let package = locked.${name} or (throw "there is no kernel ${name} among Debian's packages for ${processor.debian}"); in
    run {
      name = legal "${name}-${package.version}";
      args = [ "sh" "-eu" (script ./unpack-kernel.sh) ];
      deb = deb processor.debian (head package.needs);
    };
  # The same with modules that it lacks, for this version of it.
  kernelWithAdditions = name: run {
    name = legal "${name}-${locked.${name}.version}-with-additions";
    args = [ "sh" "-euc" ''
      mkdir -p $out/modules/kernel
      ln -s $kernel/vmlinuz $kernel/version $out/
      ln -s $kernel/modules/modules.builtin $out/modules/
      ln -s $kernel/modules/kernel $out/modules/kernel/own
      ln -s $additions $out/modules/kernel/additions
    '' ];
    kernel = kernel name;
    additions = additions locked.${name}.version;
  };
  additions = version:
    let path = folder + "/${processor.debian}/modules-${version}"; in
    if pathExists path then builtins.path { inherit path; name = legal "modules-${version}"; }
    else throw "modules for the kernel ${version} (${processor.debian}) are not built yet: `doorward packages modules` does it";

  # The names that nixpkgs has for them.
  renamed = removeMissing {
    dnsmasq = "dnsmasq-base";
    dropbear = "dropbear-bin";
    iana-etc = "netbase";
    mtdutils = "mtd-utils";
    squashfsTools = "squashfs-tools";
  };
  removeMissing = names:
    removeAttrs names (filter (name: !(locked ? ${names.${name}})) (attrNames names));
  named = names: make: listToAttrs (map (name: { inherit name; value = make name; }) names);
  own = filter (name: !(elem name glibc)) (attrNames locked) ++ [ "glibc" ];
  packages = named own (name: make name name)
    // builtins.mapAttrs make renamed
    // { inherit kernel kernelWithAdditions; };
in
packages
