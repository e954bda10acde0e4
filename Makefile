# Penstock: everything from one place. The work is done by the Makefiles and scripts it calls.
#   make help     what there is
# PG_CONFIG= chooses the PostgreSQL to build for, PREFIX= and DESTDIR= where to install.

PG_CONFIG ?= pg_config
BUILD     ?= $(CURDIR)/build
export PG_CONFIG BUILD

CLANG_FORMAT ?= clang-format-14
C_FILES = $(shell find plugin proto consumer tests -name '*.[ch]' ! -name '*.pb-c.*' 2>/dev/null)

all: plugin consumer

plugin:
	$(MAKE) -C plugin PG_CONFIG=$(PG_CONFIG)

consumer:
	$(MAKE) -C consumer

install: install-plugin install-consumer

install-plugin:
	$(MAKE) -C plugin PG_CONFIG=$(PG_CONFIG) install

# Slots and clients of the plugin decoderbufs then get ours, in its format: Debezium, for one.
# FORCE=1 overwrites the original.
install-decoderbufs: install-plugin
	plugin/install-decoderbufs install

install-consumer:
	$(MAKE) -C consumer install

uninstall:
	plugin/install-decoderbufs remove
	$(MAKE) -C plugin PG_CONFIG=$(PG_CONFIG) uninstall
	$(MAKE) -C consumer uninstall

# Against a running server that has the plugin installed (wal_level=logical,
# output_plugin_libraries with penstock): PGHOST, PGPORT, PGUSER say which.
installcheck:
	tests/regress.sh installcheck

check:
	tests/setup.sh check
	tests/check.sh

check-unit:
	$(MAKE) -C tests/unit check

check-regress: all
	tests/sandbox.sh tests/regress.sh

# PROVE_TESTS=tests/tap/001_*.t runs some of them.
check-tap: all
	$(MAKE) -C tests/unit all
	$(MAKE) -C consumer failpoints
	tests/sandbox.sh tests/tap/run.sh $(PROVE_TESTS)

# What takes minutes and gigabytes, and is no part of check: PENSTOCK_LONG_MB=200 makes it smaller.
check-long: all
	tests/sandbox.sh tests/tap/run.sh tests/tap/long/spool.t

# Debezium on the original decoderbufs and on ours. Needs Maven: tests/setup.sh debezium
check-debezium: all
	tests/debezium/run.sh

# The PostgreSQL versions that this Debian does not have, in chroots: VERSIONS=17 is one of them.
matrix:
	tests/setup.sh matrix
	tests/matrix/run.sh $(VERSIONS)

# Only its last step: pg_recvlogical of these versions and this machine's against servers of each.
matrix-clients:
	tests/setup.sh matrix
	tests/matrix/run.sh --clients $(VERSIONS)

# SECONDS= how long, SEED= which seed; FUZZ=options, rows or bytes only one of the three; RUNS= how many
# inputs for each reader of bytes, instead of a time.
fuzz: all
	tests/setup.sh fuzz
	RUNS=$(RUNS) tests/fuzz/run.sh "$(or $(SECONDS),60)" "$(SEED)" "$(FUZZ)"

# MINUTES= how long, SEED= which seed. Builds a PostgreSQL with assertions if there is none yet.
soak:
	tests/setup.sh soak
	$(MAKE) consumer
	tests/soak/sandbox.sh tests/soak/run.sh "$$(($(or $(MINUTES),2) * 60))" "$(SEED)"

# SEED= the first seed, SEEDS= how many, STEPS= how long a history, FAULTS=1 with faults; REPLAY= files
# of histories instead. Without SEED one that is new each time.
sim: all
	tests/setup.sh check
	tests/sim/sandbox.sh $(if $(REPLAY),$(addprefix --replay ,$(wildcard $(REPLAY))),\
		--seed $(or $(SEED),$$(od -An -N3 -tu4 /dev/urandom | tr -d ' ')) --seeds $(or $(SEEDS),1) \
		--steps $(or $(STEPS),100) $(if $(filter 1,$(FAULTS)),--faults) $(if $(SHRINK),--shrink $(SHRINK)))

# Bugs that are planted, each of which the simulation must find: MUTANTS= some of them, SEEDS=50.
sim-mutants: all
	tests/setup.sh check
	SEEDS=$(or $(SEEDS),50) tests/sim/mutants.sh $(MUTANTS)

# Which lines of the consumer the tests reach: PROVE_TESTS= some of the TAP tests.
coverage:
	tests/coverage.sh $(PROVE_TESTS)

demo:
	tests/setup.sh demo
	@mkdir -p $(BUILD)
	@echo Building...
	@$(MAKE) all demo-tools >$(BUILD)/demo-build.log 2>&1 || { tail -n 40 $(BUILD)/demo-build.log; exit 1; }
	@tests/sandbox.sh tests/demo.sh

