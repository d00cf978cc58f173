# Unpacks Debian's packages $debs into $out, as they are. Run by busybox.
mkdir -p "$out"
cd "$out"
for deb in $debs; do
	ar p "$deb" data.tar.xz | xzcat | tar xf -
done
