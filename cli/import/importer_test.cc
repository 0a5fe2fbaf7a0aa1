#include "cli/import/importer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/import/csv_rows.h"
#include "cli/import/json_rows.h"
#include "cli/import/temporary_file.h"
#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

// Keeps tables in memory, and fails where a test tells it to.
class FakeExecutive : public Importer::Executive {
 public:
  absl::StatusOr<TableSchema> GetTable(const TableName&) override {
    if (tables_.empty()) {
      return ErrorWithReason(absl::StatusCode::kNotFound, reason::kTableNotFound, "no such table");
    }
    return tables_.front();
  }
  absl::Status CreateFamily(const std::string& family) override {
    families_.insert(family);
    return Fault();
  }
  absl::StatusOr<int64_t> CreateTable(const TableSchema& schema) override {
    absl::Status fault = Fault();
    if (!fault.ok()) return fault;
    tables_ = {schema};
    return ++sequence_;
  }
  absl::StatusOr<int64_t> AddFields(const TableName&, absl::Span<const Field> fields) override {
    std::vector<Field> added;
    absl::StatusOr<TableSchema> schema = tables_.front().WithFields(fields, &added);
    if (!schema.ok()) return schema.status();
    tables_ = {*schema};
    return ++sequence_;
  }
  absl::StatusOr<int64_t> Mutate(const v1::MutateRequest& request) override {
    request_sizes_.push_back(request.mutations_size());
    EXPECT_LE(request.ByteSizeLong(), size_t{1} << 20);
    absl::Status fault = Fault();
    if (!fault.ok()) return fault;
    if (request.mutations_size() > most_rows_) {
      return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kRateLimited,
                             "more rows than the whole limit");
    }
    for (int i = 0; i < request.mutations_size(); ++i) {
      const auto& values = request.mutations(i).values();
      const auto found = values.find("v");
      if (found != values.end() && found->second.text() == refused_) {
        return InvalidField(absl::StrCat("mutations[", i, "].values.v"), reason::kTooLarge,
                            "does not fit");
      }
    }
    for (const v1::Mutation& mutation : request.mutations()) {
      std::string key;
      for (const std::string& name : tables_.front().key_field_names()) {
        absl::StrAppend(&key, mutation.values().at(name).ShortDebugString(), ";");
      }
      rows_[key] = mutation;
    }
    sequence_ += request.mutations_size();
    return sequence_;
  }

  void AddFault(absl::Status status) { faults_.push_back(std::move(status)); }

  std::vector<TableSchema> tables_;
  std::set<std::string> families_;
  std::map<std::string, v1::Mutation> rows_;
  std::vector<int> request_sizes_;
  int64_t sequence_ = 0;
  // Rows whose field v is this are refused.
  std::string refused_ = "refused";
  // Of a request.
  int most_rows_ = 1000;

 private:
  absl::Status Fault() {
    if (faults_.empty()) return absl::OkStatus();
    absl::Status fault = faults_.front();
    faults_.pop_front();
    return fault;
  }
  std::deque<absl::Status> faults_;
};

// Time passes only while it is waited.
class FakeClock : public Clock {
 public:
  absl::Time Now() override { return now_; }
  bool SleepOrStop(absl::Duration duration, absl::Notification*) override {
    now_ += duration;
    return false;
  }

 private:
  absl::Time now_ = absl::UnixEpoch();
};

class FakeObserver : public Importer::Observer {
 public:
  void OnProgress(int64_t rows_written) override { rows_written_ = rows_written; }
  void OnBadRow(const absl::Status& why) override { bad_.push_back(std::string(why.message())); }
  void OnRetry(const absl::Status&, absl::Duration) override { ++retries_; }

  int64_t rows_written_ = 0;
  int retries_ = 0;
  std::vector<std::string> bad_;
};

class ImporterTest : public testing::Test {
 protected:
  struct Outcome {
    absl::Status status;
    absl::StatusOr<Importer::Plan> plan = absl::UnknownError("not made");
    Importer::Result result;
  };

  Outcome ImportRows(absl::string_view content, const Importer::Options& options, bool csv) {
    const TemporaryFile file(content);
    auto source_file = SourceFile::Open(file.path());
    EXPECT_TRUE(source_file.ok());
    std::unique_ptr<RowSource> source;
    if (csv) {
      source = std::make_unique<CsvRows>(source_file->get(), CsvRows::Options());
    } else {
      source = std::make_unique<JsonRows>(source_file->get(), "");
    }
    Importer importer("FILE", source.get(), &executive_, &clock_, &observer_, options);
    Outcome outcome;
    outcome.plan = importer.Prepare();
    outcome.status = outcome.plan.status();
    if (!outcome.status.ok()) return outcome;
    absl::StatusOr<Importer::Result> result = importer.Run(*outcome.plan);
    outcome.status = result.status();
    if (result.ok()) outcome.result = *result;
    return outcome;
  }

