#!/usr/bin/env bash
# Fails where a source is not as clang-format would write it. `./dev fmt` mends it.
set -euo pipefail
# The test's copy of this script is a link to the checkout, which holds the sources to look at.
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
mapfile -d '' sources < <(find . -path ./.git -prune -o -path './bazel-*' -prune -o -path ./.dev -prune \
  -o \( -name '*.cc' -o -name '*.h' \) -print0)
[[ ${#sources[@]} -gt 0 ]] || { echo "no sources found in $PWD" >&2; exit 1; }
if ! clang-format --dry-run --Werror "${sources[@]}"; then
  echo "Run ./dev fmt." >&2
  exit 1
fi
echo "${#sources[@]} files are well formatted."
