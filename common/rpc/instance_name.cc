#include "common/rpc/instance_name.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace ctlstore::rpc {

std::string InstanceName() {
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = '\0';
  return absl::StrCat(host[0] == '\0' ? "unknown" : host, "/", getpid());
}

}  // namespace ctlstore::rpc
