#include "common/base/environment_flags.h"
#include "common/base/logging.h"
#include "sidecar/sidecar_flags.h"

int main(int argc, char** argv) {
  ctlstore::ParseFlags("Serves reads of this host's local database by gRPC.", argc, argv);
  ctlstore::InitLogging(argv[0]);
  return ctlstore::sidecar::RunSidecar();
}
