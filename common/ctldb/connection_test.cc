#include "common/ctldb/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cfloat>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"
#include "common/sql/dml.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MariadbServer;
using ::ctlstore::ctldb::testing::MustOpen;
using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using ::ctlstore::ctldb::testing::NewTarget;
using ::ctlstore::ctldb::testing::Rows;
using ::ctlstore::ctldb::testing::SharedMariadbServer;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;

TableSchema AllTypes() {
  return MustSchema("fam", "all_types",
                    {{"id", FieldType::kInteger},
                     {"s", FieldType::kString},
                     {"i", FieldType::kInteger},
                     {"d", FieldType::kDecimal},
                     {"t", FieldType::kText},
                     {"b", FieldType::kBinary},
                     {"y", FieldType::kBytestring}},
                    {"id"});
}

TableSchema Named() {
  return MustSchema("fam", "named", {{"name", FieldType::kString}, {"n", FieldType::kInteger}},
                    {"name"});
}

class ConnectionTest : public CtldbTest {
 protected:
  std::unique_ptr<Connection> OpenWith(const TableSchema& schema) {
    std::unique_ptr<Connection> connection = Open();
    absl::StatusOr<int64_t> created =
        connection->Execute(connection->dialect().CreateTable(schema));
    EXPECT_TRUE(created.ok()) << created.status();
    return connection;
  }

  static absl::Status Upsert(Connection* connection, const TableSchema& schema,
                             const std::vector<ValueView>& row) {
    return connection->Execute(sql::UpsertSql(schema), row).status();
  }

  static int64_t Count(Connection* connection, const std::string& table) {
    return MustQuery(connection, absl::StrCat("SELECT COUNT(*) FROM ", table))[0][0].integer();
  }
};

CTLSTORE_FOR_BOTH_KINDS(ConnectionTest);

TEST_P(ConnectionTest, GivesBackEveryValueExactly) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = OpenWith(schema);

  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte.push_back(static_cast<char>(i));
  std::string large_bytes;
  while (large_bytes.size() < 512 * 1024) large_bytes += every_byte;
  std::string long_string;
  for (int i = 0; i < 191; ++i) long_string += "\xF0\x9F\x98\x80";  // an emoji
  const std::string odd =
      "it's \"quoted\" \\ back\\slash \\' % _ ? \n\t\r\x1A \xC3\xA9 \xF0\x9F\x98\x80 --- /* ;";

  const std::vector<std::vector<Value>> rows = {
      {Value::Integer(1), Value(), Value(), Value(), Value(), Value(), Value()},
      {Value::Integer(2), Value::Text(""), Value::Integer(0), Value::Decimal(0), Value::Text(""),
       Value::Bytes(""), Value::Bytes("")},
      {Value::Integer(std::numeric_limits<int64_t>::min()), Value::Text(odd),
       Value::Integer(std::numeric_limits<int64_t>::min()), Value::Decimal(5e-324),
       Value::Text(odd), Value::Bytes(every_byte), Value::Bytes(every_byte.substr(0, 255))},
      {Value::Integer(std::numeric_limits<int64_t>::max()), Value::Text(long_string),
       Value::Integer(std::numeric_limits<int64_t>::max()), Value::Decimal(DBL_MAX),
       Value::Text(std::string(512 * 1024, 'x')), Value::Bytes(large_bytes),
       Value::Bytes(every_byte.substr(1, 255))},
      {Value::Integer(9007199254740993), Value::Text(" x "), Value::Integer(9007199254740993),
       Value::Decimal(-DBL_MAX), Value::Text(" x "), Value::Bytes("\xFF\xFE"),
       Value::Bytes("\xFF ")},
      {Value::Integer(-1), Value::Text("-1"), Value::Integer(-1), Value::Decimal(0.1),
       Value::Text("1e5"), Value::Bytes("1"), Value::Bytes("x'00'")},
      {Value::Integer(3), Value::Text("NULL"), Value::Integer(-9007199254740993),
       Value::Decimal(1.0 / 3), Value::Text("?"), Value::Bytes("?"), Value::Bytes("?")},
      {Value::Integer(4), Value::Text("a"), Value::Integer(4), Value::Decimal(DBL_MIN),
       Value::Text("b"), Value::Bytes("c"), Value::Bytes("d")},
      {Value::Integer(5), Value::Text("a"), Value::Integer(4),
       Value::Decimal(std::nextafter(1.0, 2.0)), Value::Text("b"), Value::Bytes("c"),
       Value::Bytes("d")},
      {Value::Integer(6), Value::Text("a"), Value::Integer(4), Value::Decimal(-1e300),
       Value::Text("b"), Value::Bytes("c"), Value::Bytes("d")},
  };
  for (const std::vector<Value>& row : rows) {
    std::vector<ValueView> views(row.begin(), row.end());
    ASSERT_TRUE(Upsert(connection.get(), schema, views).ok());
  }
  // The statements and buffers of one connection are used again, and another one sees the same.
  std::unique_ptr<Connection> other = Open();
  for (Connection* reader : {connection.get(), other.get()}) {
    for (int repeat = 0; repeat < 2; ++repeat) {
      for (const std::vector<Value>& row : rows) {
        EXPECT_THAT(
            MustQuery(reader, "SELECT id, s, i, d, t, b, y FROM fam___all_types WHERE id = ?",
                      {row[0]}),
            ElementsAre(row));
      }
    }
    EXPECT_EQ(MustQuery(reader, "SELECT id, s, i, d, t, b, y FROM fam___all_types").size(),
              rows.size());
  }
}

TEST_P(ConnectionTest, ReadsRowsOfVaryingSizeInOneQuery) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = OpenWith(schema);
  const size_t kSizes[] = {0, 1, 1023, 1024, 1025, 300000, 5, 100000, 524288, 0, 2000};
  std::vector<std::string> texts;
  ASSERT_TRUE(connection->BeginWrite().ok());
  for (size_t size : kSizes) {
    texts.push_back(std::string(size, static_cast<char>('a' + texts.size())));
    ASSERT_TRUE(Upsert(connection.get(), schema,
                       {static_cast<int64_t>(texts.size()), ValueView(), ValueView(), ValueView(),
                        texts.back(), ValueView::Bytes(texts[texts.size() / 2]), ValueView()})
                    .ok());
  }
  ASSERT_TRUE(connection->Commit().ok());
  const Rows rows = MustQuery(connection.get(), "SELECT id, t, b FROM fam___all_types ORDER BY id");
  ASSERT_EQ(rows.size(), texts.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i][1], Value::Text(texts[i])) << i;
    EXPECT_EQ(rows[i][2], Value::Bytes(texts[(i + 1) / 2])) << i;
  }
}

