#include "common/base/environment_flags.h"
#include "common/base/logging.h"
#include "executive/executive_flags.h"

int main(int argc, char** argv) {
  ctlstore::ParseFlags("Guards the system of record: the one door for changes to control data.",
                       argc, argv);
  ctlstore::InitLogging(argv[0]);
  return ctlstore::executive::RunExecutive();
}
