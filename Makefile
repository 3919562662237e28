# Every target sets up what it needs. Node is the `node` of package.json: whatever runs npm first
# (Node 20 will do) fetches it, and node_modules/.bin comes first in PATH from then on.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run test it check bench build clean

READY := node_modules/.ready
IN := PATH="$(CURDIR)/node_modules/.bin:$$PATH"

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## install what package-lock.json says, if that changed

$(READY): package-lock.json
	npm ci
	@touch $@

run: $(READY) ## run all of Parley on this machine; ARGS="--api-port 8081" passes options
	@$(IN) exec node cmd/parley.mjs up $(ARGS)

test: $(READY) ## run every test, with real servers too, and check coverage per folder
	@$(IN) node cmd/tools/nats-server.ts
	@$(IN) node cmd/tools/cassandra.ts
	npm test
	@$(IN) tap report json-summary >/dev/null
	@$(IN) node --disable-warning=ExperimentalWarning cmd/tools/coverage-floor.ts

it: $(READY) ## run only the tests that need real servers
	@$(IN) node cmd/tools/nats-server.ts
	@$(IN) node cmd/tools/cassandra.ts
	@files=$$(find actors cmd lib nats -name '*.it.ts'); test -n "$$files" || { echo 'there are none'; exit 1; }; \
	$(IN) tap --disable-coverage $$files

check: $(READY) ## check types, form, direction of imports, and docs
	@failed=0; for step in types lint arrows 'docs -- --check'; do \
	  echo "check: $$step"; npm run -s $$step || failed=1; done; exit $$failed

bench: $(READY) ## run a benchmark: make bench ARGS="dm-max --pairs 50"; without ARGS it lists them
	@npm run -s bench -- $(ARGS)

build: $(READY) ## write JavaScript, declarations and the client package to dist/
	npm run -s build

clean: ## remove what was built or measured; data (.parley) and node_modules stay
	rm -rf dist .tap