TEST_P(ConnectionTest, KeepsKeysApartThatDifferInAnyByte) {
  const TableSchema schema = MustSchema(
      "fam", "keys", {{"k", FieldType::kString}, {"y", FieldType::kBytestring}}, {"k", "y"});
  std::unique_ptr<Connection> connection = OpenWith(schema);
  const std::vector<std::string> keys = {"foo",
                                         "Foo",
                                         "FOO",
                                         "foo ",
                                         " foo",
                                         "foo  ",
                                         "f\xC3\xB6\xC3\xB6",
                                         "fo\xCC\x88o",
                                         "\xC3\x9F",
                                         "ss",
                                         "SS",
                                         "",
                                         " ",
                                         "a",
                                         "\xC3\xA1",
                                         "A",
                                         "\xF0\x9F\x98\x80",
                                         "\xF0\x9F\x98\x81",
                                         "1",
                                         "01",
                                         "1 "};
  for (const std::string& key : keys) {
    ASSERT_TRUE(Upsert(connection.get(), schema, {key, ValueView::Bytes("x")}).ok()) << key;
    ASSERT_TRUE(Upsert(connection.get(), schema, {"foo", ValueView::Bytes(key)}).ok()) << key;
  }
  EXPECT_EQ(Count(connection.get(), "fam___keys"), 2 * static_cast<int64_t>(keys.size()));
  for (const std::string& key : keys) {
    EXPECT_THAT(MustQuery(connection.get(), "SELECT k FROM fam___keys WHERE k = ? AND y = ?",
                          {key, ValueView::Bytes("x")}),
                ElementsAre(ElementsAre(Value::Text(key))));
  }
  // Deleting one leaves the others.
  absl::StatusOr<int64_t> deleted =
      connection->Execute(sql::DeleteSql(schema), {"FOO ", ValueView::Bytes("x")});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(*deleted, 0);
  deleted = connection->Execute(sql::DeleteSql(schema), {"foo ", ValueView::Bytes("x")});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(*deleted, 1);
}

TEST_P(ConnectionTest, RefusesWhatAColumnCannotHold) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = OpenWith(schema);
  const std::string secret_text = "SECRET" + std::string(186, 'x');
  const std::string secret_bytes = secret_text + std::string(64, 'x');
  const ValueView null;
  const std::vector<std::vector<ValueView>> rows = {
      // 192 characters in a string.
      {1, secret_text, null, null, null, null, null},
      // 256 bytes in a bytestring.
      {1, null, null, null, null, null, ValueView::Bytes(secret_bytes)},
      // Text in an integer and in a decimal.
      {1, null, secret_text, null, null, null, null},
      {1, null, null, secret_text, null, null, null},
      // Nothing in a key.
      {null, null, null, null, null, null, null},
  };
  const size_t count = is_mariadb() ? rows.size() : rows.size() - 1;
  for (size_t i = 0; i < count; ++i) {
    absl::Status status = Upsert(connection.get(), schema, rows[i]);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << i << ": " << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));
  }
  EXPECT_EQ(Count(connection.get(), "fam___all_types"), 0);
}

TEST_P(ConnectionTest, RefusesNullInATextKey) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  absl::Status status = Upsert(connection.get(), Named(), {ValueView(), 1});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST_P(ConnectionTest, RefusesTextThatIsNotUtf8OnMariadb) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite does not look at text";
  std::unique_ptr<Connection> connection = OpenWith(Named());
  absl::Status status = Upsert(connection.get(), Named(), {"SECRET\xFF", 1});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));
}

TEST_P(ConnectionTest, NamesErrorsTheSameOnBothKinds) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  absl::Status status = connection->Execute("DELETE FROM fam___missing").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound);

  const std::string insert = "INSERT INTO fam___named (name, n) VALUES (?, ?)";
  ASSERT_TRUE(connection->Execute(insert, {"SECRET", 1}).ok());
  status = connection->Execute(insert, {"SECRET", 2}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));

  status = connection->Execute(connection->dialect().CreateTable(Named())).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
  status = connection
               ->Execute(
                   connection->dialect().AddFields(Named().name(), {{"n", FieldType::kInteger}})[0])
               .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;

  status = connection->Execute("SELECT FROM nothing at all").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  status = connection->Execute(insert, {"x"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  // A quoted name that is no column's is an error, not a string.
  status =
      connection->Execute("DELETE FROM fam___named WHERE \"missing\" = ?", {"missing"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_EQ(Count(connection.get(), "fam___named"), 1);
}

TEST_P(ConnectionTest, CountsRows) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Upsert(connection.get(), Named(), {absl::StrCat("n", i), i}).ok());
  }
  // Rows that are found count, also where nothing in them changes.
  EXPECT_EQ(*connection->Execute("UPDATE fam___named SET n = ? WHERE n < ?", {0, 2}), 2);
  EXPECT_EQ(*connection->Execute("UPDATE fam___named SET n = ? WHERE n < ?", {0, 2}), 2);
  EXPECT_EQ(*connection->Execute("DELETE FROM fam___named WHERE n = ?", {7}), 0);
  EXPECT_EQ(*connection->Execute("SELECT * FROM fam___named"), 0);
  EXPECT_EQ(*connection->Execute("DELETE FROM fam___named"), 3);
  EXPECT_EQ(*connection->Execute("DROP TABLE fam___named"), 0);
}

TEST_P(ConnectionTest, RollsBackWithoutATrace) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  std::unique_ptr<Connection> other = Open();
  EXPECT_FALSE(connection->in_transaction());
  ASSERT_TRUE(connection->BeginWrite().ok());
  EXPECT_TRUE(connection->in_transaction());
  EXPECT_FALSE(connection->BeginWrite().ok());
  EXPECT_FALSE(connection->BeginRead().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"a", 1}).ok());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 1);
  EXPECT_EQ(Count(other.get(), "fam___named"), 0);
  connection->Rollback();
  connection->Rollback();
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 0);
  EXPECT_EQ(connection->Commit().code(), absl::StatusCode::kInternal);

  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"a", 1}).ok());
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_EQ(Count(other.get(), "fam___named"), 1);

  // A connection that goes takes its transaction with it.
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"b", 1}).ok());
  connection.reset();
  ASSERT_TRUE(Upsert(other.get(), Named(), {"b", 2}).ok());
  EXPECT_THAT(MustQuery(other.get(), "SELECT n FROM fam___named WHERE name = ?", {"b"}),
              ElementsAre(ElementsAre(Value::Integer(2))));
}

TEST_P(ConnectionTest, AFailedStatementLeavesTheRestOfItsTransaction) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"a", 1}).ok());
  EXPECT_FALSE(Upsert(connection.get(), Named(), {std::string(192, 'x'), 1}).ok());
  EXPECT_TRUE(connection->in_transaction());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"b", 1}).ok());
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 2);
}

