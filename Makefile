SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Addresses and folders; all may be overridden.
DATA   ?= data
ADDR   ?= 127.0.0.1:8080
CACHE  ?= $(CURDIR)/.cache
export DROVER_CACHE := $(CACHE)

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: ## build bin/drover
	@mkdir -p bin
	@go build -trimpath -ldflags '$(LDFLAGS)' -o bin/drover ./cmd/drover

.PHONY: demo
demo: build ## start everything, run a service on 25 pretend devices, print the answers
	@bin/drover demo

.PHONY: run
run: build ## the one process, its data in ./data, on 127.0.0.1:8080
	bin/drover serve --addr $(ADDR) --data $(DATA)

.PHONY: test
test: ## everything that this machine can run; what it cannot is listed by name
	@scripts/test

.PHONY: test-cloud
test-cloud: ## deploy the synthesised template into an emulator and run the end-to-end cases there
	@scripts/test-cloud

.PHONY: test-faults
test-faults: ## bad days: every fault injected, and what was lost, done twice or stuck; CLOUD=1: in the emulator too
	@scripts/test-faults

.PHONY: cost
cost: ## price of 1,000 device runs in the cloud, counted
	@scripts/cost

.PHONY: emulator
emulator: ## an emulator of AWS on port 4566 with the stack in it, for sam-invoke; stop it with make emulator-stop
	@scripts/emulator install ministack
	@scripts/synth host build/cdk.out-host
	@scripts/emulator start ministack --bind 0.0.0.0
	@DROVER_ADMIN_PASSWORD=$${DROVER_ADMIN_PASSWORD:-admin} go run ./scripts/localcloud deploy "$$(scripts/emulator endpoint ministack)" build/cdk.out-host

.PHONY: emulator-stop
emulator-stop:
	@scripts/emulator stop ministack

.PHONY: sam-invoke
FUNCTION ?= executor
EVENT    ?= events/$(FUNCTION).json
sam-invoke: ## run FUNCTION (executor) in a container on EVENT (events/FUNCTION.json) against that emulator; see docs/sam.md
	@scripts/sam-invoke $(FUNCTION) $(EVENT)

.PHONY: test-policies
test-policies: ## take the statements of the functions' policies out one at a time; writes the table that CI compares (6 min)
	@scripts/test-policies

.PHONY: bench
bench: ## the measurements of the README, side by side in one run
	@go run ./scripts/bench

.PHONY: fuzz
FUZZTIME ?= 60s
fuzz: ## every fuzz target for FUZZTIME (60s) each
	@scripts/fuzz $(FUZZTIME)

.PHONY: golden
golden: ## rewrite the golden files from what the code does now; read the difference
	go test ./internal/api/enms ./infra -update
	git diff --stat

.PHONY: synth
synth: ## write the CloudFormation template to cdk.out
	@scripts/synth

.PHONY: deploy
deploy: ## CDK to the account of the current AWS credentials; prints the API's URL (docs/first-deployment.md)
	@scripts/deploy up $(PARAMETERS)

.PHONY: destroy
destroy: ## take the stack away, but not its table, bucket and key
	@scripts/deploy down

.PHONY: tools
tools:
	@command -v staticcheck >/dev/null || test -x "$$(go env GOPATH)/bin/staticcheck" || go install honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: lint
lint: tools ## gofmt, vet, staticcheck, go.mod tidy
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$fmt" || { echo "gofmt would change: $$fmt"; exit 1; }
	go vet ./...
	PATH="$$PATH:$$(go env GOPATH)/bin" staticcheck ./...
	go mod tidy -diff

.PHONY: vuln
vuln: ## known vulnerabilities, where their database can be reached
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

.PHONY: check
check: lint test ## lint and test

.PHONY: clean
clean: ## remove what was built
	rm -rf bin build cdk.out
