# Weft builds with make and a C11 compiler. `make help` lists the targets.
#
#   MODE=release|debug|asan|ubsan|tsan   PRECISION=float|double   OPENMP=1|0   CC=gcc|clang
#
# each combination builds in a folder of its own: build/, build/asan/, build/double/, build/asan-double/, ...

# As many jobs as there are processors, unless the command line says otherwise; several goals may be meant in turn.
ifeq ($(MAKELEVEL)$(word 2,$(MAKECMDGOALS)),0)
MAKEFLAGS += -j$(shell nproc 2> /dev/null || echo 1)
endif

MODE      ?= release
PRECISION ?= float
OPENMP    ?= 1
CC        := $(if $(filter default,$(origin CC)),gcc,$(CC))
PYTHON    ?= python3
# A cross compiler's archiver has its prefix.
AR        := $(if $(filter default,$(origin AR)),$(if $(filter %-linux-gnu-gcc,$(CC)),$(CC:%gcc=%ar),ar),$(AR))

comma := ,
empty :=
space := $(empty) $(empty)
VARIANT := $(subst $(space),-,$(strip $(filter-out release,$(MODE)) $(filter-out float,$(PRECISION)) \
                                     $(if $(filter 0,$(OPENMP)),serial) $(if $(filter-out gcc,$(CC)),$(notdir $(CC)))))
BUILD ?= build$(if $(VARIANT),/$(VARIANT))
OBJ   := $(BUILD)/obj

# ---- Flags ----

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes

OPTIMISE_release := -O2 -g
OPTIMISE_debug   := -O0 -g -DWEFT_DEBUG
OPTIMISE_asan    := -O1 -g -fsanitize=address -fno-omit-frame-pointer -DWEFT_DEBUG -DWEFT_NO_POOL
OPTIMISE_ubsan   := -O1 -g -fsanitize=undefined -fno-sanitize-recover=all -DWEFT_DEBUG -DWEFT_NO_POOL
OPTIMISE_tsan    := -O1 -g -fsanitize=thread -DWEFT_NO_POOL
# Of `make fuzz`, with clang. Not the kernels: no reader runs them.
OPTIMISE_fuzz    := -O1 -g -fsanitize=address -fsanitize=undefined -fsanitize=fuzzer-no-link \
                    -fno-sanitize-recover=all -DWEFT_NO_POOL
OPTIMISE_coverage := -O0 -g --coverage -fprofile-update=single
ifeq ($(OPTIMISE_$(MODE)),)
$(error MODE=$(MODE): release, debug, asan, ubsan, tsan, fuzz or coverage)
endif
ifeq ($(filter float double,$(PRECISION)),)
$(error PRECISION=$(PRECISION): float or double)
endif

MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

# Contraction would let each compiler round differently; kernels ask for fused multiply-adds by name. Nor may a float be
# computed in more bits than it has, as i686 does without SSE2 and gcc, for the sake of the standard, on s390x.
NUMBERS_i686  := -msse2 -mfpmath=sse
NUMBERS_s390x := -fexcess-precision=fast
NUMBERS := -ffp-contract=off $(NUMBERS_$(MACHINE))
DEFINES := -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 $(if $(filter double,$(PRECISION)),-DWEFT_DOUBLE)
THREADS := $(if $(filter-out 0,$(OPENMP)),-fopenmp)

CPPFLAGS_ALL := -I. $(DEFINES) $(CPPFLAGS)
CFLAGS_ALL   := -std=c11 $(WARNINGS) $(NUMBERS) $(THREADS) $(OPTIMISE_$(MODE)) -fPIC \
                -fvisibility=hidden $(CFLAGS)
LDFLAGS_ALL  := $(THREADS) $(filter -fsanitize=% --coverage,$(OPTIMISE_$(MODE))) $(LDFLAGS)
LIBS         := -lm

# Kernels are compiled once per instruction set and chosen from at start. They are -O2 in every mode: their fused
# multiply-adds are loops that the optimiser folds, as are square roots once they need not set errno.
ISAS_x86_64  := baseline avx2 avx512
ISAS         := $(or $(ISAS_$(MACHINE)),baseline)
# Sanitizers take fused multiply-adds apart, and minutes to compile them: the baseline kernels, the same source without
# them, are what sanitizers watch.
UNWATCHED    := $(if $(filter -fsanitize=%,$(OPTIMISE_$(MODE))),-fno-sanitize=all)
ISA_baseline := $(if $(filter fuzz,$(MODE)),$(UNWATCHED))
ISA_avx2     := $(UNWATCHED) -mavx2 -mfma
ISA_avx512   := $(UNWATCHED) -mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx2 -mfma -mprefer-vector-width=512
KERNEL_FLAGS := -O2 -fno-math-errno

