// The commands that only an executive's answers bring to light, by the real binary against an
// executive that answers as a test tells it to.

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/subprocess.h"
#include "common/rpc/proto_conversion.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "ctlstore/v1/executive.grpc.pb.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

// Has one table, demo.pairs, whose field k is its key. Notes each request as its name and text.
class FakeExecutive : public v1::Executive::Service {
 public:
  grpc::Status DropTable(grpc::ServerContext*, const v1::DropTableRequest* request,
                         v1::DropTableResponse* response) override {
    response->set_sequence(7);
    return Answer(*request);
  }
  grpc::Status ClearTable(grpc::ServerContext*, const v1::ClearTableRequest* request,
                          v1::ClearTableResponse* response) override {
    response->set_sequence(8);
    return Answer(*request);
  }
  grpc::Status ClearFamily(grpc::ServerContext*, const v1::ClearFamilyRequest* request,
                           v1::ClearFamilyResponse* response) override {
    response->set_sequence(request->family() == "empty" ? 0 : 9);
    return Answer(*request);
  }
  grpc::Status ListTableLimits(grpc::ServerContext*, const v1::ListTableLimitsRequest* request,
                               v1::ListTableLimitsResponse* response) override {
    response->mutable_default_limit()->set_warn_bytes(50);
    response->mutable_default_limit()->set_max_bytes(100);
    v1::TableLimit* limit = response->add_tables();
    limit->set_family("demo");
    limit->set_table("pairs");
    limit->mutable_limit()->set_warn_bytes(9007199254740993);
    limit->mutable_limit()->set_max_bytes(9007199254740995);
    return Answer(*request);
  }
  grpc::Status SetTableLimit(grpc::ServerContext*, const v1::SetTableLimitRequest* request,
                             v1::SetTableLimitResponse*) override {
    return Answer(*request);
  }
  grpc::Status DeleteTableLimit(grpc::ServerContext*, const v1::DeleteTableLimitRequest* request,
                                v1::DeleteTableLimitResponse*) override {
    return Answer(*request);
  }
  grpc::Status ListWriterLimits(grpc::ServerContext*, const v1::ListWriterLimitsRequest* request,
                                v1::ListWriterLimitsResponse* response) override {
    if (limits_writers) {
      response->mutable_default_limit()->set_rows(1000);
      response->mutable_default_limit()->mutable_period()->set_seconds(60);
    }
    v1::WriterLimit* limit = response->add_writers();
    limit->set_writer("a\nwriter");
    limit->mutable_limit()->set_rows(5);
    limit->mutable_limit()->mutable_period()->set_nanos(500000000);
    return Answer(*request);
  }
  grpc::Status SetWriterLimit(grpc::ServerContext*, const v1::SetWriterLimitRequest* request,
                              v1::SetWriterLimitResponse*) override {
    return Answer(*request);
  }
  grpc::Status DeleteWriterLimit(grpc::ServerContext*, const v1::DeleteWriterLimitRequest* request,
                                 v1::DeleteWriterLimitResponse*) override {
    return Answer(*request);
  }
  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetExecutiveStatusRequest* request,
                         v1::GetExecutiveStatusResponse* response) override {
    *response = status;
    return Answer(*request);
  }
  grpc::Status GetTable(grpc::ServerContext*, const v1::GetTableRequest*,
                        v1::GetTableResponse* response) override {
    rpc::ToProto(*TableSchema::Create("demo", "pairs", {{"k", FieldType::kInteger}}, {"k"}),
                 response->mutable_table());
    return grpc::Status::OK;
  }
  grpc::Status Mutate(grpc::ServerContext*, const v1::MutateRequest* request,
                      v1::MutateResponse* response) override {
    response->set_sequence(10);
    return Answer(*request);
  }

  grpc::Status PruneLedger(grpc::ServerContext*, const v1::PruneLedgerRequest* request,
                           v1::PruneLedgerResponse* response) override {
    *response = pruned;
    return Answer(*request);
  }

  // The next answers' errors, in order.
  void AddFault(absl::Status fault) {
    absl::MutexLock lock(&mutex_);
    faults_.push_back(std::move(fault));
  }

  // What was asked since the last call.
  std::vector<std::string> TakeRequests() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(requests_, {});
  }

  // To be set before it is asked.
  bool limits_writers = true;
  v1::GetExecutiveStatusResponse status;
  v1::PruneLedgerResponse pruned;

 private:
  grpc::Status Answer(const google::protobuf::Message& request) {
    absl::MutexLock lock(&mutex_);
    requests_.push_back(
        absl::StrCat(request.GetDescriptor()->name(), " ", request.ShortDebugString()));
    if (faults_.empty()) return grpc::Status::OK;
    const absl::Status fault = faults_.front();
    faults_.pop_front();
    return rpc::ToGrpcStatus(fault);
  }

  absl::Mutex mutex_;
  std::deque<absl::Status> faults_;
  std::vector<std::string> requests_;
};

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

