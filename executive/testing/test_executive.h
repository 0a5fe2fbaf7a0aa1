// An executive with all that belongs to it, for tests that call it in their own process.

#ifndef CTLSTORE_EXECUTIVE_TESTING_TEST_EXECUTIVE_H_
#define CTLSTORE_EXECUTIVE_TESTING_TEST_EXECUTIVE_H_

#include <prometheus/registry.h>

#include <cstddef>
#include <memory>

#include "common/base/worker_pool.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/schema_changer.h"
#include "common/rpc/access_control.h"
#include "common/rpc/call_metrics.h"
#include "executive/executive.h"
#include "executive/executive_metrics.h"
#include "executive/executive_service.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/test_ctldb.h"

namespace ctlstore::executive {

// As a process has it: with connections, caches and threads of its own. Not thread-safe itself.
class TestExecutive {
 public:
  // Writers are not limited, unless the options say so.
  static Executive::Options Unlimited();

  // `ctldb` must outlive it.
  explicit TestExecutive(const TestCtldb& ctldb, Executive::Options options = Unlimited(),
                         size_t max_connections = 8);
  ~TestExecutive();
  TestExecutive(const TestExecutive&) = delete;
  TestExecutive& operator=(const TestExecutive&) = delete;

  Executive* operator->() { return &executive_; }
  Executive* get() { return &executive_; }

  // For a gRPC or HTTP face without roles.
  FaceParts face();
  prometheus::Registry* registry() { return &registry_; }

  // To be set while no call is under way.
  Faults faults;
  ctldb::SchemaChanger::FaultPoint schema_fault;

 private:
  ctldb::ConnectionPool pool_;
  ctldb::SchemaChanger changer_;
  prometheus::Registry registry_;
  ExecutiveMetrics metrics_{&registry_};
  rpc::CallMetrics call_metrics_{"test", &registry_};
  std::unique_ptr<rpc::AccessControl> access_;
  // Ends before the executive, which its tasks use.
  std::unique_ptr<WorkerPool> workers_;
  Executive executive_;
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_TEST_EXECUTIVE_H_
