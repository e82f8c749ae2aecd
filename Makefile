# Everything runs in a virtual environment of the project's own; nothing needs to be activated.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
LANDING := data/landing
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

# What is given on the command line is text: neither make nor the shell may take it for commands.
# It reaches the recipes by the environment, where a quotation mark or $(...) means nothing.
GIVEN := AT INCIDENT SPEED MINUTES MULTIPLY DATABASE FOLDER DRY_RUN GIVE_UP_AFTER ALERT METRIC MODEL \
	VERSION ROLE FROM TO AGAINST_FROM AGAINST_TO RULES TARGETS INCIDENTS JSON CSV OPTIONS SCHEDULES \
	KILLS EVENTS PARTS WHAT REPEATS ANEW TABLES
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

.DEFAULT_GOAL := help
.PHONY: help demo test test-python test-integration test-report test-schedules test-spark test-deep build report replay stream summary notify rca export backtest bench simulate mutate lint format docs clean lock audit sbom

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
	@test -n "$$AT" || { echo 'Say when: make replay AT=2013-05-07T18:05:00Z, or AT=<incident_id of demo/incidents.csv>'; exit 2; }
	$(BIN)/python -m demo.replay --at="$$AT"

stream: $(VENV)/.installed ## An incident by the minute, as it comes: make stream INCIDENT=latency-may SPEED=20 MINUTES=3
	@$(BIN)/python -m demo.stream --incident="$${INCIDENT:-latency-may}" --speed="$${SPEED:-20}" \
		--minutes="$${MINUTES:-3}" --multiply="$${MULTIPLY:-20}"

report: $(VENV)/.installed ## The report: a static site in report/site/, or make report DATABASE=... FOLDER=...
	@$(BIN)/python -m report $${DATABASE:+--database="$$DATABASE"} $${FOLDER:+--folder="$$FOLDER"}

summary: $(VENV)/.installed ## Show again what the last build found
	$(BIN)/python -m demo.summary

notify: $(VENV)/.installed ## Tell who should know: make notify, or make notify DRY_RUN=1
	@$(BIN)/python python_udfs/notifier.py $${DRY_RUN:+--dry-run} \
		$${GIVE_UP_AFTER:+--give-up-after="$$GIVE_UP_AFTER"}

export: $(VENV)/.installed ## The public tables as Parquet: make export FOLDER=/srv/bi TABLES="alerts slo_status"
	@set -f; $(BIN)/python python_udfs/exporting.py --folder="$${FOLDER:-export}" \
		$${DATABASE:+--database="$$DATABASE"} $${TABLES:+--tables $$TABLES}

# Without ALERT the newest alerts are listed. METRIC=roc_auc MODEL=m VERSION=v1 FROM=.. TO=.. splits any change.
rca: $(VENV)/.installed ## Why did it break? A report: make rca ALERT=18514502ee9c7e79
	@$(BIN)/python -m rca $${ALERT:+--alert="$$ALERT"} $${METRIC:+--metric="$$METRIC"} \
		$${MODEL:+--model="$$MODEL"} $${VERSION:+--model-version="$$VERSION"} $${ROLE:+--role="$$ROLE"} \
		$${FROM:+--from="$$FROM"} $${TO:+--to="$$TO"} $${AGAINST_FROM:+--against-from="$$AGAINST_FROM"} \
		$${AGAINST_TO:+--against-to="$$AGAINST_TO"} $${DATABASE:+--database="$$DATABASE"}

# RULES, TARGETS and INCIDENTS are CSV files; OPTIONS takes any other: python -m backtesting --help
backtest: $(VENV)/.installed ## Rules on all history: make backtest RULES=my_rules.csv FROM=2013-09-01 TO=2013-12-31
	@set -f; $(BIN)/python -m backtesting $${RULES:+--rules="$$RULES"} $${TARGETS:+--targets="$$TARGETS"} \
		$${INCIDENTS:+--incidents="$$INCIDENTS"} $${FROM:+--from="$$FROM"} $${TO:+--to="$$TO"} \
		$${JSON:+--json="$$JSON"} $${CSV:+--csv="$$CSV"} $$OPTIONS

