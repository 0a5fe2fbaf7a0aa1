#include "common/ctldb/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"
#include "common/sql/dml.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int64_t kMany = int64_t{1} << 62;

class LimitsTest : public CtldbTest {
 protected:
  LimitsTest() : connection_(OpenReady()) {}

  // As "family.table warn max".
  std::vector<std::string> TableLimits() {
    std::vector<std::string> result;
    const std::vector<TableLimit> limits = *ListTableLimits(connection_.get());
    for (const TableLimit& limit : limits) {
      result.push_back(absl::StrCat(limit.table.family, ".", limit.table.table, " ",
                                    limit.limit.warn_bytes, " ", limit.limit.max_bytes));
    }
    return result;
  }

  std::vector<std::string> WriterLimits() {
    std::vector<std::string> result;
    const std::vector<WriterLimit> limits = *ListWriterLimits(connection_.get());
    for (const WriterLimit& limit : limits) {
      result.push_back(absl::StrCat(limit.writer, " ", limit.rows_per_minute));
    }
    return result;
  }

  void FoldNames(absl::string_view table) {
    ASSERT_TRUE(connection_
                    ->Execute(absl::StrCat("ALTER TABLE ", table,
                                           " MODIFY writer_name VARCHAR(191) CHARACTER SET utf8mb4 "
                                           "COLLATE utf8mb4_general_ci NOT NULL"))
                    .ok());
  }

  std::map<std::string, int64_t> Usage(int64_t bucket, const std::vector<std::string>& writers) {
    const auto usage = *ReadWriterUsage(connection_.get(), bucket, writers);
    return {usage.begin(), usage.end()};
  }

  void Add(int64_t bucket, const std::string& writer, int64_t rows) {
    absl::Status status = AddWriterUsage(connection_.get(), bucket, {{writer, rows}});
    ASSERT_TRUE(status.ok()) << status;
  }

  TableSchema MakeTable(absl::string_view family, absl::string_view table) {
    TableSchema schema = MustSchema(
        family, table, {{"id", FieldType::kString}, {"data", FieldType::kBinary}}, {"id"});
    EXPECT_TRUE(connection_->Execute(connection_->dialect().CreateTable(schema)).ok());
    return schema;
  }

  void Fill(const TableSchema& schema, int rows, size_t bytes) {
    const std::string data(bytes, 'x');
    ASSERT_TRUE(connection_->BeginWrite().ok());
    for (int i = 0; i < rows; ++i) {
      const std::string id = absl::StrCat("row ", i);
      ASSERT_TRUE(connection_->Execute(sql::UpsertSql(schema), {id, ValueView::Bytes(data)}).ok());
    }
    ASSERT_TRUE(connection_->Commit().ok());
  }

  // MariaDB counts in the background some seconds later otherwise.
  void Count(const TableSchema& schema) {
    if (!is_mariadb()) return;
    MustQuery(connection_.get(), absl::StrCat("ANALYZE TABLE ", SqlTableName(schema.name())));
  }

  std::map<TableName, int64_t> Sizes() {
    absl::StatusOr<absl::flat_hash_map<TableName, int64_t>> sizes =
        MeasureTableSizes(connection_.get());
    EXPECT_TRUE(sizes.ok()) << sizes.status();
    return {sizes->begin(), sizes->end()};
  }

  std::unique_ptr<Connection> connection_;
};

CTLSTORE_FOR_BOTH_KINDS(LimitsTest);