TEST_P(ConnectionTest, ReadsOneStateInAReadTransaction) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  std::unique_ptr<Connection> other = Open();
  ASSERT_TRUE(connection->BeginRead().ok());
  ASSERT_TRUE(Upsert(other.get(), Named(), {"a", 1}).ok());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 0);
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 1);
}

TEST_P(ConnectionTest, GivesUpOnALockAndRollsBack) {
  std::unique_ptr<Connection> holder = OpenWith(Named());
  ASSERT_TRUE(Upsert(holder.get(), Named(), {"a", 1}).ok());
  ASSERT_TRUE(holder->BeginWrite().ok());
  ASSERT_TRUE(Upsert(holder.get(), Named(), {"a", 2}).ok());

  options_.lock_timeout = absl::Milliseconds(100);
  std::unique_ptr<Connection> waiter = Open();
  absl::Status status = waiter->BeginWrite();
  if (status.ok()) status = Upsert(waiter.get(), Named(), {"a", 3});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy);
  EXPECT_TRUE(RetryDelay(status).has_value());
  EXPECT_FALSE(waiter->in_transaction());
  EXPECT_FALSE(waiter->broken());
  EXPECT_EQ(ErrorReason(Upsert(waiter.get(), Named(), {"a", 3})), reason::kCtldbBusy);

  ASSERT_TRUE(holder->Commit().ok());
  EXPECT_TRUE(Upsert(waiter.get(), Named(), {"a", 3}).ok());
}

TEST_P(ConnectionTest, CanBeUsedAfterAQueryThatWasEndedEarly) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  ASSERT_TRUE(connection->BeginWrite().ok());
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(Upsert(connection.get(), Named(), {absl::StrCat("n", i), i}).ok());
  }
  ASSERT_TRUE(connection->Commit().ok());
  int seen = 0;
  absl::Status inner;
  absl::Status status = connection->Query("SELECT name, n FROM fam___named", {},
                                          [&](absl::Span<const ValueView>) -> absl::Status {
                                            inner = connection->Execute("SELECT 1").status();
                                            if (++seen < 3) return absl::OkStatus();
                                            return absl::AbortedError("enough");
                                          });
  EXPECT_EQ(status, absl::AbortedError("enough"));
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(inner.code(), absl::StatusCode::kInternal) << "the connection was reading";
  EXPECT_EQ(Count(connection.get(), "fam___named"), 500);
  EXPECT_TRUE(connection->Alive());
}

TEST_P(ConnectionTest, RunsMoreDifferentStatementsThanItKeeps) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  for (int repeat = 0; repeat < 2; ++repeat) {
    for (int i = 0; i < 300; ++i) {
      const Rows rows =
          MustQuery(connection.get(), absl::StrCat("SELECT COUNT(*) + ", i, " FROM fam___named"));
      ASSERT_EQ(rows[0][0], Value::Integer(i));
    }
  }
}

TEST_P(ConnectionTest, SeesColumnsThatWereAddedSinceItPrepared) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"a", 1}).ok());
  EXPECT_EQ(MustQuery(connection.get(), "SELECT name, n FROM fam___named").size(), 1u);
  std::unique_ptr<Connection> other = Open();
  for (const std::string& statement : other->dialect().AddFields(
           Named().name(), {{"x", FieldType::kText}, {"y", FieldType::kDecimal}})) {
    ASSERT_TRUE(other->Execute(statement).ok());
  }
  EXPECT_THAT(MustQuery(connection.get(), "SELECT name, n FROM fam___named"),
              ElementsAre(ElementsAre(Value::Text("a"), Value::Integer(1))));
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"b", 2}).ok());
  EXPECT_THAT(
      MustQuery(connection.get(), "SELECT name, x, y FROM fam___named WHERE name = ?", {"b"}),
      ElementsAre(ElementsAre(Value::Text("b"), Value(), Value())));
}

