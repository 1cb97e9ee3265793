#!/usr/bin/env bash
# All tests, in several processes: a Qt application, a MRML scene and forks before any thread want a fresh one each. The
# panel's files count nodes and observers, and a main window's views and other modules' nodes outlive a cleared scene.
# Usage: Testing/run.sh PYTHON [option of pytest ...]; HRCAM_JUNIT names a folder for one JUnit report of each process.
# Each test is bounded (pyproject.toml: --timeout), their sum is not: a slow machine takes as long as it needs. Tests of
# more than ten seconds are listed at the end of each process.
set -uom pipefail  # m: each process has a group of its own
cd "$(dirname "$0")/.."
python=$1
shift
alone=(Testing/engine/run/test_engines.py Testing/faults/test_faults_kill.py HRCAMModule/Testing/Python/test_*.py)
status=0
ignored=()
group=
trap 'kill -TERM -- "-$group" 2>/dev/null; exit 130' INT TERM

# A process that a failed test left behind would keep our output open, and whoever reads it would wait for ever: it is
# ended with its group.
run() {
  local name=$1 report=()
  shift
  if [ -n "${HRCAM_JUNIT:-}" ]; then report=("--junitxml=$HRCAM_JUNIT/$name.xml" -o junit_family=xunit1); fi
  "$python" -m pytest --durations=10 --durations-min=10 ${report[@]+"${report[@]}"} "$@" </dev/null &
  group=$!
  wait "$group" || status=1
  kill -KILL -- "-$group" 2>/dev/null
}

for file in "${alone[@]}"; do
  ignored+=("--ignore=$file")
  run "$(basename "$file" .py)" -q "$file" "$@"
done
run others "${ignored[@]}" "$@"
exit "$status"