  Outcome ImportJson(absl::string_view content, const Importer::Options& options) {
    return ImportRows(content, options, /*csv=*/false);
  }
  Outcome ImportCsv(absl::string_view content, const Importer::Options& options) {
    return ImportRows(content, options, /*csv=*/true);
  }

  static Importer::Options Into(std::vector<std::string> key = {}) {
    Importer::Options options;
    options.name = TableName{"geo", "places"};
    options.key = std::move(key);
    return options;
  }

  void MakeTable() {
    executive_.tables_ = {*TableSchema::Create(
        "geo", "places", {{"k", FieldType::kInteger}, {"v", FieldType::kString}}, {"k"})};
  }

  // Rows 1..n on lines 2..n+1.
  static std::string Rows(int n) {
    std::string content = "k,v\n";
    for (int i = 1; i <= n; ++i) absl::StrAppend(&content, i, ",v", i, "\n");
    return content;
  }

  FakeExecutive executive_;
  FakeClock clock_;
  FakeObserver observer_;
};

std::string Described(const TableSchema& schema) {
  return absl::StrJoin(schema.fields(), ",", [](std::string* out, const Field& field) {
    absl::StrAppend(out, field.name, ":", FieldTypeName(field.type));
  });
}

TEST_F(ImporterTest, CreatesTheTableWithInferredTypes) {
  const Outcome outcome = ImportJson(
      R"([{"Code":"NZ","pop":5,"area":1.5}, {"Code":"DE","pop":6,"area":2,"more":{"x":1}}])",
      Into({"code"}));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(outcome.plan->create);
  EXPECT_EQ(outcome.plan->rows, 2);
  EXPECT_EQ(Described(executive_.tables_.front()),
            "code:string,pop:integer,area:decimal,more:text");
  EXPECT_EQ(executive_.families_.count("geo"), 1u);
  EXPECT_EQ(outcome.result.rows_written, 2);
  EXPECT_EQ(outcome.result.sequence, executive_.sequence_);
  ASSERT_EQ(executive_.rows_.size(), 2u);
  const auto& germany = executive_.rows_.begin()->second.values();
  EXPECT_EQ(germany.at("code").text(), "DE");
  EXPECT_EQ(germany.at("area").decimal(), 2.0);
  EXPECT_EQ(germany.at("more").text(), "{\"x\":1}");
}

TEST_F(ImporterTest, TakesTheGivenTypes) {
  Importer::Options options = Into({"k"});
  options.types = {{"v", FieldType::kText}, {"k", FieldType::kString}};
  const Outcome outcome = ImportCsv(Rows(3), options);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(Described(executive_.tables_.front()), "k:string,v:text");

  options.types = {{"w", FieldType::kText}};
  executive_.tables_.clear();
  EXPECT_EQ(ErrorField(ImportCsv(Rows(3), options).status), "types");
}

TEST_F(ImporterTest, ManyStringsBecomeTextSoThatARowFits) {
  std::string header = "k", row = "1";
  for (int i = 0; i < 100; ++i) {
    absl::StrAppend(&header, ",c", i);
    absl::StrAppend(&row, ",x");
  }
  const Outcome outcome = ImportCsv(absl::StrCat(header, "\n", row, "\n"), Into({"k"}));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(executive_.tables_.front().fields()[1].type, FieldType::kText);
}

TEST_F(ImporterTest, NeedsTheKeyToCreateATable) {
  EXPECT_TRUE(absl::IsNotFound(ImportCsv(Rows(1), Into()).status));
  const Outcome unknown = ImportCsv(Rows(1), Into({"nope"}));
  EXPECT_TRUE(absl::IsInvalidArgument(unknown.status)) << unknown.status;
  const Outcome long_key = ImportCsv(absl::StrCat("k\n", std::string(192, 'x'), "\n"), Into({"k"}));
  EXPECT_EQ(ErrorReason(long_key.status), reason::kTooLarge) << long_key.status;
  EXPECT_TRUE(executive_.tables_.empty());
}

TEST_F(ImporterTest, WritesInRequestsOfAHundredRows) {
  MakeTable();
  const Outcome outcome = ImportCsv(Rows(250), Into());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(executive_.request_sizes_, (std::vector<int>{100, 100, 50}));
  EXPECT_EQ(executive_.rows_.size(), 250u);
  EXPECT_EQ(observer_.rows_written_, 250);
}

TEST_F(ImporterTest, WritesLargeRowsInSmallerRequests) {
  const std::string large(200 << 10, 'x');
  std::string content = "k,v\n";
  for (int i = 0; i < 10; ++i) absl::StrAppend(&content, i, ",", large, "\n");
  const Outcome outcome = ImportCsv(content, Into({"k"}));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(executive_.request_sizes_, (std::vector<int>{4, 4, 2}));
}

