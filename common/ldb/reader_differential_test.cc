// Reads random tables with readers, and with SQL through SQLite alone.

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"
#include "common/schema/table_schema.h"
#include "common/sql/ledger_statements.h"
#include "common/sql/quote.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kTables = 4;

std::vector<ValueView> Views(const std::vector<Value>& values) {
  return std::vector<ValueView>(values.begin(), values.end());
}

std::vector<Value> ColumnsOf(const RowView& row) {
  std::vector<Value> columns;
  for (size_t i = 0; i < row.size(); ++i) columns.emplace_back(row.value(i));
  return columns;
}

// A string with a NUL is stored as bytes by those who let it through.
void AppendKeyLiteral(const Value& value, std::string* sql) {
  const bool as_bytes =
      value.kind() == ValueKind::kText && value.data().find('\0') != std::string::npos;
  sql::AppendLiteral(as_bytes ? ValueView::Bytes(value.data()) : value.view(), sql);
}

// A stored value as the reader shows it: as one of its column's type, where that loses nothing.
Value AsShown(FieldType type, const Value& stored) {
  switch (KindOf(type)) {
    case ValueKind::kDecimal:
      if (stored.kind() == ValueKind::kInteger) {
        return Value::Decimal(static_cast<double>(stored.integer()));
      }
      break;
    case ValueKind::kText:
      if (stored.kind() == ValueKind::kBytes) return Value::Text(stored.data());
      break;
    case ValueKind::kBytes:
      if (stored.kind() == ValueKind::kText) return Value::Bytes(stored.data());
      break;
    default:
      break;
  }
  return stored;
}

// Some tables and what is done to them. Few keys, so that they are met again.
class RandomTables {
 public:
  explicit RandomTables(uint64_t seed) : random_(seed) {
    for (size_t t = 0; t < kTables; ++t) {
      tables_.push_back(NewTable(t));
      keys_.push_back(NewKeys(tables_[t]));
      statements_.push_back(sql::CreateTableStatement(tables_[t]));
    }
  }

  sql::RandomData& random() { return random_; }
  const TableSchema& table(size_t t) const { return tables_[t]; }
  // Of rows that there are and of others.
  const std::vector<std::vector<Value>>& keys(size_t t) const { return keys_[t]; }

  // The next statements, for one ledger transaction.
  std::vector<std::string> Next() {
    std::vector<std::string> statements = std::move(statements_);
    statements_.clear();
    for (size_t i = 1 + random_.Below(10); i > 0; --i) {
      const size_t t = random_.Below(kTables);
      if (random_.OneIn(50)) {
        Redefine(t, &statements);
      } else if (random_.OneIn(60)) {
        statements.push_back(sql::ClearTableStatement(tables_[t].name()));
      } else {
        statements.push_back(Dml(t));
      }
    }
    return statements;
  }

  std::string InAnyCase(const std::string& name) {
    std::string result = name;
    for (char& c : result) {
      if (random_.OneIn(4)) c = absl::ascii_toupper(static_cast<unsigned char>(c));
    }
    return result;
  }

 private:
  TableSchema NewTable(size_t t) {
    std::vector<Field> fields;
    std::vector<std::string> key_fields;
    for (size_t i = 1 + random_.Below(4); i > 0; --i) {
      fields.push_back({absl::StrCat("key_", i), random_.KeyType()});
      key_fields.insert(key_fields.begin() + random_.Below(key_fields.size() + 1),
                        fields.back().name);
    }
    for (size_t i = random_.Below(5); i > 0; --i) {
      fields.insert(fields.begin() + random_.Below(fields.size() + 1),
                    {absl::StrCat("f", i), random_.Type()});
    }
    return *TableSchema::Create("fam", absl::StrCat("tbl", t), fields, key_fields);
  }