TEST_P(LimitsTest, KeepsTablesLimits) {
  EXPECT_THAT(TableLimits(), IsEmpty());
  ASSERT_TRUE(SetTableLimit(connection_.get(), {{"geo", "towns"}, {1, kMany}}).ok());
  ASSERT_TRUE(SetTableLimit(connection_.get(), {{"geo", "rivers"}, {10, 20}}).ok());
  // The order of whole names would be another one: '_' is greater than 'a'.
  ASSERT_TRUE(SetTableLimit(connection_.get(), {{"geoa", "towns"}, {3, 4}}).ok());
  EXPECT_THAT(TableLimits(), ElementsAre("geo.rivers 10 20", absl::StrCat("geo.towns 1 ", kMany),
                                         "geoa.towns 3 4"));
  ASSERT_TRUE(SetTableLimit(connection_.get(), {{"geo", "rivers"}, {11, 21}}).ok());
  ASSERT_TRUE(SetTableLimit(connection_.get(), {{"geo", "rivers"}, {11, 21}}).ok());
  ASSERT_TRUE(DeleteTableLimit(connection_.get(), {"geo", "towns"}).ok());
  EXPECT_THAT(TableLimits(), ElementsAre("geo.rivers 11 21", "geoa.towns 3 4"));
  absl::Status status = DeleteTableLimit(connection_.get(), {"geo", "towns"});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(status), reason::kLimitNotFound);
}

TEST_P(LimitsTest, LeavesOutLimitsThatNoTableCanHave) {
  for (const char* name : {"Towns", "to", "towns ", "1234"}) {
    ASSERT_TRUE(connection_
                    ->Execute("INSERT INTO max_table_sizes (family_name, table_name, "
                              "warn_size_bytes, max_size_bytes) VALUES (?, ?, 1, 2)",
                              {"geo", name})
                    .ok());
  }
  ASSERT_TRUE(SetTableLimit(connection_.get(), {{"geo", "towns"}, {3, 4}}).ok());
  EXPECT_THAT(TableLimits(), ElementsAre("geo.towns 3 4"));
}

TEST_P(LimitsTest, KeepsWritersLimits) {
  EXPECT_THAT(WriterLimits(), IsEmpty());
  for (const char* writer : {"importer", "Importer", "importer ", "\xC3\xADmporter"}) {
    ASSERT_TRUE(SetWriterLimit(connection_.get(), {writer, 5}).ok());
  }
  ASSERT_TRUE(SetWriterLimit(connection_.get(), {"importer", kMany}).ok());
  ASSERT_TRUE(SetWriterLimit(connection_.get(), {"importer", kMany}).ok());
  EXPECT_THAT(WriterLimits(), ElementsAre("Importer 5", absl::StrCat("importer ", kMany),
                                          "importer  5", "\xC3\xADmporter 5"));
  ASSERT_TRUE(DeleteWriterLimit(connection_.get(), "importer").ok());
  EXPECT_THAT(WriterLimits(), ElementsAre("Importer 5", "importer  5", "\xC3\xADmporter 5"));
  for (const char* writer : {"importer", "IMPORTER"}) {
    absl::Status status = DeleteWriterLimit(connection_.get(), writer);
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(ErrorReason(status), reason::kLimitNotFound);
  }
}

TEST_P(LimitsTest, NeverTakesOneWritersLimitForAnothersInATableThatFoldsNames) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite compares bytes";
  FoldNames("max_writer_rates");
  ASSERT_TRUE(SetWriterLimit(connection_.get(), {"importer", 5}).ok());
  absl::Status status = SetWriterLimit(connection_.get(), {"IMPORTER", 6});
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_EQ(ErrorReason(status), reason::kWriterDiffers);
  EXPECT_EQ(ErrorReason(DeleteWriterLimit(connection_.get(), "IMPORTER")), reason::kLimitNotFound);
  ASSERT_TRUE(SetWriterLimit(connection_.get(), {"importer", 7}).ok());
  EXPECT_THAT(WriterLimits(), ElementsAre("importer 7"));
}

