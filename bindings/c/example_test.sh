#!/bin/sh
# The example prints what is in a real local database, and says what is wrong.
set -eu
example=$1
ldb_tool=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

expect() { # what, expected, found
  [ "$2" = "$3" ] && return
  echo "$1: expected"
  echo "$2"
  echo "but found"
  echo "$3"
  exit 1
}

"$ldb_tool" "$folder/ldb.db" >"$folder/applied" <<'SQL'
CREATE TABLE geo___countries ("code" VARCHAR(191), "name" TEXT, "size" INTEGER, PRIMARY KEY("code"));
CREATE TABLE geo___towns ("code" VARCHAR(191), "number" INTEGER, "ratio" REAL, "data" BLOB, PRIMARY KEY("code", "number"));
REPLACE INTO geo___countries ("code","name","size") VALUES('NZ','Aotearoa',268021)
REPLACE INTO geo___towns ("code","number","ratio","data") VALUES('NZ',-7,0.5,x'00ff')
REPLACE INTO geo___towns ("code","number","ratio","data") VALUES('NZ',12,NULL,NULL)
SQL

expect "a row" "\
code           NZ
name           Aotearoa
size           268021" "$("$example" "$folder/ldb.db" geo countries NZ)"

expect "a key with an integer" "\
code           NZ
number         -7
ratio          0.5
data           2 bytes" "$("$example" "$folder/ldb.db" geo towns NZ -7)"

expect "a list" "\
code           NZ
number         -7
ratio          0.5
data           2 bytes

code           NZ
number         12
ratio          null
data           null" "$("$example" --list "$folder/ldb.db" geo towns NZ)"

status=0
message=$("$example" "$folder/ldb.db" geo countries XX 2>&1) || status=$?
expect "no row" "2 There is no such row." "$status $message"
status=0
message=$("$example" "$folder/ldb.db" geo oceans XX 2>&1) || status=$?
case "$status $message" in
  "1 "*"(TABLE_NOT_FOUND)") ;;
  *) expect "no table" "1 ... (TABLE_NOT_FOUND)" "$status $message" ;;
esac
status=0
message=$("$example" "$folder/none.db" geo countries NZ 2>&1) || status=$?
case "$status $message" in
  "1 "*"(LDB_UNAVAILABLE)") ;;
  *) expect "no local database" "1 ... (LDB_UNAVAILABLE)" "$status $message" ;;
esac
