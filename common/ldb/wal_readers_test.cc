#include "common/ldb/wal_readers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_test_util.h"

namespace ctlstore::ldb {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const dev_t kDevice = makedev(0xfe, 0x1);
constexpr ino_t kInode = 131;

TEST(WalReadersInTest, ReadLocksOnTheReadersBytesCount) {
  EXPECT_THAT(WalReadersIn("1: POSIX  ADVISORY  READ 11 fe:01:131 123 123\n"
                           "2: POSIX  ADVISORY  READ  12 fe:01:131 127 127\n"
                           "3: POSIX  ADVISORY  READ 13 fe:01:131 127 128\n"
                           "14: POSIX  ADVISORY  READ 9 fe:01:131 0 EOF\n"
                           "5: POSIX  ADVISORY  READ 15 fe:01:131 125 126",
                           kDevice, kInode),
              ElementsAre(9, 11, 12, 13, 15));
}

TEST(WalReadersInTest, OtherLocksDoNot) {
  // Who has the file open and reads nothing, writes, recovers, waits, or is not known.
  EXPECT_THAT(WalReadersIn("1: POSIX  ADVISORY  READ 11 fe:01:131 128 128\n"
                           "1: POSIX  ADVISORY  READ 11 fe:01:131 128 EOF\n"
                           "2: POSIX  ADVISORY  WRITE 12 fe:01:131 123 123\n"
                           "3: POSIX  ADVISORY  READ 13 fe:01:131 122 122\n"
                           "3: -> POSIX  ADVISORY  READ 14 fe:01:131 123 123\n"
                           "4: FLOCK  ADVISORY  READ 15 fe:01:131 0 EOF\n"
                           "5: OFDLCK ADVISORY  READ -1 fe:01:131 123 123\n"
                           "6: POSIX  ADVISORY  READ 0 fe:01:131 123 123\n"
                           "7: POSIX  ADVISORY  READ -1 fe:01:131 123 123\n",
                           kDevice, kInode),
              IsEmpty());
}

TEST(WalReadersInTest, OtherFilesDoNot) {
  EXPECT_THAT(WalReadersIn("1: POSIX  ADVISORY  READ 11 fe:01:132 123 123\n"
                           "2: POSIX  ADVISORY  READ 12 fe:02:131 123 123\n"
                           "3: POSIX  ADVISORY  READ 13 fd:01:131 123 123\n"
                           "4: POSIX  ADVISORY  READ 14 <none>:131 123 123\n",
                           kDevice, kInode),
              IsEmpty());
}

TEST(WalReadersInTest, AProcessIsNamedOnceAndThisOneNever) {
  EXPECT_THAT(
      WalReadersIn(absl::StrCat("1: POSIX  ADVISORY  READ 11 fe:01:131 123 123\n",
                                "2: POSIX  ADVISORY  READ ", getpid(), " fe:01:131 123 123\n",
                                "3: POSIX  ADVISORY  READ 11 fe:01:131 125 125\n"),
                   kDevice, kInode),
      ElementsAre(11));
}

TEST(WalReadersInTest, TextOfAnyKindIsTaken) {
  std::mt19937 random(1);
  const std::string good =
      "1: POSIX  ADVISORY  READ 11 fe:01:131 123 123\n"
      "2: -> POSIX  ADVISORY  WRITE 12 fe:01:131 127 EOF\n";
  const std::string letters = "0123456789abcdef:-> \n\tEOFPOSIXREAD\xff";
  for (int i = 0; i < 20000; ++i) {
    std::string text = good;
    for (int changes = random() % 8; changes >= 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = letters[random() % letters.size()];
          break;
        case 1:
          text.insert(at, 1 + random() % 30, letters[random() % letters.size()]);
          break;
        default:
          text.erase(at, random() % 10);
          if (text.empty()) text = " ";
      }
    }
    for (pid_t process : WalReadersIn(text, kDevice, kInode)) EXPECT_GT(process, 0);
  }
  EXPECT_THAT(WalReadersIn("", kDevice, kInode), IsEmpty());
}