TEST_P(ConnectionTest, OnlyReadsWhereItIsToldSo) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"a", 1}).ok());
  options_.read_only = true;
  std::unique_ptr<Connection> reader = Open();
  EXPECT_EQ(Count(reader.get(), "fam___named"), 1);
  EXPECT_EQ(Upsert(reader.get(), Named(), {"b", 1}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(reader->BeginWrite().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(reader->Execute("CREATE TABLE x (y INT)").ok());
  ASSERT_TRUE(reader->BeginRead().ok());
  EXPECT_EQ(Upsert(reader.get(), Named(), {"b", 1}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Count(reader.get(), "fam___named"), 1);
  EXPECT_TRUE(reader->Alive());
}

TEST_P(ConnectionTest, SaysUnavailableWhereThereIsNoDatabase) {
  Target target = target_;
  target.path += ".missing";
  target.database += "_missing";
  options_.read_only = true;
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(target, options_);
  EXPECT_EQ(connection.status().code(), absl::StatusCode::kUnavailable) << connection.status();
  EXPECT_EQ(ErrorReason(connection.status()), reason::kCtldbUnavailable);
}

// What only one kind does.

// The values of rows, with what ExecuteMany() takes.
class ManyRows {
 public:
  ManyRows() = default;
  explicit ManyRows(std::vector<std::vector<Value>> rows) {
    for (std::vector<Value>& row : rows) Add(std::move(row));
  }
  ManyRows(const ManyRows&) = delete;
  ManyRows& operator=(const ManyRows&) = delete;

  void Add(std::vector<Value> row) {
    rows_.push_back(std::move(row));
    views_.emplace_back(rows_.back().begin(), rows_.back().end());
    spans_.emplace_back(views_.back());
  }

  const std::deque<std::vector<Value>>& rows() const { return rows_; }
  absl::Span<const absl::Span<const ValueView>> spans() const { return spans_; }

 private:
  // Elements stay where they are.
  std::deque<std::vector<Value>> rows_;
  std::deque<std::vector<ValueView>> views_;
  std::vector<absl::Span<const ValueView>> spans_;
};

TEST_P(ConnectionTest, WritesManyRowsExactly) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = OpenWith(schema);
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte.push_back(static_cast<char>(i));
  const Value null;
  const ManyRows rows({
      // Columns that begin with null, and one that is null for long.
      {Value::Integer(1), null, null, null, null, null, null},
      {Value::Integer(2), Value::Text(""), Value::Integer(0), Value::Decimal(0), Value::Text(""),
       Value::Bytes(""), null},
      {Value::Integer(3), null, Value::Integer(std::numeric_limits<int64_t>::min()), null, null,
       Value::Bytes(every_byte), null},
      {Value::Integer(4), Value::Text("it's \"q\" \\ ?"), null, Value::Decimal(DBL_MAX),
       Value::Text(std::string(70000, 'x')), null, null},
      {Value::Integer(5), Value::Text("\xF0\x9F\x98\x80"),
       Value::Integer(std::numeric_limits<int64_t>::max()), Value::Decimal(5e-324),
       Value::Text("NULL"), Value::Bytes(std::string(1, '\0')), null},
      {Value::Integer(6), Value::Text(" x "), Value::Integer(9007199254740993), Value::Decimal(0.1),
       Value::Text(std::string(251, 'y')), Value::Bytes(std::string(65536, '\xFF')),
       Value::Bytes(every_byte.substr(1))},
      {Value::Integer(7), null, null, null, null, null, null},
  });
  absl::Status (*const kWays[])(Connection*, absl::string_view,
                                absl::Span<const absl::Span<const ValueView>>) = {
      [](Connection* c, absl::string_view sql, auto spans) { return c->ExecuteMany(sql, spans); },
      // What databases get that know no better way.
      [](Connection* c, absl::string_view sql, auto spans) {
        return c->Connection::ExecuteMany(sql, spans);
      },
  };
  for (const auto way : kWays) {
    ASSERT_TRUE(connection->Execute("DELETE FROM fam___all_types").ok());
    ASSERT_TRUE(connection->BeginWrite().ok());
    absl::Status status = way(connection.get(), sql::UpsertSql(schema), rows.spans());
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(connection->Commit().ok());
    const Rows read =
        MustQuery(connection.get(), "SELECT id, s, i, d, t, b, y FROM fam___all_types ORDER BY id");
    ASSERT_EQ(read.size(), rows.rows().size());
    for (size_t i = 0; i < read.size(); ++i) EXPECT_THAT(read[i], ElementsAreArray(rows.rows()[i]));
  }
}

TEST_P(ConnectionTest, WritesManyRowsOfRandomValuesAndSizes) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = OpenWith(schema);
  std::mt19937 random(77);
  const auto bytes = [&random](size_t limit) {
    std::string data(random() % 4 == 0 ? 0 : random() % limit, '\0');
    for (char& c : data) c = static_cast<char>('a' + random() % 26);
    return data;
  };
  for (int round = 0; round < 60; ++round) {
    ASSERT_TRUE(connection->Execute("DELETE FROM fam___all_types").ok());
    ManyRows rows;
    const int count = static_cast<int>(random() % 150);
    // Some columns have many nulls, others few.
    const unsigned nulls = 1 + random() % 8;
    const size_t limit = random() % 10 == 0 ? 60000 : 300;
    for (int i = 0; i < count; ++i) {
      std::vector<Value> row = {Value::Integer(i),
                                Value::Text(bytes(191)),
                                Value::Integer(static_cast<int64_t>(random()) << (random() % 30)),
                                Value::Decimal(random() / 16.0),
                                Value::Text(bytes(limit)),
                                Value::Bytes(bytes(limit)),
                                Value::Bytes(bytes(255))};
      // Whole numbers may stand for decimals.
      if (random() % 5 == 0) row[3] = Value::Integer(static_cast<int64_t>(random() % 1000));
      for (size_t j = 1; j < row.size(); ++j) {
        if (random() % nulls == 0) row[j] = Value();
      }
      rows.Add(std::move(row));
    }
    ASSERT_TRUE(connection->BeginWrite().ok());
    absl::Status status = connection->ExecuteMany(sql::UpsertSql(schema), rows.spans());
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_TRUE(connection->Commit().ok());
    const Rows read =
        MustQuery(connection.get(), "SELECT id, s, i, d, t, b, y FROM fam___all_types ORDER BY id");
    ASSERT_EQ(read.size(), rows.rows().size());
    for (size_t i = 0; i < read.size(); ++i) {
      std::vector<Value> expected = rows.rows()[i];
      if (expected[3].kind() == ValueKind::kInteger) {
        expected[3] = Value::Decimal(static_cast<double>(expected[3].integer()));
      }
      ASSERT_EQ(read[i], expected) << "round " << round;
    }
  }
}

TEST_P(ConnectionTest, UsesOneStatementForOneRowAndForMany) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  const std::string upsert = sql::UpsertSql(Named());
  for (int i = 0; i < 5; ++i) {
    const ManyRows rows({{Value::Text("a"), Value::Integer(i)},
                         {Value::Text("b"), Value::Integer(i)},
                         {Value::Text("c"), Value()}});
    ASSERT_TRUE(connection->ExecuteMany(upsert, rows.spans()).ok());
    ASSERT_TRUE(Upsert(connection.get(), Named(), {"b", -i}).ok());
    ASSERT_TRUE(connection->ExecuteMany(upsert, rows.spans().first(1)).ok());
    ASSERT_TRUE(connection->ExecuteMany(upsert, {}).ok());
    ASSERT_TRUE(Upsert(connection.get(), Named(), {"d", ValueView()}).ok());
    EXPECT_THAT(MustQuery(connection.get(), "SELECT name, n FROM fam___named ORDER BY name"),
                ElementsAre(ElementsAre(Value::Text("a"), Value::Integer(i)),
                            ElementsAre(Value::Text("b"), Value::Integer(-i)),
                            ElementsAre(Value::Text("c"), Value()),
                            ElementsAre(Value::Text("d"), Value())));
  }
  // In their order, also where rows have the same key; and other statements than upserts.
  const ManyRows twice(
      {{Value::Text("a"), Value::Integer(1)}, {Value::Text("a"), Value::Integer(2)}});
  ASSERT_TRUE(connection->ExecuteMany(upsert, twice.spans()).ok());
  EXPECT_THAT(MustQuery(connection.get(), "SELECT n FROM fam___named WHERE name = 'a'"),
              ElementsAre(ElementsAre(Value::Integer(2))));
  const ManyRows updates(
      {{Value::Integer(7), Value::Text("a")}, {Value::Integer(8), Value::Text("b")}});
  ASSERT_TRUE(
      connection->ExecuteMany("UPDATE fam___named SET n = ? WHERE name = ?", updates.spans()).ok());
  EXPECT_THAT(MustQuery(connection.get(), "SELECT n FROM fam___named WHERE n > 0 ORDER BY n"),
              ElementsAre(ElementsAre(Value::Integer(7)), ElementsAre(Value::Integer(8))));
  const ManyRows names({{Value::Text("a")}, {Value::Text("nobody")}, {Value::Text("c")}});
  ASSERT_TRUE(connection->ExecuteMany(sql::DeleteSql(Named()), names.spans()).ok());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 2);
  ASSERT_TRUE(
      connection->ExecuteMany("SELECT n FROM fam___named WHERE name = ?", names.spans()).ok());
  EXPECT_EQ(Count(connection.get(), "fam___named"), 2);
}

