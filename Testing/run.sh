#!/usr/bin/env bash
# All tests, in several processes: a Qt application, a MRML scene and forks before any thread want a fresh one each.
# Usage: Testing/run.sh PYTHON
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
alone=(Testing/engine/test_engines.py Testing/engine/test_faults_kill.py Testing/module/test_*.py)
status=0
ignored=()
for file in "${alone[@]}"; do
  ignored+=("--ignore=$file")
  "$python" -m pytest -q "$file" || status=1
done
"$python" -m pytest "${ignored[@]}" || status=1
exit "$status"
