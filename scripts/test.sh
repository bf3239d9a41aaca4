#!/usr/bin/env bash
# Runs every test: those that need nothing but themselves, then those that meet real
# programs, a browser or the clock, of which two files at a time. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pytest=${BIN:-.venv/bin}/pytest
alone='interop or browser or slow'

began=$SECONDS
"$pytest" -q -n "${TEST_PROCESSES:-auto}" -m "not ($alone)" "$@"
first=$?
"$pytest" -q -n "${TEST_PROGRAMS:-2}" --dist loadfile -m "$alone" "$@"
second=$?
echo "unit tests: $( ((first)) && echo failed || echo passed );" \
  "programs, browser and demo: $( ((second)) && echo failed || echo passed );" \
  "$(( SECONDS - began )) s"
exit $(( first || second ))
