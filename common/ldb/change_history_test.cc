#include "common/ldb/change_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ldb/change_encoding.h"
#include "common/ldb/changes_test_util.h"
#include "common/ldb/ldb_tables.h"
#include "common/ldb/ldb_test_util.h"
#include "common/schema/errors.h"
#include "common/sql/random_data.h"

namespace ctlstore::ldb {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

std::string Text(const ChangeEvent& event) {
  std::string text = absl::StrCat(event.sequence, " ", SqlTableName(event.table));
  EXPECT_EQ(event.key.size(), event.key_fields.size());
  EXPECT_EQ(event.kind == Change::Kind::kKey, !event.key.empty());
  for (size_t i = 0; i < event.key.size(); ++i) {
    absl::StrAppend(&text, " ", event.key_fields[i].name, ":",
                    FieldTypeName(event.key_fields[i].type), "=", DebugString(event.key[i]));
  }
  return text;
}

class ChangeHistoryTest : public testing::Test {
 protected:
  ChangeHistoryTest() : database_(OpenPlain(folder_.Path("ldb.db"), /*read_only=*/false)) {
    // Nothing here survives a crash.
    EXPECT_TRUE(database_->Execute("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF").ok());
    EXPECT_TRUE(database_->Execute(kCreateSequenceTable).ok());
    Start(1 << 20);
  }

  void Start(int64_t max_bytes, int64_t applied_sequence = 0) {
    writer_ = std::make_unique<ChangeHistoryWriter>(database_.get(), max_bytes);
    const absl::Status status = writer_->Attach(applied_sequence);
    ASSERT_TRUE(status.ok()) << status;
    SetSequence(applied_sequence);
  }

  void SetSequence(int64_t sequence) {
    ASSERT_TRUE(
        database_
            ->Execute(absl::StrCat("REPLACE INTO _ldb_seq (id, seq) VALUES (1, ", sequence, ")"))
            .ok());
  }

  void Add(const TestChanges& changes, int64_t applied_sequence) {
    const absl::Status status = writer_->Add(changes.span(), applied_sequence);
    ASSERT_TRUE(status.ok()) << status;
    SetSequence(applied_sequence);
  }

  // Commits that change one key each.
  void AddKeys(int64_t first, int64_t last) {
    for (int64_t sequence = first; sequence <= last; ++sequence) {
      Add(TestChanges().Key(sequence, "tbl", sequence), sequence);
    }
  }

  absl::optional<int64_t> Begin() {
    const absl::StatusOr<absl::optional<int64_t>> begin = reader_->Begin();
    EXPECT_TRUE(begin.ok()) << begin.status();
    return *begin;
  }

  std::vector<std::string> Read(int64_t sequence, size_t max_changes = 1000000) {
    const absl::StatusOr<std::vector<ChangeEvent>> events =
        reader_->Read(sequence, max_changes, &reached_);
    EXPECT_TRUE(events.ok()) << events.status();
    std::vector<std::string> texts;
    if (events.ok()) {
      for (const ChangeEvent& event : *events) texts.push_back(Text(event));
    }
    return texts;
  }

  absl::Status ReadError(int64_t sequence) {
    return reader_->Read(sequence, 1000000, &reached_).status();
  }

  int64_t Rows() {
    return Query(database_.get(), "SELECT count(*) FROM _ldb_changes")[0][0].integer();
  }

