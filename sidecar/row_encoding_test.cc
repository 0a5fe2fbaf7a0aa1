#include "sidecar/row_encoding.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "ctlstore/v1/sidecar.pb.h"
#include "sidecar/row_conversion.h"

namespace ctlstore::sidecar {
namespace {

// With the members of maps in the order of their keys.
std::string Serialized(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  EXPECT_TRUE(message.SerializeToCodedStream(&out));
  out.Trim();
  return bytes;
}

class RowEncodingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "/encoding_XXXXXX");
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    auto writer = ldb::LdbWriter::Open(folder_ + "/ldb.db", {});
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Apply(std::string statement) {
    const absl::Status status = writer_->Apply({LedgerEntry{
        writer_->received_sequence() + 1, "2024-01-01 00:00:00", std::move(statement)}});
    ASSERT_TRUE(status.ok()) << status;
  }

  size_t Pick(size_t below) { return random_() % below; }

  // Around where a size takes one byte more.
  size_t PickSize() {
    static constexpr size_t kSizes[] = {0, 1, 7, 126, 127, 128, 200, 16382, 16384, 20000};
    return kSizes[Pick(std::size(kSizes))];
  }

  Value PickValue(FieldType type, bool key) {
    if (!key && Pick(4) == 0) return Value::Null();
    switch (KindOf(type)) {
      case ValueKind::kInteger: {
        static constexpr int64_t kIntegers[] = {0,
                                                1,
                                                -1,
                                                127,
                                                128,
                                                std::numeric_limits<int64_t>::max(),
                                                std::numeric_limits<int64_t>::min()};
        return Value::Integer(kIntegers[Pick(std::size(kIntegers))]);
      }
      case ValueKind::kDecimal: {
        static constexpr double kDecimals[] = {0.0, 0.1, -1.5, 1e300};
        return Value::Decimal(kDecimals[Pick(std::size(kDecimals))]);
      }
      case ValueKind::kText:
        return Value::Text(
            std::string(type == FieldType::kString ? PickSize() % 190 : PickSize(), 'x'));
      default: {
        std::string bytes(type == FieldType::kBytestring ? PickSize() % 255 : PickSize(), '\0');
        for (char& byte : bytes) byte = static_cast<char>(random_());
        return Value::Bytes(std::move(bytes));
      }
    }
  }

  std::string folder_;
  std::unique_ptr<ldb::LdbWriter> writer_;
  std::mt19937_64 random_{20240506};
};

TEST_F(RowEncodingTest, IsTheMessagesOwnSerialization) {
  static constexpr FieldType kTypes[] = {FieldType::kString,  FieldType::kInteger,
                                         FieldType::kDecimal, FieldType::kText,
                                         FieldType::kBinary,  FieldType::kBytestring};
  ldb::Reader reader(folder_ + "/ldb.db");
  int rows_seen = 0;
  for (int table = 0; table < 40; ++table) {
    const std::string name = absl::StrCat("table", table);
    // Names in their own order: the reader has a table's columns in the table's.
    std::vector<Field> fields = {{"a", FieldType::kInteger}};
    for (size_t i = 0, count = Pick(8); i < count; ++i) {
      fields.push_back({absl::StrCat(std::string(1 + Pick(55), static_cast<char>('b' + i)), i),
                        kTypes[Pick(std::size(kTypes))]});
    }
    const absl::StatusOr<TableSchema> schema = TableSchema::Create("fam", name, fields, {"a"});
    ASSERT_TRUE(schema.ok()) << schema.status();
    Apply(sql::CreateTableStatement(*schema));
    for (int row = 0; row < 10; ++row) {
      std::vector<Value> values;
      for (size_t i = 0; i < fields.size(); ++i) {
        values.push_back(PickValue(fields[i].type, i == 0));
      }
      Apply(sql::UpsertStatement(*schema, std::vector<ValueView>(values.begin(), values.end())));
    }
    v1::ListRowsResponse expected;
    std::string message;
    ldb::RowIterator rows = reader.ListRows("fam", name, {});
    std::vector<Value> key;
    while (rows.Next()) {
      ++rows_seen;
      v1::Row* const row = expected.add_rows();
      ToProto(rows.row(), row);
      ASSERT_EQ(EncodedRowBytes(rows.row()), row->ByteSizeLong());
      AppendRow(v1::ListRowsResponse::kRowsFieldNumber, rows.row(), &message);
      key = rows.key();
    }
    ASSERT_TRUE(rows.status().ok()) << rows.status();
    const bool truncated = Pick(2) == 1;
    const int64_t sequence = Pick(2) == 1 ? static_cast<int64_t>(random_() >> 1) : 0;
    expected.set_truncated(truncated);
    expected.set_sequence(sequence);
    AppendInteger(v1::ListRowsResponse::kTruncatedFieldNumber, truncated ? 1 : 0, &message);
    AppendInteger(v1::ListRowsResponse::kSequenceFieldNumber, sequence, &message);
    for (int i = 0; i < 5; ++i) {
      const Value value = PickValue(kTypes[Pick(std::size(kTypes))], false);
      rpc::ToProto(value.view(), expected.add_next_after());
      AppendValue(v1::ListRowsResponse::kNextAfterFieldNumber, value.view(), &message);
    }
    const std::string serialized = Serialized(expected);
    ASSERT_EQ(message.size(), serialized.size()) << name;
    ASSERT_TRUE(message == serialized) << name;
  }
  EXPECT_GT(rows_seen, 100);
}

}  // namespace
}  // namespace ctlstore::sidecar