# ---- Sources: every .c file in its folder ----

KERNEL_SOURCES  := $(filter-out tensor/kernels/dispatch.c,$(wildcard tensor/kernels/*.c))
APP_SOURCES     := $(wildcard apps/mnist_*.c)
EXAMPLE_SOURCES := $(wildcard apps/examples/*.c)
LIBRARY_SOURCES := $(wildcard tensor/*.c) tensor/kernels/dispatch.c \
                   $(wildcard autograd/*.c autograd/ops/*.c nn/*.c optim/*.c data/*.c) \
                   $(filter-out $(APP_SOURCES),$(wildcard apps/*.c))
LIBRARY_OBJECTS := $(LIBRARY_SOURCES:%.c=$(OBJ)/%.o) \
                   $(foreach isa,$(ISAS),$(KERNEL_SOURCES:tensor/kernels/%.c=$(OBJ)/tensor/kernels/$(isa)/%.o))
APPS            := $(APP_SOURCES:apps/%.c=$(BUILD)/%)
EXAMPLES        := $(EXAMPLE_SOURCES:apps/%.c=$(BUILD)/%)

PUBLIC_HEADERS := tensor/real.h tensor/error.h tensor/random.h tensor/tensor.h tensor/scope.h tensor/list.h \
                  autograd/autograd.h autograd/ops.h autograd/onnx.h autograd/gradcheck.h nn/nn.h nn/state.h nn/onnx.h \
                  nn/summary.h nn/anomaly.h optim/optim.h data/data.h apps/trainer.h
INCLUDE        := $(BUILD)/include/weft
STAGED_HEADERS := $(PUBLIC_HEADERS:%=$(INCLUDE)/%) $(INCLUDE)/weft.h

.PHONY: all lib headers clean help
all: $(APPS) $(EXAMPLES) $(BUILD)/libweft.a headers
lib: $(BUILD)/libweft.a headers
headers: $(STAGED_HEADERS)

# ---- Rules ----

# Everything depends on the flags that it was built with.
FLAGS_USED := $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(KERNEL_FLAGS) \
              $(foreach isa,$(ISAS),$(isa) $(ISA_$(isa)))
$(shell mkdir -p $(OBJ); echo '$(FLAGS_USED)' | cmp -s - $(OBJ)/flags || echo '$(FLAGS_USED)' > $(OBJ)/flags)

$(OBJ)/%.o: %.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

define KERNEL_RULE
$(OBJ)/$(2)/$(1)/%.o: $(2)/%.c $(OBJ)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS_ALL) $$(CFLAGS_ALL) $$(KERNEL_FLAGS) $$(ISA_$(1)) -DWEFT_ISA_NAME=$(1) -MMD -MP -c $$< -o $$@
endef
$(foreach folder,tensor/kernels tests,$(foreach isa,$(ISAS),$(eval $(call KERNEL_RULE,$(isa),$(folder)))))

# Examples see what a user sees.
$(EXAMPLES:$(BUILD)/%=$(OBJ)/apps/%.o): CPPFLAGS_ALL := -I$(BUILD)/include $(DEFINES) $(CPPFLAGS)
$(EXAMPLES:$(BUILD)/%=$(OBJ)/apps/%.o): | headers

# The table of tables: which instruction sets this library holds.
$(OBJ)/tensor/kernels/dispatch.o: CPPFLAGS_ALL += $(ISAS:%=-DWEFT_HAS_%)

$(BUILD)/libweft.a: $(LIBRARY_OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(APPS) $(EXAMPLES): $(BUILD)/%: $(OBJ)/apps/%.o $(BUILD)/libweft.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $^ -o $@ $(LIBS)

# Public headers include each other from the top of the tree; installed, from <weft/...>.
$(INCLUDE)/%.h: %.h
	@mkdir -p $(@D)
	@sed 's|^#include "\(.*\)"|#include <weft/\1>|' $< > $@

$(INCLUDE)/weft.h: Makefile
	@mkdir -p $(@D)
	@{ echo '/* All of Weft. */'; for h in $(PUBLIC_HEADERS); do echo "#include <weft/$$h>"; done; } > $@

# ---- Installing: float and double can be side by side, with the same headers ----

PREFIX       ?= /usr/local
INCLUDEDIR   ?= $(PREFIX)/include
LIBDIR       ?= $(PREFIX)/lib
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
INSTALL      ?= install

NAME       := weft$(if $(filter double,$(PRECISION)),-double)
OTHER_NAME := weft$(if $(filter float,$(PRECISION)),-double)
VERSION    := $(shell sed -n 's/^\#define WEFT_VERSION "\(.*\)"/\1/p' tensor/tensor.h)
# Before 1.0 a minor version may change the interface.
SONAME     := lib$(NAME).so.$(basename $(VERSION))
SHARED     := $(BUILD)/lib$(NAME).so.$(VERSION)

$(SHARED): $(LIBRARY_OBJECTS)
	$(CC) -shared -Wl,-soname,$(SONAME) $(LDFLAGS_ALL) $^ -o $@ $(LIBS)

define PKG_CONFIG_FILE
prefix=$(PREFIX)
includedir=$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)
libdir=$(LIBDIR:$(PREFIX)/%=$${prefix}/%)

Name: $(NAME)
Description: A minimal tensor framework in plain C, in $(PRECISION) precision
Version: $(VERSION)
Cflags: -I$${includedir}$(if $(filter double,$(PRECISION)), -DWEFT_DOUBLE)
Libs: -L$${libdir} -l$(NAME)
Libs.private: $(strip $(THREADS) $(LIBS))
endef
export PKG_CONFIG_FILE

.PHONY: shared install uninstall
shared: $(SHARED)

install: lib shared ## install into PREFIX (/usr/local), below DESTDIR: libraries, headers, pkg-config file
	cd $(INCLUDE) && for header in $(STAGED_HEADERS:$(INCLUDE)/%=%); do \
	    folder="$(DESTDIR)$(INCLUDEDIR)/weft/$$(dirname $$header)"; \
	    $(INSTALL) -d "$$folder" && $(INSTALL) -m 644 $$header "$$folder" || exit 1; \
	done
	$(INSTALL) -d "$(DESTDIR)$(LIBDIR)" "$(DESTDIR)$(PKGCONFIGDIR)"
	$(INSTALL) -m 644 $(BUILD)/libweft.a "$(DESTDIR)$(LIBDIR)/lib$(NAME).a"
	$(INSTALL) -m 755 $(SHARED) "$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED))"
	ln -sf $(notdir $(SHARED)) "$(DESTDIR)$(LIBDIR)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(LIBDIR)/lib$(NAME).so"
	printf '%s\n' "$$PKG_CONFIG_FILE" > "$(DESTDIR)$(PKGCONFIGDIR)/$(NAME).pc"

uninstall: ## remove what install put there; the headers stay while the other precision is installed
	cd "$(DESTDIR)$(LIBDIR)" && rm -f lib$(NAME).a $(notdir $(SHARED)) $(SONAME) lib$(NAME).so
	rm -f "$(DESTDIR)$(PKGCONFIGDIR)/$(NAME).pc"
	[ -e "$(DESTDIR)$(PKGCONFIGDIR)/$(OTHER_NAME).pc" ] || rm -rf "$(DESTDIR)$(INCLUDEDIR)/weft"

# ---- Tests and training ----

TEST_SHARED   := tests/cases.c tests/networks.c tests/numbers.c tests/draw.c
TEST_SOURCES  := $(wildcard tests/test_*.c) tests/main.c $(TEST_SHARED)
UNIT          := $(BUILD)/tests/unit
PARITY        := $(BUILD)/tests/parity
DOUBLE        := $(if $(filter float,$(PRECISION)),$(BUILD)/double)
SHELL_TESTS   := $(wildcard tests/test_*.sh)
# What a user's own program is compiled with, for tests that do so: the shell tests read these.
USER_CFLAGS   := -std=c11 $(WARNINGS) $(filter -DWEFT_DOUBLE,$(DEFINES)) $(NUMBERS) $(OPTIMISE_$(MODE)) $(CFLAGS)
USER_LDFLAGS  := $(LDFLAGS_ALL) $(LIBS)
export BUILD MODE PRECISION OPENMP CC USER_CFLAGS USER_LDFLAGS PUBLIC_HEADERS DOUBLE PYTHON

$(UNIT): $(TEST_SOURCES:%.c=$(OBJ)/%.o) $(BUILD)/libweft.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $^ -o $@ $(LIBS)

$(PARITY): $(OBJ)/tests/parity.o $(TEST_SHARED:%.c=$(OBJ)/%.o) $(BUILD)/libweft.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $^ -o $@ $(LIBS)

.PHONY: unit unit-double parity test train print-build
unit: $(UNIT) ## build the unit tests: build/tests/unit [--verbose] [PART OF A NAME]...
parity: $(PARITY)
unit-double:
	@$(MAKE) --no-print-directory PRECISION=double BUILD=$(DOUBLE) all unit parity

# Ten digits that this repository draws: examples for --predict.
$(BUILD)/tests/digits: $(OBJ)/tests/digits.o $(OBJ)/tests/draw.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $^ -o $@ $(LIBS)
.PHONY: digits
digits: $(BUILD)/tests/digits ## draw ten digits to try --predict with: build/digits/0.pgm to 9.pgm
	@mkdir -p $(BUILD)/digits
	$(BUILD)/tests/digits $(BUILD)/digits

test: all unit parity $(BUILD)/tests/bench $(BUILD)/tests/digits
test: $(if $(DOUBLE),unit-double) ## build and run all tests, in both precisions
	@tests/run.sh $(UNIT) $(if $(DOUBLE),$(DOUBLE)/tests/unit) $(SHELL_TESTS)

# Asks first whether tests/check.sh and tests/run.sh tell of failures.
.PHONY: harness
test some-tests: harness
harness:
	@tests/harness.sh

.PHONY: some-tests mutate
some-tests: all unit parity $(BUILD)/tests/digits ## run some: TESTS="tests/test_apps.sh 'build/tests/unit conv'"
	@tests/run.sh $(TESTS)

mutate: ## make mistakes in a copy of the tree, does make test notice each? Half an hour
	@tests/mutate.sh

.PHONY: data fashion
data: ## fetch MNIST into data/mnist and check it
	@data/fetch.sh mnist

fashion: ## fetch Fashion-MNIST into data/fashion, for build/examples/fashion
	@data/fetch.sh fashion

train: all data ## fetch MNIST and train the small network: 20 epochs, more than 99.4%
	$(BUILD)/mnist_tiny --data data/mnist

# ---- Speed ----

BENCH         := $(BUILD)/tests/bench
BENCH_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tests/bench*.c)) $(ISAS:%=$(OBJ)/tests/%/peak.o)
$(OBJ)/tests/bench.o: CPPFLAGS_ALL += $(ISAS:%=-DWEFT_HAS_%)
$(BENCH): $(BENCH_OBJECTS) $(BUILD)/libweft.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) $^ -o $@ $(LIBS)