  TestFolder folder_;
  std::unique_ptr<sqlite::Database> database_;
  std::unique_ptr<ChangeHistoryWriter> writer_;
  std::unique_ptr<ChangeHistoryReader> reader_ =
      std::make_unique<ChangeHistoryReader>(database_.get());
  int64_t reached_ = -1;
};

TEST_F(ChangeHistoryTest, KeepsWhatEachCommitHasChanged) {
  EXPECT_EQ(Begin(), 0);
  EXPECT_THAT(Read(0), IsEmpty());
  EXPECT_EQ(reached_, 0);
  Add(TestChanges()
          .Table(1, "tbl")
          .Key(2, "tbl",
               {Value::Text("x"), Value::Integer(-5), Value::Bytes(std::string("\0y", 2))})
          .Key(4, "other", 7)
          .Key(5, "tbl",
               {Value::Text(""), Value::Integer(std::numeric_limits<int64_t>::min()),
                Value::Bytes("")}),
      6);
  Add(TestChanges().Key(9, "tbl", std::numeric_limits<int64_t>::max()), 9);
  const std::string first[] = {
      "1 fam___tbl", "2 fam___tbl k0:string=\"x\" k1:integer=-5 k2:bytestring=x'0079'",
      "4 fam___other k0:integer=7",
      "5 fam___tbl k0:string=\"\" k1:integer=-9223372036854775808 k2:bytestring=x''"};
  const std::string last = "9 fam___tbl k0:integer=9223372036854775807";
  EXPECT_THAT(Read(0), ElementsAre(first[0], first[1], first[2], first[3], last));
  EXPECT_EQ(reached_, 9);
  // From the middle of a commit, and from its end.
  EXPECT_THAT(Read(3), ElementsAre(first[2], first[3], last));
  EXPECT_THAT(Read(5), ElementsAre(last));
  EXPECT_THAT(Read(6), ElementsAre(last));
  EXPECT_THAT(Read(9), IsEmpty());
  EXPECT_EQ(reached_, 9);
  EXPECT_EQ(Begin(), 0);
}

TEST_F(ChangeHistoryTest, NoEntryIsSplit) {
  Add(TestChanges().Key(2, "a", 1).Key(2, "b", 1).Key(2, "c", 1).Key(4, "a", 2), 5);
  Add(TestChanges().Key(6, "a", 3), 8);
  EXPECT_EQ(Read(0, 1).size(), 3u);
  EXPECT_EQ(reached_, 2);
  EXPECT_EQ(Read(1, 0).size(), 3u);
  EXPECT_EQ(reached_, 2);
  EXPECT_THAT(Read(2, 1), ElementsAre("4 fam___a k0:integer=2"));
  EXPECT_EQ(reached_, 5);
  EXPECT_THAT(Read(5, 1), ElementsAre("6 fam___a k0:integer=3"));
  EXPECT_EQ(reached_, 8);
}

TEST_F(ChangeHistoryTest, CommitsWithoutChangesTakeNoRoom) {
  AddKeys(1, 2);
  for (int64_t sequence = 3; sequence < 100; ++sequence) Add(TestChanges(), sequence);
  EXPECT_EQ(Begin(), 0);
  EXPECT_LE(Rows(), 4);
  EXPECT_EQ(Read(1).size(), 1u);
  EXPECT_EQ(reached_, 99);
  // The writer that comes next goes on with it.
  Start(1 << 20, 99);
  AddKeys(100, 100);
  EXPECT_EQ(Read(0).size(), 3u);
  EXPECT_EQ(Begin(), 0);
}

TEST_F(ChangeHistoryTest, TheOldestCommitsGoWhereThereIsNoMoreRoom) {
  constexpr int64_t kMaxBytes = 100000;
  Start(kMaxBytes);
  int64_t largest = 0;
  for (int64_t sequence = 1; sequence <= 10000; ++sequence) {
    AddKeys(sequence, sequence);
    const int64_t begin = *Begin();
    largest = std::max(largest, sequence - begin);
    if (sequence % 50 != 0) continue;
    ASSERT_EQ(static_cast<int64_t>(Read(begin).size()), sequence - begin);
    if (begin > 0) {
      ASSERT_EQ(ErrorReason(ReadError(begin - 1)), reason::kChangesGone);
      ASSERT_TRUE(absl::IsOutOfRange(ReadError(begin - 1)));
    }
  }
  // Each takes some 50 bytes.
  EXPECT_GT(largest, 1000);
  EXPECT_LT(largest, 4000);
  // With less room the rest goes too, by and by.
  Start(kMaxBytes / 10, 10000);
  AddKeys(10001, 10005);
  EXPECT_LT(10005 - *Begin(), 400);
  EXPECT_GT(10005 - *Begin(), 100);
}

TEST_F(ChangeHistoryTest, ALargeCommitNamesItsTables) {
  Start(4000);
  AddKeys(1, 3);
  TestChanges changes;
  for (int64_t sequence = 5; sequence < 500; ++sequence) {
    changes.Key(sequence, sequence % 2 == 0 ? "even" : "odd", sequence);
  }
  Add(changes, 510);
  EXPECT_EQ(Begin(), 0);
  EXPECT_THAT(Read(3), ElementsAre("510 fam___odd", "510 fam___even"));
  // The whole commit or nothing of it: neither table is complete before the end.
  EXPECT_THAT(Read(100, 1), ElementsAre("510 fam___odd", "510 fam___even"));
  EXPECT_EQ(reached_, 510);
  EXPECT_EQ(Read(2, 1).size(), 1u);
  EXPECT_EQ(reached_, 3);
}

TEST_F(ChangeHistoryTest, BeginsAnewBehindACommitOfTooManyTables) {
  Start(400);
  AddKeys(1, 3);
  TestChanges changes;
  for (int64_t sequence = 4; sequence < 50; ++sequence) {
    changes.Key(sequence, absl::StrCat("tbl", sequence), 1);
  }
  Add(changes, 50);
  EXPECT_EQ(Begin(), 50);
  EXPECT_EQ(ErrorReason(ReadError(49)), reason::kChangesGone);
  EXPECT_THAT(Read(50), IsEmpty());
}

TEST_F(ChangeHistoryTest, BeginsAnewBehindWhatMayHaveChangedAnything) {
  AddKeys(1, 3);
  Add(TestChanges().Key(4, "tbl", 4).Everything(5).Key(6, "tbl", 6), 7);
  EXPECT_EQ(Begin(), 7);
  EXPECT_EQ(ErrorReason(ReadError(6)), reason::kChangesGone);
  AddKeys(8, 8);
  EXPECT_THAT(Read(7), ElementsAre("8 fam___tbl k0:integer=8"));
  EXPECT_EQ(Begin(), 7);
}

TEST_F(ChangeHistoryTest, AnotherProgramsCommitsAreNotTakenForNothing) {
  AddKeys(1, 3);
  // As a writer does that knows of no history.
  SetSequence(5);
  EXPECT_EQ(Begin(), absl::nullopt);
  EXPECT_EQ(ErrorReason(ReadError(3)), reason::kChangesGone);
  EXPECT_EQ(ErrorReason(ReadError(5)), reason::kChangesGone);
  // Be it the same writer that goes on from there, or the next one.
  ASSERT_TRUE(writer_->Attach(5).ok());
  AddKeys(6, 6);
  EXPECT_EQ(Begin(), 5);
  EXPECT_EQ(Read(5).size(), 1u);
  SetSequence(8);
  Start(1 << 20, 8);
  EXPECT_EQ(Begin(), 8);
  EXPECT_THAT(Read(8), IsEmpty());
}

TEST_F(ChangeHistoryTest, WhatIsNotReachedYetIsNotToldAsUnchanged) {
  AddKeys(1, 3);
  EXPECT_EQ(ErrorReason(ReadError(4)), reason::kChangesGone);
}

TEST_F(ChangeHistoryTest, WithoutATableNothingIsKept) {
  ASSERT_TRUE(database_->Execute("DROP TABLE _ldb_changes").ok());
  ChangeHistoryReader reader(database_.get());
  EXPECT_EQ(*reader.Begin(), absl::nullopt);
  EXPECT_EQ(ErrorReason(reader.Read(0, 1, &reached_).status()), reason::kChangesGone);
  // Once there is one, it is read.
  Start(1 << 20, 2);
  EXPECT_EQ(*reader.Begin(), 2);
}

TEST_F(ChangeHistoryTest, NoRoomIsNoHistory) {
  AddKeys(1, 3);
  Start(0, 3);
  AddKeys(4, 5);
  EXPECT_EQ(Begin(), absl::nullopt);
  EXPECT_EQ(Rows(), 0);
  Start(1 << 20, 5);
  EXPECT_EQ(Begin(), 5);
}

TEST_F(ChangeHistoryTest, FollowsARollback) {
  AddKeys(1, 3);
  ASSERT_TRUE(database_->Execute("BEGIN").ok());
  ASSERT_TRUE(writer_->Attach(3).ok());
  Add(TestChanges().Everything(4), 4);
  ASSERT_TRUE(database_->Execute("ROLLBACK").ok());
  writer_->RolledBack();
  EXPECT_EQ(Begin(), 0);
  ASSERT_TRUE(writer_->Attach(3).ok());
  AddKeys(4, 4);
  EXPECT_EQ(Read(0).size(), 4u);
  // Also of what has made the table.
  ASSERT_TRUE(database_->Execute("DROP TABLE _ldb_changes; BEGIN").ok());
  ChangeHistoryWriter writer(database_.get(), 1 << 20);
  ASSERT_TRUE(writer.Attach(4).ok());
  ASSERT_TRUE(database_->Execute("ROLLBACK").ok());
  writer.RolledBack();
  ASSERT_TRUE(writer.Attach(4).ok());
  ASSERT_TRUE(writer.Add(TestChanges().Key(5, "tbl", 5).span(), 5).ok());
  SetSequence(5);
  EXPECT_EQ(Begin(), 4);
}

TEST_F(ChangeHistoryTest, AKeyThatCannotBeToldExactlyIsItsTable) {
  const TableName table{"fam", "tbl"};
  const std::string long_name(1000, 'x');
  const std::vector<Field> fields[] = {{{"a", FieldType::kInteger}},
                                       {{"a", FieldType::kDecimal}},
                                       {{long_name, FieldType::kString}},
                                       {{"", FieldType::kString}},
                                       std::vector<Field>(100, {"a", FieldType::kString})};
  const std::vector<ValueView> keys[] = {
      {"x"}, {1.5}, {"x"}, {"x"}, std::vector<ValueView>(100, ValueView("x"))};
  std::vector<Change> changes;
  std::vector<std::string> expected;
  for (int i = 0; i < 5; ++i) {
    changes.push_back({Change::Kind::kKey, i + 1, &table, fields[i], keys[i]});
    expected.push_back(absl::StrCat(i + 1, " fam___tbl"));
  }
  ASSERT_TRUE(writer_->Add(changes, 5).ok());
  SetSequence(5);
  EXPECT_THAT(Read(0), ElementsAreArray(expected));
}

TEST_F(ChangeHistoryTest, MissingRowsAreDataLoss) {
  AddKeys(1, 9);
  ASSERT_TRUE(database_->Execute("DELETE FROM _ldb_changes WHERE last IN (4, 7)").ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadError(0)));
  EXPECT_TRUE(absl::IsDataLoss(ReadError(3)));
  EXPECT_TRUE(absl::IsDataLoss(ReadError(5)));
  EXPECT_EQ(Read(7).size(), 2u);
  ASSERT_TRUE(database_->Execute("UPDATE _ldb_changes SET changes = 5 WHERE last = 8").ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadError(7)));
}

