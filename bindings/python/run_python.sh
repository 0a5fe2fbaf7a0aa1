#!/bin/sh
# Runs a program with the package and its library as the build has them: run_python.sh PROGRAM.py [argument...]
# By Bazel, where the program's name stands first among the arguments of a test, or as the program's own
# target, which has its name with ".py".
set -eu
if [ -d "$0.runfiles" ]; then
  root="$(cd "$0.runfiles" && pwd)/ctlstore"
  program="$root/bindings/python/$(basename "$0").py"
else
  root="${TEST_SRCDIR:?}/ctlstore"
  program="$root/$1"
  shift
fi
export CTLSTORE_LIBRARY="$root/bindings/c/libctlstore.so.0"
export PYTHONPATH="$root/bindings/python"
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -u "$program" "$@"