class AdminCommandsTest : public testing::Test {
 protected:
  AdminCommandsTest()
      : folder_(absl::StrCat(testing::TempDir(), "/admin-", getpid(), "-",
                             testing::UnitTest::GetInstance()->current_test_info()->name())),
        program_(absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore")) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "/secret") << "a secret";
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&executive_);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~AdminCommandsTest() override {
    server_->Shutdown();
    std::filesystem::remove_all(folder_);
  }

  Outcome Run(const Arguments& arguments, absl::string_view input = "") {
    Arguments all = {program_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Subprocess process(
        folder_, all, input,
        {{"CTLSTORE_EXECUTIVE", address_}, {"CTLSTORE_WRITER_SECRET_FILE", folder_ + "/secret"}});
    Outcome outcome;
    outcome.status = process.WaitForExit(kPatience);
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }

  // Runs what must succeed.
  std::string Do(const Arguments& arguments) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.status, kExitOk) << absl::StrJoin(arguments, " ") << "\n" << outcome.errors;
    return outcome.output;
  }
  json DoJson(Arguments arguments) {
    arguments.push_back("--json");
    return json::parse(Do(arguments), nullptr, /*allow_exceptions=*/false);
  }

  // What the executive was asked.
  std::string Asked() { return absl::StrJoin(executive_.TakeRequests(), "; "); }

  const std::string folder_;
  const std::string program_;
  FakeExecutive executive_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(AdminCommandsTest, DestructiveCommandsNeedAYes) {
  for (const Arguments& arguments :
       {Arguments{"table", "drop", "demo", "pairs"}, Arguments{"table", "clear", "demo", "pairs"},
        Arguments{"family", "clear", "demo"}}) {
    const Outcome outcome = Run(arguments, "yes\n");
    EXPECT_EQ(outcome.status, kExitUsage) << outcome.errors;
    EXPECT_TRUE(absl::StrContains(outcome.errors, "--yes")) << outcome.errors;
    EXPECT_TRUE(absl::StrContains(outcome.errors, "demo")) << outcome.errors;
    EXPECT_EQ(outcome.output, "");
  }
  EXPECT_EQ(Asked(), "");
}

TEST_F(AdminCommandsTest, DestructiveCommandsDoWhatTheirNamesSay) {
  EXPECT_EQ(Do({"table", "drop", "Demo", "pairs", "--yes"}), "demo.pairs: dropped at sequence 7\n");
  EXPECT_EQ(Asked(), "DropTableRequest family: \"demo\" table: \"pairs\"");
  EXPECT_EQ(Do({"table", "clear", "demo", "pairs", "--yes"}),
            "demo.pairs: cleared at sequence 8\n");
  EXPECT_EQ(Asked(), "ClearTableRequest family: \"demo\" table: \"pairs\"");
  EXPECT_EQ(Do({"family", "clear", "demo", "--yes"}), "family demo: cleared at sequence 9\n");
  EXPECT_EQ(Asked(), "ClearFamilyRequest family: \"demo\"");
  EXPECT_EQ(Do({"family", "clear", "empty", "--yes"}),
            "family empty: nothing to do, it has no tables\n");
  EXPECT_EQ(DoJson({"table", "drop", "demo", "pairs", "--yes"}),
            json({{"family", "demo"}, {"table", "pairs"}, {"sequence", 7}}));
  EXPECT_EQ(DoJson({"family", "clear", "demo", "--yes"}),
            json({{"family", "demo"}, {"sequence", 9}}));
}

