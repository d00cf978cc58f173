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

# A program of MIPS says how far it is from one word of its dynamic section to where the loader
# leaves a pointer for debuggers. patchelf 0.14 gets that wrong, and the loader then writes into
# whatever lies there: each program has a different fault.
words() { od -A n -v -t "u$4" -j "$2" -N "$3" "$1"; }
# Prints the word's place in the file, its address, and the distance; nothing where there is none.
debug_map() {
	# shellcheck disable=SC2046
	set -- "$1" $(words "$1" 28 4 4) $(words "$1" 44 2 2)
	file=$1 header=$2 left=$3
	while [ "$left" -gt 0 ]; do
		# shellcheck disable=SC2046
		set -- $(words "$file" "$header" 20 4) # Type, place, address, address, size.
		if [ "$1" = 2 ]; then
			place=$2 address=$3
			# shellcheck disable=SC2046
			set -- $(words "$file" "$place" "$5" 4)
			while [ $# -ge 2 ]; do
				if [ "$1" = 1879048245 ]; then echo "$place $address $2"; return; fi # DT_MIPS_RLD_MAP_REL
				shift 2
				place=$((place + 8)) address=$((address + 8))
			done
			return
		fi
		header=$((header + 32)) left=$((left - 1))
	done
}
# Corrects it in a file, by what debug_map has said of the file as it was.
mend_debug_map() {
	# shellcheck disable=SC2046
	set -- "$1" "$3" "$4" $(debug_map "$1") # File; address and distance as they were; those of now.
	word=$(($2 + $3 - $5))
	# shellcheck disable=SC2059
	printf "$(printf '\\%03o' $((word & 255)) $((word >> 8 & 255)) $((word >> 16 & 255)) $((word >> 24 & 255)))" |
		dd of="$1" bs=1 seek=$(($4 + 4)) conv=notrunc 2>/dev/null
}

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
		map=
		case $debianTriplet in mipsel-*) map=$(debug_map "$file") ;; esac
		if [ -n "$interpreter" ] && patch --print-interpreter "$file" >/dev/null 2>&1; then
			patch --set-interpreter "$interpreter" "$file"
		fi
		needed=$(patch --print-needed "$file" 2>/dev/null) || continue
		if [ -n "$needed" ]; then
			# As DT_RPATH, which also serves what the C library opens later (libgcc_s.so.1).
			patch --force-rpath --set-rpath "$libraries" "$file"
			patch --force-rpath --shrink-rpath "$file"
		fi
		# shellcheck disable=SC2086
		[ -z "$map" ] || mend_debug_map "$file" $map
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
