# The few words that people type; Meson does the work. Packages that are missing are installed (dist/debian-packages).
#
#   make            programs, in build/
#   make test       every test; the last line counts them
#   make demo       the UM3N scenario; figures in build/demo/result.json, picture in build/demo/demo.svg
#   make bench      benchmarks; ONLY=name for one; rows in build/bench/
#   make fuzz       every fuzz target for TIME seconds (600); ONLY=name for one
#   make soak       random faults in virtual time, SEEDS seeds (20000)
#   make models     every model at full scope, half an hour each at most (MODEL_TIME seconds); ONLY=name for one
#   make lint       format, clang-tidy, cppcheck, shellcheck
#   make install    PREFIX (/usr/local), DESTDIR
#   make clean

BUILD = build
PREFIX = /usr/local
TIME = 600
SEEDS = 20000
ONLY =

# The laboratory makes network namespaces: root, or sudo.
as_root = $(shell [ "$$(id -u)" -eq 0 ] || command -v sudo)
root_or_say = [ "$$(id -u)" -eq 0 ] || command -v sudo >/dev/null || \
	{ echo "make $@: network namespaces need root: run it as root" >&2; exit 1; }; \
	[ "$$(id -u)" -eq 0 ] || echo "make $@: network namespaces need root: using sudo"

.PHONY: all packages build demo test bench fuzz soak models install lint clean

all:
	@dist/install-packages build
	@$(MAKE) --no-print-directory build

build:
	@[ -e $(BUILD)/build.ninja ] || meson setup --prefix $(PREFIX) $(BUILD) >$(BUILD).log || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@ninja -C $(BUILD)

demo:
	@dist/install-packages build run test demo
	@$(MAKE) --no-print-directory build
	@mkdir -p $(BUILD)/demo
	@$(root_or_say)
	@$(as_root) env HAWSER_BUILD=$(abspath $(BUILD)) lab/demo.sh

test:
	@dist/install-packages build run test demo
	@tests/run.sh

bench:
	@dist/install-packages build run bench
	@$(MAKE) --no-print-directory build
	@$(root_or_say)
	@$(as_root) env HAWSER_BUILD=$(abspath $(BUILD)) bench/run.sh $(ONLY)

fuzz:
	@dist/install-packages build fuzz
	@tests/fuzz/run.sh $(TIME) $(ONLY)

soak:
	@dist/install-packages build test
	@$(MAKE) --no-print-directory build
	HAWSER_SIM_SEEDS=$(SEEDS) meson test -C $(BUILD) --suite sim --logbase soak --timeout-multiplier 0

models:
	@dist/install-packages build test
	@models/run.sh full $(ONLY)

install: all
	@meson configure -Dprefix=$(PREFIX) $(BUILD)
	@ninja -C $(BUILD)
	@[ -n "$(DESTDIR)" ] || [ -w $(PREFIX) ] || [ ! -e $(PREFIX) ] || echo "make install: $(PREFIX) needs root"
	@$(if $(DESTDIR),,$(as_root)) meson install -C $(BUILD) --no-rebuild

lint:
	@dist/install-packages build lint
	@$(MAKE) --no-print-directory build
	@tests/lint.sh all

clean:
	rm -rf $(BUILD) build-*
