// A reflector from a real ctldb to a real local database, for tests.

#ifndef CTLSTORE_REFLECTOR_RUNNER_TEST_BASE_H_
#define CTLSTORE_REFLECTOR_RUNNER_TEST_BASE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ctldb/catalog.h"
#include "common/ctldb/connection.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/own_tables.h"
#include "common/ctldb/schema_changer.h"
#include "common/ctldb/testing/mariadb_server.h"
#include "common/ldb/reader.h"
#include "common/rpc/testing/scrape.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "reflector/reflector_runner.h"

namespace ctlstore::reflector {

inline constexpr absl::Duration kPatience = absl::Seconds(60);

inline bool Eventually(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

inline TableSchema Places() {
  return *TableSchema::Create("geo", "places",
                              {{"code", FieldType::kString},
                               {"number", FieldType::kInteger},
                               {"name", FieldType::kText},
                               {"share", FieldType::kDecimal},
                               {"raw", FieldType::kBinary}},
                              {"code", "number"});
}

inline std::string RowText(absl::Span<const ValueView> row) {
  return absl::StrJoin(row, "|", [](std::string* out, const ValueView& value) {
    switch (value.kind()) {
      case ValueKind::kNull:
        return absl::StrAppend(out, "null");
      case ValueKind::kInteger:
        return absl::StrAppend(out, "integer ", value.integer());
      case ValueKind::kDecimal:
        return absl::StrAppend(out, "decimal ", absl::StrFormat("%.17g", value.decimal()));
      case ValueKind::kText:
        return absl::StrAppend(out, "text ", value.data());
      case ValueKind::kBytes:
        return absl::StrAppend(out, "bytes ", value.data());
    }
  });
}

// One server for all of the tests that need one.
class MariadbEnvironment : public ::testing::Environment {
 public:
  void TearDown() override { server_.reset(); }

  ctldb::testing::MariadbServer* server() {
    if (server_ == nullptr) {
      auto started = ctldb::testing::MariadbServer::Start();
      if (!started.ok()) {
        ADD_FAILURE() << started.status();
        return nullptr;
      }
      server_ = *std::move(started);
    }
    return server_.get();
  }

 private:
  std::unique_ptr<ctldb::testing::MariadbServer> server_;
};
inline auto* const mariadb =
    static_cast<MariadbEnvironment*>(::testing::AddGlobalTestEnvironment(new MariadbEnvironment));

// A ctldb of the kind that the parameter says, and a reflector on it.
class ReflectorRunnerTestBase : public ::testing::TestWithParam<ctldb::Target::Kind> {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "/reflector_XXXXXX");
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    if (GetParam() == ctldb::Target::Kind::kMariadb) {
      ASSERT_NE(mariadb->server(), nullptr);
      options_.ctldb = mariadb->server()->NewDatabase();
    } else {
      options_.ctldb.kind = ctldb::Target::Kind::kSqlite;
      options_.ctldb.path = folder_ + "/ctldb.db";
    }
    ldb_path_ = folder_ + "/ldb.db";
    options_.ldbs = {{ldb_path_, {}, ""}};
    options_.poll_interval = absl::Milliseconds(10);
    options_.reflector.idle_interval = absl::Milliseconds(20);
    options_.reflector.max_retry_pause = absl::Milliseconds(200);
    options_.reflector.max_entries_per_query = 7;
  }