  // Made of a few values for each part, so that there are prefixes with many rows.
  std::vector<std::vector<Value>> NewKeys(const TableSchema& table) {
    std::vector<std::vector<Value>> parts;
    for (size_t position : table.key_positions()) {
      parts.emplace_back();
      const FieldType type = table.fields()[position].type;
      for (size_t i = table.key_positions().size() == 1 ? 30 : 2 + random_.Below(3); i > 0; --i) {
        parts.back().push_back(random_.Of(type, /*nullable=*/false));
      }
      if (type == FieldType::kString) {
        parts.back().push_back(Value::Text(std::string("a\0b", 3)));
      }
    }
    std::vector<std::vector<Value>> keys;
    for (int i = 0; i < 40; ++i) {
      keys.emplace_back();
      for (const std::vector<Value>& part : parts) {
        keys.back().push_back(part[random_.Below(part.size())]);
      }
    }
    return keys;
  }

  void Redefine(size_t t, std::vector<std::string>* statements) {
    if (random_.OneIn(2)) {
      const Field field{absl::StrCat("added", ++added_), random_.Type()};
      std::vector<Field> ignored;
      tables_[t] = *tables_[t].WithFields({field}, &ignored);
      statements->push_back(sql::AddFieldStatement(tables_[t].name(), field));
      return;
    }
    statements->push_back(sql::DropTableStatement(tables_[t].name()));
    // At times with the same definition.
    if (random_.OneIn(2)) {
      tables_[t] = NewTable(t);
      keys_[t] = NewKeys(tables_[t]);
    }
    statements->push_back(sql::CreateTableStatement(tables_[t]));
  }

  std::string Dml(size_t t) {
    const TableSchema& table = tables_[t];
    const std::vector<Value>& key = keys_[t][random_.Below(keys_[t].size())];
    if (random_.OneIn(4)) return Delete(table, key);
    std::vector<std::string> columns, literals;
    for (size_t f = 0; f < table.fields().size(); ++f) {
      columns.push_back(absl::StrCat("\"", table.fields()[f].name, "\""));
      literals.push_back(Literal(table.fields()[f].type));
    }
    for (size_t k = 0; k < key.size(); ++k) {
      std::string& literal = literals[table.key_positions()[k]];
      if (random_.OneIn(100) && key.size() > 1 && key[k].kind() == ValueKind::kInteger) {
        // A key that no reader can be asked for, because its type is not the field's.
        literal = "1.5";
      } else {
        literal.clear();
        AppendKeyLiteral(key[k], &literal);
      }
    }
    return absl::StrCat("REPLACE INTO ", SqlTableName(table.name()), " (",
                        absl::StrJoin(columns, ","), ") VALUES(", absl::StrJoin(literals, ","),
                        ")");
  }

  static std::string Delete(const TableSchema& table, const std::vector<Value>& key) {
    std::vector<std::string> conditions;
    for (size_t k = 0; k < key.size(); ++k) {
      conditions.push_back(absl::StrCat("\"", table.key_field(k).name, "\" = "));
      AppendKeyLiteral(key[k], &conditions.back());
    }
    return absl::StrCat("DELETE FROM ", SqlTableName(table.name()), " WHERE ",
                        absl::StrJoin(conditions, " AND "));
  }

  // Mostly what the executive writes for the type, else what other programs have written: text with
  // a NUL as bytes, numbers of the other kind, what is no number at all.
  std::string Literal(FieldType type) {
    static constexpr const char* kOthers[] = {"x'610062'", "x'00'", "''",    "1.5",
                                              "1e30",      "-0.0",  "'1'",   "true",
                                              "'abc'",     "7",     "'x y'", "9223372036854775808"};
    if (random_.OneIn(12)) return kOthers[random_.Below(std::size(kOthers))];
    std::string literal;
    if (KindOf(type) == ValueKind::kBytes && random_.OneIn(40)) {
      sql::AppendLiteral(ValueView::Bytes(random_.Bytes(300000)), &literal);
    } else if (type == FieldType::kText && random_.OneIn(40)) {
      sql::AppendLiteral(random_.Text(100000), &literal);
    } else {
      sql::AppendLiteral(random_.Of(type, /*nullable=*/true), &literal);
    }
    return literal;
  }

