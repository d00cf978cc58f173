# Makes a store path of Debian's packages $debs. Run by busybox, which is all there is.
#
# It leaves out what no device needs, moves everything to where store paths have it, and
# has programs and libraries find their loader and the libraries of $needs in the store.
say() { printf '%s: %s\n' "$name" "$*"; }

mkdir unpacked
cd unpacked
for deb in $debs; do
	case $(ar t "$deb") in
	*data.tar.xz*) ar p "$deb" data.tar.xz | xzcat | tar xf - ;;
	*data.tar.gz*) ar p "$deb" data.tar.gz | zcat | tar xf - ;;
	*) say "$deb is packed in a way that is not known here"; exit 1 ;;
	esac
done
for part in bash-completion bug common-licenses dbus-1 doc doc-base info lintian locale man zsh; do
	rm -rf "usr/share/$part"
done
for part in NetworkManager apparmor.d apm cron.d cron.daily dbus-1 default dhcp init.d insserv.conf.d \
	logcheck logrotate.d network resolvconf systemd; do
	rm -rf "etc/$part"
done
rm -rf lib/systemd usr/lib/systemd usr/lib/tmpfiles.d usr/lib/sysusers.d usr/include

# `/usr` and `/` are one, and so are `bin` and `sbin`; libraries lie in `lib`.
mkdir -p "$out"
for top in usr .; do
	for part in bin sbin lib libexec share etc; do
		if [ ! -d $top/$part ] || [ -L $top/$part ]; then continue; fi
		case $part in sbin) to=$out/bin ;; *) to=$out/$part ;; esac
		mkdir -p "$to"
		if [ $part = lib ] && [ -d "$top/lib/$debianTriplet" ]; then
			cp -a "$top/lib/$debianTriplet/." "$to/"
			rm -rf "$top/lib/${debianTriplet:?}"
			# The well-known path of the loader is a link to the real one.
			for loader in "$top"/lib/ld*.so.*; do [ ! -L "$loader" ] || rm "$loader"; done
		fi
		cp -a $top/$part/. "$to/"
	done
done
cd "$out"
# shellcheck disable=SC2086
for pattern in $unused; do rm -rf $pattern; done

# Links that leave the package by an absolute path lead to the same place in it, or nowhere.
find . -type l | while read -r link; do
	target=$(readlink "$link")
	case $target in /*) ;; *) continue ;; esac
	inside=${target#/usr}
	inside=${inside#/lib/"$debianTriplet"}
	case $inside in "${target#/usr}") ;; *) inside=/lib$inside ;; esac
	case $inside in /sbin/*) inside=/bin/${inside#/sbin/} ;; esac
	if [ -e "$out$inside" ]; then ln -sfn "$out$inside" "$link"; else say "left out the link $link to $target"; rm "$link"; fi
done

libraries=$out/lib
for need in $needs; do libraries=$libraries:$need/lib; done
raw=$patchelf/usr/lib/x86_64-linux-gnu:$patchelf/lib/x86_64-linux-gnu
patch() { "$patchelf"/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path "$raw" "$patchelf/usr/bin/patchelf" "$@"; }

# Whether one of the folders of a search path holds a library.
holds() {
	rest=$1:
	while [ -n "$rest" ]; do
		[ ! -e "${rest%%:*}/$2" ] || return 0
		rest=${rest#*:}
	done
	return 1
}

find . -type f >../files
while read -r file; do
	case $(head -c 4 "$file") in
	?ELF)
		# The loader is where it is called from, and libc needs nothing but it.
		case $file in */ld*.so.* | */libc.so.6) continue ;; esac
		chmod u+w "$file"
		if [ -n "$interpreter" ] && patch --print-interpreter "$file" >/dev/null 2>&1; then
			patch --set-interpreter "$interpreter" "$file"
		fi
		needed=$(patch --print-needed "$file" 2>/dev/null) || continue
		[ -n "$needed" ] || continue
		# As DT_RPATH, which also serves what the C library opens later (libgcc_s.so.1).
		patch --force-rpath --set-rpath "$libraries" "$file"
		patch --force-rpath --shrink-rpath "$file"
		found=$(patch --print-rpath "$file")
		for library in $needed; do
			case $library in ld*.so.*) continue ;; esac
			holds "$found" "$library" || { say "$file needs $library, which no package here has"; exit 1; }
		done
		;;
	'#!'*)
		line=$(head -n 1 "$file")
		case $line in
		'#!/bin/sh'* | '#! /bin/sh'*)
			if [ -z "$shell" ]; then say "left out the script $file"; rm "$file"; continue; fi
			chmod u+w "$file"
			sed -i "1s|^#! */bin/sh|#!$shell|" "$file"
			;;
		*) say "left out $file, which needs ${line#??}"; rm "$file" ;;
		esac
		;;
	esac
done <../files

if [ -n "$applets" ]; then
	[ "$applets" != self ] || applets=bin/busybox
	for applet in $("$applets" --list); do ln -s busybox "bin/$applet"; done
fi
find . -mindepth 1 -type d | sort -r | while read -r folder; do rmdir "$folder" 2>/dev/null || true; done