  void TearDown() override {
    runner_.reset();
    pool_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartReflector() {
    runner_.reset();
    auto runner = ReflectorRunner::Start(options_);
    ASSERT_TRUE(runner.ok()) << runner.status();
    runner_ = *std::move(runner);
  }

  std::string ServeMetrics() {
    rpc::HttpServer::Options options;
    options.listen = "127.0.0.1:0";
    const auto address = runner_->ServeMetrics(options);
    EXPECT_TRUE(address.ok()) << address.status();
    return address.value_or("");
  }

  // Of the first local database.
  LdbStatus Status() const { return runner_->Status().front(); }

  // A metric of the first local database.
  absl::optional<double> Scrape(const std::string& address, const std::string& name) {
    return rpc::testing::ScrapeOne(address, absl::StrCat(name, "{ldb=\"", ldb_path_, "\"}"));
  }
  absl::optional<double> Metric(const rpc::testing::Metrics& metrics, const std::string& name) {
    return metrics.Get(absl::StrCat(name, "{ldb=\"", ldb_path_, "\"}"));
  }

  void OpenCtldb() {
    pool_ = std::make_unique<ctldb::ConnectionPool>(
        [this] { return ctldb::Connection::Open(options_.ctldb, options_.connection); }, 4);
    const auto lease = Lease();
    ASSERT_TRUE(lease.ok()) << lease.status();
    const absl::Status status = ctldb::EnsureOwnTables(lease->get());
    ASSERT_TRUE(status.ok()) << status;
  }

  absl::StatusOr<ctldb::ConnectionPool::Lease> Lease() {
    return pool_->Acquire(absl::Now() + kPatience);
  }

  void CreatePlaces() {
    {
      const auto lease = Lease();
      ASSERT_TRUE(lease.ok()) << lease.status();
      const absl::Status status = ctldb::CreateFamily(lease->get(), "geo");
      ASSERT_TRUE(status.ok()) << status;
    }
    const auto sequence =
        ctldb::SchemaChanger(pool_.get()).CreateTables({Places()}, absl::Now() + kPatience);
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    last_sequence_ = *sequence;
  }

  // One ledger transaction that writes `count` rows, in the ctldb and in its ledger.
  absl::Status TryWritePlaces(const std::string& code, int count, const std::string& name) {
    const TableSchema schema = Places();
    const auto lease = Lease();
    if (!lease.ok()) return lease.status();
    auto transaction = ctldb::LedgerTransaction::Begin(lease->get());
    if (!transaction.ok()) return transaction.status();
    std::vector<std::string> statements;
    for (int i = 0; i < count; ++i) {
      const ValueView row[] = {code, i, name, i / 3.0, ValueView::Bytes(name)};
      transaction->Upsert(schema, row);
      statements.push_back(sql::UpsertStatement(schema, row));
    }
    const int64_t sequence = transaction->Append(statements);
    absl::Status status = transaction->Commit();
    if (status.ok()) last_sequence_ = sequence;
    return status;
  }

  void WritePlaces(const std::string& code, int count, const std::string& name) {
    const absl::Status status = TryWritePlaces(code, count, name);
    ASSERT_TRUE(status.ok()) << status;
  }

  // A ledger entry as somebody else has put it there.
  void AppendRaw(int64_t sequence, const std::string& statement) {
    const auto lease = Lease();
    ASSERT_TRUE(lease.ok()) << lease.status();
    const auto changed = (*lease)->Execute(
        "INSERT INTO ctlstore_dml_ledger (seq, leader_ts, statement) VALUES (?, ?, ?)",
        {sequence, "2020-02-03 04:05:06", statement});
    ASSERT_TRUE(changed.ok()) << changed.status();
    last_sequence_ = sequence;
  }

  void WaitUntilApplied() {
    ldb::Reader reader(ldb_path_);
    const absl::Status status = reader.WaitForSequence(last_sequence_, absl::Now() + kPatience);
    ASSERT_TRUE(status.ok()) << status << "; " << Status().error;
  }

  std::vector<std::string> CtldbRows() {
    std::vector<std::string> rows;
    const auto lease = Lease();
    EXPECT_TRUE(lease.ok()) << lease.status();
    if (!lease.ok()) return rows;
    const absl::Status status =
        (*lease)->Query("SELECT code, number, name, share, raw FROM geo___places", {},
                        [&](absl::Span<const ValueView> row) {
                          rows.push_back(RowText(row));
                          return absl::OkStatus();
                        });
    EXPECT_TRUE(status.ok()) << status;
    return rows;
  }

  std::vector<std::string> LdbRows(const std::string& family = "geo",
                                   const std::string& table = "places") {
    std::vector<std::string> rows;
    ldb::Reader reader(ldb_path_);
    ldb::RowIterator iterator = reader.ListRows(family, table, {});
    while (iterator.Next()) {
      std::vector<ValueView> row;
      for (size_t i = 0; i < iterator.row().size(); ++i) row.push_back(iterator.row().value(i));
      rows.push_back(RowText(row));
    }
    EXPECT_TRUE(iterator.status().ok()) << iterator.status();
    return rows;
  }

  void ExpectSameRows() {
    const std::vector<std::string> expected = CtldbRows();
    EXPECT_THAT(expected, ::testing::Not(::testing::IsEmpty()));
    EXPECT_THAT(LdbRows(), ::testing::UnorderedElementsAreArray(expected));
  }

  std::string folder_;
  std::string ldb_path_;
  ReflectorRunner::Options options_;
  std::unique_ptr<ctldb::ConnectionPool> pool_;
  std::unique_ptr<ReflectorRunner> runner_;
  int64_t last_sequence_ = 0;
};

}  // namespace ctlstore::reflector

#endif  // CTLSTORE_REFLECTOR_RUNNER_TEST_BASE_H_
