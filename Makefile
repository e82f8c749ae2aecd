# Everything runs in a virtual environment of the project's own; nothing needs to be activated.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
LANDING := data/landing
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.DEFAULT_GOAL := help
.PHONY: help demo test test-python test-integration test-report test-deep build report replay stream summary notify rca export backtest bench simulate mutate lint format docs clean lock

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

# The stamp is newer than the locks once they are installed.
$(VENV)/.installed: requirements.txt requirements-demo.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt -r requirements-demo.txt -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.installed ## Real flights: make the data, build, show what was found
	$(BIN)/python -m demo.generate --landing $(LANDING)
	$(BIN)/dbt build --exclude-resource-type unit_test
	$(BIN)/python -m demo.summary
	@$(BIN)/python -m report --quiet

build: $(VENV)/.installed ## dbt build, as a schedule would run it: without the unit tests
	$(BIN)/dbt build --exclude-resource-type unit_test

replay: $(VENV)/.installed ## Build as of a moment or incident: make replay AT=2013-05-07T18:05:00Z
	@test -n "$(AT)" || { echo 'Say when: make replay AT=2013-05-07T18:05:00Z, or AT=<incident_id of demo/incidents.csv>'; exit 2; }
	$(BIN)/python -m demo.replay --at '$(AT)'

stream: $(VENV)/.installed ## An incident by the minute, as it comes: make stream INCIDENT=latency-may SPEED=20 MINUTES=3
	@$(BIN)/python -m demo.stream --incident $(or $(INCIDENT),latency-may) --speed $(or $(SPEED),20) \
		--minutes $(or $(MINUTES),3) --multiply $(or $(MULTIPLY),20)

report: $(VENV)/.installed ## The report: a static site in report/site/, or make report DATABASE=... FOLDER=...
	@$(BIN)/python -m report $(if $(DATABASE),--database '$(DATABASE)') $(if $(FOLDER),--folder '$(FOLDER)')

summary: $(VENV)/.installed ## Show again what the last build found
	$(BIN)/python -m demo.summary

notify: $(VENV)/.installed ## Tell who should know: make notify, or make notify DRY_RUN=1
	@$(BIN)/python python_udfs/notifier.py $(if $(DRY_RUN),--dry-run) $(if $(GIVE_UP_AFTER),--give-up-after $(GIVE_UP_AFTER))

export: $(VENV)/.installed ## The public tables as Parquet: make export FOLDER=/srv/bi TABLES="alerts slo_status"
	@$(BIN)/python python_udfs/exporting.py --folder '$(or $(FOLDER),export)' $(if $(DATABASE),--database '$(DATABASE)') \
		$(if $(TABLES),--tables $(TABLES))

# Without ALERT the newest alerts are listed. METRIC=roc_auc MODEL=m VERSION=v1 FROM=.. TO=.. splits any change.
rca: $(VENV)/.installed ## Why did it break? A report: make rca ALERT=18514502ee9c7e79
	@$(BIN)/python -m rca $(if $(ALERT),--alert '$(ALERT)') $(if $(METRIC),--metric '$(METRIC)') \
		$(if $(MODEL),--model '$(MODEL)') $(if $(VERSION),--model-version '$(VERSION)') $(if $(ROLE),--role '$(ROLE)') \
		$(if $(FROM),--from '$(FROM)') $(if $(TO),--to '$(TO)') $(if $(AGAINST_FROM),--against-from '$(AGAINST_FROM)') \
		$(if $(AGAINST_TO),--against-to '$(AGAINST_TO)') $(if $(DATABASE),--database '$(DATABASE)')

# RULES, TARGETS and INCIDENTS are CSV files; OPTIONS takes any other: python -m backtesting --help
backtest: $(VENV)/.installed ## Rules on all history: make backtest RULES=my_rules.csv FROM=2013-09-01 TO=2013-12-31
	@$(BIN)/python -m backtesting $(if $(RULES),--rules '$(RULES)') $(if $(TARGETS),--targets '$(TARGETS)') \
		$(if $(INCIDENTS),--incidents '$(INCIDENTS)') $(if $(FROM),--from '$(FROM)') $(if $(TO),--to '$(TO)') \
		$(if $(JSON),--json '$(JSON)') $(if $(CSV),--csv '$(CSV)') $(OPTIONS)

test: lint test-python test-integration test-report ## Everything that CI runs

# Starting dbt takes one core: two files of tests at a time.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile

test-python: $(VENV)/.installed
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/python

test-integration: $(VENV)/.installed
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/integration

# In a real browser: the system's Chromium, or else one that playwright downloads.
test-report: $(VENV)/.installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || $(BIN)/playwright install chromium
	$(BIN)/pytest tests/report

test-deep: $(VENV)/.installed ## Many more schedules and kills: make test-deep SCHEDULES=40 KILLS=100
	$(BIN)/pytest -s tests/integration/test_schedules.py tests/integration/test_crashes.py \
		--schedules $(or $(SCHEDULES),40) --kills $(or $(KILLS),100)

bench: $(VENV)/.installed ## Time and memory, against plain SQL and peers: make bench EVENTS=1000000 PARTS="raw_sql peers"
	$(BIN)/python -m benchmarks --events $(or $(EVENTS),1000000) $(if $(PARTS),--parts $(PARTS))

simulate: $(VENV)/.installed ## What verdicts are worth: make simulate, or make simulate WHAT=launch REPEATS=2000
	$(BIN)/python -m simulations $(or $(WHAT),drift) $(if $(REPEATS),--repeats $(REPEATS))

mutate: $(VENV)/.installed ## Mutation testing of the mathematics: make mutate, or make mutate ANEW=1
	$(BIN)/python -m mutations $(if $(ANEW),--anew)

lint: $(VENV)/.installed ## Python, SQL and YAML style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .
	$(BIN)/sqlfluff lint models tests analyses

format: $(VENV)/.installed ## Mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix models tests analyses

docs: $(VENV)/.installed ## dbt docs, in target/
	$(BIN)/dbt docs generate

lock: ## Lock the dependencies anew (needs uv)
	uv pip compile pyproject.toml $(LOCK) -o requirements.txt
	uv pip compile pyproject.toml --extra demo -c requirements.txt $(LOCK) -o requirements-demo.txt
	uv pip compile pyproject.toml --extra dev -c requirements.txt $(LOCK) -o requirements-dev.txt
	echo mutmut | uv pip compile - -c requirements-dev.txt $(LOCK) -o mutations/requirements.txt

LOCK := --python-version 3.11 --universal --generate-hashes --no-strip-extras --no-header --no-annotate --quiet

clean: ## Remove what was built, data and databases included
	rm -rf target logs data replays backtests *.duckdb *.duckdb.* .*.duckdb .*.duckdb.* *_notifications.sqlite*