TEST_P(LimitsTest, CountsEachWritersRowsInEachPeriod) {
  EXPECT_THAT(Usage(60, {"importer", "exporter"}), IsEmpty());
  EXPECT_THAT(Usage(60, {}), IsEmpty());
  Add(60, "importer", 5);
  Add(60, "importer", 7);
  Add(120, "importer", kMany);
  Add(60, "Importer", 3);
  EXPECT_TRUE(AddWriterUsage(connection_.get(), 60, {}).ok());
  EXPECT_THAT(Usage(60, {"importer", "exporter", "importer"}), ElementsAre(Pair("importer", 12)));
  EXPECT_THAT(Usage(120, {"exporter", "importer", "Importer"}),
              ElementsAre(Pair("importer", kMany)));
  EXPECT_THAT(Usage(60, {"importer", "Importer"}),
              UnorderedElementsAre(Pair("importer", 12), Pair("Importer", 3)));
}

TEST_P(LimitsTest, CountsAnyNumberOfWritersTogether) {
  // One transaction, as in use, and because each by itself would be synced.
  ASSERT_TRUE(connection_->BeginWrite().ok());
  std::vector<std::string> names;
  for (const int writers : {1, 2, 7, 8, 9, 63, 64, 65, 72, 73, 128, 200}) {
    SCOPED_TRACE(writers);
    while (names.size() < static_cast<size_t>(writers)) {
      names.push_back(absl::StrCat("writer ", names.size()));
    }
    std::vector<WriterRows> rows;
    for (size_t i = 0; i < names.size(); ++i) rows.push_back({names[i], static_cast<int>(i) + 1});
    ASSERT_TRUE(AddWriterUsage(connection_.get(), writers, rows).ok());
    ASSERT_TRUE(AddWriterUsage(connection_.get(), writers, rows).ok());
    const std::map<std::string, int64_t> usage = Usage(writers, names);
    EXPECT_THAT(usage, SizeIs(writers));
    for (size_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ(usage.at(names[i]), 2 * (static_cast<int64_t>(i) + 1));
    }
  }
}

TEST_P(LimitsTest, SharesACountWhereATableFoldsNames) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite compares bytes";
  FoldNames("writer_usage");
  Add(60, "IMPORTER", 5);
  Add(60, "importer", 7);
  EXPECT_THAT(Usage(60, {"importer", "exporter"}), ElementsAre(Pair("importer", 12)));
}

TEST_P(LimitsTest, ForgetsOldPeriodsInSteps) {
  std::vector<std::string> names;
  std::vector<WriterRows> rows;
  for (int i = 0; i < 300; ++i) names.push_back(absl::StrCat("writer ", i));
  for (const std::string& name : names) rows.push_back({name, 1});
  ASSERT_TRUE(connection_->BeginWrite().ok());
  for (const int64_t bucket : {-60, 0, 60, 120}) {
    ASSERT_TRUE(AddWriterUsage(connection_.get(), bucket, rows).ok());
  }
  ASSERT_TRUE(connection_->Commit().ok());
  int64_t forgotten = 0;
  int calls = 0;
  for (int64_t last = 1; last > 0; ++calls) {
    absl::StatusOr<int64_t> result = DeleteOldWriterUsage(connection_.get(), 60);
    ASSERT_TRUE(result.ok()) << result.status();
    last = *result;
    EXPECT_LE(last, 500);
    forgotten += last;
  }
  EXPECT_EQ(forgotten, 600);
  EXPECT_EQ(calls, 3);
  EXPECT_THAT(Usage(0, names), IsEmpty());
  EXPECT_THAT(Usage(60, names), SizeIs(300));
  EXPECT_THAT(Usage(120, names), SizeIs(300));
}

TEST_P(LimitsTest, ForgetsWithoutWaitingForTransactionsThatCount) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite has one lock for all writing";
  Add(0, "importer", 1);
  Add(0, "exporter", 1);
  ASSERT_TRUE(connection_->BeginWrite().ok());
  Add(60, "importer", 1);
  EXPECT_THAT(Usage(60, {"importer", "exporter"}), SizeIs(1));
  options_.lock_timeout = absl::Seconds(1);
  std::unique_ptr<Connection> other = Open();
  absl::StatusOr<int64_t> forgotten = DeleteOldWriterUsage(other.get(), 60);
  ASSERT_TRUE(forgotten.ok()) << forgotten.status();
  EXPECT_EQ(*forgotten, 2);
  ASSERT_TRUE(connection_->Commit().ok());
  EXPECT_THAT(Usage(60, {"importer"}), ElementsAre(Pair("importer", 1)));
}