TEST_P(ConnectionTest, WritesManyRowsLargerThanAPacket) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = OpenWith(schema);
  ManyRows rows;
  for (int i = 0; i < 30; ++i) {
    rows.Add({Value::Integer(i), Value(), Value(), Value(),
              i % 3 == 0 ? Value() : Value::Text(std::string(512 * 1024, 'a' + i % 26)),
              i % 4 == 0 ? Value() : Value::Bytes(std::string(256 * 1024, static_cast<char>(i))),
              Value()});
  }
  ASSERT_TRUE(connection->BeginWrite().ok());
  absl::Status status = connection->ExecuteMany(sql::UpsertSql(schema), rows.spans());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(connection->Commit().ok());
  const Rows read = MustQuery(connection.get(), "SELECT t, b FROM fam___all_types ORDER BY id");
  ASSERT_EQ(read.size(), rows.rows().size());
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_TRUE(read[i][0] == rows.rows()[i][4]) << i;
    EXPECT_TRUE(read[i][1] == rows.rows()[i][5]) << i;
  }
}

TEST_P(ConnectionTest, NamesErrorsOfManyRowsAsThoseOfOne) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  const std::string insert = "INSERT INTO fam___named (name, n) VALUES (?, ?)";
  ASSERT_TRUE(connection->Execute(insert, {"SECRET", 0}).ok());
  const auto run = [&](const std::string& sql, std::vector<std::vector<Value>> values) {
    EXPECT_TRUE(connection->BeginWrite().ok());
    const absl::Status status = connection->ExecuteMany(sql, ManyRows(std::move(values)).spans());
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));
    EXPECT_TRUE(connection->in_transaction());
    EXPECT_FALSE(connection->broken());
    connection->Rollback();
    EXPECT_EQ(Count(connection.get(), "fam___named"), 1);
    return status;
  };
  const auto row = [](std::string name, int n) {
    return std::vector<Value>{Value::Text(std::move(name)), Value::Integer(n)};
  };
  EXPECT_EQ(run(insert, {row("a", 1), row("SECRET", 2), row("b", 3)}).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(
      run(insert, {row("a", 1), row("b", 2), row("SECRET" + std::string(190, 'x'), 3)}).code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(run(insert, {row("a", 1), {Value(), Value::Integer(2)}}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(run(insert, {row("a", 1), {Value::Text("b")}}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(run(insert, {{}, {}}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrorReason(run("INSERT INTO fam___missing (name, n) VALUES (?, ?)",
                            {row("a", 1), row("b", 2)})),
            reason::kTableNotFound);
  EXPECT_EQ(run("INSERT nonsense (?, ?)", {row("a", 1), row("b", 2)}).code(),
            absl::StatusCode::kInternal);
  // The connection is as good as before.
  EXPECT_TRUE(run(insert, {row("a", 1), row("b", 2)}).ok());
}

TEST_P(ConnectionTest, WritesManyRowsIntoATableThatHasChangedSinceItPrepared) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  std::unique_ptr<Connection> other = Open();
  const ManyRows rows({{Value::Text("a"), Value::Integer(1)}, {Value::Text("b"), Value()}});
  ASSERT_TRUE(connection->ExecuteMany(sql::UpsertSql(Named()), rows.spans()).ok());
  for (const std::string& statement :
       other->dialect().AddFields(Named().name(), {{"x", FieldType::kText}})) {
    ASSERT_TRUE(other->Execute(statement).ok());
  }
  absl::Status status = connection->ExecuteMany(sql::UpsertSql(Named()), rows.spans());
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(other->Execute("DROP TABLE fam___named").ok());
  status = connection->ExecuteMany(sql::UpsertSql(Named()), rows.spans());
  EXPECT_EQ(ErrorReason(status), reason::kTableNotFound) << status;
  ASSERT_TRUE(other->Execute(other->dialect().CreateTable(Named())).ok());
  status = connection->ExecuteMany(sql::UpsertSql(Named()), rows.spans());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Count(other.get(), "fam___named"), 2);
}

TEST_P(ConnectionTest, GoesBackToTheLastSavepoint) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  const auto names = [&] {
    std::string all;
    for (const auto& row :
         MustQuery(connection.get(), "SELECT name FROM fam___named ORDER BY name")) {
      all += row[0].data();
    }
    return all;
  };
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"a", 1}).ok());
  ASSERT_TRUE(connection->SetSavepoint().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"b", 1}).ok());
  ASSERT_TRUE(connection->RollbackToSavepoint().ok());
  EXPECT_EQ(names(), "a");
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"c", 1}).ok());
  ASSERT_TRUE(connection->RollbackToSavepoint().ok());
  EXPECT_EQ(names(), "a");
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"d", 1}).ok());
  ASSERT_TRUE(connection->SetSavepoint().ok());
  ASSERT_TRUE(connection->SetSavepoint().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"e", 1}).ok());
  // A statement that fails leaves the savepoint.
  EXPECT_FALSE(Upsert(connection.get(), Named(), {std::string(192, 'x'), 1}).ok());
  ASSERT_TRUE(connection->RollbackToSavepoint().ok());
  EXPECT_EQ(names(), "ad");
  EXPECT_TRUE(connection->in_transaction());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"f", 1}).ok());
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_EQ(names(), "adf");

  // What follows a savepoint is rolled back with the rest.
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"g", 1}).ok());
  ASSERT_TRUE(connection->SetSavepoint().ok());
  ASSERT_TRUE(Upsert(connection.get(), Named(), {"h", 1}).ok());
  connection->Rollback();
  EXPECT_EQ(names(), "adf");
}

TEST_P(ConnectionTest, HasOneSavepointHoweverOftenItIsSet) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  ASSERT_TRUE(connection->BeginWrite().ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(connection->SetSavepoint().ok());
  EXPECT_TRUE(connection->Execute("RELEASE SAVEPOINT ctlstore").ok());
  EXPECT_FALSE(connection->Execute("RELEASE SAVEPOINT ctlstore").ok());
}

TEST_P(ConnectionTest, KnowsNoSavepointThatWasNotSetInItsTransaction) {
  std::unique_ptr<Connection> connection = OpenWith(Named());
  EXPECT_EQ(connection->SetSavepoint().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrorReason(connection->RollbackToSavepoint()), reason::kCtldbBusy);
  for (const bool commit : {true, false}) {
    ASSERT_TRUE(connection->BeginWrite().ok());
    EXPECT_EQ(connection->RollbackToSavepoint().code(), absl::StatusCode::kInternal);
    EXPECT_TRUE(connection->in_transaction());
    ASSERT_TRUE(connection->SetSavepoint().ok());
    if (commit) {
      ASSERT_TRUE(connection->Commit().ok());
    } else {
      connection->Rollback();
    }
  }
  ASSERT_TRUE(connection->BeginWrite().ok());
  EXPECT_EQ(connection->RollbackToSavepoint().code(), absl::StatusCode::kInternal);
}

