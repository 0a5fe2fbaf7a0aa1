#include "executive/executive.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/ctldb/connection_pool.h"
#include "common/ctldb/ledger_transaction.h"
#include "common/ctldb/schema_changer.h"
#include "common/schema/errors.h"
#include "common/schema/ledger_entry.h"
#include "common/schema/limits.h"
#include "executive/testing/faulty_connection.h"
#include "executive/testing/ledger_comparison.h"
#include "executive/testing/test_ctldb.h"
#include "executive/testing/test_executive.h"

namespace ctlstore::executive {
namespace {

using ::ctlstore::ctldb::Connection;
using ::ctlstore::ctldb::LedgerTransaction;

constexpr char kWriter[] = "writer";
constexpr char kSecret[] = "the writer's secret";

constexpr char kPeer[] = "10.1.2.3";
const rpc::Caller kAdmin = rpc::LocalCaller();

absl::Time Soon() { return absl::Now() + absl::Minutes(1); }

TableSchema Schema(absl::string_view table, std::vector<Field> fields,
                   const std::vector<std::string>& key) {
  absl::StatusOr<TableSchema> schema = TableSchema::Create("fam", table, std::move(fields), key);
  EXPECT_TRUE(schema.ok()) << schema.status();
  return *std::move(schema);
}

TableSchema AllTypes() {
  return Schema("all_types",
                {{"s", FieldType::kString},
                 {"i", FieldType::kInteger},
                 {"b", FieldType::kBytestring},
                 {"d", FieldType::kDecimal},
                 {"t", FieldType::kText},
                 {"y", FieldType::kBinary}},
                {"b", "s", "i"});
}

TableSchema Plain(absl::string_view table) {
  return Schema(table, {{"id", FieldType::kInteger}, {"name", FieldType::kText}}, {"id"});
}

class ExecutiveTest : public testing::TestWithParam<TestCtldb::Kind> {
 protected:
  void SetUp() override {
    connection_ = ctldb_.Connect();
    ASSERT_TRUE(executive_->CreateFamily(kAdmin, "fam", Soon()).ok());
    const std::vector<TableSchema> tables = {AllTypes(), Plain("plain")};
    const absl::StatusOr<int64_t> created = executive_->CreateTables(kAdmin, tables, Soon());
    ASSERT_TRUE(created.ok()) << created.status();
    ASSERT_TRUE(executive_->RegisterWriter(kAdmin, {kWriter, kSecret}, Soon()).ok());
  }

  // What every test leaves behind.
  void TearDown() override {
    if (compare_at_end_) {
      EXPECT_TRUE(Compare().ok()) << Compare();
    }
  }

  absl::Status Compare() { return CompareLedgerWithTables(connection_.get()); }

  static MutateRequest Request(std::vector<Mutation> mutations) {
    MutateRequest request;
    request.family = "fam";
    request.mutations = std::move(mutations);
    return request;
  }

  absl::StatusOr<int64_t> Mutate(std::vector<Mutation> mutations) {
    return Mutate(Request(std::move(mutations)));
  }
  absl::StatusOr<int64_t> Mutate(const MutateRequest& request) {
    return executive_->Mutate({kWriter, kSecret}, request, Soon());
  }

  std::string Cookie() {
    const absl::StatusOr<std::string> cookie =
        executive_->GetCookie({kWriter, kSecret}, kPeer, Soon());
    EXPECT_TRUE(cookie.ok()) << cookie.status();
    return cookie.value_or("");
  }

  std::vector<LedgerEntry> Ledger() {
    absl::StatusOr<std::vector<LedgerEntry>> ledger = ReadLedger(connection_.get());
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    return *std::move(ledger);
  }
  int64_t LastSequence() { return static_cast<int64_t>(Ledger().size()); }

  int64_t CountRows(absl::string_view table) {
    int64_t count = -1;
    const absl::Status status =
        connection_->Query(absl::StrCat("SELECT COUNT(*) FROM fam___", table), {},
                           [&count](absl::Span<const ValueView> row) {
                             count = row[0].integer();
                             return absl::OkStatus();
                           });
    EXPECT_TRUE(status.ok()) << status;
    return count;
  }

  TestCtldb ctldb_{GetParam()};
  std::unique_ptr<Connection> connection_;
  TestExecutive executive_{ctldb_};
  bool compare_at_end_ = true;
};

// Families, tables, writers ------------------------------------------------------------------

TEST_P(ExecutiveTest, CreatingAFamilyAgainSucceeds) {
  EXPECT_TRUE(executive_->CreateFamily(kAdmin, "fam", Soon()).ok());
  EXPECT_TRUE(executive_->CreateFamily(kAdmin, "FAM", Soon()).ok());
  EXPECT_TRUE(executive_->CreateFamily(kAdmin, "another", Soon()).ok());
  const absl::StatusOr<std::vector<std::string>> families =
      executive_->ListFamilies(kAdmin, Soon());
  ASSERT_TRUE(families.ok()) << families.status();
  EXPECT_EQ(*families, (std::vector<std::string>{"another", "fam"}));
}

TEST_P(ExecutiveTest, CreatingTheSameTableAgainSucceedsAndChangesNothing) {
  const int64_t before = LastSequence();
  const absl::StatusOr<int64_t> again = executive_->CreateTables(kAdmin, {AllTypes()}, Soon());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, 0);
  EXPECT_EQ(LastSequence(), before);
}

TEST_P(ExecutiveTest, CreatingATableReturnsItsSequence) {
  const absl::StatusOr<int64_t> one = executive_->CreateTables(kAdmin, {Plain("one")}, Soon());
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(*one, LastSequence());
  const absl::StatusOr<int64_t> two =
      executive_->CreateTables(kAdmin, {Plain("one"), Plain("two"), Plain("three")}, Soon());
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(*two, LastSequence());
  EXPECT_GT(*two, *one);
}

TEST_P(ExecutiveTest, ATableThatDiffersIsRefusedWithTheDifferenceAndNothingIsCreated) {
  const int64_t before = LastSequence();
  const TableSchema other =
      Schema("plain", {{"id", FieldType::kInteger}, {"name", FieldType::kBinary}}, {"id"});
  const absl::Status status =
      executive_->CreateTables(kAdmin, {Plain("fresh"), other}, Soon()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrorReason(status), reason::kTableDiffers);
  EXPECT_TRUE(absl::StrContains(status.message(), "name")) << status;
  EXPECT_TRUE(absl::IsNotFound(executive_->GetTable(kAdmin, "fam", "fresh", Soon()).status()));
  EXPECT_EQ(LastSequence(), before);
}

TEST_P(ExecutiveTest, TablesAreListedByName) {
  ASSERT_TRUE(executive_->CreateFamily(kAdmin, "geo", Soon()).ok());
  const absl::StatusOr<TableSchema> in_geo =
      TableSchema::Create("geo", "countries", {{"code", FieldType::kString}}, {"code"});
  ASSERT_TRUE(executive_->CreateTables(kAdmin, {*in_geo}, Soon()).ok());

  const absl::StatusOr<TableSchema> table =
      executive_->GetTable(kAdmin, "FAM", "All_Types", Soon());
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(*table, AllTypes());
  absl::StatusOr<std::vector<TableSchema>> tables = executive_->ListTables(kAdmin, "fam", Soon());
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(*tables, (std::vector<TableSchema>{AllTypes(), Plain("plain")}));
  tables = executive_->ListTables(kAdmin, "", Soon());
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(*tables, (std::vector<TableSchema>{AllTypes(), Plain("plain"), *in_geo}));
}

TEST_P(ExecutiveTest, AddedFieldsAreNullInOldRowsAndUsableAtOnce) {
  ASSERT_TRUE(Mutate({{"plain", false, {{"id", 1}, {"name", "old"}}}}).ok());
  const absl::StatusOr<int64_t> added =
      executive_->AddFields(kAdmin, "fam", "plain",
                            {{"Extra", FieldType::kString}, {"more", FieldType::kBinary}}, Soon());
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(*added, LastSequence());
  const absl::StatusOr<int64_t> written =
      Mutate({{"plain", false, {{"id", 2}, {"extra", "x"}, {"more", ValueView::Bytes("y")}}}});
  EXPECT_TRUE(written.ok()) << written.status();
  // The same again, and a part of it, changes nothing.
  const absl::StatusOr<int64_t> again =
      executive_->AddFields(kAdmin, "fam", "plain", {{"extra", FieldType::kString}}, Soon());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, 0);
}

