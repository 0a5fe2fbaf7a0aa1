#include "common/base/environment_flags.h"
#include "common/base/logging.h"
#include "heartbeat/heartbeat_flags.h"

int main(int argc, char** argv) {
  ctlstore::ParseFlags("Writes the time through the executive, so that hosts know their lag.", argc,
                       argv);
  ctlstore::InitLogging(argv[0]);
  return ctlstore::heartbeat::RunHeartbeat();
}