  sql::RandomData random_;
  std::vector<TableSchema> tables_;
  std::vector<std::vector<std::vector<Value>>> keys_;
  std::vector<std::string> statements_;
  int added_ = 0;
};

// What SQL says.
class Plain {
 public:
  explicit Plain(const std::string& path) : database_(OpenPlain(path)) {}

  // The rows whose key begins with `prefix`, in key order.
  Rows List(const TableSchema& table, absl::Span<const Value> prefix, int64_t limit = kNoLimit) {
    std::vector<std::string> conditions, order;
    for (size_t k = 0; k < table.key_positions().size(); ++k) {
      order.push_back(absl::StrCat("\"", table.key_field(k).name, "\""));
      if (k >= prefix.size()) continue;
      std::string condition = absl::StrCat(order.back(), " = ");
      AppendKeyLiteral(prefix[k], &condition);
      conditions.push_back(std::move(condition));
    }
    Rows rows = Query(database_.get(),
                      absl::StrCat("SELECT * FROM ", SqlTableName(table.name()), " WHERE ",
                                   conditions.empty() ? "1" : absl::StrJoin(conditions, " AND "),
                                   " ORDER BY ", absl::StrJoin(order, ", "), " LIMIT ", limit));
    for (std::vector<Value>& row : rows) {
      for (size_t f = 0; f < row.size(); ++f) {
        row[f] = AsShown(table.fields()[f].type, row[f]);
      }
    }
    return rows;
  }

 private:
  std::unique_ptr<sqlite::Database> database_;
};

// At most `stop` rows of what a list gives; then it may be read on.
Rows Take(RowIterator* rows, size_t stop = 1000000) {
  Rows result;
  while (result.size() < stop && rows->Next()) result.push_back(ColumnsOf(rows->row()));
  EXPECT_TRUE(rows->status().ok()) << rows->status();
  return result;
}

// Compares a Reader or a Snapshot with what SQL says of the same state.
template <typename Source>
class Comparison {
 public:
  Comparison(Source* source, Plain* plain, RandomTables* tables)
      : source_(source), plain_(plain), tables_(tables), random_(tables->random()) {}

  void Compare() {
    std::vector<TableSchema> all;
    for (size_t t = 0; t < kTables; ++t) {
      SCOPED_TRACE(absl::StrCat("table ", t));
      all.push_back(tables_->table(t));
      CompareTable(t);
      if (testing::Test::HasFailure()) return;
    }
    absl::StatusOr<std::vector<TableSchema>> listed = source_->ListTables();
    ASSERT_TRUE(listed.ok()) << listed.status();
    EXPECT_TRUE(*listed == all);
  }

 private:
  void CompareTable(size_t t) {
    const TableSchema& table = tables_->table(t);
    absl::StatusOr<TableSchema> found = source_->GetTable(Family(), Name(t));
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_TRUE(*found == table) << DescribeDifference(*found, table);

    for (const std::vector<Value>& key : tables_->keys(t)) {
      const Rows expected = plain_->List(table, key);
      // The second time from a cache, where there is one.
      for (int again = 0; again < 2; ++again) {
        absl::StatusOr<Row> row = source_->GetRow(Family(), Name(t), Views(key));
        ASSERT_TRUE(row.ok()) << row.status();
        ASSERT_EQ(row->exists(), !expected.empty());
        const OwnedRow copy = row->Copy();
        ASSERT_EQ(copy.exists(), !expected.empty());
        if (expected.empty()) continue;
        ASSERT_EQ(ColumnsOf(*row), expected[0]);
        ASSERT_EQ(ColumnsOf(copy), expected[0]);
        const size_t c = random_.Below(table.fields().size());
        const std::string& name = table.fields()[c].name;
        ASSERT_EQ(row->name(c), name);
        absl::StatusOr<ValueView> value = row->Get(tables_->InAnyCase(name));
        ASSERT_TRUE(value.ok()) << value.status();
        ASSERT_EQ(Value(*value), expected[0][c]);
      }
    }

    for (int i = 0; i < 4; ++i) {
      std::vector<Value> prefix = SomeKey(t);
      prefix.resize(random_.Below(prefix.size() + 1));
      const int64_t limits[] = {kNoLimit, 0, 1, 3, 100};
      ListOptions options;
      options.limit = limits[random_.Below(std::size(limits))];
      RowIterator rows = source_->ListRows(Family(), Name(t), Views(prefix), options);
      ASSERT_EQ(Take(&rows), plain_->List(table, prefix, options.limit));
    }
    std::vector<Value> prefix = SomeKey(t);
    prefix.resize(random_.Below(prefix.size()));
    CompareResumed(t, prefix);
  }

