#include "common/ldb/row_struct.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/schema/errors.h"
#include "common/sql/ledger_statements.h"

namespace ctlstore::ldb {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Thing {
  std::string code;
  int64_t number = 0;
  absl::optional<std::string> text;
  absl::optional<double> decimal;
  absl::optional<std::string> bytes;
  // Not declared.
  std::string note = "as it was";
};

RowStruct<Thing> Things() {
  return StructOf<Thing>("fam", "things")
      .Field("code", &Thing::code)
      .Field("number", &Thing::number)
      .Field("text", &Thing::text)
      .Field("decimal", &Thing::decimal)
      .BytesField("bytes", &Thing::bytes);
}

class RowStructTest : public testing::Test {
 protected:
  void SetUp() override { Apply({sql::CreateTableStatement(schema_)}); }

  void Apply(const std::vector<std::string>& statements) {
    for (const std::string& statement : statements) ledger_.Add(statement);
    const absl::Status status = writer_->Apply(ledger_.Take());
    ASSERT_TRUE(status.ok()) << status;
  }

  void Upsert(const std::vector<ValueView>& row) { Apply({sql::UpsertStatement(schema_, row)}); }

  template <typename T>
  static void ExpectDiffers(const absl::StatusOr<T>& result, absl::string_view column,
                            absl::string_view declared, absl::string_view found) {
    const absl::Status& status = result.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(ErrorReason(status).value_or(""), reason::kStructDiffers) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("fam.things"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("\"", column, "\"")));
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("as ", declared, ",")));
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(found)));
  }

  const TableSchema schema_ = *TableSchema::Create("fam", "things",
                                                   {{"bytes", FieldType::kBinary},
                                                    {"text", FieldType::kText},
                                                    {"code", FieldType::kString},
                                                    {"number", FieldType::kInteger},
                                                    {"decimal", FieldType::kDecimal}},
                                                   {"code", "number"});
  TestFolder folder_;
  const std::string path_ = folder_.Path("ldb.db");
  TestLedger ledger_;
  std::unique_ptr<LdbWriter> writer_ = OpenWriter(path_);
  Reader reader_{path_};
};

TEST_F(RowStructTest, FieldsGetTheirColumnsWhateverTheOrder) {
  const RowStruct<Thing> things = Things();
  Upsert({ValueView::Bytes(absl::string_view("\0\xFF", 2)), "text", "a", 5, 0.5});
  Upsert({ValueView(), ValueView(), "b", -1, ValueView()});
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<absl::optional<Thing>> a = things.Get(&reader_, {"a", 5});
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(a->has_value());
    EXPECT_EQ((*a)->code, "a");
    EXPECT_EQ((*a)->number, 5);
    EXPECT_EQ((*a)->text, "text");
    EXPECT_EQ((*a)->decimal, 0.5);
    EXPECT_EQ((*a)->bytes, std::string("\0\xFF", 2));
    EXPECT_EQ((*a)->note, "as it was");
    absl::StatusOr<absl::optional<Thing>> b = things.Get(&reader_, {"b", -1});
    ASSERT_TRUE(b.ok() && b->has_value()) << b.status();
    EXPECT_EQ((*b)->text, absl::nullopt);
    EXPECT_EQ((*b)->decimal, absl::nullopt);
    EXPECT_EQ((*b)->bytes, absl::nullopt);
    absl::StatusOr<absl::optional<Thing>> none = things.Get(&reader_, {"c", 0});
    ASSERT_TRUE(none.ok()) << none.status();
    EXPECT_FALSE(none->has_value());
  }
}