TEST_P(ConnectionTest, HasSavepointsAlsoWhereItOnlyReads) {
  OpenWith(Named());
  options_.read_only = true;
  std::unique_ptr<Connection> reader = Open();
  ASSERT_TRUE(reader->BeginRead().ok());
  ASSERT_TRUE(reader->SetSavepoint().ok());
  EXPECT_FALSE(Upsert(reader.get(), Named(), {"a", 1}).ok());
  ASSERT_TRUE(reader->RollbackToSavepoint().ok());
  EXPECT_EQ(Count(reader.get(), "fam___named"), 0);
  const ManyRows rows({{Value::Text("a"), Value::Integer(1)}, {Value::Text("b"), Value()}});
  EXPECT_EQ(reader->ExecuteMany(sql::UpsertSql(Named()), rows.spans()).code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(reader->Commit().ok());
}

class MariadbConnectionTest : public ::testing::Test {
 protected:
  const Target target_ = NewTarget(Target::Kind::kMariadb);
  ConnectionOptions options_;
};

TEST_F(MariadbConnectionTest, DeniesAccessWithoutNamingThePassword) {
  ASSERT_TRUE(SharedMariadbServer()->RunSql("CREATE USER guarded IDENTIFIED BY 'right-one'").ok());
  Target target = target_;
  target.user = "guarded";
  options_.password = "hunter2";
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(target, options_);
  EXPECT_EQ(connection.status().code(), absl::StatusCode::kPermissionDenied) << connection.status();
  EXPECT_THAT(std::string(connection.status().message()), HasSubstr("user guarded"));
  EXPECT_THAT(std::string(connection.status().message()), HasSubstr("127.0.0.1"));
  EXPECT_THAT(std::string(connection.status().message()), Not(HasSubstr("hunter2")));
  // The right password, but no right to the database.
  options_.password = "right-one";
  connection = Connection::Open(target, options_);
  EXPECT_EQ(connection.status().code(), absl::StatusCode::kPermissionDenied) << connection.status();
  ASSERT_TRUE(SharedMariadbServer()
                  ->RunSql(absl::StrCat("GRANT ALL ON ", target.database, ".* TO guarded"))
                  .ok());
  connection = Connection::Open(target, options_);
  EXPECT_TRUE(connection.ok()) << connection.status();
}

TEST_F(MariadbConnectionTest, ConnectsOverASocket) {
  Target target = target_;
  target.host.clear();
  target.port = 1;
  target.socket = SharedMariadbServer()->socket();
  EXPECT_TRUE(MustOpen(target)->Alive());
}

TEST_F(MariadbConnectionTest, SaysUnavailableWhereNobodyListens) {
  Target target = target_;
  target.port = 1;
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(target, options_);
  EXPECT_EQ(ErrorReason(connection.status()), reason::kCtldbUnavailable) << connection.status();
}

TEST_F(MariadbConnectionTest, NeverFallsBackFromTlsToPlainText) {
  // The test's server has no certificate.
  for (const auto tls : {ConnectionOptions::Tls::kRequired, ConnectionOptions::Tls::kVerify}) {
    options_.tls = tls;
    absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(target_, options_);
    EXPECT_EQ(ErrorReason(connection.status()), reason::kCtldbUnavailable) << connection.status();
  }
}

TEST_F(MariadbConnectionTest, KeepsTimesAndOddNumbersReadable) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection
                  ->Execute("CREATE TABLE odd (a DATETIME, b DATETIME(6), c TINYINT UNSIGNED, "
                            "d BIGINT UNSIGNED, e DECIMAL(20,0), f DECIMAL(5,2), g FLOAT)")
                  .ok());
  ASSERT_TRUE(connection
                  ->Execute("INSERT INTO odd VALUES ('2024-02-29 01:02:03', "
                            "'2024-02-29 01:02:03.000405', 255, 9223372036854775807, 12345678901, "
                            "1.5, 0.5)")
                  .ok());
  EXPECT_THAT(MustQuery(connection.get(), "SELECT * FROM odd"),
              ElementsAre(ElementsAre(
                  Value::Text("2024-02-29 01:02:03"), Value::Text("2024-02-29 01:02:03.000405"),
                  Value::Integer(255), Value::Integer(std::numeric_limits<int64_t>::max()),
                  Value::Integer(12345678901), Value::Text("1.50"), Value::Decimal(0.5))));
  EXPECT_THAT(MustQuery(connection.get(), "SELECT SUM(c) FROM odd"),
              ElementsAre(ElementsAre(Value::Integer(255))));
  // An integer that 64 signed bits cannot hold is an error, not another number.
  ASSERT_TRUE(connection->Execute("UPDATE odd SET d = 18446744073709551615").ok());
  EXPECT_EQ(connection
                ->Query("SELECT d FROM odd", {},
                        [](absl::Span<const ValueView>) { return absl::OkStatus(); })
                .code(),
            absl::StatusCode::kInternal);
  EXPECT_TRUE(connection->Alive());
}

TEST_F(MariadbConnectionTest, DoesNotCommitATransactionBehindItsBack) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection->BeginWrite().ok());
  EXPECT_EQ(connection->Execute("CREATE TABLE x (y INT)").status().code(),
            absl::StatusCode::kInternal);
  EXPECT_TRUE(connection->in_transaction());
}

TEST_F(MariadbConnectionTest, ReportsADeadlockAsBusy) {
  std::unique_ptr<Connection> one = MustOpen(target_);
  std::unique_ptr<Connection> two = MustOpen(target_);
  ASSERT_TRUE(one->Execute("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT) ENGINE=InnoDB").ok());
  ASSERT_TRUE(one->Execute("INSERT INTO t VALUES (1, 0), (2, 0)").ok());
  const std::string update = "UPDATE t SET n = n + 1 WHERE id = ?";
  ASSERT_TRUE(one->BeginWrite().ok());
  ASSERT_TRUE(two->BeginWrite().ok());
  ASSERT_TRUE(one->Execute(update, {1}).ok());
  ASSERT_TRUE(two->Execute(update, {2}).ok());
  absl::Status of_one, of_two;
  std::thread thread([&] { of_one = one->Execute(update, {2}).status(); });
  of_two = two->Execute(update, {1}).status();
  thread.join();
  EXPECT_NE(of_one.ok(), of_two.ok()) << of_one << " / " << of_two;
  const absl::Status& refused = of_one.ok() ? of_two : of_one;
  EXPECT_EQ(ErrorReason(refused), reason::kCtldbBusy) << refused;
  Connection* winner = of_one.ok() ? one.get() : two.get();
  EXPECT_FALSE((of_one.ok() ? two : one)->in_transaction());
  EXPECT_TRUE(winner->Commit().ok());
  EXPECT_THAT(MustQuery(one.get(), "SELECT n FROM t ORDER BY id"),
              ElementsAre(ElementsAre(Value::Integer(1)), ElementsAre(Value::Integer(1))));
}