  // Goes on behind each row of a list, and behind keys that are no row's.
  void CompareResumed(size_t t, const std::vector<Value>& prefix) {
    const TableSchema& table = tables_->table(t);
    const Rows expected = plain_->List(table, prefix);
    RowIterator rows = source_->ListRows(Family(), Name(t), Views(prefix));
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(rows.Next()) << rows.status();
      const std::vector<Value> key = rows.key();
      for (size_t k = 0; k < key.size(); ++k) {
        ASSERT_EQ(key[k], expected[i][table.key_positions()[k]]);
      }
      if (!IsOfItsTypes(table, key)) continue;
      const std::vector<ValueView> after = Views(key);
      ListOptions options;
      options.after = after;
      options.limit = random_.OneIn(2) ? kNoLimit : random_.Below(4);
      Rows tail(expected.begin() + i + 1, expected.end());
      if (options.limit != kNoLimit && tail.size() > static_cast<size_t>(options.limit)) {
        tail.resize(options.limit);
      }
      RowIterator resumed = source_->ListRows(Family(), Name(t), Views(prefix), options);
      ASSERT_EQ(Take(&resumed), tail) << "after row " << i;
    }
    ASSERT_FALSE(rows.Next());

    std::vector<Value> key = SomeKey(t);
    for (size_t k = 0; k < prefix.size(); ++k) key[k] = prefix[k];
    const std::vector<ValueView> after = Views(key);
    ListOptions options;
    options.after = after;
    RowIterator resumed = source_->ListRows(Family(), Name(t), Views(prefix), options);
    std::vector<std::string> order;
    for (const std::string& name : table.key_field_names()) {
      order.push_back(absl::StrCat("\"", name, "\""));
    }
    Rows behind;
    for (const std::vector<Value>& row : expected) {
      std::vector<Value> row_key;
      for (size_t position : table.key_positions()) row_key.push_back(row[position]);
      if (Before(key, row_key)) behind.push_back(row);
    }
    ASSERT_EQ(Take(&resumed), behind);
  }

  // SQLite's order: integers and decimals by value, then text, then bytes, as which text with a NUL
  // is stored.
  static bool Before(const std::vector<Value>& a, const std::vector<Value>& b) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i]) continue;
      const auto rank = [](const Value& value) {
        if (value.kind() == ValueKind::kText) {
          return value.data().find('\0') == std::string::npos ? 1 : 2;
        }
        return value.kind() == ValueKind::kBytes ? 2 : 0;
      };
      if (rank(a[i]) != rank(b[i])) return rank(a[i]) < rank(b[i]);
      if (rank(a[i]) != 0) return a[i].data() < b[i].data();
      const auto number = [](const Value& value) -> long double {
        return value.kind() == ValueKind::kInteger ? value.integer() : value.decimal();
      };
      return number(a[i]) < number(b[i]);
    }
    return false;
  }

  static bool IsOfItsTypes(const TableSchema& table, const std::vector<Value>& key) {
    for (size_t k = 0; k < key.size(); ++k) {
      if (key[k].kind() != KindOf(table.key_field(k).type)) return false;
    }
    return true;
  }

  const std::vector<Value>& SomeKey(size_t t) {
    return tables_->keys(t)[random_.Below(tables_->keys(t).size())];
  }
  std::string Family() { return tables_->InAnyCase("fam"); }
  std::string Name(size_t t) { return tables_->InAnyCase(tables_->table(t).name().table); }

  Source* const source_;
  Plain* const plain_;
  RandomTables* const tables_;
  sql::RandomData& random_;
};