TEST_F(RowStructTest, ReadOverwritesWhatAnEarlierRowLeft) {
  const RowStruct<Thing> things = Things();
  Upsert({ValueView::Bytes("bytes"), "text", "a", 1, 0.5});
  Upsert({ValueView(), ValueView(), "a", 2, ValueView()});
  Thing thing;
  ASSERT_TRUE(things.Read(*reader_.GetRow("fam", "things", {"a", 1}), &thing).ok());
  EXPECT_EQ(thing.text, "text");
  thing.note = "mine";
  ASSERT_TRUE(things.Read(*reader_.GetRow("fam", "things", {"a", 2}), &thing).ok());
  EXPECT_EQ(thing.number, 2);
  EXPECT_EQ(thing.text, absl::nullopt);
  EXPECT_EQ(thing.bytes, absl::nullopt);
  EXPECT_EQ(thing.note, "mine");
  EXPECT_EQ(things.Read(*reader_.GetRow("fam", "things", {"a", 3}), &thing).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(RowStructTest, ListsAndSnapshotsGiveStructsToo) {
  const RowStruct<Thing> things = Things();
  for (int i = 0; i < 5; ++i) Upsert({ValueView(), ValueView(), i < 4 ? "a" : "b", i, 1.5});
  const auto numbers = [](const absl::StatusOr<std::vector<Thing>>& list) {
    std::vector<int64_t> result;
    EXPECT_TRUE(list.ok()) << list.status();
    if (list.ok()) {
      for (const Thing& thing : *list) result.push_back(thing.number);
    }
    return result;
  };
  EXPECT_THAT(numbers(things.List(&reader_, {})), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(numbers(things.List(&reader_, {"a"})), ElementsAre(0, 1, 2, 3));
  const std::vector<ValueView> after = {"a", 1};
  ListOptions options;
  options.limit = 2;
  options.after = after;
  EXPECT_THAT(numbers(things.List(&reader_, {"a"}, options)), ElementsAre(2, 3));

  absl::StatusOr<Snapshot> snapshot = reader_.GetSnapshot();
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  Apply({sql::ClearTableStatement(schema_.name())});
  EXPECT_THAT(numbers(things.List(&*snapshot, {"b"})), ElementsAre(4));
  ASSERT_TRUE(things.Get(&*snapshot, {"b", 4}).ok());
  EXPECT_TRUE(things.Get(&*snapshot, {"b", 4})->has_value());
  EXPECT_FALSE(things.Get(&reader_, {"b", 4})->has_value());
}

TEST_F(RowStructTest, AWrongDeclarationIsToldAtTheFirstUseAlsoOfAnEmptyTable) {
  const auto code_as_integer = StructOf<Thing>("fam", "things").Field("code", &Thing::number);
  ExpectDiffers(code_as_integer.Get(&reader_, {"x", 1}), "code", "int64_t", "string");
  ExpectDiffers(code_as_integer.List(&reader_, {}), "code", "int64_t", "string");
  const auto bytes_as_text = StructOf<Thing>("Fam", "THINGS").Field("Bytes", &Thing::text);
  ExpectDiffers(bytes_as_text.Get(&reader_, {"x", 1}), "bytes", "absl::optional of std::string",
                "binary");
  const auto text_as_bytes = StructOf<Thing>("fam", "things").BytesField("text", &Thing::bytes);
  ExpectDiffers(text_as_bytes.Get(&reader_, {"x", 1}), "text",
                "absl::optional of std::string for bytes", "text");
  const auto number_as_decimal = StructOf<Thing>("fam", "things").Field("number", &Thing::decimal);
  ExpectDiffers(number_as_decimal.Get(&reader_, {"x", 1}), "number", "absl::optional of double",
                "integer");
  const auto missing = StructOf<Thing>("fam", "things").Field("nope", &Thing::code);
  ExpectDiffers(missing.Get(&reader_, {"x", 1}), "nope", "std::string", "no such column");

  Upsert({ValueView(), ValueView(), "x", 1, ValueView()});
  ExpectDiffers(code_as_integer.Get(&reader_, {"x", 1}), "code", "int64_t", "string");
  Thing thing;
  const Row row = *reader_.GetRow("fam", "things", {"x", 1});
  ExpectDiffers(absl::StatusOr<int>(missing.Read(row, &thing)), "nope", "std::string",
                "no such column");
  ExpectDiffers(absl::StatusOr<int>(number_as_decimal.Read(row, &thing)), "number",
                "absl::optional of double", "integer");
}

TEST_F(RowStructTest, AMissingTableIsTheReadersError) {
  const auto other = StructOf<Thing>("fam", "others").Field("code", &Thing::code);
  EXPECT_EQ(ErrorReason(other.Get(&reader_, {"x"}).status()), reason::kTableNotFound);
  EXPECT_EQ(ErrorReason(other.List(&reader_, {}).status()), reason::kTableNotFound);
}

TEST_F(RowStructTest, ARowOfAnotherTableIsRefused) {
  const TableSchema others =
      *TableSchema::Create("fam", "others", {{"code", FieldType::kString}}, {"code"});
  Apply({sql::CreateTableStatement(others), sql::UpsertStatement(others, {"x"})});
  Thing thing;
  const absl::Status status = StructOf<Thing>("fam", "things")
                                  .Field("code", &Thing::code)
                                  .Read(*reader_.GetRow("fam", "others", {"x"}), &thing);
  EXPECT_EQ(ErrorReason(status), reason::kStructDiffers);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fam.others"));
}

TEST_F(RowStructTest, ANullWhereNoneFitsIsAnError) {
  struct Strict {
    std::string text;
  };
  const auto strict = StructOf<Strict>("fam", "things").Field("text", &Strict::text);
  Upsert({ValueView(), "text", "a", 1, ValueView()});
  Upsert({ValueView(), ValueView(), "a", 2, ValueView()});
  EXPECT_EQ((*strict.Get(&reader_, {"a", 1}))->text, "text");
  ExpectDiffers(strict.Get(&reader_, {"a", 2}), "text", "std::string", "null");
  ExpectDiffers(strict.List(&reader_, {"a"}), "text", "std::string", "null");
}

TEST_F(RowStructTest, AValueOfAnotherTypeThanItsColumnIsAnError) {
  // As another program may have written it.
  Apply({"REPLACE INTO fam___things (code, number, text, decimal) VALUES ('a', 1, 'text', 'x')"});
  ExpectDiffers(Things().Get(&reader_, {"a", 1}), "decimal", "absl::optional of double", "text");
}

TEST_F(RowStructTest, FollowsChangesOfTheTable) {
  const RowStruct<Thing> things = Things();
  Upsert({ValueView(), "text", "a", 1, 0.5});
  ASSERT_TRUE(things.Get(&reader_, {"a", 1}).ok());
  Apply({sql::AddFieldStatement(schema_.name(), {"more", FieldType::kInteger})});
  ASSERT_TRUE(things.Get(&reader_, {"a", 1}).ok());
  EXPECT_EQ((*things.Get(&reader_, {"a", 1}))->text, "text");

  // Other places.
  const TableSchema turned = *TableSchema::Create("fam", "things",
                                                  {{"decimal", FieldType::kDecimal},
                                                   {"number", FieldType::kInteger},
                                                   {"code", FieldType::kString},
                                                   {"text", FieldType::kText},
                                                   {"bytes", FieldType::kBinary}},
                                                  {"code", "number"});
  Apply({sql::DropTableStatement(schema_.name()), sql::CreateTableStatement(turned),
         sql::UpsertStatement(turned, {2.5, 1, "a", "turned", ValueView::Bytes("b")})});
  absl::StatusOr<absl::optional<Thing>> thing = things.Get(&reader_, {"a", 1});
  ASSERT_TRUE(thing.ok()) << thing.status();
  EXPECT_EQ((*thing)->decimal, 2.5);
  EXPECT_EQ((*thing)->text, "turned");
  EXPECT_EQ((*thing)->bytes, "b");

  // Another type.
  const TableSchema retyped = *TableSchema::Create("fam", "things",
                                                   {{"decimal", FieldType::kText},
                                                    {"number", FieldType::kInteger},
                                                    {"code", FieldType::kString},
                                                    {"text", FieldType::kText},
                                                    {"bytes", FieldType::kBinary}},
                                                   {"code", "number"});
  Apply({sql::DropTableStatement(schema_.name()), sql::CreateTableStatement(retyped),
         sql::UpsertStatement(retyped, {"x", 1, "a", "t", ValueView::Bytes("b")})});
  ExpectDiffers(things.Get(&reader_, {"a", 1}), "decimal", "absl::optional of double", "text");
  ExpectDiffers(things.List(&reader_, {}), "decimal", "absl::optional of double", "text");

  Apply({sql::DropTableStatement(schema_.name()), sql::CreateTableStatement(schema_),
         sql::UpsertStatement(schema_, {ValueView(), "back", "a", 1, 0.5})});
  ASSERT_TRUE(things.Get(&reader_, {"a", 1}).ok());
  EXPECT_EQ((*things.Get(&reader_, {"a", 1}))->text, "back");
}

// One declaration, readers with shapes of their own, more of them than are remembered at a time.
TEST_F(RowStructTest, ServesManyThreadsAndReaders) {
  const RowStruct<Thing> things = Things();
  for (int i = 0; i < 10; ++i) Upsert({ValueView(), absl::StrCat("text ", i), "a", i, 0.5});
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < 100; ++i) readers.push_back(std::make_unique<Reader>(path_));
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const RowStruct<Thing> own = StructOf<Thing>("fam", "things").Field("text", &Thing::text);
      for (int i = 0; i < 300; ++i) {
        Reader* const reader = t == 0 ? &reader_ : readers[i % readers.size()].get();
        const int64_t number = i % 10;
        absl::StatusOr<absl::optional<Thing>> thing = things.Get(reader, {"a", number});
        ASSERT_TRUE(thing.ok()) << thing.status();
        ASSERT_EQ((*thing)->number, number);
        ASSERT_EQ((*thing)->text, absl::StrCat("text ", number));
        ASSERT_EQ((*own.Get(reader, {"a", number}))->text, (*thing)->text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ctlstore::ldb