TEST_P(ExecutiveTest, AFieldThatDiffersIsRefusedAndNoneIsAdded) {
  const absl::Status status =
      executive_
          ->AddFields(kAdmin, "fam", "plain",
                      {{"extra", FieldType::kText}, {"name", FieldType::kInteger}}, Soon())
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrorReason(status), reason::kFieldDiffers);
  EXPECT_EQ(*executive_->GetTable(kAdmin, "fam", "plain", Soon()), Plain("plain"));
}

TEST_P(ExecutiveTest, AWriterIsKnownByItsSecret) {
  EXPECT_TRUE(executive_->RegisterWriter(kAdmin, {kWriter, kSecret}, Soon()).ok());
  const absl::Status other = executive_->RegisterWriter(kAdmin, {kWriter, "zq7-zq7"}, Soon());
  EXPECT_EQ(other.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrorReason(other), reason::kWriterDiffers);
  EXPECT_FALSE(absl::StrContains(other.message(), "zq7"));
  // Names are compared by their bytes, and may hold anything.
  for (const char* name : {"WRITER", "writer ", "wr\xC3\xAFter", "'; --"}) {
    EXPECT_TRUE(executive_->RegisterWriter(kAdmin, {name, "its own secret"}, Soon()).ok()) << name;
    EXPECT_TRUE(executive_->GetCookie({name, "its own secret"}, kPeer, Soon()).ok()) << name;
  }
}

TEST_P(ExecutiveTest, AnUnknownWriterAndAWrongSecretCannotBeToldApart) {
  const MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
  std::vector<absl::Status> answers;
  for (const Credentials& credentials :
       std::vector<Credentials>{{"nobody", kSecret},
                                {kWriter, "wrong"},
                                {kWriter, ""},
                                {"", kSecret},
                                {std::string(1000, 'x'), kSecret},
                                {"Writer", kSecret},
                                {"writer ", kSecret},
                                {kWriter, "THE WRITER'S SECRET"}}) {
    answers.push_back(executive_->Mutate(credentials, request, Soon()).status());
    answers.push_back(executive_->GetCookie(credentials, kPeer, Soon()).status());
    answers.push_back(executive_->SetCookie(credentials, kPeer, "x", Soon()));
  }
  for (const absl::Status& answer : answers) {
    EXPECT_EQ(answer.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_EQ(ErrorReason(answer), reason::kBadCredentials);
    EXPECT_EQ(answer, answers[0]);
  }
  EXPECT_EQ(CountRows("plain"), 0);
}

// Mutations ----------------------------------------------------------------------------------

TEST_P(ExecutiveTest, AMutationReturnsItsLedgerSequence) {
  const int64_t before = LastSequence();
  absl::StatusOr<int64_t> sequence = Mutate({{"plain", false, {{"id", 1}, {"name", "one"}}}});
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 1);
  EXPECT_EQ(LastSequence(), before + 1);
  // Several stand between markers, and the last one counts.
  sequence = Mutate({{"plain", false, {{"id", 2}}}, {"plain", true, {{"id", 1}}}});
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 5);
  const std::vector<LedgerEntry> ledger = Ledger();
  ASSERT_EQ(static_cast<int64_t>(ledger.size()), before + 5);
  EXPECT_EQ(ledger[before + 1].statement, kBeginMarker);
  EXPECT_EQ(ledger[before + 4].statement, kCommitMarker);
}

TEST_P(ExecutiveTest, MutationsOfOneKeyApplyInTheirOrder) {
  ASSERT_TRUE(Mutate({{"plain", false, {{"id", 1}, {"name", "first"}}},
                      {"plain", false, {{"id", 1}, {"name", "second"}}},
                      {"plain", true, {{"id", 1}}},
                      {"plain", false, {{"id", 1}, {"name", "third"}}},
                      {"plain", false, {{"id", 2}, {"name", "gone"}}},
                      {"plain", true, {{"id", 2}}}})
                  .ok());
  std::vector<std::string> rows;
  ASSERT_TRUE(connection_
                  ->Query("SELECT \"id\", \"name\" FROM fam___plain", {},
                          [&rows](absl::Span<const ValueView> row) {
                            rows.push_back(absl::StrCat(row[0].integer(), row[1].data()));
                            return absl::OkStatus();
                          })
                  .ok());
  EXPECT_EQ(rows, std::vector<std::string>{"1third"});
}

TEST_P(ExecutiveTest, DeletingWhatIsNotThereSucceeds) {
  const absl::StatusOr<int64_t> sequence = Mutate({{"plain", true, {{"id", 404}}}});
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, LastSequence());
}

TEST_P(ExecutiveTest, KeysThatDifferInCaseAccentOrBlanksAreDifferentRows) {
  const std::vector<std::string> keys = {"foo",        "Foo",  "foo ", " foo",
                                         "f\xC3\xB6o", "FOO ", "",     "fo\xCC\x88o"};
  std::vector<Mutation> mutations;
  for (const std::string& key : keys) {
    mutations.push_back({"all_types", false, {{"s", key}, {"i", 1}, {"b", ValueView::Bytes(key)}}});
  }
  ASSERT_TRUE(Mutate(mutations).ok());
  EXPECT_EQ(CountRows("all_types"), 8);
  ASSERT_TRUE(
      Mutate({{"all_types", true, {{"s", "FOO"}, {"i", 1}, {"b", ValueView::Bytes("FOO")}}}}).ok());
  EXPECT_EQ(CountRows("all_types"), 8);
  ASSERT_TRUE(
      Mutate({{"all_types", true, {{"s", "foo "}, {"i", 1}, {"b", ValueView::Bytes("foo ")}}}})
          .ok());
  EXPECT_EQ(CountRows("all_types"), 7);
}