TEST_F(ImporterTest, DoingItAgainIsHarmless) {
  ASSERT_TRUE(ImportCsv(Rows(150), Into({"k"})).status.ok());
  ASSERT_TRUE(ImportCsv(Rows(150), Into({"k"})).status.ok());
  EXPECT_EQ(executive_.rows_.size(), 150u);
}

TEST_F(ImporterTest, RefusesAnotherKeyOrType) {
  MakeTable();
  EXPECT_EQ(ErrorReason(ImportCsv(Rows(1), Into({"v"})).status), reason::kTableDiffers);
  Importer::Options options = Into();
  options.types = {{"v", FieldType::kInteger}};
  EXPECT_EQ(ErrorReason(ImportCsv(Rows(1), options).status), reason::kFieldDiffers);
  EXPECT_TRUE(executive_.rows_.empty());
}

TEST_F(ImporterTest, NamesColumnsThatTheTableLacksOrAddsThem) {
  MakeTable();
  const std::string content = "k,new_a,v,new_b\n1,2,x,y\n";
  const Outcome refused = ImportCsv(content, Into());
  EXPECT_EQ(ErrorReason(refused.status), reason::kUnknownField);
  EXPECT_TRUE(absl::StrContains(refused.status.message(), "new_a, new_b")) << refused.status;

  Importer::Options options = Into();
  options.add_fields = true;
  const Outcome outcome = ImportCsv(content, options);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(Described(executive_.tables_.front()), "k:integer,v:string,new_a:integer,new_b:string");
  EXPECT_EQ(executive_.rows_.begin()->second.values().at("new_a").integer(), 2);
}

TEST_F(ImporterTest, TellsWhichFieldsTheFileLacks) {
  MakeTable();
  const Outcome outcome = ImportCsv("k\n1\n", Into());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.plan->missing, std::vector<std::string>{"v"});
}

TEST_F(ImporterTest, ABrokenFileChangesNothing) {
  const Outcome outcome = ImportJson("[{\"k\":1},{\"k\":2},\n{\"k\":]", Into({"k"}));
  EXPECT_TRUE(absl::IsInvalidArgument(outcome.status));
  EXPECT_TRUE(executive_.tables_.empty());
  EXPECT_TRUE(executive_.families_.empty());
}

TEST_F(ImporterTest, ABadRowEndsTheImportBeforeItsRequest) {
  MakeTable();
  std::string content = Rows(150);
  absl::StrAppend(&content, "one,x\n");
  const Outcome outcome = ImportCsv(content, Into());
  EXPECT_TRUE(absl::IsInvalidArgument(outcome.status));
  EXPECT_TRUE(absl::StrContains(outcome.status.message(), "FILE:152: k: ")) << outcome.status;
  EXPECT_TRUE(absl::StrContains(outcome.status.message(), "after 100 rows")) << outcome.status;
  EXPECT_EQ(executive_.rows_.size(), 100u);
}

TEST_F(ImporterTest, NamesTheLineOfARowThatTheExecutiveRefuses) {
  MakeTable();
  const Outcome outcome = ImportCsv("k,v\n1,x\n\n2,refused\n3,y\n", Into());
  EXPECT_TRUE(absl::StartsWith(outcome.status.message(), "FILE:4: ")) << outcome.status;
  EXPECT_TRUE(executive_.rows_.empty());
}

TEST_F(ImporterTest, LeavesBadRowsOutWhenTold) {
  MakeTable();
  Importer::Options options = Into();
  options.skip_bad_rows = true;
  const Outcome outcome = ImportCsv("k,v\n1,x\n2,refused\nthree,y\n4\n5,z\n,v\n", options);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result.rows_written, 2);
  EXPECT_EQ(outcome.result.bad_rows, 4);
  ASSERT_EQ(observer_.bad_.size(), 4u);
  for (const char* line : {"FILE:3: ", "FILE:4: k: ", "FILE:5: ", "FILE:7: k: "}) {
    int count = 0;
    for (const std::string& bad : observer_.bad_) count += absl::StartsWith(bad, line) ? 1 : 0;
    EXPECT_EQ(count, 1) << line;
  }
  EXPECT_EQ(executive_.rows_.size(), 2u);
}

TEST_F(ImporterTest, NeedsTheWholeKeyInEachRow) {
  MakeTable();
  const Outcome outcome = ImportJson("[{\"k\":1},\n{\"v\":\"x\"}]", Into());
  EXPECT_TRUE(absl::StartsWith(outcome.status.message(), "FILE:2: k: ")) << outcome.status;
}