TEST_F(AdminCommandsTest, AnExecutiveMayForbidDestructiveChanges) {
  executive_.AddFault(ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                                      reason::kDestructiveDisabled, "not enabled here"));
  const Outcome outcome = Run({"table", "drop", "demo", "pairs", "--yes"});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "DESTRUCTIVE_DISABLED")) << outcome.errors;
}

TEST_F(AdminCommandsTest, TableLimits) {
  EXPECT_EQ(Do({"limits", "table", "list"}),
            "FAMILY     TABLE      WARN BYTES        MAX BYTES\n"
            "(default)  (default)  50                100\n"
            "demo       pairs      9007199254740993  9007199254740995\n");
  EXPECT_EQ(DoJson({"limits", "table", "list"}),
            json({{"default", {{"warn_bytes", 50}, {"max_bytes", 100}}},
                  {"tables",
                   {{{"family", "demo"},
                     {"table", "pairs"},
                     {"warn_bytes", 9007199254740993},
                     {"max_bytes", 9007199254740995}}}}}));
  Asked();
  EXPECT_EQ(DoJson({"limits", "table", "set", "Demo", "pairs", "--warn_bytes=5", "--max_bytes=5"}),
            json({{"family", "demo"}, {"table", "pairs"}, {"warn_bytes", 5}, {"max_bytes", 5}}));
  EXPECT_EQ(Asked(),
            "SetTableLimitRequest limit { family: \"demo\" table: \"pairs\" limit { warn_bytes: 5 "
            "max_bytes: 5 } }");
  Do({"limits", "table", "delete", "demo", "pairs"});
  EXPECT_EQ(Asked(), "DeleteTableLimitRequest family: \"demo\" table: \"pairs\"");
  executive_.AddFault(ErrorWithReason(absl::StatusCode::kNotFound, reason::kLimitNotFound, "none"));
  EXPECT_EQ(Run({"limits", "table", "delete", "demo", "pairs"}).status, kExitNotFound);
  Asked();
  for (const Arguments& arguments :
       {Arguments{"limits", "table", "set", "demo", "pairs"},
        Arguments{"limits", "table", "set", "demo", "pairs", "--max_bytes=5"},
        Arguments{"limits", "table", "set", "demo", "pairs", "--warn_bytes=5"},
        Arguments{"limits", "table", "set", "demo", "pairs", "--warn_bytes=6", "--max_bytes=5"}}) {
    EXPECT_EQ(Run(arguments).status, kExitUsage) << absl::StrJoin(arguments, " ");
  }
  EXPECT_EQ(Asked(), "");
}