TEST(ReaderDifferentialTest, ReadersAndSnapshotsSayWhatSqlSays) {
  constexpr int kRounds = 25;
  TestFolder folder;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    const std::string path = folder.Path(absl::StrCat("ldb", seed, ".db"));
    RandomTables tables(seed);
    TestLedger ledger;
    LdbWriter::Options writer_options;
    writer_options.checkpoint_wal_bytes = 200000;
    std::unique_ptr<LdbWriter> writer = OpenWriter(path, writer_options);
    const auto apply = [&] {
      for (size_t i = 1 + tables.random().Below(3); i > 0; --i) {
        ledger.Begin();
        for (const std::string& statement : tables.Next()) ledger.Add(statement);
        ledger.Commit();
      }
      const absl::Status status = writer->Apply(ledger.Take());
      ASSERT_TRUE(status.ok()) << status;
    };
    apply();

    ReaderOptions uncached_options;
    uncached_options.cache_bytes = 0;
    ReaderOptions small_options;
    small_options.cache_bytes = 20000;
    small_options.page_cache_bytes = 100000;
    Reader cached(path), uncached(path, uncached_options), small(path, small_options);
    Plain plain(path);
    for (int round = 0; round < kRounds; ++round) {
      SCOPED_TRACE(absl::StrCat("round ", round));
      for (Reader* reader : {&cached, &uncached, &small}) {
        Comparison<Reader>(reader, &plain, &tables).Compare();
        ASSERT_EQ(*reader->GetSequence(), writer->applied_sequence());
      }
      absl::StatusOr<Snapshot> snapshot = uncached.GetSnapshot();
      absl::StatusOr<Snapshot> other = cached.GetSnapshot();
      ASSERT_TRUE(snapshot.ok() && other.ok()) << snapshot.status() << other.status();
      Comparison<Snapshot>(&*snapshot, &plain, &tables).Compare();
      Comparison<Snapshot>(&*other, &plain, &tables).Compare();
      if (testing::Test::HasFailure()) return;

      // What was begun goes on in the state in which it was, while others see the next one.
      const size_t t = tables.random().Below(kTables);
      const TableSchema table = tables.table(t);
      const std::vector<std::vector<Value>> keys = tables.keys(t);
      const int64_t sequence = writer->applied_sequence();
      const Rows before = plain.List(table, {});
      RowIterator list = cached.ListRows("fam", table.name().table, {});
      const size_t begun = tables.random().Below(before.size() + 1);
      Rows listed = Take(&list, begun);
      absl::StatusOr<Row> kept = cached.GetRow("fam", table.name().table, Views(keys[0]));
      ASSERT_TRUE(kept.ok()) << kept.status();
      const std::vector<Value> kept_columns = ColumnsOf(*kept);
      apply();
      ASSERT_EQ(ColumnsOf(*kept), kept_columns);
      const Rows rest = Take(&list);
      if (begun > 0) {
        listed.insert(listed.end(), rest.begin(), rest.end());
        ASSERT_EQ(listed, before);
      }
      for (absl::StatusOr<Snapshot>* held : {&snapshot, &other}) {
        ASSERT_EQ((*held)->sequence(), sequence);
        RowIterator rows = (*held)->ListRows("fam", table.name().table, {});
        ASSERT_EQ(Take(&rows), before);
        ASSERT_TRUE(*(*held)->GetTable("fam", table.name().table) == table);
        absl::StatusOr<Row> row = (*held)->GetRow("fam", table.name().table, Views(keys[0]));
        ASSERT_TRUE(row.ok()) << row.status();
        ASSERT_EQ(ColumnsOf(*row), kept_columns);
      }
    }
    EXPECT_GT(cached.stats().cache_hits, 100) << "the cache was hardly used";
  }
}

}  // namespace
}  // namespace ctlstore::ldb