int64_t IdOf(Connection* connection) {
  return MustQuery(connection, "SELECT CONNECTION_ID()")[0][0].integer();
}

// The server has ended a connection when it no longer lists it.
void KillAndWait(int64_t id) {
  ASSERT_TRUE(SharedMariadbServer()->RunSql(absl::StrCat("KILL ", id)).ok());
  Target target;
  target = NewTarget(Target::Kind::kMariadb);
  std::unique_ptr<Connection> connection = MustOpen(target);
  while (!MustQuery(connection.get(), "SELECT id FROM information_schema.processlist WHERE id = ?",
                    {id})
              .empty()) {
  }
}

TEST_F(MariadbConnectionTest, NoticesThatItWasEnded) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  EXPECT_TRUE(connection->Alive());
  KillAndWait(IdOf(connection.get()));
  absl::Status status = connection->Execute("SELECT 1").status();
  EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable) << status;
  EXPECT_TRUE(connection->broken());
  EXPECT_FALSE(connection->Alive());
  EXPECT_EQ(ErrorReason(connection->BeginWrite()), reason::kCtldbUnavailable);
}

TEST_F(MariadbConnectionTest, DoesNotKnowTheOutcomeOfACommitWithoutAnAnswer) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection->Execute("CREATE TABLE t (id BIGINT PRIMARY KEY) ENGINE=InnoDB").ok());
  const int64_t id = IdOf(connection.get());
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(connection->Execute("INSERT INTO t VALUES (?)", {1}).ok());
  KillAndWait(id);
  absl::Status status = connection->Commit();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(ErrorReason(status), reason::kOutcomeUnknown) << status;
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_TRUE(connection->broken());
}

TEST_F(MariadbConnectionTest, KnowsThatATransactionWithAFailedStatementIsNotCommitted) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  const int64_t id = IdOf(connection.get());
  ASSERT_TRUE(connection->BeginWrite().ok());
  KillAndWait(id);
  EXPECT_FALSE(connection->Execute("SELECT 1").ok());
  absl::Status status = connection->Commit();
  EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable) << status;
}

TEST_F(MariadbConnectionTest, SaysUnavailableWhereTheServerIsFull) {
  ASSERT_TRUE(SharedMariadbServer()->RunSql("CREATE USER narrow WITH MAX_USER_CONNECTIONS 1").ok());
  ASSERT_TRUE(SharedMariadbServer()->RunSql("GRANT ALL ON *.* TO narrow").ok());
  Target target = target_;
  target.user = "narrow";
  std::unique_ptr<Connection> only = MustOpen(target);
  absl::StatusOr<std::unique_ptr<Connection>> second = Connection::Open(target, options_);
  EXPECT_EQ(ErrorReason(second.status()), reason::kCtldbUnavailable) << second.status();
}

TEST_F(MariadbConnectionTest, WritesManyRowsInFewRoundTrips) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(Named())).ok());
  const auto round_trips = [&] {
    return std::stoll(
        MustQuery(connection.get(), "SHOW SESSION STATUS LIKE 'Questions'")[0][1].data());
  };
  ManyRows rows;
  for (int i = 0; i < 1000; ++i) rows.Add({Value::Text(absl::StrCat("n", i)), Value::Integer(i)});
  const int64_t before = round_trips();
  ASSERT_TRUE(connection->ExecuteMany(sql::UpsertSql(Named()), rows.spans()).ok());
  EXPECT_LE(round_trips() - before, 5);
  EXPECT_EQ(MustQuery(connection.get(), "SELECT name FROM fam___named").size(), 1000u);
}

TEST_F(MariadbConnectionTest, KeepsToTheServersPacketLimit) {
  const TableSchema schema = AllTypes();
  ASSERT_TRUE(SharedMariadbServer()->RunSql("SET GLOBAL max_allowed_packet = 1048576").ok());
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(SharedMariadbServer()->RunSql("SET GLOBAL max_allowed_packet = 16777216").ok());
  ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(schema)).ok());
  ManyRows rows;
  for (int i = 0; i < 60; ++i) {
    rows.Add({Value::Integer(i), Value(), Value(), Value(),
              Value::Text(std::string(i == 30 ? 768 * 1024 : 100 * 1024, 'x')), Value(), Value()});
  }
  absl::Status status = connection->ExecuteMany(sql::UpsertSql(schema), rows.spans());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(MustQuery(connection.get(), "SELECT id FROM fam___all_types").size(), 60u);
}

TEST(MariadbBinaryLogTest, WritesManyRowsWhateverItHolds) {
  absl::StatusOr<std::unique_ptr<MariadbServer>> server =
      MariadbServer::Start({"--log-bin=binlog", "--server-id=1"});
  ASSERT_TRUE(server.ok()) << server.status();
  const ManyRows rows({{Value::Text("a"), Value::Integer(1)},
                       {Value::Text("b"), Value()},
                       {Value::Text("a"), Value::Integer(2)}});
  // A log of statements only cannot hold bulk executions.
  for (const char* format : {"ROW", "MIXED", "STATEMENT"}) {
    ASSERT_TRUE((*server)->RunSql(absl::StrCat("SET GLOBAL binlog_format = ", format)).ok());
    std::unique_ptr<Connection> connection = MustOpen((*server)->NewDatabase());
    ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(Named())).ok());
    for (int repeat = 0; repeat < 2; ++repeat) {
      ASSERT_TRUE(connection->BeginWrite().ok());
      absl::Status status = connection->ExecuteMany(sql::UpsertSql(Named()), rows.spans());
      ASSERT_TRUE(status.ok()) << format << ": " << status;
      ASSERT_TRUE(connection->Commit().ok());
    }
    EXPECT_THAT(MustQuery(connection.get(), "SELECT name, n FROM fam___named ORDER BY name"),
                ElementsAre(ElementsAre(Value::Text("a"), Value::Integer(2)),
                            ElementsAre(Value::Text("b"), Value())));
  }
}

