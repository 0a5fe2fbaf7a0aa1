#!/bin/sh
# Runs one end-to-end test: run_python_test.sh TEST.py [sqlite|mariadb] [argument...]
# Called by Bazel (py_e2e_test.bzl), in the folder where it laid out binaries and generated code.
set -eu
test_file=$1
shift
if [ $# -gt 0 ]; then
  export E2E_CTLDB="$1"
  shift
fi
# Debian's gRPC and protobuf packages belong to this interpreter; another one may be first on PATH.
export PYTHONPATH="$PWD/proto:$PWD/e2e"
export PYTHONDONTWRITEBYTECODE=1
# Children are started while gRPC's threads run; none of them uses gRPC between fork and exec.
export GRPC_ENABLE_FORK_SUPPORT=0
# While no call waits, grpcio looks at its connections only that often (default: 5 s): it would notice
# late that a server is back, or that one wants to end.
export GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS=20
export PATH="/usr/sbin:/usr/bin:/sbin:/bin"
exec /usr/bin/python3 -u "$test_file" -v "$@"
