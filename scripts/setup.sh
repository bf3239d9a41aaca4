#!/usr/bin/env bash
# Makes .venv and installs this checkout into it: scripts/setup.sh demo|test
#
# Needs a Python of 3.11 or later and a way to the package index, and nothing else.
# Says in a few lines what it does; what pip has to say is in .venv/setup.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
log=$venv/setup.log
purpose=${1:-demo}
case $purpose in
  demo) extras=speech,llm ;;
  test) extras=speech,espeak,llm,dev
    echo "The tests let espeak-ng speak too (GPL-3.0-or-later, in a process of its own)." ;;
  *) echo "usage: scripts/setup.sh demo|test" >&2; exit 2 ;;
esac

fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs a command; shows what it is for, a dot every two seconds, and how long it took.
step() {
  local what=$1 began=$SECONDS
  shift
  printf '  %s ' "$what"
  { printf '\n$'; printf ' %q' "$@"; printf '\n'; } >>"$log"
  set -m  # a process group of its own, to be stopped as a whole
  "$@" >>"$log" 2>&1 </dev/null &
  job=$!
  set +m
  while kill -0 "$job" 2>/dev/null; do
    sleep 0.2
    (( ++ticks % 10 )) || printf '.'
  done
  if wait "$job"; then
    printf ' %d s\n' $(( SECONDS - began ))
  else
    printf ' failed\n\n' >&2
    tail -n 15 "$log" >&2
    fail "the whole story is in $log"
  fi
}
ticks=0
job=

# Ctrl-C does not reach a job in the background: without this it would go on by itself.
stopped() {
  trap '' INT TERM HUP
  [[ -z $job ]] || { kill -- "-$job" 2>/dev/null && wait "$job" 2>/dev/null; } || true
  printf '\nsetup: stopped; the next time goes on from here\n' >&2
  exit 130
}
trap stopped INT TERM HUP

is_enough() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
can_seed() { "$1" -c 'import ensurepip; ensurepip.version()' >/dev/null 2>&1; }
has_pip() { "$1" -m pip --version >/dev/null 2>&1; }

# The Python to use: one that can bring its own pip, if there is one.
find_python() {
  local each found=
  for each in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3}; do
    command -v "$each" >/dev/null && is_enough "$each" || continue
    if can_seed "$each"; then echo "$each"; return; fi
    found=${found:-$each}
  done
  echo "$found"
}

install_pip() {
  local wheel
  wheel=$("$venv/bin/python" scripts/get_pip.py "$venv") || return
  "$venv/bin/python" "$wheel/pip" install --no-index "$wheel"
}

make_venv() {
  local python
  python=$(find_python)
  [[ $python ]] || fail "this needs Python 3.11 or later (as PYTHON=/path/to/python3 make demo)"
  rm -rf "$venv"
  mkdir "$venv"
  echo "Setting up Trunkline in $PWD/$venv"
  local name
  name="virtual environment, $("$python" --version)"
  if can_seed "$python"; then
    step "$name" "$python" -m venv "$venv"
  elif has_pip "$python"; then
    # Debian without python3-venv: its pip can install another into the environment.
    step "$name" "$python" -m venv --without-pip "$venv"
    step "pip" "$python" -m pip --python "$venv/bin/python" install pip
  elif command -v uv >/dev/null; then
    step "$name" uv venv --allow-existing --seed --python "$python" "$venv"
  else
    # Debian's python3 and nothing else: neither ensurepip nor pip. The wheel of pip runs as it is.
    step "$name" "$python" -m venv --without-pip "$venv"
    step "pip" install_pip
  fi
  pwd >"$venv/.place"
}

# An environment that was moved, or whose Python is gone, is made again.
if [[ $(cat "$venv/.place" 2>/dev/null) != "$PWD" ]] || ! "$venv/bin/python" -c '' 2>/dev/null; then
  make_venv
else
  echo "Bringing $venv up to date"
fi
pip=("$venv/bin/python" -m pip --disable-pip-version-check install)

step "Trunkline and the packages it needs" "${pip[@]}" --editable ".[$extras]"
if [[ $purpose == test ]]; then
  # It asks for matplotlib and more for its own plots; the tests want its library alone.
  step "RNNoise, for the tests" "${pip[@]}" --no-deps 'pyrnnoise>=0.4.5'
fi

# What no extra can say: Silero's model without torch, and a voice where the system has none.
# pip's own words are short there; they say which licences come with it.
"$venv/bin/python" - "$purpose" <<'PYTHON' | tee -a "$log"
import sys
import time

from trunkline.errors import TrunklineError
from trunkline.speech import setup

parts = setup.survey()
for part in parts:
    if not part.found and part.pip:
        licence = f", {part.licence}" if "GPL" in part.licence else ""
        print(f"  {part.name} ({part.need}{licence})", flush=True)
began = time.monotonic()
try:
    after = setup.install(lambda line: print(f"    {line}") if "GPL" in line else None)
except TrunklineError as error:
    sys.exit(f"setup: {error}")
except KeyboardInterrupt:
    sys.exit(130)
missing = [part.name for part in after if not part.found and part.pip]
if missing:
    sys.exit(f"setup: still missing: {', '.join(missing)}")
voice = next(part.name for part in after if part.need == "speaking" and part.found)
print(f"  ready to hear and speak (with {voice})  {time.monotonic() - began:.0f} s")
PYTHON
[[ $purpose == demo ]] || touch "$venv/.ready-demo"
touch "$venv/.ready-$purpose"
echo
