# Everything a contributor runs. CI runs lint, audit, test, race, peers, floods and fuzz (.ci/run).

GO          ?= go
FUZZTIME    ?= 10s
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
CLIENTS     := engine/realclient
PEERS       := bench/peers

.DEFAULT_GOAL := help
.PHONY: help build release run test race floods regress suite-auth suite-messages suite-tls fuzz lint audit bench bench-gate peers soak million tools clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## bin/weir and bin/weir-load
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/weir ./cmd/weir-load

release: ## bin/weir built twice from the last commit, in two places from nothing, and compared; its SBOM and sums beside it
	.ci/release

run: build ## build and start a development server with a demo page
	bin/weir serve --dev

test: tools $(CLIENTS)/node_modules ## every test, and what the hot paths allocate; says what it skips for want of a tool
	$(GO) test -timeout 30m ./...
	$(GO) run ./bench/gate -ratios=false
	@.ci/tools after

race: $(CLIENTS)/node_modules ## every test under the race detector, the event loop once more with its pragmas stripped
	$(GO) test -race -timeout 60m ./...
	.ci/race-stripped

floods: ## each flood for 5 s against a real server with 500 honest subscribers beside it, then the flood tests in the packages
	$(GO) test -v -timeout 30m ./bench/floods -full
	$(GO) test -v -timeout 30m -run Flood $$(git ls-files -co --exclude-standard '*_test.go' | grep -v '^bench/floods/' | \
		xargs grep -l '^func Test[A-Za-z0-9_]*Flood' | xargs -n1 dirname | sort -u | sed 's|^|./|')

regress: $(CLIENTS)/node_modules ## the regression suites auth, messages and tls (also suite-auth, suite-messages, suite-tls): after any bump
	GO="$(GO)" .ci/suite auth messages tls

suite-auth suite-messages suite-tls: $(CLIENTS)/node_modules
	GO="$(GO)" .ci/suite $(@:suite-%=%)

fuzz: ## every fuzz target, each for FUZZTIME
	.ci/fuzz $(FUZZTIME)

lint: ## gofmt, vet (also for darwin), staticcheck, go.mod
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) mod verify

audit: ## known vulnerabilities, licences, sums, sleeping dependencies; AUDIT=-strict fails for what cannot be reached too
	$(GO) run ./deploy/audit $(AUDIT)

bench: $(PEERS)/node/node_modules ## every benchmark that fits ten minutes; their figures and the goals go into BENCHMARKS.md
	$(GO) run ./bench/goals -page BENCHMARKS.md

bench-gate: ## the benchmarks of the hot paths allocate no more than bench/gate/baseline.json says, and keep their ratios to what they are compared with
	$(GO) run ./bench/gate

peers: $(PEERS)/node/node_modules ## the servers that Weir is compared with are built, and tested with a plain client
	cd $(PEERS) && $(GO) vet ./... && $(GO) mod tidy -diff && $(GO) mod verify && $(GO) test -timeout 30m ./...

soak: ## one minute of 200 publications a second to 2,000 subscribers, of which none may be lost; 10^7 messages, of which none may cross; the limiter with 10^8 addresses
	$(GO) run ./bench/soak
	$(GO) test -v -timeout 30m -run '^TestNothingCrosses$$' ./engine -crossings 10000000
	$(GO) test ./security/limit -timeout 30m -run '^TestManyKeysAtOnce$$' -keys 100000000

million: ## a million wss connections, authenticated and subscribed, on this machine; one publication reaches all
	$(GO) run ./bench/million -html bench/reports/million.html

tools: ## what the tests need beside Go, and whether it is here
	@.ci/tools

$(CLIENTS)/node_modules: $(CLIENTS)/package-lock.json
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --prefix $(CLIENTS) && touch $@; \
	else echo "skipped: the real JavaScript clients (no npm)"; [ "$$CI" != true ]; fi

$(PEERS)/node/node_modules: $(PEERS)/node/package-lock.json
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --ignore-scripts --prefix $(PEERS)/node && touch $@; \
	else echo "skipped: the servers on Node.js (no npm)"; [ "$$CI" != true ]; fi

clean: ## what was built and installed
	rm -rf bin $(CLIENTS)/node_modules $(PEERS)/node/node_modules