TEST_P(LimitsTest, MeasuresFamiliesTables) {
  EXPECT_THAT(Sizes(), IsEmpty());
  const TableSchema towns = MakeTable("geo", "towns");
  const TableSchema rivers = MakeTable("geo", "rivers");
  ASSERT_TRUE(connection_->Execute("CREATE TABLE not_a___2table (id INTEGER PRIMARY KEY)").ok());
  ASSERT_TRUE(connection_->Execute("CREATE TABLE other (id INTEGER PRIMARY KEY)").ok());
  std::map<TableName, int64_t> sizes = Sizes();
  ASSERT_THAT(sizes, SizeIs(2));
  const int64_t empty = sizes[towns.name()];
  EXPECT_GT(empty, 0);
  EXPECT_LT(empty, 64 << 10);

  Fill(towns, 100, 20000);
  Count(towns);
  sizes = Sizes();
  EXPECT_GE(sizes[towns.name()], 2000000);
  EXPECT_LE(sizes[towns.name()], 8000000);
  EXPECT_EQ(sizes[rivers.name()], empty);

  ASSERT_TRUE(connection_->Execute("DROP TABLE geo___towns").ok());
  EXPECT_THAT(Sizes(), ElementsAre(Pair(rivers.name(), empty)));
}

TEST_P(LimitsTest, MeasuresIndexesWithTheirTables) {
  const TableSchema towns = MakeTable("geo", "towns");
  Fill(towns, 2000, 1);
  Count(towns);
  const int64_t before = Sizes()[towns.name()];
  ASSERT_TRUE(connection_->Execute("CREATE INDEX by_data ON geo___towns (id)").ok());
  Count(towns);
  EXPECT_GE(Sizes()[towns.name()], before + 16384);
}

TEST_P(LimitsTest, NeitherWaitsForAWriterNorKeepsOneWaiting) {
  const TableSchema towns = MakeTable("geo", "towns");
  options_.lock_timeout = absl::Milliseconds(100);
  std::unique_ptr<Connection> writer = Open();
  ASSERT_TRUE(writer->BeginWrite().ok());
  ASSERT_TRUE(writer->Execute(sql::UpsertSql(towns), {"row", ValueView::Bytes("x")}).ok());
  EXPECT_THAT(Sizes(), SizeIs(1));
  ASSERT_TRUE(writer->Commit().ok());

  // Rows are written while the tables are shown.
  int tables = 0;
  ASSERT_TRUE(connection_
                  ->Query(connection_->dialect().TableSizesQuery(), {},
                          [&](absl::Span<const ValueView>) {
                            ++tables;
                            return writer
                                ->Execute(sql::UpsertSql(towns), {"row", ValueView::Bytes("y")})
                                .status();
                          })
                  .ok());
  EXPECT_EQ(tables, 1);
}

TEST_P(LimitsTest, SeesTablesGrowAndShrinkWithoutBeingAskedToCount) {
  const TableSchema towns = MakeTable("geo", "towns");
  const auto wait_for = [&](auto condition) {
    const absl::Time end = absl::Now() + absl::Minutes(2);
    while (!condition(Sizes()[towns.name()])) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(100));
    }
    return true;
  };
  Fill(towns, 100, 20000);
  EXPECT_TRUE(wait_for([](int64_t bytes) { return bytes >= 2000000; }));
  ASSERT_TRUE(connection_->Execute("DELETE FROM geo___towns").ok());
  EXPECT_TRUE(wait_for([](int64_t bytes) { return bytes < 1000000; }));
}

}  // namespace
}  // namespace ctlstore::ctldb
