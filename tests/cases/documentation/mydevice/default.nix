# A device of one's own: here one that Doorward brings.
import DEVICES/qemu-x86_64
