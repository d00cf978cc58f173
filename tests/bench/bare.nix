# The services of a configuration without `ward`, once the root file system is there: a shell script
# does what early boot would do, and then starts one after the other. What `make bench` compares with.
{ config, lib, pkgs, services, ... }:
let
  collected = services.collect (lib.attrValues config.services);
  # In the order of needs, as somebody would write it down by hand.
  ordered = lib.foldl' visit [ ] (lib.attrNames collected);
  visit = done: name:
    if lib.elem name done then done
    else lib.foldl' visit done (map (need: need.name) collected.${name}.needs) ++ [ name ];
  step = name:
    let it = collected.${name}.definition; in
    if it.type == "oneshot" then "( ${lib.concatStringsSep " " (map lib.escapeShellArg it.up)} )\n"
    else if it.type == "longrun" then ''
      mkdir -p /run/bare/${name}/data
      ${lib.concatStrings (lib.mapAttrsToList (file: text: "cat >/run/bare/${name}/data/${file} <<'END'\n${text}END\nchmod +x /run/bare/${name}/data/${file}\n") (it.data or { }))}
      cat >/run/bare/${name}/run <<'END'
      ${it.run}END
      chmod +x /run/bare/${name}/run
      ( cd /run/bare/${name} && exec ./run ) </dev/null >/run/bare/${name}/log 2>&1 ${lib.optionalString (it ? notification-fd) "${toString it.notification-fd}>/dev/null"} &
    ''
    else "";
in
{
  boot.commandLine = lib.mkAfter [ "init=/boot/system/root/etc/bare" ];
  filesystem."/etc/bare" = {
    executable = true;
    text = ''
      #!${pkgs.busybox}/bin/sh
      PATH=${pkgs.busybox}/bin
      export PATH
      ln -s /boot/system /run/current-system
      tab="$(printf '\t')"
      while IFS="$tab" read -r kind a b c d; do
        case $kind in
        module) insmod /boot/system/modules/$a.ko ;;
        mount) case $c in /proc|/sys|/dev|/run) ;; *) mkdir -p $c; mount -t $a ''${d:+-o $d} $b $c ;; esac ;;
        esac
      done </boot/system/boot
      while IFS="$tab" read -r kind path a b c source; do
        case $path in /run/*|/tmp/*|/persist/*) ;; *) continue ;; esac
        case $kind in
        directory) mkdir -p $path; chmod $a $path ;;
        link) ln -sfn $a $path ;;
        copy) cp $source $path; chmod $a $path ;;
        esac
      done </boot/system/filesystem
      ${lib.concatMapStrings step ordered}
      echo "bare: up" >/dev/console
      exec init
    '';
  };
  filesystem."/etc/inittab".text = "::respawn:/bin/sleep 1000\n";
}
