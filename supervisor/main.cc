#include "common/base/environment_flags.h"
#include "common/base/logging.h"
#include "supervisor/supervisor_flags.h"

int main(int argc, char** argv) {
  ctlstore::ParseFlags("Takes snapshots of the ctldb's data, from which new hosts begin.", argc,
                       argv);
  ctlstore::InitLogging(argv[0]);
  return ctlstore::supervisor::RunSupervisor();
}