TEST_P(ExecutiveTest, ExtremeValuesAreKeptExactly) {
  const std::string characters = [] {
    std::string text;
    for (int i = 0; i < 191; ++i) text += "\xF0\x9F\x98\x80";
    return text;
  }();
  const std::string all_bytes = [] {
    std::string bytes;
    for (int i = 0; i < 255; ++i) bytes += static_cast<char>(i);
    return bytes;
  }();
  const std::string half_mib(limits::kValueMaxBytes, 'x');
  const std::string binary(limits::kValueMaxBytes / 2, '\xFF');
  int64_t i = 0;
  std::vector<Mutation> mutations;
  auto add = [&](std::vector<std::pair<absl::string_view, ValueView>> values) {
    Mutation mutation{"all_types", false, std::move(values)};
    auto has = [&mutation](absl::string_view name) {
      for (const auto& value : mutation.values) {
        if (value.first == name) return true;
      }
      return false;
    };
    if (!has("s")) mutation.values.emplace_back("s", "key");
    if (!has("b")) mutation.values.emplace_back("b", ValueView::Bytes("key"));
    if (!has("i")) mutation.values.emplace_back("i", ++i);
    mutations.push_back(std::move(mutation));
  };
  add({{"s", characters}});
  add({{"b", ValueView::Bytes(all_bytes)}});
  add({{"i", std::numeric_limits<int64_t>::min()}});
  add({{"i", std::numeric_limits<int64_t>::max()}});
  add({{"i", std::numeric_limits<int64_t>::min() + 1}});
  add({{"i", std::numeric_limits<int64_t>::max() - 1}});
  add({{"i", int64_t{9007199254740993}}});
  for (const char* text : {"", "'", "''", "\\", "\\'", "a\\", "\"", "`", "%_", "\n\r\t", "--", "/*",
                           "x'00'", "NULL", "\xEF\xBF\xBF", "\xE2\x80\xA8", "?"}) {
    add({{"s", text}, {"t", text}, {"y", ValueView::Bytes(text)}});
  }
  for (double decimal :
       {0.0, 1.0, -1.5, 0.1, 1e22, 1e23, 123456789.123456789, std::numeric_limits<double>::max(),
        std::numeric_limits<double>::lowest(), std::numeric_limits<double>::min(),
        std::numeric_limits<double>::denorm_min(), 4.35, 2.5e-308, 9007199254740993.0}) {
    add({{"d", decimal}});
  }
  add({{"d", int64_t{1} << 53}});
  ASSERT_LE(mutations.size(), limits::kMutationsPerRequest);
  absl::StatusOr<int64_t> written = Mutate(mutations);
  ASSERT_TRUE(written.ok()) << written.status();
  mutations.clear();
  add({{"t", half_mib}});
  written = Mutate(mutations);
  ASSERT_TRUE(written.ok()) << written.status();
  mutations.clear();
  add({{"y", ValueView::Bytes(binary)}});
  written = Mutate(mutations);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_TRUE(Compare().ok()) << Compare();
}

TEST_P(ExecutiveTest, CookiesChangeWithTheRows) {
  EXPECT_EQ(Cookie(), "");
  const std::string binary("\0\xFF'", 3);
  MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
  request.cookie = binary;
  request.check_cookie = "";
  ASSERT_TRUE(Mutate(request).ok());
  EXPECT_EQ(Cookie(), binary);

  // Not the writer's cookie any more.
  const int64_t before = LastSequence();
  request = Request({{"plain", false, {{"id", 2}}}});
  request.cookie = "next";
  request.check_cookie = "";
  const absl::Status status = Mutate(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ErrorReason(status), reason::kCookieMismatch);
  EXPECT_EQ(Cookie(), binary);
  EXPECT_EQ(CountRows("plain"), 1);
  EXPECT_EQ(LastSequence(), before);

  request.check_cookie = binary;
  ASSERT_TRUE(Mutate(request).ok());
  EXPECT_EQ(Cookie(), "next");
  // Checked but not changed.
  request = Request({{"plain", false, {{"id", 3}}}});
  request.check_cookie = "next";
  ASSERT_TRUE(Mutate(request).ok());
  EXPECT_EQ(Cookie(), "next");
  // Emptied.
  request.cookie = "";
  ASSERT_TRUE(Mutate(request).ok());
  EXPECT_EQ(Cookie(), "");

  ASSERT_TRUE(executive_->SetCookie({kWriter, kSecret}, kPeer, "by hand", Soon()).ok());
  EXPECT_EQ(Cookie(), "by hand");
  ASSERT_TRUE(executive_->SetCookie({kWriter, kSecret}, kPeer, "", Soon()).ok());
  EXPECT_EQ(Cookie(), "");
}