TEST_F(AdminCommandsTest, PruningTellsWhatGoesAndWhatCovers) {
  v1::PruneLedgerResponse& pruned = executive_.pruned;
  pruned.set_first_sequence(11);
  pruned.set_last_sequence(9007199254740993);
  pruned.set_old_through_sequence(500);
  pruned.set_covered_through_sequence(400);
  pruned.set_pruned_through_sequence(399);
  pruned.set_pruned_entries(389);
  v1::PruneLedgerResponse::Place* place = pruned.add_places();
  place->set_url("s3://bucket/ctlstore");
  place->set_snapshot_id("the-id");
  place->set_sequence(400);
  EXPECT_EQ(Do({"ledger", "prune", "--dry_run"}),
            "389 entries, from 11 to 399, would go\n"
            "THE LEDGER\n"
            "begins with                       11\n"
            "ends with                         9007199254740993\n"
            "is old enough up to               500\n"
            "is in snapshots everywhere up to  400\n"
            "PLACE                 COVERED UP TO  BY SNAPSHOT\n"
            "s3://bucket/ctlstore  400            the-id\n");
  EXPECT_EQ(Asked(), "PruneLedgerRequest dry_run: true");
  EXPECT_TRUE(absl::StrContains(Do({"ledger", "prune"}), "389 entries, from 11 to 399, were "));
  EXPECT_EQ(Asked(), "PruneLedgerRequest ");
  place = pruned.add_places();
  place->set_url("file:///elsewhere");
  place->set_error("there is no snapshot");
  pruned.set_covered_through_sequence(0);
  pruned.set_pruned_through_sequence(0);
  pruned.set_pruned_entries(0);
  const std::string nothing = Do({"ledger", "prune", "--dry_run"});
  EXPECT_TRUE(absl::StartsWith(nothing, "nothing would go\n")) << nothing;
  EXPECT_TRUE(absl::StrContains(nothing, "file:///elsewhere     none           there is no snap"))
      << nothing;
  EXPECT_TRUE(absl::StartsWith(Do({"ledger", "prune"}), "nothing was removed\n"));
  EXPECT_EQ(DoJson({"ledger", "prune"}), json({{"dry_run", false},
                                               {"first_sequence", 11},
                                               {"last_sequence", 9007199254740993},
                                               {"old_through_sequence", 500},
                                               {"covered_through_sequence", 0},
                                               {"pruned_through_sequence", 0},
                                               {"pruned_entries", 0},
                                               {"places",
                                                {{{"url", "s3://bucket/ctlstore"},
                                                  {"snapshot_id", "the-id"},
                                                  {"sequence", 400},
                                                  {"error", ""}},
                                                 {{"url", "file:///elsewhere"},
                                                  {"snapshot_id", ""},
                                                  {"sequence", 0},
                                                  {"error", "there is no snapshot"}}}}}));
  executive_.AddFault(ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                                      reason::kPruningDisabled, "not permitted here"));
  EXPECT_EQ(Run({"ledger", "prune"}).status, kExitRefused);
  executive_.AddFault(ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbBusy,
                                      "another executive is at it"));
  EXPECT_EQ(Run({"ledger", "prune"}).status, kExitUnavailable);
}

TEST_F(AdminCommandsTest, WriterLimits) {
  EXPECT_EQ(Do({"limits", "writer", "list"}),
            "WRITER     ROWS  PERIOD\n"
            "(default)  1000  1m\n"
            "a\\nwriter  5     500ms\n");
  EXPECT_EQ(DoJson({"limits", "writer", "list"}),
            json({{"default", {{"rows", 1000}, {"period_ms", 60000}}},
                  {"writers", {{{"writer", "a\nwriter"}, {"rows", 5}, {"period_ms", 500}}}}}));
  executive_.limits_writers = false;
  EXPECT_TRUE(absl::StrContains(Do({"limits", "writer", "list"}), "(default)  any number"));
  EXPECT_TRUE(DoJson({"limits", "writer", "list"})["default"].is_null());
  Asked();
  EXPECT_EQ(DoJson({"limits", "writer", "set", "loader", "--rows=7", "--period_ms=1500"}),
            json({{"writer", "loader"}, {"rows", 7}, {"period_ms", 1500}}));
  EXPECT_EQ(Asked(),
            "SetWriterLimitRequest limit { writer: \"loader\" limit { rows: 7 period { seconds: 1 "
            "nanos: 500000000 } } }");
  Do({"limits", "writer", "set", "loader", "--rows=7"});
  EXPECT_TRUE(absl::StrContains(Asked(), "period { seconds: 60 }"));
  Do({"limits", "writer", "delete", "loader"});
  EXPECT_EQ(Asked(), "DeleteWriterLimitRequest writer: \"loader\"");
  for (const Arguments& arguments :
       {Arguments{"limits", "writer", "set", "loader"},
        Arguments{"limits", "writer", "set", "loader", "--rows=-1"},
        Arguments{"limits", "writer", "set", "loader", "--rows=1", "--period_ms=0"}}) {
    EXPECT_EQ(Run(arguments).status, kExitUsage) << absl::StrJoin(arguments, " ");
  }
  EXPECT_EQ(Asked(), "");
}