// However the rows came to be, each place leads to the same events.
TEST_F(ChangeHistoryTest, EachPlaceLeadsToTheSameEvents) {
  sql::RandomData random(7);
  std::vector<std::string> all;
  std::vector<int64_t> sequences;
  int64_t sequence = 0;
  for (int commit = 0; commit < 60; ++commit) {
    TestChanges changes;
    for (size_t i = random.Below(6); i > 0; --i) {
      sequence += 1 + static_cast<int64_t>(random.Below(3));
      for (size_t same = 1 + random.Below(2); same > 0; --same) {
        const std::string table = absl::StrCat("t", random.Below(3));
        if (random.OneIn(5)) {
          changes.Table(sequence, table);
        } else {
          std::vector<Value> key;
          for (size_t k = 1 + random.Below(3); k > 0; --k) {
            key.push_back(random.Of(random.KeyType(), /*nullable=*/false));
          }
          changes.Key(sequence, table, key);
        }
      }
    }
    for (const Change& change : changes.span()) {
      std::string text = absl::StrCat(change.sequence, " ", SqlTableName(*change.table));
      for (size_t i = 0; i < change.key.size(); ++i) {
        absl::StrAppend(&text, " ", change.key_fields[i].name, ":",
                        FieldTypeName(change.key_fields[i].type), "=", DebugString(change.key[i]));
      }
      all.push_back(std::move(text));
      sequences.push_back(change.sequence);
    }
    sequence += 1 + static_cast<int64_t>(random.Below(3));
    Add(changes, sequence);
    if (random.OneIn(10)) Start(1 << 20, sequence);
  }
  for (int64_t from = 0; from <= sequence; ++from) {
    for (size_t max_changes : {1, 2, 3, 10, 1000}) {
      std::vector<std::string> read;
      int64_t at = from;
      while (true) {
        const std::vector<std::string> some = Read(at, max_changes);
        read.insert(read.end(), some.begin(), some.end());
        ASSERT_LE(some.size(), max_changes + 1);
        ASSERT_GE(reached_, at);
        if (reached_ == at) break;
        at = reached_;
      }
      ASSERT_EQ(at, sequence);
      std::vector<std::string> expected;
      for (size_t i = 0; i < all.size(); ++i) {
        if (sequences[i] > from) expected.push_back(all[i]);
      }
      ASSERT_EQ(read, expected) << "after " << from << " by " << max_changes;
    }
  }
}