TEST_P(ExecutiveTest, OfManyThatCheckTheSameCookieOneWins) {
  constexpr int kThreads = 6;
  std::atomic<int> won(0), lost(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const std::string cookie = absl::StrCat("of ", i);
      MutateRequest request = Request({{"plain", false, {{"id", i}}}});
      request.cookie = cookie;
      request.check_cookie = "";
      const absl::Status status = Mutate(request).status();
      if (status.ok()) {
        ++won;
      } else {
        EXPECT_EQ(ErrorReason(status), reason::kCookieMismatch) << status;
        ++lost;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, kThreads - 1);
  EXPECT_EQ(CountRows("plain"), 1);
}

// Bad input ----------------------------------------------------------------------------------

struct BadCase {
  std::string what;
  std::function<absl::Status()> call;
  absl::StatusCode code;
  std::string reason;
  std::string field;  // empty: not checked
};

TEST_P(ExecutiveTest, BadInputIsRefusedByNameAndChangesNothing) {
  constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;
  auto mutate = [this](std::vector<Mutation> mutations) {
    return [this, mutations] {
      // The first one is good, and must not be applied either.
      std::vector<Mutation> all = {{"plain", false, {{"id", 77}}}};
      all.insert(all.end(), mutations.begin(), mutations.end());
      MutateRequest request = Request(all);
      request.cookie = "never set";
      return Mutate(request).status();
    };
  };
  auto value = [&](absl::string_view name, const ValueView& bad) {
    Mutation mutation{"all_types", false, {{name, bad}}};
    for (const auto& [key, good] : std::vector<std::pair<absl::string_view, ValueView>>{
             {"s", "x"}, {"i", 1}, {"b", ValueView::Bytes("x")}}) {
      if (key != name) mutation.values.emplace_back(key, good);
    }
    return mutate({mutation});
  };
  const std::string long_text(limits::kValueMaxBytes + 1, 'x');
  const std::string nul("a\0b", 3);
  const std::string x192(192, 'x'), x256(256, 'x');
  const std::vector<BadCase> cases = {
      {"192 characters", value("s", x192), kInvalid, "TOO_LARGE", "mutations[1].values.s"},
      {"256 bytes", value("b", ValueView::Bytes(x256)), kInvalid, "TOO_LARGE",
       "mutations[1].values.b"},
      {"long text", value("t", long_text), kInvalid, "TOO_LARGE", "mutations[1].values.t"},
      {"long binary", value("y", ValueView::Bytes(long_text)), kInvalid, "TOO_LARGE",
       "mutations[1].values.y"},
      {"NUL", value("t", nul), kInvalid, "INVALID_VALUE", "mutations[1].values.t"},
      {"NUL in key", value("s", nul), kInvalid, "INVALID_VALUE", "mutations[1].values.s"},
      {"not UTF-8", value("t", "\xC3("), kInvalid, "INVALID_VALUE", "mutations[1].values.t"},
      {"overlong", value("t", "\xC0\xAF"), kInvalid, "INVALID_VALUE", "mutations[1].values.t"},
      {"surrogate", value("t", "\xED\xA0\x80"), kInvalid, "INVALID_VALUE", "mutations[1].values.t"},
      {"text for integer", value("i", "1"), kInvalid, "INVALID_VALUE", "mutations[1].values.i"},
      {"decimal for integer", value("i", 1.0), kInvalid, "INVALID_VALUE", "mutations[1].values.i"},
      {"bytes for text", value("t", ValueView::Bytes("x")), kInvalid, "INVALID_VALUE",
       "mutations[1].values.t"},
      {"text for bytes", value("y", "x"), kInvalid, "INVALID_VALUE", "mutations[1].values.y"},
      {"integer for text", value("t", 1), kInvalid, "INVALID_VALUE", "mutations[1].values.t"},
      {"inexact integer", value("d", (int64_t{1} << 53) + 1), kInvalid, "INVALID_VALUE",
       "mutations[1].values.d"},
      {"NaN", value("d", std::nan("")), kInvalid, "INVALID_VALUE", "mutations[1].values.d"},
      {"infinity", value("d", -std::numeric_limits<double>::infinity()), kInvalid, "INVALID_VALUE",
       "mutations[1].values.d"},
      {"negative zero", value("d", -0.0), kInvalid, "INVALID_VALUE", "mutations[1].values.d"},
      {"null key", value("s", ValueView()), kInvalid, "INVALID_VALUE", "mutations[1].values.s"},
      {"unknown field", value("nope", 1), kInvalid, "UNKNOWN_FIELD", "mutations[1].values.nope"},
      {"empty field name", value("", 1), kInvalid, "UNKNOWN_FIELD", "mutations[1].values."},
      {"field twice", mutate({{"plain", false, {{"id", 1}, {"name", "a"}, {"NAME", "b"}}}}),
       kInvalid, "INVALID_REQUEST", "mutations[1].values.NAME"},
      {"key left out", mutate({{"plain", false, {{"name", "a"}}}}), kInvalid, "INVALID_KEY",
       "mutations[1].values.id"},
      {"no values", mutate({{"plain", false, {}}}), kInvalid, "INVALID_KEY",
       "mutations[1].values.id"},
      {"delete without key", mutate({{"plain", true, {}}}), kInvalid, "INVALID_KEY",
       "mutations[1].values.id"},
      {"delete with more", mutate({{"plain", true, {{"id", 1}, {"name", "a"}}}}), kInvalid,
       "INVALID_KEY", "mutations[1].values.name"},
      {"delete with null", mutate({{"plain", true, {{"id", ValueView()}}}}), kInvalid,
       "INVALID_VALUE", "mutations[1].values.id"},
      {"unknown table", mutate({{"nowhere", true, {{"id", 1}}}}), kNotFound, "TABLE_NOT_FOUND", ""},
      {"bad table", mutate({{"no;where", true, {{"id", 1}}}}), kInvalid, "INVALID_NAME",
       "mutations[1].table"},
      {"double underscore", mutate({{"pla__in", true, {{"id", 1}}}}), kInvalid, "INVALID_NAME",
       "mutations[1].table"},
      {"empty table", mutate({{"", true, {{"id", 1}}}}), kInvalid, "INVALID_NAME",
       "mutations[1].table"},
      {"no mutations", [&] { return Mutate(Request({})).status(); }, kInvalid, "INVALID_REQUEST",
       "mutations"},
      {"unknown family",
       [&] {
         MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
         request.family = "nowhere";
         return Mutate(request).status();
       },
       kNotFound, "FAMILY_NOT_FOUND", ""},
      {"bad family",
       [&] {
         MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
         request.family = "fam'";
         return Mutate(request).status();
       },
       kInvalid, "INVALID_NAME", "family"},
      {"long cookie",
       [&] {
         const std::string cookie(1025, 'x');
         MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
         request.cookie = cookie;
         return Mutate(request).status();
       },
       kInvalid, "TOO_LARGE", "cookie"},
      {"long checked cookie",
       [&] {
         const std::string cookie(1025, 'x');
         MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
         request.check_cookie = cookie;
         return Mutate(request).status();
       },
       kInvalid, "TOO_LARGE", "check_cookie"},
      {"long set cookie",
       [&] {
         return executive_->SetCookie({kWriter, kSecret}, kPeer, std::string(1025, 'x'), Soon());
       },
       kInvalid, "TOO_LARGE", "cookie"},
      {"bad family name", [&] { return executive_->CreateFamily(kAdmin, "1a2", Soon()); }, kInvalid,
       "INVALID_NAME", "family"},
      {"no tables", [&] { return executive_->CreateTables(kAdmin, {}, Soon()).status(); }, kInvalid,
       "INVALID_REQUEST", "tables"},
      {"101 tables",
       [&] {
         std::vector<TableSchema> tables;
         for (int i = 0; i < 101; ++i) tables.push_back(Plain(absl::StrCat("many_", i)));
         return executive_->CreateTables(kAdmin, tables, Soon()).status();
       },
       kInvalid, "TOO_LARGE", "tables"},
      {"one table twice",
       [&] {
         return executive_->CreateTables(kAdmin, {Plain("new_one"), Plain("new_one")}, Soon())
             .status();
       },
       kInvalid, "INVALID_REQUEST", "tables[1]"},
      {"table in unknown family",
       [&] {
         return executive_
             ->CreateTables(
                 kAdmin,
                 {*TableSchema::Create("nowhere", "tbl", {{"id", FieldType::kInteger}}, {"id"})},
                 Soon())
             .status();
       },
       kNotFound, "FAMILY_NOT_FOUND", ""},
      {"no fields",
       [&] { return executive_->AddFields(kAdmin, "fam", "plain", {}, Soon()).status(); }, kInvalid,
       "INVALID_REQUEST", "fields"},
      {"191 fields",
       [&] {
         return executive_->AddFields(kAdmin, "fam", "plain", std::vector<Field>(191), Soon())
             .status();
       },
       kInvalid, "INVALID_SCHEMA", "fields"},
      {"190 fields more",
       [&] {
         std::vector<Field> fields;
         for (int i = 0; i < 190; ++i) {
           fields.push_back({absl::StrCat("f", i), FieldType::kInteger});
         }
         return executive_->AddFields(kAdmin, "fam", "plain", fields, Soon()).status();
       },
       kInvalid, "INVALID_SCHEMA", "fields"},
      {"bad field",
       [&] {
         return executive_
             ->AddFields(kAdmin, "fam", "plain",
                         {{"ok", FieldType::kText}, {"1", FieldType::kText}}, Soon())
             .status();
       },
       kInvalid, "INVALID_NAME", "fields[1].name"},
      {"added field twice",
       [&] {
         return executive_
             ->AddFields(kAdmin, "fam", "plain",
                         {{"ok", FieldType::kText}, {"OK", FieldType::kText}}, Soon())
             .status();
       },
       kInvalid, "INVALID_SCHEMA", "fields[1].name"},
      {"field of unknown table",
       [&] {
         return executive_->AddFields(kAdmin, "fam", "nowhere", {{"x", FieldType::kText}}, Soon())
             .status();
       },
       kNotFound, "TABLE_NOT_FOUND", ""},
      {"field in unknown family",
       [&] {
         return executive_->AddFields(kAdmin, "nowhere", "plain", {{"x", FieldType::kText}}, Soon())
             .status();
       },
       kNotFound, "FAMILY_NOT_FOUND", ""},
      {"get unknown table",
       [&] { return executive_->GetTable(kAdmin, "fam", "nowhere", Soon()).status(); }, kNotFound,
       "TABLE_NOT_FOUND", ""},
      {"get in unknown family",
       [&] { return executive_->GetTable(kAdmin, "nowhere", "plain", Soon()).status(); }, kNotFound,
       "FAMILY_NOT_FOUND", ""},
      {"get bad table", [&] { return executive_->GetTable(kAdmin, "fam", "x", Soon()).status(); },
       kInvalid, "INVALID_NAME", "table"},
      {"list unknown family",
       [&] { return executive_->ListTables(kAdmin, "nowhere", Soon()).status(); }, kNotFound,
       "FAMILY_NOT_FOUND", ""},
      {"list bad family", [&] { return executive_->ListTables(kAdmin, "%", Soon()).status(); },
       kInvalid, "INVALID_NAME", "family"},
      {"short writer",
       [&] {
         return executive_->RegisterWriter(kAdmin, {"ab", kSecret}, Soon());
       },
       kInvalid, "INVALID_NAME", "writer"},
      {"writer not UTF-8",
       [&] {
         return executive_->RegisterWriter(kAdmin, {"ab\xC3", kSecret}, Soon());
       },
       kInvalid, "INVALID_NAME", "writer"},
      {"short secret",
       [&] {
         return executive_->RegisterWriter(kAdmin, {"new_writer", "ab"}, Soon());
       },
       kInvalid, "INVALID_NAME", "secret"},
  };
  const int64_t before = LastSequence();
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.what);
    const absl::Status status = bad.call();
    EXPECT_EQ(status.code(), bad.code) << status;
    EXPECT_EQ(ErrorReason(status).value_or(""), bad.reason) << status;
    if (!bad.field.empty()) {
      EXPECT_EQ(ErrorField(status).value_or(""), bad.field) << status;
    }
    EXPECT_FALSE(absl::StrContains(status.message(), kSecret)) << status;
    EXPECT_LT(status.message().size(), 500);
  }
  EXPECT_EQ(LastSequence(), before);
  EXPECT_EQ(CountRows("plain"), 0);
  EXPECT_EQ(Cookie(), "");
  EXPECT_EQ(*executive_->GetTable(kAdmin, "fam", "plain", Soon()), Plain("plain"));
  EXPECT_EQ(executive_->ListFamilies(kAdmin, Soon())->size(), 1);
}

