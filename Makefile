# `make help` lists what there is. Each target says what it is doing.

GO      ?= go
NPM     ?= npm
TOOL     = $(GO) tool -modfile=tools/go.mod
# Where git can't read the clone (another owner, an archive) there is no commit
# for `belfry version` to name, and go build would fail for it.
VCS     := $(shell git rev-parse -q --verify HEAD >/dev/null 2>&1 || echo -buildvcs=false)
# No cgo and no paths of this machine: the binary runs on any Linux.
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath $(VCS)

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo build test deps lint unit allocs portable e2e bench bench-quick microbench soak vuln clean

help: ## what there is
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r t d; do printf '  make %-11s %s\n' "$$t" "$$d"; done

demo: ## build and run everything on embedded parts; open the address that it prints
	@test -x belfry || echo "building belfry; the first time takes a minute or two, downloads included…"
	@$(BUILD) -o belfry ./cmd/belfry
	@exec ./belfry demo

build: ## build ./belfry
	$(BUILD) -o belfry ./cmd/belfry

test: deps lint unit allocs portable e2e ## everything that must pass: lint, unit, integration, race detector, Chromium
	@echo "== all passed"

deps: ## install what the tests lack (Debian, as root), else say what is missing
	@echo "== what the tests need"
	@GO="$(GO)" NPM="$(NPM)" scripts/test-deps

lint: ## gofmt, go vet, staticcheck, and a build for macOS; the import rules are part of `make unit`
	@echo "== gofmt"
	@bad=$$($(GO)fmt -l cmd internal docs e2e examples bench 2>/dev/null); test -z "$$bad" || { echo "not formatted, run gofmt -w on: $$bad"; exit 1; }
	@echo "== go vet"
	$(GO) vet ./...
	@echo "== go vet, portable transport; a build for macOS"
	$(GO) vet -tags portable ./internal/transport/...
	$(GO) vet -tags soak ./internal/soak ./internal/verify
	GOOS=darwin CGO_ENABLED=0 $(GO) build -o /dev/null ./cmd/belfry
	cd examples/go && $(GO) vet ./...
	cd bench && $(GO) vet ./...
	@echo "== staticcheck"
	$(TOOL) staticcheck ./...
	cd bench && $(GO) tool -modfile=../tools/go.mod staticcheck ./...

unit: ## unit and integration tests under the race detector
	@echo "== unit and integration tests, race detector on"
	$(GO) test -race -count=1 -timeout 10m ./...
	cd bench && $(GO) test -race -count=1 -timeout 2m ./...

# The race detector allocates by itself; so the files have a build constraint, and
# a run of their own. A package that has such a file takes part in it.
allocs: ## what must not allocate does not; without the race detector
	@echo "== allocations, race detector off"
	$(GO) test -count=1 -run Allocs $$(find internal -name 'allocs*_test.go' -exec dirname {} ';' | sort -u | sed 's,^,./,')

portable: ## the tests of transport and dialects again, on the portable transport
	@echo "== the transport for TLS and other systems, tested here too"
	$(GO) test -race -count=1 -timeout 10m -tags portable ./internal/transport/... ./internal/dialect/...

e2e: ## headless Chromium against the real binary
	@echo "== end to end, headless Chromium"
	@cd e2e && $(NPM) test

bench: ## Belfry and its peers side by side, three rounds; writes bench/RESULTS.md
	cd bench && $(GO) run ./run

bench-quick: ## a smaller table within two minutes, into bench/quick
	cd bench && $(GO) run ./run --quick --out quick

microbench: ## Go benchmarks of single steps, without the race detector
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...

soak: ## load on a real gateway (19,000 idle connections, 10,000 that come back at once, replay out of a million); the verifier for an hour, or BELFRY_SOAK=20m
	ulimit -n "$$(ulimit -Hn)" && $(GO) test -tags soak -count=1 -v -timeout 30m ./internal/soak
	$(GO) test -tags soak -count=1 -v -timeout 100h -run Soak ./internal/verify

vuln: ## govulncheck; needs to reach its database
	$(TOOL) govulncheck ./...

clean: ## remove what was built and installed here (not the demo's data)
	rm -f belfry
	rm -rf e2e/node_modules examples/node/node_modules bench/peers/node/node_modules bench/quick