test: lint test-python test-integration test-report test-schedules test-spark ## Everything that CI runs

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

# Airflow and Dagster want an environment of their own. The lock is complete, and pip takes a pin with
# extras for none: hence --no-deps.
SCHEDULING := .venv-scheduling
$(SCHEDULING)/.installed: tests/scheduling/requirements.txt
	$(PYTHON) -m venv $(SCHEDULING)
	$(SCHEDULING)/bin/pip install --quiet --require-hashes --no-deps -r $<
	@touch $@

test-schedules: $(VENV)/.installed $(SCHEDULING)/.installed ## Load docs/examples/scheduling in Airflow, Dagster
	$(SCHEDULING)/bin/pytest --confcutdir tests/scheduling tests/scheduling

# Spark is a gigabyte that one machine does without. It runs on Java 17 or later.
$(VENV)/.spark-installed: $(VENV)/.installed requirements-spark.txt
	$(BIN)/pip install --quiet --require-hashes -r requirements-spark.txt
	@touch $@

test-spark: $(VENV)/.spark-installed ## The target spark on a cluster of this machine, against one machine
	@command -v java >/dev/null || { echo 'Spark needs Java: apt-get install default-jre-headless'; exit 2; }
	$(BIN)/pytest tests/spark

test-deep: $(VENV)/.installed ## Many more schedules and kills: make test-deep SCHEDULES=40 KILLS=100
	$(BIN)/pytest -s tests/integration/test_schedules.py tests/integration/test_crashes.py \
		--schedules="$${SCHEDULES:-40}" --kills="$${KILLS:-100}"

bench: $(VENV)/.installed ## Time and memory, against plain SQL and peers: make bench EVENTS=1000000 PARTS="raw_sql peers"
	set -f; $(BIN)/python -m benchmarks --events="$${EVENTS:-1000000}" $${PARTS:+--parts $$PARTS}

simulate: $(VENV)/.installed ## What verdicts are worth: make simulate, or make simulate WHAT=launch REPEATS=2000
	$(BIN)/python -m simulations "$${WHAT:-drift}" $${REPEATS:+--repeats="$$REPEATS"}

mutate: $(VENV)/.installed ## Mutation testing of the mathematics: make mutate, or make mutate ANEW=1
	$(BIN)/python -m mutations $${ANEW:+--anew}

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

audit: $(VENV)/.installed ## Whether anything is known against what is locked (needs the network)
	@$(BIN)/python -m supply_chain audit

sbom: $(VENV)/.installed ## A bill of what is locked, as CycloneDX: sbom.json
	@$(BIN)/python -m supply_chain sbom

lock: ## Lock the dependencies anew (needs uv)
	uv pip compile pyproject.toml $(LOCK) -o requirements.txt
	uv pip compile pyproject.toml --extra demo -c requirements.txt $(LOCK) -o requirements-demo.txt
	uv pip compile pyproject.toml --extra dev -c requirements.txt $(LOCK) -o requirements-dev.txt
	uv pip compile tests/scheduling/requirements.in -c requirements-dev.txt $(LOCK) -o tests/scheduling/requirements.txt
	uv pip compile pyproject.toml --extra spark -c requirements-dev.txt $(LOCK) -o requirements-spark.txt
	echo mutmut | uv pip compile - -c requirements-dev.txt $(LOCK) -o mutations/requirements.txt

LOCK := --python-version 3.11 --universal --generate-hashes --no-strip-extras --no-header --no-annotate --quiet

clean: ## Remove what was built, data and databases included
	rm -rf target logs data replays backtests sbom.json *.lake *.duckdb *.duckdb.* .*.duckdb .*.duckdb.* *_notifications.sqlite*