// Limits at, below and above their edges -----------------------------------------------------

TEST_P(ExecutiveTest, LimitsHoldAtTheirEdges) {
  auto write = [this](absl::string_view name, const ValueView& value) {
    Mutation mutation{"all_types", false, {{name, value}}};
    for (const auto& [key, good] : std::vector<std::pair<absl::string_view, ValueView>>{
             {"s", "x"}, {"i", 1}, {"b", ValueView::Bytes("x")}}) {
      if (key != name) mutation.values.emplace_back(key, good);
    }
    return Mutate({mutation}).status();
  };
  auto expect = [](bool good, const absl::Status& status, absl::string_view reason) {
    if (good) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_EQ(ErrorReason(status).value_or(""), reason) << status;
    }
  };
  for (size_t size : {190, 191, 192}) {
    SCOPED_TRACE(size);
    const std::string ascii(size, 'x');
    std::string wide;
    for (size_t i = 0; i < size; ++i) wide += "\xC3\xA9";
    expect(size <= 191, write("s", ascii), "TOO_LARGE");
    expect(size <= 191, write("s", wide), "TOO_LARGE");
  }
  for (size_t size : {254, 255, 256}) {
    SCOPED_TRACE(size);
    expect(size <= 255, write("b", ValueView::Bytes(std::string(size, '\xFF'))), "TOO_LARGE");
  }
  for (size_t size :
       {limits::kValueMaxBytes - 1, limits::kValueMaxBytes, limits::kValueMaxBytes + 1}) {
    SCOPED_TRACE(size);
    expect(size <= limits::kValueMaxBytes, write("t", std::string(size, 'x')), "TOO_LARGE");
  }
  for (size_t count : {99, 100, 101}) {
    SCOPED_TRACE(count);
    std::vector<Mutation> mutations;
    for (size_t i = 0; i < count; ++i) {
      mutations.push_back({"plain", false, {{"id", static_cast<int64_t>(i)}}});
    }
    expect(count <= 100, Mutate(mutations).status(), "TOO_LARGE");
  }
  for (size_t size : {1023, 1024, 1025}) {
    SCOPED_TRACE(size);
    const std::string cookie(size, '\xFF');
    MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
    request.cookie = cookie;
    expect(size <= 1024, Mutate(request).status(), "TOO_LARGE");
    expect(size <= 1024, executive_->SetCookie({kWriter, kSecret}, kPeer, cookie, Soon()),
           "TOO_LARGE");
  }
  for (size_t size :
       {limits::kRequestMaxBytes - 1, limits::kRequestMaxBytes, limits::kRequestMaxBytes + 1}) {
    expect(size <= limits::kRequestMaxBytes, Executive::CheckRequestSize(size), "TOO_LARGE");
  }
  for (size_t size : {2, 3, 30, 31}) {
    SCOPED_TRACE(size);
    expect(size >= 3 && size <= 30,
           executive_->CreateFamily(kAdmin, std::string(size, 'f'), Soon()), "INVALID_NAME");
  }
  for (size_t size : {2, 3, 50, 51}) {
    SCOPED_TRACE(size);
    expect(size >= 3 && size <= 50,
           executive_->RegisterWriter(kAdmin, {std::string(size, 'w'), kSecret}, Soon()),
           "INVALID_NAME");
  }
  for (size_t size : {2, 3, 100, 101}) {
    SCOPED_TRACE(size);
    const std::string name = absl::StrCat("secret_of_", size);
    const std::string secret(size, '\xFF');
    expect(size >= 3 && size <= 100, executive_->RegisterWriter(kAdmin, {name, secret}, Soon()),
           "INVALID_NAME");
    EXPECT_EQ(executive_->GetCookie({name, secret}, kPeer, Soon()).ok(), size >= 3 && size <= 100);
  }
  // A table's name may have 50 characters, and 64 together with its family's and three between.
  for (const auto& [family_size, table_size] : std::vector<std::pair<size_t, size_t>>{
           {3, 3}, {3, 50}, {30, 30}, {30, 31}, {30, 32}, {30, 50}}) {
    SCOPED_TRACE(table_size);
    const std::string family(family_size, 'f');
    ASSERT_TRUE(executive_->CreateFamily(kAdmin, family, Soon()).ok());
    const absl::StatusOr<TableSchema> schema =
        TableSchema::Create(family, std::string(table_size, 't'),
                            {{std::string(64, 'c'), FieldType::kInteger}}, {std::string(64, 'c')});
    EXPECT_EQ(schema.ok(), family_size + table_size <= 61) << schema.status();
    if (!schema.ok()) {
      EXPECT_EQ(ErrorReason(schema.status()).value_or(""), "INVALID_NAME");
      EXPECT_EQ(ErrorField(schema.status()).value_or(""), "name");
      continue;
    }
    const absl::Status created = executive_->CreateTables(kAdmin, {*schema}, Soon()).status();
    EXPECT_TRUE(created.ok()) << created;
  }
}

