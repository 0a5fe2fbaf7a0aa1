#include "common/base/environment_flags.h"
#include "common/base/logging.h"
#include "reflector/reflector_flags.h"

int main(int argc, char** argv) {
  ctlstore::ParseFlags("Keeps this host's local database up with the ctldb's ledger.", argc, argv);
  ctlstore::InitLogging(argv[0]);
  return ctlstore::reflector::RunReflector();
}
