#!/usr/bin/env bash
# Install the Debian packages that the tests need and this machine lacks, and those of the arguments, which are like the
# lines below. Quiet unless something fails.
set -euo pipefail

# command or file that shows it is there : package that brings it
needs="
dig:dnsutils
unbound:unbound
nsd:nsd
redis-server:redis-server
redis-sentinel:redis-sentinel
nginx:nginx
/usr/lib/nginx/modules/ngx_rtmp_module.so:libnginx-mod-rtmp
openssl:openssl
curl:curl
promtool:prometheus
pdns_recursor:pdns-recursor
valgrind:valgrind
cc:gcc
/usr/include/stdio.h:libc6-dev
"
PATH=$PATH:/usr/sbin:/sbin
missing=()
for need in $needs "$@"; do
  there=${need%%:*}
  [[ $there == /* && -e $there ]] || command -v "$there" >/dev/null 2>&1 || missing+=("${need##*:}")
done
# A Python without ensurepip cannot make a virtual environment (Debian ships it apart).
"${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
# What is compiled needs the headers of that Python.
"${PYTHON:-python3}" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
  missing+=(python3-dev)
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install these packages as root first: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi

# The tests start servers of their own: the packages must not start theirs, which want port 53.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
log=$(mktemp)
quietly() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }; }
quietly apt-get update -q
quietly apt-get install -q -y --no-install-recommends "${missing[@]}"
rm -f "$log"