TEST_P(ExecutiveTest, TheLargestTablesCanBeCreatedAndWritten) {
  std::vector<Field> fields;
  for (int i = 0; i < 190; ++i) fields.push_back({absl::StrCat("f", i), FieldType::kText});
  std::vector<std::string> key;
  for (int i = 0; i < 16; ++i) {
    fields[i].type = i < 3 ? FieldType::kString : FieldType::kInteger;
    key.push_back(fields[i].name);
  }
  const TableSchema wide = Schema("wide", fields, key);
  fields.clear();
  for (int i = 0; i < 85; ++i) fields.push_back({absl::StrCat("f", i), FieldType::kString});
  const TableSchema strings = Schema("strings", fields, {"f0", "f1", "f2", "f3"});
  const absl::StatusOr<int64_t> created = executive_->CreateTables(kAdmin, {wide, strings}, Soon());
  ASSERT_TRUE(created.ok()) << created.status();

  const std::string text(1000, 'x');
  Mutation mutation{"wide", false, {}};
  for (const Field& field : wide.fields()) {
    mutation.values.emplace_back(field.name,
                                 field.type == FieldType::kInteger
                                     ? ValueView(std::numeric_limits<int64_t>::min())
                                     : ValueView(absl::string_view(text).substr(
                                           0, field.type == FieldType::kString ? 191 : 1000)));
  }
  absl::StatusOr<int64_t> written = Mutate({mutation});
  EXPECT_TRUE(written.ok()) << written.status();

  std::string emoji;
  for (int i = 0; i < 191; ++i) emoji += "\xF0\x9F\x98\x80";
  mutation = {"strings", false, {}};
  for (const Field& field : strings.fields()) mutation.values.emplace_back(field.name, emoji);
  written = Mutate({mutation});
  EXPECT_TRUE(written.ok()) << written.status();
}

TEST_P(ExecutiveTest, OneRequestMayCreateAHundredTables) {
  std::vector<TableSchema> tables;
  for (int i = 0; i < 100; ++i) tables.push_back(Plain(absl::StrCat("many_", i)));
  const absl::StatusOr<int64_t> created = executive_->CreateTables(kAdmin, tables, Soon());
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_EQ(executive_->ListTables(kAdmin, "fam", Soon())->size(), 102);
}

// Faults -------------------------------------------------------------------------------------

TEST_P(ExecutiveTest, AFailureAtAnyStatementChangesNothing) {
  const int64_t before = LastSequence();
  const MutateRequest request = [] {
    MutateRequest request = Request({{"plain", false, {{"id", 1}, {"name", "one"}}},
                                     {"plain", false, {{"id", 2}}},
                                     {"plain", true, {{"id", 1}}}});
    request.cookie = "after";
    request.check_cookie = "";
    return request;
  }();
  int failures = 0;
  while (true) {
    // From the statement on, so that trying in another way does not help.
    std::atomic<int> left(failures);
    executive_.faults.statement = [&left](absl::string_view) {
      return left-- <= 0 ? absl::InternalError("put in by the test") : absl::OkStatus();
    };
    const absl::StatusOr<int64_t> sequence = Mutate(request);
    executive_.faults.statement = nullptr;
    if (sequence.ok()) {
      EXPECT_EQ(*sequence, before + 5);
      break;
    }
    EXPECT_TRUE(absl::IsInternal(sequence.status())) << sequence.status();
    EXPECT_EQ(CountRows("plain"), 0);
    EXPECT_EQ(Cookie(), "");
    ASSERT_EQ(LastSequence(), before);
    ++failures;
    ASSERT_LT(failures, 100);
  }
  // BEGIN, lock, last sequence, cookies, rows, the ledger, cookies.
  EXPECT_GE(failures, 7);
  EXPECT_EQ(Cookie(), "after");
}

TEST_P(ExecutiveTest, WhatIsBusyOrBrokenForAMomentIsTriedAgain) {
  const int64_t before = LastSequence();
  for (const char* error_reason : {reason::kCtldbBusy, reason::kCtldbUnavailable}) {
    std::atomic<int> left(2);
    executive_.faults.statement = [&left, error_reason](absl::string_view statement) {
      if (!absl::StartsWith(statement, "REPLACE") || left-- <= 0) return absl::OkStatus();
      return ErrorWithReason(absl::StatusCode::kUnavailable, error_reason, "put in by the test");
    };
    const absl::StatusOr<int64_t> sequence = Mutate({{"plain", false, {{"id", 1}}}});
    executive_.faults.statement = nullptr;
    EXPECT_TRUE(sequence.ok()) << sequence.status();
    EXPECT_LE(left, 0) << "the fault was not met";
  }
  EXPECT_EQ(LastSequence(), before + 2);
}

