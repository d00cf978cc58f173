# The two commands are `make run` and `make test`; the rest is for those who change Doorward.
# Nothing clever here: set-up, then a chore of cargo xtask. What set-up could not get it has
# said; the chore goes on, and fails where it is needed.

export PATH := $(PATH):$(HOME)/.cargo/bin:$(HOME)/.local/bin:/usr/local/sbin:/usr/sbin:/sbin
PREFIX ?= /usr/local
# As it was written: a `$` in it is the command's own.
override CMD := $(value CMD)
export CMD

.PHONY: run test check build bench fuzz sim docs cross install

# A device in QEMU; MACHINE=namespace: services in namespaces of this machine.
run:    ; @./setup; cargo xtask run $(MACHINE) $(if $(CMD),-- sh -c "$$CMD")
test:   ; @./setup; cargo xtask check
check: test
# What `nix-build` needs; with ARGS also `doorward build $(ARGS)`.
build:  ; @./setup; cargo xtask build $(ARGS)
bench:  ; @./setup; cargo xtask bench
fuzz:   ; @./setup; cargo xtask fuzz
sim:    ; @./setup; cargo xtask sim
docs:   ; @./setup; cargo xtask docs
cross:  ; @./setup cross; cargo xtask cross
install: ; @./setup; cargo xtask install $(DESTDIR)$(PREFIX)
