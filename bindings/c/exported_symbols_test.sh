#!/bin/sh
# libctlstore.so exports what its headers declare and nothing else, under its stable name.
set -eu
library=$1
shift
# Each declared function's name is followed by "(", at the beginning of its declaration.
declared=$(cat "$@" | grep -v '^static inline' | grep -oE '^[a-z].*\bctlstore_[a-z_]+\(' |
  grep -oE 'ctlstore_[a-z_]+\($' | tr -d '(' | sort)
exported=$(nm --dynamic --defined-only --extern-only --format=posix "$library" | cut -d' ' -f1 | sort)
if [ "$declared" != "$exported" ]; then
  echo "declared:" $declared
  echo "exported:" $exported
  exit 1
fi
readelf --dynamic "$library" | grep -q 'SONAME.*\[libctlstore.so.0\]' || {
  echo "the library's name is not libctlstore.so.0"
  exit 1
}
echo "$(echo "$exported" | wc -l) functions."