TEST_P(ExecutiveTest, WhatStaysUnavailableIsToldWithARetryDelay) {
  for (const char* error_reason : {reason::kCtldbBusy, reason::kCtldbUnavailable}) {
    executive_.faults.statement = [error_reason](absl::string_view) {
      return ErrorWithReason(absl::StatusCode::kUnavailable, error_reason, "put in by the test");
    };
    for (const absl::Status& status :
         {Mutate({{"plain", false, {{"id", 1}}}}).status(),
          executive_->CreateFamily(kAdmin, "another", Soon()),
          executive_->CreateTables(kAdmin, {Plain("another")}, Soon()).status(),
          executive_->ListFamilies(kAdmin, Soon()).status(),
          executive_->SetCookie({kWriter, kSecret}, kPeer, "x", Soon())}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      EXPECT_EQ(ErrorReason(status), error_reason);
      EXPECT_TRUE(RetryDelay(status).has_value());
    }
    executive_.faults.statement = nullptr;
  }
  EXPECT_EQ(CountRows("plain"), 0);
}

TEST_P(ExecutiveTest, AnExpiredDeadlineChangesNothing) {
  const int64_t before = LastSequence();
  const absl::Time past = absl::Now() - absl::Seconds(1);
  const MutateRequest request = Request({{"plain", false, {{"id", 1}}}});
  for (const absl::Status& status :
       {executive_->Mutate({kWriter, kSecret}, request, past).status(),
        executive_->CreateFamily(kAdmin, "another", past),
        executive_->CreateTables(kAdmin, {Plain("another")}, past).status(),
        executive_->SetCookie({kWriter, kSecret}, kPeer, "x", past)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  }
  EXPECT_EQ(LastSequence(), before);
  EXPECT_EQ(Cookie(), "");
  EXPECT_EQ(executive_->ListFamilies(kAdmin, Soon())->size(), 1);
}

TEST_P(ExecutiveTest, ADeadlineThatPassesWhileWaitingForTheLedgerChangesNothing) {
  const int64_t before = LastSequence();
  {
    absl::StatusOr<LedgerTransaction> holder = LedgerTransaction::Begin(connection_.get());
    ASSERT_TRUE(holder.ok()) << holder.status();
    const absl::Status status =
        executive_
            ->Mutate({kWriter, kSecret}, Request({{"plain", false, {{"id", 1}}}}),
                     absl::Now() + absl::Milliseconds(200))
            .status();
    EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
  }
  EXPECT_EQ(CountRows("plain"), 0);
  EXPECT_EQ(LastSequence(), before);
}

absl::Status OutcomeUnknown() {
  return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kOutcomeUnknown,
                         "put in by the test");
}

TEST_P(ExecutiveTest, ACommitThatWasMadeButNotAnsweredIsFoundInTheLedger) {
  for (int mutations : {1, 3}) {
    int losses = 1;
    executive_.faults.commit = [&losses](std::unique_ptr<Connection>* connection) {
      const absl::Status status = (*connection)->Commit();
      return losses-- > 0 ? OutcomeUnknown() : status;
    };
    const int64_t before = LastSequence();
    std::vector<Mutation> all;
    for (int i = 0; i < mutations; ++i) all.push_back({"plain", false, {{"id", i}}});
    const absl::StatusOr<int64_t> sequence = Mutate(all);
    executive_.faults.commit = nullptr;
    ASSERT_TRUE(sequence.ok()) << sequence.status();
    EXPECT_LT(losses, 1) << "the fault was not met";
    EXPECT_EQ(*sequence, before + (mutations == 1 ? 1 : mutations + 2));
    EXPECT_EQ(LastSequence(), *sequence);
  }
}

TEST_P(ExecutiveTest, ACommitThatWasLostIsMadeAgain) {
  int losses = 1;
  executive_.faults.commit = [&losses](std::unique_ptr<Connection>* connection) {
    if (losses-- <= 0) return (*connection)->Commit();
    (*connection)->Rollback();
    return OutcomeUnknown();
  };
  const int64_t before = LastSequence();
  const absl::StatusOr<int64_t> sequence = Mutate({{"plain", false, {{"id", 1}}}});
  executive_.faults.commit = nullptr;
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_LT(losses, 1) << "the fault was not met";
  EXPECT_EQ(*sequence, before + 1);
  EXPECT_EQ(LastSequence(), before + 1);
}

TEST_P(ExecutiveTest, ACommitThatWasLostIsNotTakenForAnothers) {
  TestExecutive other(ctldb_);
  int losses = 1;
  executive_.faults.commit = [&](std::unique_ptr<Connection>* connection) {
    if (losses-- <= 0) return (*connection)->Commit();
    (*connection)->Rollback();
    // Takes the sequence that was meant for the lost one.
    EXPECT_TRUE(
        other->Mutate({kWriter, kSecret}, Request({{"plain", false, {{"id", 2}}}}), Soon()).ok());
    return OutcomeUnknown();
  };
  const int64_t before = LastSequence();
  const absl::StatusOr<int64_t> sequence = Mutate({{"plain", false, {{"id", 1}}}});
  executive_.faults.commit = nullptr;
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 2);
  EXPECT_EQ(CountRows("plain"), 2);
}

TEST_P(ExecutiveTest, ACommitThatIsStillGoingOnIsWaitedFor) {
  std::unique_ptr<Connection> lost;
  absl::Notification taken;
  executive_.faults.commit = [&](std::unique_ptr<Connection>* connection) {
    if (taken.HasBeenNotified()) return (*connection)->Commit();
    lost = std::move(*connection);
    taken.Notify();
    return OutcomeUnknown();
  };
  const int64_t before = LastSequence();
  // The next transaction that the executive begins is the one that waits for the outcome. On
  // SQLite it waits earlier, when it opens the connection for it.
  absl::Notification waiting;
  absl::once_flag once;
  const auto notify = [&] {
    if (taken.HasBeenNotified()) absl::call_once(once, [&] { waiting.Notify(); });
    return absl::OkStatus();
  };
  if (GetParam() == TestCtldb::Kind::kSqlite) executive_.faults.open = notify;
  executive_.faults.statement = [&notify](absl::string_view statement) {
    return statement == "BEGIN" ? notify() : absl::OkStatus();
  };
  absl::StatusOr<int64_t> sequence = absl::UnknownError("not called");
  std::thread caller([&] { sequence = Mutate({{"plain", false, {{"id", 1}}}}); });
  waiting.WaitForNotification();
  EXPECT_TRUE(lost->Commit().ok());
  caller.join();
  executive_.faults = Faults();
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(*sequence, before + 1);
  EXPECT_EQ(LastSequence(), before + 1);
}

TEST_P(ExecutiveTest, AnOutcomeThatCannotBeFoundOutIsSaidToBeUnknown) {
  std::atomic<bool> down(false);
  executive_.faults.commit = [&down](std::unique_ptr<Connection>* connection) {
    EXPECT_TRUE((*connection)->Commit().ok());
    down = true;
    return OutcomeUnknown();
  };
  executive_.faults.open = [&down] {
    return down ? ErrorWithReason(absl::StatusCode::kUnavailable, reason::kCtldbUnavailable,
                                  "put in by the test")
                : absl::OkStatus();
  };
  executive_.faults.statement = [&](absl::string_view) { return executive_.faults.open(); };
  const absl::Status status =
      executive_
          ->Mutate({kWriter, kSecret}, Request({{"plain", false, {{"id", 1}}}}),
                   absl::Now() + absl::Seconds(1))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kOutcomeUnknown);
  EXPECT_TRUE(RetryDelay(status).has_value());
}

