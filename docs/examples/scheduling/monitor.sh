#!/usr/bin/env bash
# What cron calls: monitor.sh build | minutes, and more arguments for dbt, if any.
#
#   5 * * * *  /srv/ml-monitoring/docs/examples/scheduling/monitor.sh build   >> /srv/logs/build.log 2>&1
#   * * * * *  /srv/ml-monitoring/docs/examples/scheduling/monitor.sh minutes >> /srv/logs/minutes.log 2>&1
#
# ML_MONITORING_PATH is the database. The exit code is that of `dbt build`.
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit 2
what=${1:?build or minutes}
shift
case $what in
    build)
        .venv/bin/dbt build --exclude-resource-type unit_test "$@"
        code=$?
        # Also, and above all, after a build that failed. What cannot be sent now goes with the next.
        .venv/bin/python python_udfs/notifier.py
        ;;
    minutes)
        # Where another build is at work the next minute catches up.
        ML_MONITORING_LOCK_WAIT=0 .venv/bin/dbt --quiet build --select tag:streaming \
            --exclude-resource-type unit_test "$@"
        code=$?
        ;;
    *)
        echo "build or minutes, not $what" >&2
        code=2
        ;;
esac
exit $code
