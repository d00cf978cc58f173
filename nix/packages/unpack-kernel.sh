# Makes a store path of one of Debian's kernels, package $deb: vmlinuz, and modules.
# Run by busybox.
mkdir -p unpacked "$out"
ar p "$deb" data.tar.xz | xzcat >data.tar
tar tf data.tar >names
kernel=$(grep '^\./boot/vmlinu[xz]-' names)
version=${kernel#*-}
# A third of the modules: not those for screens, sound, and what else no router has.
set -- "$kernel" "./lib/modules/$version/modules.builtin"
for part in arch block crypto fs lib mm net drivers/block drivers/bus drivers/char drivers/clk drivers/crypto \
	drivers/dma drivers/extcon drivers/gpio drivers/hwmon drivers/i2c drivers/leds drivers/mfd drivers/mmc \
	drivers/mtd drivers/mux drivers/net drivers/nvmem drivers/pci drivers/phy drivers/pinctrl drivers/power \
	drivers/pps drivers/ptp drivers/pwm drivers/regulator drivers/reset drivers/rtc drivers/scsi drivers/soc \
	drivers/spi drivers/thermal drivers/tty drivers/usb drivers/virtio drivers/watchdog; do
	folder=./lib/modules/$version/kernel/$part
	! grep -qxF "$folder/" names || set -- "$@" "$folder"
done
tar xf data.tar -C unpacked "$@"
# One that is not compressed is called vmlinux, but for the "Image" of arm64, which everybody who starts
# it can unpack (Documentation/arm64/booting.rst in Linux).
case $(dd if="unpacked/$kernel" bs=1 skip=56 count=4 2>/dev/null) in
"ARMd") gzip -c "unpacked/$kernel" >"$out/vmlinuz" ;;
*) cp "unpacked/$kernel" "$out/vmlinuz" ;;
esac
mkdir "$out/modules"
cp -a "unpacked/lib/modules/$version/kernel" "unpacked/lib/modules/$version/modules.builtin" "$out/modules/"
echo "$version" >"$out/version"