demo-tools:
	$(MAKE) -C tests/bench

bench: bench-plugin bench-apply bench-copy bench-memory

# RUNS=9 runs each of them nine times, WORKLOADS="W1 W4" are some of all, SYSTEMS="penstock builtin"
# those to compare; SCALE=0.02 makes everything small, to see whether it works.
run_bench = rm -f $(BUILD)/bench-$(1).tsv && PENSTOCK_BENCH_SCALE='$(or $(SCALE),1)' \
	$(if $(SYSTEMS),PENSTOCK_BENCH_SYSTEMS='$(SYSTEMS)') SANDBOX_EXTRA='await replay' \
	tests/sandbox.sh tests/bench/$(1).sh $(or $(RUNS),5) $(WORKLOADS) 3>$(BUILD)/bench-$(1).new && \
	mv $(BUILD)/bench-$(1).new $(BUILD)/bench-$(1).tsv && echo && echo 'The figures: $(BUILD)/bench-$(1).tsv'

bench-tools:
	tests/setup.sh bench
	@$(MAKE) -s all
	@$(MAKE) -s -C tests/bench/floor
	@$(MAKE) -s -C tests/bench $(BUILD)/latency $(BUILD)/await $(BUILD)/replay

bench-plugin bench-apply bench-copy bench-memory: bench-%: bench-tools
	@$(call run_bench,$*)

# Not noisy, and not time either: what callgrind counts.
bench-instructions:
	tests/setup.sh bench
	$(MAKE) all
	@$(MAKE) -s -C tests/bench/floor
	@tests/sandbox.sh tests/bench/instructions.sh 3>$(BUILD)/bench-instructions.tsv

bench-snapshot:
	@mkdir -p $(BUILD)
	$(MAKE) -s -C tests/bench $(BUILD)/snapshot
	$(BUILD)/snapshot

format:
	$(CLANG_FORMAT) -i $(C_FILES)

check-format:
	$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

clean:
	-$(MAKE) -C plugin PG_CONFIG=$(PG_CONFIG) clean
	-$(MAKE) -C tests/bench/floor clean
	rm -rf $(BUILD)

help:
	@echo 'make                 build plugin and consumer'
	@echo 'make demo            install what is missing, build, and see it work'
	@echo 'make check           install what is missing, build, and run every test'
	@echo 'make check-unit      some of the tests: also check-regress, check-tap'
	@echo 'make check-long      what takes minutes and gigabytes: a spool of 2 GB (PENSTOCK_LONG_MB=)'
	@echo 'make check-debezium  Debezium on the original decoderbufs and on ours (needs Maven)'
	@echo 'make matrix          the main tests with PostgreSQL 17 and 18, in chroots; VERSIONS=17 is one'
	@echo 'make matrix-clients  pg_recvlogical of each version against servers of each'
	@echo 'make install         plugin, program, library, headers (PREFIX=, DESTDIR=)'
	@echo 'make plugin          only the plugin; make install-plugin installs it'
	@echo 'make install-decoderbufs  the plugin also under the name of that one; FORCE=1 replaces it'
	@echo 'make consumer        only the consumer; make install-consumer installs it'
	@echo 'make installcheck    the regression tests on a running server'
	@echo 'make bench-plugin    decoding time, beside other plugins: WORKLOADS="W1 W2 W3 W4", RUNS=5'
	@echo 'make bench-apply     from server to server, beside other systems: WORKLOADS="W1 latency", SCALE=0.02'
	@echo 'make bench-copy      the initial copy, beside psql and the built-in one'
	@echo 'make bench-memory    memory tables: from a capture, and through a slot'
	@echo 'make bench-instructions  instructions a change, beside other plugins, by callgrind'
	@echo 'make fuzz            random options, rows and bytes (SECONDS=60 SEED=)'
	@echo 'make soak            everything at once on a server with assertions (MINUTES=2 SEED=)'
	@echo 'make sim             random histories and faults against a model (SEED= SEEDS= STEPS= FAULTS=1 REPLAY=)'
	@echo 'make sim-mutants     planted bugs, each of which the simulation must find'
	@echo 'make coverage        which lines of the consumer the tests reach'
	@echo 'make bench-snapshot  what a reader of memory tables costs those who apply'
	@echo 'make format          clang-format all C files; check-format looks only'
	@echo 'make clean           remove what was built'
	@echo 'PG_CONFIG=/path/to/pg_config chooses the PostgreSQL.'

.PHONY: all plugin consumer install install-plugin install-decoderbufs install-consumer uninstall installcheck \
	check check-unit check-regress check-tap check-long check-debezium matrix matrix-clients fuzz soak sim sim-mutants coverage demo demo-tools \
	bench bench-tools bench-plugin bench-apply bench-copy bench-memory bench-instructions bench-snapshot format check-format clean help