absl::Status DecodeAll(absl::string_view bytes, int64_t after, int64_t last) {
  ChangeDecoder decoder(bytes, after, last);
  int64_t sequence = after;
  while (!decoder.at_end()) {
    absl::Status status = decoder.Next();
    if (!status.ok()) return status;
    EXPECT_GE(decoder.sequence(), sequence);
    EXPECT_LE(decoder.sequence(), last);
    sequence = decoder.sequence();
    decoder.Event();
  }
  return absl::OkStatus();
}

TEST(ChangeDecoderTest, NoBytesAreTooMuchForIt) {
  sql::RandomData random(11);
  ChangeEncoder encoder;
  int damaged = 0;
  for (int round = 0; round < 20000; ++round) {
    TestChanges changes;
    int64_t sequence = 100;
    for (size_t i = 1 + random.Below(5); i > 0; --i) {
      ++sequence;
      const std::string table = absl::StrCat("t", random.Below(2));
      if (random.OneIn(4)) {
        changes.Table(sequence, table);
      } else {
        changes.Key(sequence, table, {random.Of(random.KeyType(), /*nullable=*/false)});
      }
    }
    ASSERT_EQ(encoder.Encode(changes.span(), 100, 1 << 20), ChangeEncoder::Result::kEncoded);
    std::string bytes = encoder.bytes();
    ASSERT_TRUE(DecodeAll(bytes, 100, sequence).ok());
    for (size_t i = 1 + random.Below(4); i > 0 && !bytes.empty(); --i) {
      const size_t at = random.Below(bytes.size());
      switch (random.Below(5)) {
        case 0:
          bytes.resize(at);
          break;
        case 1:
          bytes[at] = static_cast<char>(0xff);
          break;
        case 2:
          bytes[at] = static_cast<char>(random.Below(256));
          break;
        case 3:
          bytes.insert(at, random.Bytes(20));
          break;
        default:
          bytes.erase(at, 1 + random.Below(4));
      }
    }
    const absl::Status status = DecodeAll(bytes, 100, sequence);
    if (status.ok()) continue;
    ++damaged;
    ASSERT_TRUE(absl::IsDataLoss(status)) << status;
  }
  EXPECT_GT(damaged, 10000);
}

