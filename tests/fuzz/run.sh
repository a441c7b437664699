#!/usr/bin/env bash
# make fuzz: the compiled parser by libFuzzer, both paths against each other by atheris, and the tests of answering on
# extensions that AddressSanitizer and UndefinedBehaviorSanitizer watch. Of the seconds given, the parser has two fifths,
# the paths three; the tests take a minute or two besides. What is found is left in build/fuzz and named.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:?how many seconds}
python=$PWD/.venv/bin/python
out=$PWD/build/fuzz

missing() { echo "make fuzz needs $1" >&2; exit 1; }
command -v clang >/dev/null || missing "clang (Debian: apt-get install clang)"
echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
  clang -x c -fsanitize=fuzzer,address,undefined - -o /dev/null 2>/dev/null ||
  missing "the run-time libraries of clang (Debian: apt-get install libclang-rt-14-dev)"
command -v gcc >/dev/null && [ -e "$(gcc -print-file-name=libasan.so)" ] || missing "gcc with libasan"
"$python" -c 'import atheris' 2>/dev/null || missing "atheris (pip install 'gslb[fuzz]'; it is built for x86-64)"

mkdir -p "$out/parser" "$out/paths"
limits=(-rss_limit_mb=1024 -timeout=10 -print_final_stats=1 "-artifact_prefix=$out/found-")
fuzz() { # name, seconds, program…: quiet unless something is found
  local name=$1 for=$2 log=$out/$1.log
  shift 2
  "$@" "${limits[@]}" "-max_total_time=$for" "$out/$name" tests/fuzz/corpus >"$log" 2>&1 ||
    { tail -n 40 "$log" >&2; echo "fuzz: $name: found something, see $log" >&2; exit 1; }
  echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
}

read -r include library version < <("$python" -c '
import sysconfig
print(sysconfig.get_path("include"), *map(sysconfig.get_config_var, ("LIBDIR", "LDVERSION")))')
for module in query crc; do
  "$python" -m cython -3 --module-name "gslb.answer._fast.$module" "gslb/answer/_fast/$module.pyx" -o "$out/$module.c"
done
clang -g -O1 -w -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I"$include" -I"$out" \
  tests/fuzz/parser.c tests/fuzz/checksum.c -o "$out/parser.run" -L"$library" -Wl,-rpath,"$library" "-lpython$version"
fuzz parser $((seconds * 2 / 5 + 1)) "$out/parser.run" -max_len=1500

export PYTHONPATH=$PWD/tests/lib
fuzz paths $((seconds * 3 / 5 + 1)) "$python" tests/fuzz/differential.py -max_len=600 -dict=tests/fuzz/differential.dict

# The tests once more, in a copy of the tree with its own build of the extensions.
copy=$out/sanitized
rm -rf "$copy"
mkdir -p "$copy"
cp -r gslb tests zones data pyproject.toml README.md LICENSE "$copy"
find "$copy/gslb" \( -name '*.so' -o -name '*.c' -o -name __pycache__ \) -prune -exec rm -rf {} +
cd "$copy"
printf '#!/bin/sh\nexec gcc "$@" -O1 -g -w -fsanitize=address,undefined -fno-sanitize-recover=undefined\n' >cc
chmod 755 cc
CC=$copy/cc "$python" -c 'import setuptools; setuptools.setup()' -q build_ext --inplace >"$out/build.log" 2>&1 ||
  { cat "$out/build.log" >&2; exit 1; }
[ "$(find gslb -name '*.so' | wc -l)" = "$(find gslb -name '*.pyx' | wc -l)" ] || { cat "$out/build.log" >&2; exit 1; }
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
  "$python" -m pytest -q -p no:cacheprovider tests/answer tests/server/test_native.py >"$out/tests.log" 2>&1 ||
  { tail -n 60 "$out/tests.log" >&2; exit 1; }
echo "fuzz: tests on sanitized extensions: $(tail -n 1 "$out/tests.log")"