TEST_F(ImporterTest, TriesAgainWhileTheExecutiveIsAway) {
  for (int i = 0; i < 4; ++i) executive_.AddFault(absl::UnavailableError("away"));
  executive_.AddFault(absl::OkStatus());
  executive_.AddFault(absl::OkStatus());
  executive_.AddFault(absl::DeadlineExceededError("slow"));
  executive_.AddFault(WithRetryDelay(absl::ResourceExhaustedError("too fast"), absl::Seconds(20)));
  const Outcome outcome = ImportCsv(Rows(120), Into({"k"}));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(observer_.retries_, 6);
  EXPECT_EQ(executive_.rows_.size(), 120u);
}

TEST_F(ImporterTest, GivesUpAfterItsTime) {
  MakeTable();
  for (int i = 0; i < 1000; ++i) executive_.AddFault(absl::UnavailableError("away"));
  const absl::Time begin = clock_.Now();
  const Outcome outcome = ImportCsv(Rows(1), Into());
  EXPECT_TRUE(absl::IsUnavailable(outcome.status)) << outcome.status;
  EXPECT_GE(clock_.Now() - begin, absl::Minutes(1));
  EXPECT_LE(clock_.Now() - begin, absl::Minutes(1) + absl::Seconds(5));
}

absl::Status RateLimited(absl::Duration delay) {
  return WithRetryDelay(ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kRateLimited,
                                        "the writer has used up its rows"),
                        delay);
}

TEST_F(ImporterTest, WaitsAsLongAsTheExecutiveTellsItTo) {
  MakeTable();
  const absl::Time begin = clock_.Now();
  // Longer than it would wait for an executive that is away.
  for (int i = 0; i < 9; ++i) executive_.AddFault(RateLimited(absl::Minutes(1)));
  const Outcome outcome = ImportCsv(Rows(120), Into());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(clock_.Now() - begin, absl::Minutes(9));
  EXPECT_EQ(observer_.retries_, 9);
  EXPECT_EQ(executive_.rows_.size(), 120u);
}

TEST_F(ImporterTest, WaitsNoLongerThanItsBound) {
  MakeTable();
  Importer::Options options = Into();
  options.wait_for = absl::Seconds(90);
  const absl::Time begin = clock_.Now();
  for (int i = 0; i < 100; ++i) executive_.AddFault(RateLimited(absl::Minutes(1)));
  Outcome outcome = ImportCsv(Rows(1), options);
  EXPECT_TRUE(absl::IsResourceExhausted(outcome.status)) << outcome.status;
  EXPECT_EQ(RetryDelay(outcome.status), absl::Minutes(1));
  // A second minute would be over the bound, and is not begun.
  EXPECT_EQ(clock_.Now() - begin, absl::Minutes(1));
  EXPECT_EQ(executive_.rows_.size(), 0u);
}

TEST_F(ImporterTest, SendsFewerRowsAtOnceWhereTheWriterMayNotChangeAsMany) {
  MakeTable();
  executive_.most_rows_ = 13;
  const Outcome outcome = ImportCsv(Rows(250), Into());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result.rows_written, 250);
  EXPECT_EQ(executive_.rows_.size(), 250u);
  EXPECT_EQ(observer_.retries_, 0);
  // It tries more only until it knows.
  EXPECT_EQ(std::count_if(executive_.request_sizes_.begin(), executive_.request_sizes_.end(),
                          [](int size) { return size > 13; }),
            3);
}

TEST_F(ImporterTest, FindsTheBadRowAlsoInASmallerRequest) {
  MakeTable();
  executive_.most_rows_ = 2;
  executive_.refused_ = "v7";
  const Outcome outcome = ImportCsv(Rows(10), Into());
  EXPECT_TRUE(absl::IsInvalidArgument(outcome.status)) << outcome.status;
  EXPECT_TRUE(absl::StrContains(outcome.status.message(), "FILE:8: ")) << outcome.status;
}

TEST_F(ImporterTest, DoesNotTryAgainWhatCannotSucceed) {
  MakeTable();
  executive_.AddFault(absl::UnauthenticatedError("wrong secret"));
  EXPECT_TRUE(absl::IsUnauthenticated(ImportCsv(Rows(1), Into()).status));
  executive_.AddFault(absl::ResourceExhaustedError("table full"));
  EXPECT_TRUE(absl::IsResourceExhausted(ImportCsv(Rows(1), Into()).status));
  EXPECT_EQ(observer_.retries_, 0);
}

TEST_F(ImporterTest, AFileWithoutRowsNeedsATable) {
  EXPECT_TRUE(absl::IsInvalidArgument(ImportJson("[]", Into({"k"})).status));
  MakeTable();
  const Outcome outcome = ImportJson("[]", Into());
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result.rows_written, 0);
}

}  // namespace
}  // namespace ctlstore::cli