// Several executives -------------------------------------------------------------------------

TEST_P(ExecutiveTest, AFieldThatAnotherExecutiveAddedCanBeUsedAtOnce) {
  TestExecutive other(ctldb_);
  ASSERT_TRUE(Mutate({{"plain", false, {{"id", 1}, {"name", "x"}}}}).ok());
  ASSERT_TRUE(
      other->AddFields(kAdmin, "fam", "plain", {{"extra", FieldType::kInteger}}, Soon()).ok());
  // Written with the old definition: what it does not know becomes null on both sides.
  ASSERT_TRUE(Mutate({{"plain", false, {{"id", 2}, {"name", "x"}}}}).ok());
  const absl::StatusOr<int64_t> written = Mutate({{"plain", false, {{"id", 1}, {"extra", 7}}}});
  EXPECT_TRUE(written.ok()) << written.status();
}

TEST_P(ExecutiveTest, ATableThatVanishedIsNotFoundAndNothingIsChanged) {
  ASSERT_TRUE(executive_->CreateTables(kAdmin, {Plain("doomed")}, Soon()).ok());
  ASSERT_TRUE(Mutate({{"doomed", false, {{"id", 1}}}}).ok());
  const int64_t before = LastSequence();
  ASSERT_TRUE(connection_->Execute("DROP TABLE fam___doomed").ok());
  compare_at_end_ = false;
  const absl::Status status =
      Mutate({{"plain", false, {{"id", 1}}}, {"doomed", false, {{"id", 2}}}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);
  EXPECT_EQ(CountRows("plain"), 0);
  EXPECT_EQ(LastSequence(), before);
}

TEST_P(ExecutiveTest, ATableThatCameBackOtherwiseIsWrittenAsItIs) {
  const TableSchema after =
      Schema("phoenix", {{"name", FieldType::kText}, {"id", FieldType::kInteger}}, {"id"});
  ASSERT_TRUE(executive_->CreateTables(kAdmin, {Plain("phoenix")}, Soon()).ok());
  ASSERT_TRUE(
      executive_->AddFields(kAdmin, "fam", "phoenix", {{"old", FieldType::kText}}, Soon()).ok());
  ASSERT_TRUE(Mutate({{"phoenix", false, {{"id", 1}, {"old", "x"}}}}).ok());
  ASSERT_TRUE(connection_->Execute("DROP TABLE fam___phoenix").ok());
  ASSERT_TRUE(connection_->Execute(connection_->dialect().CreateTable(after)).ok());
  compare_at_end_ = false;
  // The statement for the old definition fails on a column that is no more; the new one fits.
  const absl::StatusOr<int64_t> written = Mutate({{"phoenix", false, {{"id", 1}, {"name", "x"}}}});
  EXPECT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(Ledger().back().statement, R"(REPLACE INTO fam___phoenix ("name","id") VALUES('x',1))");
}

TEST_P(ExecutiveTest, WhatADeadExecutiveBeganIsCompletedBeforeTheNextWrite) {
  TestExecutive dying(ctldb_);
  dying.schema_fault = [](absl::string_view point) {
    return point == "after_intent" ? absl::AbortedError("died here") : absl::OkStatus();
  };
  const absl::Status died = dying->CreateTables(kAdmin, {Plain("pending")}, Soon()).status();
  ASSERT_FALSE(died.ok());
  const int64_t before = LastSequence();
  const absl::StatusOr<int64_t> written = Mutate({{"plain", false, {{"id", 1}}}});
  ASSERT_TRUE(written.ok()) << written.status();
  if (connection_->dialect().transactional_ddl()) {
    // Such a change is one transaction, which the database has rolled back.
    EXPECT_EQ(*written, before + 1);
  } else {
    EXPECT_EQ(*written, before + 2);
    EXPECT_TRUE(executive_->GetTable(kAdmin, "fam", "pending", Soon()).ok());
  }
}

TEST_P(ExecutiveTest, TwoConnectionsAreEnoughForManyCallers) {
  TestExecutive small(ctldb_, TestExecutive::Unlimited(), 2);
  constexpr int kThreads = 8;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      if (i % 4 == 0) {
        const absl::StatusOr<int64_t> created =
            small->CreateTables(kAdmin, {Plain(absl::StrCat("by_", i))}, Soon());
        EXPECT_TRUE(created.ok()) << created.status();
        return;
      }
      for (int n = 0; n < 5; ++n) {
        const absl::StatusOr<int64_t> written = small->Mutate(
            {kWriter, kSecret}, Request({{"plain", false, {{"id", i * 10 + n}}}}), Soon());
        EXPECT_TRUE(written.ok()) << written.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountRows("plain"), 30);
}

TEST_P(ExecutiveTest, TwoExecutivesChangeTablesAndRowsAtOnce) {
  TestExecutive other(ctldb_);
  constexpr int kFields = 6;
  constexpr int kWriters = 4;
  constexpr int kRows = 15;
  std::atomic<int> fields(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    // Both add the same fields, so that each of them meets the other's work.
    threads.emplace_back([&, i] {
      for (int n = 0; n < kFields; ++n) {
        TestExecutive& executive = i == 0 ? executive_ : other;
        const absl::StatusOr<int64_t> added = executive->AddFields(
            kAdmin, "fam", "plain", {{absl::StrCat("f", n), FieldType::kString}}, Soon());
        EXPECT_TRUE(added.ok()) << added.status();
        int seen = fields.load();
        while (seen < n + 1 && !fields.compare_exchange_weak(seen, n + 1)) {
        }
      }
    });
  }
  for (int i = 0; i < kWriters; ++i) {
    threads.emplace_back([&, i] {
      TestExecutive& executive = i % 2 == 0 ? executive_ : other;
      for (int row = 0; row < kRows; ++row) {
        // All writers write the same keys, with whatever fields are there by now.
        Mutation upsert{"plain", false, {{"id", row}, {"name", "x"}}};
        std::vector<std::string> names;
        for (int n = 0; n < fields.load(); ++n) names.push_back(absl::StrCat("f", n));
        for (const std::string& name : names) upsert.values.emplace_back(name, name);
        const absl::StatusOr<int64_t> written = executive->Mutate(
            {kWriter, kSecret}, Request({{"plain", true, {{"id", row}}}, upsert}), Soon());
        EXPECT_TRUE(written.ok()) << written.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CountRows("plain"), kRows);
  EXPECT_EQ(executive_->GetTable(kAdmin, "fam", "plain", Soon())->fields().size(), 2 + kFields);
}

INSTANTIATE_TEST_SUITE_P(Ctldbs, ExecutiveTest,
                         testing::Values(TestCtldb::Kind::kSqlite, TestCtldb::Kind::kMariadb),
                         [](const auto& info) { return KindName(info.param); });

}  // namespace
}  // namespace ctlstore::executive