// Another process, which does as it is told: opens a database, begins to read, ends it.
class OtherProcess {
 public:
  // To be made before this process has opened any database.
  explicit OtherProcess(const std::string& path) {
    int to_child[2], from_child[2];
    if (pipe(to_child) != 0 || pipe(from_child) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(to_child[1]);
      std::unique_ptr<sqlite::Database> database;
      char command;
      while (read(to_child[0], &command, 1) == 1) {
        if (command == 'o') {
          database = OpenPlain(path);
          Query(database.get(), "SELECT * FROM fam___tbl");
        } else if (!database->Execute(command == 'b' ? "BEGIN; SELECT * FROM fam___tbl" : "COMMIT")
                        .ok()) {
          _exit(1);
        }
        if (write(from_child[1], &command, 1) != 1) _exit(1);
      }
      _exit(0);
    }
    close(to_child[0]);
    close(from_child[1]);
    to_ = to_child[1];
    from_ = from_child[0];
  }

  ~OtherProcess() {
    close(to_);
    close(from_);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  void Open() { Do('o'); }
  void BeginToRead() { Do('b'); }
  void EndReading() { Do('e'); }

 private:
  void Do(char command) {
    char answer = 0;
    ASSERT_EQ(write(to_, &command, 1), 1);
    ASSERT_EQ(read(from_, &answer, 1), 1);
  }

  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
};

void FindsTheReader(const std::string& path, const std::string& file) {
  OtherProcess reader(path);
  std::unique_ptr<LdbWriter> writer = OpenWriter(file);
  TestLedger ledger;
  ledger.Add("CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  // Our own reading does not count, nor hide another's.
  std::unique_ptr<sqlite::Database> own = OpenPlain(path);
  ASSERT_TRUE(own->Execute("BEGIN; SELECT * FROM fam___tbl").ok());
  EXPECT_THAT(WalReaders(path), IsEmpty());
  reader.Open();
  EXPECT_THAT(WalReaders(path), IsEmpty());
  reader.BeginToRead();
  EXPECT_THAT(WalReaders(path), ElementsAre(reader.pid()));
  ledger.Add("REPLACE INTO fam___tbl (\"a\") VALUES(1)");
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  EXPECT_THAT(WalReaders(path), ElementsAre(reader.pid()));
  reader.EndReading();
  EXPECT_THAT(WalReaders(path), IsEmpty());
}

TEST(WalReadersTest, NamesAProcessWhileItReads) {
  TestFolder folder;
  FindsTheReader(folder.Path("ldb.db"), folder.Path("ldb.db"));
}

TEST(WalReadersTest, LooksBehindALink) {
  TestFolder folder;
  std::filesystem::create_directory(folder.Path("elsewhere"));
  std::filesystem::create_symlink("elsewhere/real.db", folder.Path("ldb.db"));
  FindsTheReader(folder.Path("ldb.db"), folder.Path("elsewhere/real.db"));
}

TEST(WalReadersTest, NamesEveryProcess) {
  TestFolder folder;
  const std::string path = folder.Path("ldb.db");
  OtherProcess one(path), two(path);
  std::unique_ptr<LdbWriter> writer = OpenWriter(path);
  TestLedger ledger;
  ledger.Add("CREATE TABLE fam___tbl (\"a\" INTEGER, PRIMARY KEY(\"a\"));");
  ASSERT_TRUE(writer->Apply(ledger.Take()).ok());
  for (OtherProcess* process : {&one, &two}) {
    process->Open();
    process->BeginToRead();
  }
  EXPECT_THAT(WalReaders(path), testing::UnorderedElementsAre(one.pid(), two.pid()));
}

TEST(WalReadersTest, WithoutAFileNobodyReads) {
  TestFolder folder;
  EXPECT_THAT(WalReaders(folder.Path("ldb.db")), IsEmpty());
  EXPECT_THAT(WalReaders(""), IsEmpty());
}

}  // namespace
}  // namespace ctlstore::ldb
