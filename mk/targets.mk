# The targets besides `all`.

.PHONY: help deps demo install check check-quick check-long asan fuzz fuzz-cover cov lint bench format-check unit replay functional clean testbins

help:
	@printf '%-34s %s\n' \
	'make' 'all programs, in build/bin and build/sbin' \
	'make demo' 'a box in a temporary folder, shown at work' \
	'make install PREFIX= DESTDIR=' 'programs, pages, what a new box is made of' \
	'make check-quick' 'unit tests, lint, one path through real daemons: a minute' \
	'make check' 'all tests but the long ones' \
	'make check-long' 'hours of killing, power cuts and large boxes' \
	'make asan' 'the tests under address and undefined-behaviour sanitizers' \
	'make unit' 'unit tests; one: make build/tests/unit/mail/test_address, then run it' \
	'make functional ONLY=/030-' 'tests with real daemons whose name has that; all without ONLY' \
	'make replay' 'the seeds of the fuzz targets' \
	'make fuzz T=mail_address SECS=60' 'a fuzz target; make fuzz-cover: what the seeds reach' \
	'make lint' 'what must hold of the sources; make format-check: clang-format' \
	'make cov' 'how much the tests cover' \
	'make bench' 'figures, beside those of other servers where they are installed' \
	'make deps' 'the packages of mk/apt.txt or mk/pkg.txt' \
	'make clean' 'remove build' \
	'' 'Settings of any of them:' \
	'BUILD=dir SAN=1 COV=1 V=1' 'build elsewhere; with sanitizers; for coverage; show commands'

deps:
	@sh mk/deps.sh

testbins: $(UNIT) $(REPLAY) $(TESTLIB) $(BENCHBIN)

unit: $(UNIT)
	@tests/lib/run-units.sh $(BUILD) $(UNIT)

replay: $(REPLAY)
	@tests/lib/run-replay.sh $(BUILD) $(FUZZ)

functional: all $(TESTLIB)
	@BUILD=$(BUILD) tests/lib/run-functional.sh tests/functional

lint:
	@sh tests/lint/run.sh

format-check:
	@sh tests/lint/format.sh

check-quick: all testbins
	@BUILD=$(BUILD) tests/lib/check.sh quick

check: deps
	@$(MAKE) --no-print-directory -j2 all testbins
	@BUILD=$(BUILD) tests/lib/check.sh all

check-long: all testbins
	@BUILD=$(BUILD) tests/lib/check.sh long

asan:
	@$(MAKE) --no-print-directory -j2 SAN=1 all testbins
	@BUILD=$(BUILD)/san VPOST_SAN=1 tests/lib/check.sh asan

demo: deps
	@$(MAKE) --no-print-directory -j2 all
	@BUILD=$(BUILD) sh tests/lib/demo.sh

bench: all $(BENCHBIN)
	@BUILD=$(BUILD) tests/bench/run.sh

# make fuzz T=mail_address SECS=600
SECS ?= 60
FUZZDIR = $(BUILD)/fuzz
fuzz:
	@BUILD=$(BUILD) CLANG=$(CLANG) CFLAGS='$(STD)' tests/lib/fuzz.sh '$(T)' $(SECS)

# What the seeds reach of each parser.
fuzz-cover:
	@$(MAKE) --no-print-directory -j2 COV=1 $(patsubst $(BUILD)/%,$(BUILD)/cov/%,$(REPLAY))
	@BUILD=$(BUILD)/cov tests/lib/fuzz-cover.sh

cov:
	@$(MAKE) --no-print-directory -j2 COV=1 all testbins
	@BUILD=$(BUILD)/cov tests/lib/cov.sh

install: all
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' BUILD='$(BUILD)' sh mk/install.sh

clean:
	rm -rf $(BUILD)
