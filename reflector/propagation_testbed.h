// What benchmarks of propagation have in common: a system of record with an executive, services as
// processes of their own, and the time that a change takes to a local database.

#ifndef CTLSTORE_REFLECTOR_PROPAGATION_TESTBED_H_
#define CTLSTORE_REFLECTOR_PROPAGATION_TESTBED_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/ctldb/target.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/ldb/reader.h"
#include "ctlstore/v1/executive.grpc.pb.h"
#include "executive/executive_server.h"

namespace ctlstore::reflector {

// A benchmark without its figures is worth nothing: every error ends it.
void Check(const absl::Status& status, absl::string_view what);

template <typename T>
T Check(absl::StatusOr<T> value, absl::string_view what) {
  Check(value.status(), what);
  return *std::move(value);
}

// `figure<TAB>value<TAB>unit`.
void Print(const std::string& figure, double value, const char* unit);

// A folder that is gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A service that keeps a local database, as a process of its own: the program with this name that
// lies beside this one. Killed when this is destroyed.
class ServiceProcess {
 public:
  // `name` is of its files in the folder.
  ServiceProcess(const std::string& program, const std::string& folder, const std::string& name,
                 std::vector<std::string> flags);
  ~ServiceProcess();
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& ldb_path() const { return ldb_path_; }
  // What it has said so far.
  std::string Log() const;

  // Returns once the LDB has the ledger up to `sequence`.
  void WaitFor(int64_t sequence);

  // "VmRSS" for what it takes, "VmHWM" for the most that it ever took.
  double Megabytes(absl::string_view kind) const;

 private:
  const std::string ldb_path_;
  const std::string log_path_;
  pid_t pid_ = 0;
};

// MariaDB, and an executive in this process with its client and a table of one row.
class System {
 public:
  System();

  const std::string& address() const { return executive_->addresses()[0]; }
  const ctldb::Target& target() const { return target_; }

  // Writes the row with this number; returns the sequence.
  int64_t Write(int64_t number);
  // The number that a local database has.
  static int64_t Read(ldb::Reader* reader);

 private:
  const std::unique_ptr<ctldb::testing::MariadbServer> mariadb_;
  ctldb::Target target_;
  std::unique_ptr<executive::ExecutiveServer> executive_;
  std::unique_ptr<v1::Executive::Stub> stub_;
};

// Writes now and then, and measures how long after the answer each write is there to be read. The
// pauses are at random up to `most_pause`.
std::vector<absl::Duration> MeasurePropagation(System* system, ldb::Reader* reader, int samples,
                                               absl::Duration most_pause);

double PercentileMs(std::vector<absl::Duration> times, double fraction);

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_PROPAGATION_TESTBED_H_
