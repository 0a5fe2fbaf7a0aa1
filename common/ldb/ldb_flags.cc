#include "common/ldb/ldb_flags.h"

#include "absl/flags/flag.h"
#include "common/ldb/reader.h"

ABSL_FLAG(std::string, ldb, "",
          "This host's local database, a file. Default: ldb.db in the folder that the environment "
          "variable CTLSTORE_PATH names, or else in /var/spool/ctlstore.");

namespace ctlstore::ldb {

std::string LdbPathFromFlags() {
  const std::string path = absl::GetFlag(FLAGS_ldb);
  return path.empty() ? Reader::DefaultPath() : path;
}

}  // namespace ctlstore::ldb