TEST_F(AdminCommandsTest, HowTheExecutiveIs) {
  executive_.status.set_ctldb_available(true);
  executive_.status.set_last_sequence(9007199254740993);
  executive_.status.set_ledger_rows(12);
  executive_.status.set_queue_length(1);
  executive_.status.set_queue_capacity(1000);
  executive_.status.set_open_connections(3);
  executive_.status.set_max_connections(16);
  executive_.status.mutable_started_at()->set_seconds(1700000000);
  EXPECT_EQ(Do({"status", "executive"}),
            "ctldb                answers\n"
            "last sequence        9007199254740993\n"
            "ledger rows, about   12\n"
            "queue                1 of 1000\n"
            "ctldb connections    3 of 16\n"
            "started              2023-11-14T22:13:20Z\n"
            "destructive changes  not enabled\n");
  EXPECT_EQ(DoJson({"status", "executive"}), json({{"ctldb_available", true},
                                                   {"last_sequence", 9007199254740993},
                                                   {"ledger_rows", 12},
                                                   {"queue_length", 1},
                                                   {"queue_capacity", 1000},
                                                   {"open_connections", 3},
                                                   {"max_connections", 16},
                                                   {"started_at", "2023-11-14T22:13:20Z"},
                                                   {"destructive_changes_enabled", false}}));
  // What is known is shown also where the ctldb is away.
  executive_.status.set_ctldb_available(false);
  executive_.status.set_ctldb_error("connection refused");
  Outcome outcome = Run({"status", "executive", "--json"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "connection refused")) << outcome.errors;
  const json known = json::parse(outcome.output, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(known["ctldb_error"], "connection refused");
  EXPECT_EQ(known["last_sequence"], 9007199254740993);
  outcome = Run({"status", "executive"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_TRUE(absl::StrContains(outcome.output, "does not answer")) << outcome.output;
}

absl::Status ComeBack(absl::string_view error_reason, absl::Duration delay) {
  return WithRetryDelay(ErrorWithReason(absl::StatusCode::kResourceExhausted, error_reason,
                                        "the writer has used up its rows"),
                        delay);
}

TEST_F(AdminCommandsTest, APutOverALimitSaysWhenToComeBack) {
  for (const char* error_reason : {reason::kRateLimited, reason::kQueueFull}) {
    executive_.AddFault(ComeBack(error_reason, absl::Seconds(41)));
    const Outcome outcome = Run({"put", "demo", "pairs", "k=1"});
    EXPECT_EQ(outcome.status, kExitUnavailable);
    EXPECT_EQ(outcome.errors, absl::StrCat("ctlstore: the writer has used up its rows\n  reason: ",
                                           error_reason, "\n  try again in: 41s\n"));
    EXPECT_EQ(outcome.output, "");
  }
  executive_.AddFault(
      ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kTableFull, "full"));
  EXPECT_EQ(Run({"put", "demo", "pairs", "k=1"}).status, kExitRefused);
}

TEST_F(AdminCommandsTest, AnImportOverALimitWaitsAndGoesOn) {
  executive_.AddFault(ComeBack(reason::kRateLimited, absl::Milliseconds(20)));
  executive_.AddFault(ComeBack(reason::kQueueFull, absl::Milliseconds(20)));
  Outcome outcome = Run({"import", "demo", "pairs", "-", "--format=csv"}, "k\n1\n2\n");
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_TRUE(absl::StrContains(outcome.output, "2 rows written")) << outcome.output;
  EXPECT_TRUE(absl::StrContains(outcome.errors, "trying again in")) << outcome.errors;
  EXPECT_TRUE(absl::StrContains(outcome.errors, "has used up its rows")) << outcome.errors;
  EXPECT_EQ(executive_.TakeRequests().size(), 3u);

  executive_.AddFault(ComeBack(reason::kRateLimited, absl::Minutes(5)));
  outcome = Run({"import", "demo", "pairs", "-", "--format=csv", "--wait_seconds=60"}, "k\n1\n2\n");
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "try again in: 5m")) << outcome.errors;
}

}  // namespace
}  // namespace ctlstore::cli