.PHONY: bench compare
bench: $(BENCH) ## measure each convolution and both networks: 4 minutes of a quiet machine
	@$(BENCH)

compare: all $(BENCH) ## measure both networks beside PyTorch and ONNX Runtime, where they are installed
	@tests/compare.sh

# ---- Accuracy ----

.PHONY: ablation
ablation: all data ## measure what each piece of mnist_tiny's recipe is worth: 40 minutes of two cores
	@tests/ablation.sh

# ---- Faults ----

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))
$(FUZZ_TARGETS): $(BUILD)/fuzz/%: $(OBJ)/tests/fuzz/%.o $(BUILD)/libweft.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer $^ -o $@ $(LIBS)

.PHONY: fuzz fuzz-targets
fuzz: ## fuzz each reader and the command line for FUZZ_SECONDS (60), with clang
	@$(MAKE) --no-print-directory CC=clang MODE=fuzz OPENMP=0 ISAS=baseline BUILD=build/fuzz fuzz-targets
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $(patsubst tests/fuzz/%.c,build/fuzz/fuzz/%,$(wildcard tests/fuzz/*.c))
fuzz-targets: $(FUZZ_TARGETS)

# clang-tidy on each source of the library and the apps, kernels as for one instruction set: the checks of .clang-tidy.
LINTED := $(LIBRARY_SOURCES) $(KERNEL_SOURCES) $(APP_SOURCES) $(EXAMPLE_SOURCES)
.PHONY: lint
lint: headers ## look for bugs with clang-tidy: no finding is success
	@printf '%s\n' $(LINTED) | xargs -P "$$(nproc)" -I{} clang-tidy --quiet {} -- -std=c11 $(CPPFLAGS_ALL) \
	    -I$(BUILD)/include -fopenmp -DWEFT_ISA_NAME=lint $(if $(filter x86_64,$(MACHINE)),$(ISA_avx2))

.PHONY: coverage
coverage: ## the share of lines that the unit tests run: fails below 95% of a folder
	@tests/coverage.sh

# For scripts: where this variant is built.
print-build:
	@echo $(BUILD)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

clean: ## remove everything that was built
	rm -rf build
