#include "common/ldb/changes_test_util.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ctlstore::ldb {
namespace {

FieldType TypeFor(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kInteger:
      return FieldType::kInteger;
    case ValueKind::kDecimal:
      return FieldType::kDecimal;
    case ValueKind::kBytes:
      return FieldType::kBytestring;
    case ValueKind::kNull:
    case ValueKind::kText:
      break;
  }
  return FieldType::kString;
}

}  // namespace

TestChanges& TestChanges::Key(int64_t sequence, const std::string& table, std::vector<Value> key) {
  kept_.emplace_back();
  Kept& kept = kept_.back();
  kept.table = {"fam", table};
  kept.values = std::move(key);
  for (const Value& value : kept.values) {
    kept.fields.push_back({absl::StrCat("k", kept.fields.size()), TypeFor(value)});
    kept.views.push_back(value);
  }
  changes_.push_back({Change::Kind::kKey, sequence, &kept.table, kept.fields, kept.views});
  return *this;
}

TestChanges& TestChanges::Key(int64_t sequence, const std::string& table, int64_t key) {
  return Key(sequence, table, {Value::Integer(key)});
}

TestChanges& TestChanges::Table(int64_t sequence, const std::string& table) {
  kept_.emplace_back();
  kept_.back().table = {"fam", table};
  changes_.push_back({Change::Kind::kTable, sequence, &kept_.back().table, {}, {}});
  return *this;
}

TestChanges& TestChanges::Everything(int64_t sequence) {
  changes_.push_back({Change::Kind::kEverything, sequence, nullptr, {}, {}});
  return *this;
}

void TestChanges::Commit(ChangeListener* listener, int64_t applied_sequence) const {
  listener->Committing(changes_);
  listener->Committed(changes_, applied_sequence);
}

}  // namespace ctlstore::ldb