TEST(ChangeDecoderTest, RefusesWhatNoWriterWrites) {
  const std::string table(
      "\x01"
      "f\x01"
      "t\x00",
      5);
  const std::string key_table(
      "\x01"
      "f\x01"
      "t\x01\x01\x01"
      "k",
      8);
  const auto decode = [](const std::string& bytes) { return DecodeAll(bytes, 5, 9); };
  EXPECT_TRUE(decode("").ok());
  EXPECT_TRUE(decode(std::string("\x01\x00", 2) + table).ok());
  EXPECT_TRUE(decode(std::string("\x04\x01", 2) + key_table + "\x02").ok());
  for (const std::string& bytes :
       {// An entry before the commit, and after it.
        std::string("\x00\x00", 2) + table, std::string("\x05\x00", 2) + table,
        std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 11) + table,
        // A number with too many bits, and one without its end.
        std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00", 11) + table,
        std::string("\x01\x80", 2),
        // Tables that are not defined, and one without a name.
        std::string("\x01\x02", 2) + table, std::string("\x01\x00\x00\x01t\x00", 6),
        // A key of a table that has none, and one that is not all there.
        std::string("\x01\x01", 2) + table, std::string("\x01\x01", 2) + key_table,
        // A type that there is not, one that is no key's, and more fields than there are bytes.
        std::string("\x01\x01\x01"
                    "f\x01"
                    "t\x01\x06\x01k\x02",
                    11),
        std::string("\x01\x01\x01"
                    "f\x01"
                    "t\x01\x02\x01k\x02",
                    11),
        std::string("\x01\x01\x01"
                    "f\x01"
                    "t\x40",
                    7),
        std::string("\x01\x01\x01"
                    "f\x01"
                    "t\xff\xff\xff\xff\x0f",
                    11),
        // A length that is larger than what is there.
        std::string("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12)}) {
    EXPECT_TRUE(absl::IsDataLoss(decode(bytes))) << testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace ctlstore::ldb
