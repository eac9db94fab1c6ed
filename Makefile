# Writeback. `make` alone lists what there is.
# demo, dev, build, short and fuzz need Go and make only; test, race, cover, chaos,
# profile, bench, bench-quick and bench-micro install a redis-server, promtool and a C
# compiler where they are missing (as root, by apt).

GO            ?= go
GOLANGCI_LINT ?= github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   ?= golang.org/x/vuln/cmd/govulncheck@latest
LDFLAGS       ?= -s -w
PROGRAMS      := $(notdir $(wildcard cmd/*))

# Two test binaries at a time: the tests start real servers, and more of them at
# once on two cores only makes the slow ones slower.
TEST_PARALLEL  ?= 2
TEST_TIMEOUT   ?= 12m
FUZZ_TIME      ?= 30s
BENCH          ?=
BENCH_FLAGS    ?=
MICRO_PACKAGES ?= ./internal/wire ./internal/auth ./pkg/operation ./pkg/operation/redisstore

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## The whole service in one process, its main stories told, then exit 0
	$(GO) run ./cmd/demo

.PHONY: dev
dev: ## The whole service in one process until Ctrl-C
	@mkdir -p bin
	$(GO) build -buildvcs=false -o bin/dev ./cmd/dev
	@exec bin/dev # go run would end with 1 after a Ctrl-C, and make would call that an error

.PHONY: build
build: ## Build every program into bin/
	@mkdir -p bin
	@set -e; for p in $(PROGRAMS); do \
		echo "build bin/$$p"; \
		CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/$$p ./cmd/$$p; \
	done

.PHONY: test
test: tools vet race bench-test ## What CI runs: vet, then every test with the race detector

.PHONY: vet
vet: ## go vet
	$(GO) vet ./...

.PHONY: race
race: tools ## Every test with the race detector
	$(GO) test -race -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT) ./...

.PHONY: short
short: ## The quick tests only, without the race detector
	$(GO) test -short -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT) ./...

.PHONY: cover
cover: tools ## Test coverage by function (coverage.out)
	$(GO) test -p $(TEST_PARALLEL) -timeout $(TEST_TIMEOUT) -coverpkg=./pkg/...,./internal/... -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out | tail -n 1

CHAOS_OPS  ?= 10000
CHAOS_SEED ?= 1

.PHONY: chaos
chaos: tools ## Random kills and faults, the long form (CHAOS_OPS, CHAOS_SEED)
	$(GO) test ./test/chaos -run Chaos -count=1 -v -timeout 40m -chaos.long -chaos.ops=$(CHAOS_OPS) -chaos.seed=$(CHAOS_SEED)

.PHONY: bench
bench: tools ## Measure beside asynq and write docs/performance.md, under 20 minutes (BENCH=rows selects, BENCH_FLAGS=-root DIR)
	cd bench && $(GO) run . $(if $(BENCH),-only $(BENCH)) $(BENCH_FLAGS)

.PHONY: bench-quick
bench-quick: tools ## The same smaller, under 4 minutes; writes nothing
	cd bench && $(GO) run . -quick $(if $(BENCH),-only $(BENCH)) $(BENCH_FLAGS)

.PHONY: bench-test
bench-test: ## The bench's own vet and tests; it is a module of its own
	cd bench && $(GO) vet ./... && $(GO) test -timeout 5m ./...

.PHONY: profile
profile: tools ## CPU and heap profiles of api and worker while the bench loads them, into profiles/
	cd bench && $(GO) run . -quick -rounds 1 -only e2e -profile ../profiles $(BENCH_FLAGS)

BENCH_COUNT ?= 6
BENCH_OLD   ?= profiles/micro.txt

.PHONY: bench-micro
bench-micro: tools ## Benchmarks of single steps, with allocations; compared by benchstat with the run before
	@mkdir -p $(dir $(BENCH_OLD))
	@if [ -f $(BENCH_OLD) ]; then mv $(BENCH_OLD) $(BENCH_OLD).old; fi
	$(GO) test -run '^$$' -bench '^BenchmarkStep' -benchmem -count $(BENCH_COUNT) $(MICRO_PACKAGES) | tee $(BENCH_OLD)
	@if [ -f $(BENCH_OLD).old ]; then cd bench && $(GO) tool benchstat ../$(BENCH_OLD).old ../$(BENCH_OLD); fi

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZ_TIME (30s)
	@FUZZ_TIME=$(FUZZ_TIME) GO=$(GO) scripts/fuzz

.PHONY: lint
lint: lint-go lint-chart ## golangci-lint and helm lint, both built from source at a pinned version

.PHONY: lint-go
lint-go: ## golangci-lint only, of both modules
	$(GO) run $(GOLANGCI_LINT) run ./...
	cd bench && $(GO) run $(GOLANGCI_LINT) run ./...

.PHONY: lint-chart
lint-chart: ## The Helm chart: lint, every profile rendered, deploy/k8s up to date
	@GO=$(GO) scripts/chart check

.PHONY: chart
chart: ## Render deploy/k8s from the chart
	@GO=$(GO) scripts/chart

.PHONY: fmt
fmt: ## gofmt in place
	gofmt -s -w $$(find . -name '*.go' -not -path './bin/*')

.PHONY: generate
generate: ## go generate
	$(GO) generate ./...

.PHONY: tidy-check
tidy-check: ## Fail if go.mod or go.sum is not tidy
	$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: audit
audit: ## Known vulnerabilities of what we link (govulncheck)
	@GO=$(GO) GOVULNCHECK=$(GOVULNCHECK) scripts/audit

.PHONY: up
up: ## docker compose: the real stack with NATS, Redis, Keycloak and Grafana
	docker compose up --build --detach

.PHONY: down
down: ## Stop the compose stack; its volumes stay
	docker compose down

.PHONY: tools
tools:
	@scripts/ensure-test-tools

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin coverage.out
