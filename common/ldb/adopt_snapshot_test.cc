#include "common/ldb/adopt_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

using ::testing::SizeIs;

class AdoptSnapshotTest : public ::testing::Test {
 protected:
  AdoptSnapshotTest() {
    for (const char* family : {"fam", "other"}) {
      ledger_.Add(absl::StrCat("CREATE TABLE ", family,
                               "___tbl (\"a\" VARCHAR(191), \"b\" TEXT, PRIMARY KEY(\"a\"));"));
      for (int i = 0; i < 300; ++i) {
        ledger_.Add(absl::StrCat("REPLACE INTO ", family, "___tbl (\"a\",\"b\") VALUES('", family,
                                 "-key-", i, "','", family, "-value-", i, "')"));
      }
    }
    Write(source_, {});
  }

  // An LDB with all that the ledger has, without a WAL.
  void Write(const std::string& path, const std::vector<std::string>& families) {
    LdbWriter::Options options;
    options.families = families;
    absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(path, options);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_EQ((*writer)->Apply(ledger_.entries()), absl::OkStatus());
    ASSERT_EQ((*writer)->Checkpoint(), absl::OkStatus());
    position_ = (*writer)->applied_position();
    identity_ = (*writer)->identity();
  }

  std::string Copy() {
    std::filesystem::copy_file(source_, copy_, std::filesystem::copy_options::overwrite_existing);
    return copy_;
  }

  static std::string Bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  TestFolder folder_;
  TestLedger ledger_;
  const std::string source_ = folder_.Path("source.db");
  const std::string copy_ = folder_.Path("copy.db");
  const std::string path_ = folder_.Path("ldb.db");
  LedgerPosition position_;
  std::string identity_;
};

TEST_F(AdoptSnapshotTest, GoesOnWhereTheCopyStandsUnderAnIdentityOfItsOwn) {
  ASSERT_EQ(AdoptSnapshot(Copy(), path_, {}), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(copy_));
  EXPECT_FALSE(std::filesystem::exists(copy_ + "-wal"));
  absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(path_, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->applied_position(), position_);
  EXPECT_NE((*writer)->identity(), identity_);
  ledger_.Take();
  ledger_.Add("REPLACE INTO fam___tbl (\"a\",\"b\") VALUES('new','row')");
  EXPECT_EQ((*writer)->Apply(ledger_.After(position_.sequence)), absl::OkStatus());
}

TEST_F(AdoptSnapshotTest, NothingOfFamiliesThatAreNotKeptIsLeftInTheFile) {
  ASSERT_TRUE(absl::StrContains(Bytes(source_), "other-value-"));
  ASSERT_TRUE(absl::StrContains(Bytes(source_), "other-key-"));
  ASSERT_EQ(AdoptSnapshot(Copy(), path_, {"fam"}), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(copy_));
  const std::string bytes = Bytes(path_);
  EXPECT_TRUE(absl::StrContains(bytes, "fam-value-299"));
  EXPECT_FALSE(absl::StrContains(bytes, "other"));
  LdbWriter::Options options;
  options.families = {"fam"};
  absl::StatusOr<std::unique_ptr<LdbWriter>> writer = LdbWriter::Open(path_, options);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->applied_position(), position_);
  EXPECT_NE((*writer)->identity(), identity_);
}

TEST_F(AdoptSnapshotTest, ACopyOfSomeFamiliesIsOnlyTakenForThoseItHas) {
  Write(folder_.Path("some.db"), {"fam"});
  std::filesystem::copy_file(folder_.Path("some.db"), copy_);
  for (const std::vector<std::string>& wanted :
       {std::vector<std::string>{}, std::vector<std::string>{"fam", "other"},
        std::vector<std::string>{"other"}}) {
    const absl::Status status = AdoptSnapshot(copy_, path_, wanted);
    EXPECT_TRUE(HasReason(status, reason::kFamiliesDiffer)) << status;
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
  EXPECT_EQ(AdoptSnapshot(copy_, path_, {"fam"}), absl::OkStatus());
}

TEST_F(AdoptSnapshotTest, ADamagedCopyIsNotTaken) {
  std::ofstream(copy_) << std::string(8192, 'x');
  EXPECT_TRUE(absl::IsDataLoss(AdoptSnapshot(copy_, path_, {})));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(AdoptSnapshotTest, ACopyThatDoesNotSayWhatItHasHasAll) {
  Copy();
  {
    const std::unique_ptr<sqlite::Database> database = OpenPlain(copy_, /*read_only=*/false);
    ASSERT_EQ(database->Execute("DROP TABLE _ldb_state; DROP TABLE _ldb_skipped; "
                                "DROP TABLE _ldb_changes"),
              absl::OkStatus());
    bool reset = false;
    ASSERT_EQ(database->Checkpoint(&reset), absl::OkStatus());
  }
  ASSERT_EQ(AdoptSnapshot(copy_, path_, {"other"}), absl::OkStatus());
  Reader reader(path_);
  const absl::StatusOr<std::vector<TableSchema>> tables = reader.ListTables();
  ASSERT_TRUE(tables.ok()) << tables.status();
  ASSERT_THAT(*tables, SizeIs(1));
  EXPECT_EQ((*tables)[0].name().family, "other");
}

}  // namespace
}  // namespace ctlstore::ldb
