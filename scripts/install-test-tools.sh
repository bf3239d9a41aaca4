#!/usr/bin/env bash
# Installs the programs and libraries that the tests talk to, from Debian's packages, where it may.
# Without root it only says which tests will be skipped; with CI=true that is a failure.
set -euo pipefail

declare -A package=(
  [sipp]=sip-tester [baresip]=baresip-core [flite]=flite [chromium]=chromium [kamailio]=kamailio
  [openssl]=openssl
  [libopus.so.0]=libopus0 [libspandsp.so.2]=libspandsp2 [libspeexdsp.so.1]=libspeexdsp1
)
declare -A purpose=(
  [sipp]="calls by sipp" [baresip]="calls by baresip" [flite]="the voices of flite"
  [chromium]="the pages in a browser" [kamailio]="registration and a proxy in the way"
  [openssl]="SIP over TLS by openssl" [libopus.so.0]="Opus"
  [libspandsp.so.2]="G.722 against another" [libspeexdsp.so.1]="Speex's echo canceller"
)

missing() {
  local program
  for program in sipp baresip flite chromium kamailio openssl; do
    command -v "$program" >/dev/null || echo "$program"
  done
  local library
  for library in libopus.so.0 libspandsp.so.2 libspeexdsp.so.1; do
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "$library " || echo "$library"
  done
}

as_root() {
  if [[ $EUID == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

mapfile -t absent < <(missing)
(( ${#absent[@]} )) || exit 0

if command -v apt-get >/dev/null && { [[ $EUID == 0 ]] || sudo -n true 2>/dev/null; }; then
  wanted=()
  for program in "${absent[@]}"; do wanted+=("${package[$program]}"); done
  echo "Installing what the tests talk to: ${wanted[*]}"
  log=$(mktemp)
  if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
         as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y \
           --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
  fi
  rm -f "$log"
  # The tests start kamailio themselves; as a service it would sit on port 5060.
  if [[ " ${wanted[*]} " == *" kamailio "* ]] && [[ -d /run/systemd/system ]]; then
    as_root systemctl disable --now -q kamailio || true
  fi
fi

mapfile -t absent < <(missing)
for program in "${absent[@]}"; do
  echo "$program is not installed (Debian: ${package[$program]}): without it no test of ${purpose[$program]}" >&2
done
if (( ${#absent[@]} )) && [[ ${CI:-} == true ]]; then
  echo "with CI=true every test has to run" >&2
  exit 1
fi