TEST_F(MariadbConnectionTest, LosesItsTransactionAndSavepointInADeadlock) {
  std::unique_ptr<Connection> connections[] = {MustOpen(target_), MustOpen(target_)};
  ASSERT_TRUE(connections[0]->Execute(connections[0]->dialect().CreateTable(Named())).ok());
  const ManyRows rows(
      {{Value::Text("a"), Value::Integer(1)}, {Value::Text("b"), Value::Integer(1)}});
  ASSERT_TRUE(connections[0]->ExecuteMany(sql::UpsertSql(Named()), rows.spans()).ok());

  const std::string update = "UPDATE fam___named SET n = ? WHERE name = ?";
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(connections[i]->BeginWrite().ok());
    ASSERT_TRUE(connections[i]->Execute(update, {2 + i, i == 0 ? "a" : "b"}).ok());
    ASSERT_TRUE(connections[i]->SetSavepoint().ok());
  }
  // One waits for the other, which then waits for the one.
  absl::Status results[2];
  std::thread thread([&] {
    const ManyRows own(
        {{Value::Integer(4), Value::Text("a")}, {Value::Integer(4), Value::Text("b")}});
    results[0] = connections[0]->ExecuteMany(update, own.spans());
  });
  const ManyRows own(
      {{Value::Integer(5), Value::Text("b")}, {Value::Integer(5), Value::Text("a")}});
  results[1] = connections[1]->ExecuteMany(update, own.spans());
  thread.join();
  ASSERT_NE(results[0].ok(), results[1].ok()) << results[0] << results[1];
  const int loser = results[0].ok() ? 1 : 0;
  EXPECT_EQ(ErrorReason(results[loser]), reason::kCtldbBusy) << results[loser];
  EXPECT_FALSE(connections[loser]->in_transaction());
  EXPECT_FALSE(connections[loser]->broken());
  EXPECT_EQ(ErrorReason(connections[loser]->RollbackToSavepoint()), reason::kCtldbBusy);
  ASSERT_TRUE(connections[1 - loser]->Commit().ok());
  const int64_t n = loser == 0 ? 5 : 4;
  EXPECT_THAT(MustQuery(connections[loser].get(), "SELECT n FROM fam___named"),
              ElementsAre(ElementsAre(Value::Integer(n)), ElementsAre(Value::Integer(n))));
  // It can be tried again at once.
  ASSERT_TRUE(connections[loser]->BeginWrite().ok());
  EXPECT_EQ(connections[loser]->RollbackToSavepoint().code(), absl::StatusCode::kInternal);
  ASSERT_TRUE(connections[loser]->ExecuteMany(update, own.spans()).ok());
  ASSERT_TRUE(connections[loser]->Commit().ok());
}

TEST_F(MariadbConnectionTest, SaysUnavailableWhereASavepointWentWithItsConnection) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  const int64_t id = IdOf(connection.get());
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(connection->SetSavepoint().ok());
  KillAndWait(id);
  EXPECT_EQ(ErrorReason(connection->RollbackToSavepoint()), reason::kCtldbUnavailable);
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_EQ(ErrorReason(connection->RollbackToSavepoint()), reason::kCtldbUnavailable);
}

class SqliteConnectionTest : public ::testing::Test {
 protected:
  const Target target_ = NewTarget(Target::Kind::kSqlite);
};

TEST_F(SqliteConnectionTest, NoticesThatItsFileWasReplaced) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection->Execute("CREATE TABLE t (id INT)").ok());
  EXPECT_TRUE(connection->Alive());
  ASSERT_EQ(rename(target_.path.c_str(), (target_.path + ".old").c_str()), 0);
  // What would be written into the old file would be lost.
  absl::Status status = connection->Execute("INSERT INTO t VALUES (1)").status();
  EXPECT_EQ(ErrorReason(status), reason::kCtldbUnavailable) << status;
  EXPECT_TRUE(connection->broken());
  EXPECT_FALSE(connection->Alive());
  EXPECT_FALSE(connection->BeginWrite().ok());
}

TEST_F(SqliteConnectionTest, RefusesAFileThatIsNoDatabase) {
  MustOpen(target_).reset();
  ASSERT_EQ(remove(target_.path.c_str()), 0);
  FILE* file = fopen(target_.path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  for (int i = 0; i < 1000; ++i) fputs("this is no database\n", file);
  fclose(file);
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(target_, {});
  EXPECT_EQ(connection.status().code(), absl::StatusCode::kInternal) << connection.status();
}

TEST_F(SqliteConnectionTest, SaysBusyWhereAStatementHasLostTheTransaction) {
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection->Execute("CREATE TABLE t (id INT PRIMARY KEY)").ok());
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE(connection->SetSavepoint().ok());
  const ManyRows rows({{Value::Integer(1)}, {Value::Integer(1)}, {Value::Integer(2)}});
  EXPECT_EQ(connection->ExecuteMany("INSERT OR ROLLBACK INTO t VALUES (?)", rows.spans()).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_EQ(ErrorReason(connection->RollbackToSavepoint()), reason::kCtldbBusy);
  EXPECT_THAT(MustQuery(connection.get(), "SELECT id FROM t"), ElementsAre());
  // The next transaction, of this connection or another one, is not kept from beginning.
  std::unique_ptr<Connection> other = MustOpen(target_);
  for (Connection* next : {connection.get(), other.get()}) {
    ASSERT_TRUE(next->BeginWrite().ok());
    EXPECT_EQ(next->RollbackToSavepoint().code(), absl::StatusCode::kInternal);
    ASSERT_TRUE(next->Commit().ok());
  }
}

TEST_F(SqliteConnectionTest, KeepsTheWalBoundedAlsoUnderAReader) {
  const TableSchema schema = AllTypes();
  std::unique_ptr<Connection> connection = MustOpen(target_);
  ASSERT_TRUE(connection->Execute(connection->dialect().CreateTable(schema)).ok());
  std::unique_ptr<Connection> reader = MustOpen(target_);
  ASSERT_TRUE(reader->BeginRead().ok());
  const std::string text(500 * 1024, 'x');
  const auto write = [&] {
    for (int i = 0; i < 40; ++i) {
      ASSERT_TRUE(connection
                      ->Execute(sql::UpsertSql(schema), {i, ValueView(), ValueView(), ValueView(),
                                                         text, ValueView(), ValueView()})
                      .ok());
    }
  };
  const auto wal_size = [&] {
    FILE* wal = fopen((target_.path + "-wal").c_str(), "r");
    if (wal == nullptr) return 0L;
    fseek(wal, 0, SEEK_END);
    const long size = ftell(wal);  // NOLINT: the library's type
    fclose(wal);
    return size;
  };
  write();
  EXPECT_GT(wal_size(), 4 << 20) << "the reader keeps the WAL from being reset";
  reader->Rollback();
  write();
  EXPECT_LE(wal_size(), 6 << 20);
}

}  // namespace
}  // namespace ctlstore::ctldb
