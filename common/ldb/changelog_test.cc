#include "common/ldb/changelog.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/base64.h"
#include "common/ldb/changes_test_util.h"
#include "common/ldb/file_identity.h"
#include "common/ldb/ldb_test_util.h"
#include "common/sql/random_data.h"
#include "nlohmann/json.hpp"

namespace ctlstore::ldb {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteAll(const std::string& path, const std::string& data) {
  std::ofstream(path, std::ios::binary) << data;
}

// The file's lines, each of which must be JSON and whole.
std::vector<nlohmann::json> Lines(const std::string& path) {
  const std::string text = ReadAll(path);
  std::vector<nlohmann::json> lines;
  if (text.empty()) return lines;
  EXPECT_EQ(text.back(), '\n');
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    lines.push_back(nlohmann::json::parse(line.begin(), line.end(), nullptr, false));
    EXPECT_FALSE(lines.back().is_discarded()) << line;
  }
  return lines;
}

std::vector<int64_t> Numbers(const std::string& path) {
  std::vector<int64_t> numbers;
  for (const nlohmann::json& line : Lines(path)) numbers.push_back(line["seq"]);
  return numbers;
}

Changelog::Options At(const std::string& path, int64_t max_bytes = 1 << 20) {
  Changelog::Options options;
  options.path = path;
  options.max_bytes = max_bytes;
  return options;
}

// A commit of some keys of one entry.
void Commit(Changelog* changelog, int64_t sequence, int keys = 1) {
  TestChanges changes;
  for (int i = 0; i < keys; ++i) changes.Key(sequence, "tbl", sequence * 1000 + i);
  changes.Commit(changelog, sequence);
}

// The event lines that are logged while it lives.
class CapturedLog : public google::LogSink {
 public:
  CapturedLog() { google::AddLogSink(this); }
  ~CapturedLog() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const struct tm*,
            const char* message, size_t size) override {
    lines_.emplace_back(message, size);
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

TEST(ChangelogTest, WritesALineForEachKey) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(0);
  TestChanges changes;
  changes.Key(1, "tbl", 1);
  changes.Key(2, "other",
              {Value::Text("a\"b\\c\n\x01é"), Value::Integer(INT64_MIN),
               Value::Bytes(std::string("\0\xff\x10z", 4))});
  changes.Key(3, "tbl", {Value::Decimal(0.5)}).Key(3, "tbl", {Value::Null()});
  changes.Commit(&changelog, 3);
  EXPECT_EQ(ReadAll(folder.Path("log")),
            "{\"seq\":1,\"family\":\"fam\",\"table\":\"tbl\",\"key\":"
            "[{\"name\":\"k0\",\"type\":\"INTEGER\",\"value\":1}]}\n"
            "{\"seq\":2,\"family\":\"fam\",\"table\":\"other\",\"key\":"
            "[{\"name\":\"k0\",\"type\":\"VARCHAR(191)\",\"value\":\"a\\\"b\\\\c\\u000a\\u0001é\"},"
            "{\"name\":\"k1\",\"type\":\"INTEGER\",\"value\":-9223372036854775808},"
            "{\"name\":\"k2\",\"type\":\"BLOB(255)\",\"value\":\"AP8Qeg==\"}]}\n"
            "{\"seq\":3,\"family\":\"fam\",\"table\":\"tbl\",\"key\":"
            "[{\"name\":\"k0\",\"type\":\"REAL\",\"value\":0.5}]}\n"
            "{\"seq\":4,\"family\":\"fam\",\"table\":\"tbl\",\"key\":"
            "[{\"name\":\"k0\",\"type\":\"VARCHAR(191)\",\"value\":null}]}\n");
  EXPECT_EQ(changelog.counts().written, 4);
  EXPECT_EQ(changelog.counts().lost, 0);
  EXPECT_EQ(changelog.path(), folder.Path("log"));
}

TEST(ChangelogTest, EveryKeyComesBackFromItsLine) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log"), 1 << 30));
  changelog.Attach(0);
  sql::RandomData random(1);
  std::mt19937 bytes(1);
  std::vector<std::vector<Value>> keys;
  for (int64_t sequence = 1; sequence <= 200; ++sequence) {
    TestChanges changes;
    for (size_t i = random.Below(20); i > 0; --i) {
      std::vector<Value> key;
      for (size_t fields = 1 + random.Below(4); fields > 0; --fields) {
        key.push_back(random.Of(random.KeyType(), false));
      }
      if (random.OneIn(3)) {
        std::string text;
        for (size_t size = random.Below(40); size > 0; --size) text.push_back(1 + bytes() % 127);
        key.push_back(Value::Text(text));
      }
      changes.Key(sequence, "tbl", key);
      keys.push_back(std::move(key));
    }
    changes.Commit(&changelog, sequence);
  }
  const std::vector<nlohmann::json> lines = Lines(folder.Path("log"));
  ASSERT_THAT(lines, SizeIs(keys.size()));
  for (size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(lines[i]["seq"], i + 1);
    const nlohmann::json& key = lines[i]["key"];
    ASSERT_THAT(key, SizeIs(keys[i].size()));
    for (size_t j = 0; j < keys[i].size(); ++j) {
      const Value& value = keys[i][j];
      switch (value.kind()) {
        case ValueKind::kInteger:
          ASSERT_EQ(key[j]["value"].get<int64_t>(), value.integer());
          break;
        case ValueKind::kText:
          ASSERT_EQ(key[j]["value"].get<std::string>(), value.data());
          break;
        case ValueKind::kBytes:
          ASSERT_EQ(DecodeBase64(key[j]["value"].get<std::string>()), value.data());
          break;
        default:
          FAIL() << value;
      }
    }
  }
}

TEST(ChangelogTest, WhatHasNoLineIsAJump) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(0);
  TestChanges changes;
  changes.Key(1, "tbl", 1).Table(2, "tbl").Key(3, "tbl", 1).Everything(4);
  changes.Key(5, "tbl", {Value::Text("not \xff UTF-8")}).Key(6, "tbl", 1).Table(7, "tbl");
  changes.Commit(&changelog, 7);
  TestChanges().Commit(&changelog, 8);
  Commit(&changelog, 9);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(1, 3, 6, 8));
  EXPECT_EQ(changelog.counts().lost, 0);
}

TEST(ChangelogTest, NumbersGoOnAfterARestart) {
  TestFolder folder;
  for (int64_t sequence = 1; sequence <= 5; ++sequence) {
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(sequence - 1);
    Commit(&changelog, sequence, 2);
  }
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST(ChangelogTest, AJumpThatEndedTheLastRunIsNotForgotten) {
  TestFolder folder;
  {
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(0);
    TestChanges changes;
    changes.Key(1, "tbl", 1).Table(2, "tbl").Commit(&changelog, 2);
  }
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(2);
  Commit(&changelog, 3);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(1, 3));
}

TEST(ChangelogTest, CommitsThatTheFileDoesNotHaveAreAJump) {
  TestFolder folder;
  int64_t applied = 0;
  // Ahead of the file, and behind it.
  for (const int64_t now : {0, 2, 1}) {
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(now);
    applied = now + 1;
    Commit(&changelog, applied);
  }
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(1, 3, 5));
}

TEST(ChangelogTest, WithoutItsStateTheFileGoesOnWithAJump) {
  for (const std::string state : {"", "nonsense", "ctlstore-changelog-state 1 1 2\n"}) {
    TestFolder folder;
    {
      Changelog changelog(At(folder.Path("log")));
      changelog.Attach(0);
      Commit(&changelog, 1, 2);
    }
    std::filesystem::remove(folder.Path("log.state"));
    if (!state.empty()) WriteAll(folder.Path("log.state"), state);
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(1);
    Commit(&changelog, 2);
    EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(1, 2, 4));
  }
}

TEST(ChangelogTest, TheFirstCommitIsNotLostSilently) {
  TestFolder folder;
  {
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(10);
    // Ends before it is told of the commit of 11.
  }
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(11);
  Commit(&changelog, 12);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(2));
}

TEST(ChangelogTest, GoesOnBehindTheGoReflectorsFile) {
  TestFolder folder;
  WriteAll(folder.Path("log"),
           "{\"seq\":41,\"family\":\"f\",\"table\":\"t\",\"key\":[]}\n"
           "{\"seq\":42,\"family\":\"f\",\"table\":\"t\",\"key\":[]}\n");
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(7);
  Commit(&changelog, 8);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(41, 42, 44));
}

TEST(ChangelogTest, AnotherDatabaseIsAJump) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(0);
  Commit(&changelog, 1);
  changelog.Attach(1);
  Commit(&changelog, 2);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(1, 3));
}

TEST(ChangelogTest, BeginsAnewBeforeTheFilePassesItsSize) {
  TestFolder folder;
  const std::string path = folder.Path("log");
  Changelog changelog(At(path, 1000));
  changelog.Attach(0);
  int64_t last = 0;
  int64_t sequence = 0;
  int files = 1;
  std::vector<int> kept_open;
  absl::optional<FileIdentity> file;
  while (files < 20) {
    ++sequence;
    Commit(&changelog, sequence, 1 + sequence % 3);
    const std::vector<int64_t> numbers = Numbers(path);
    ASSERT_LE(std::filesystem::file_size(path), 1000u);
    ASSERT_FALSE(numbers.empty());
    for (size_t i = 1; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], numbers[i - 1] + 1);
    if (!file.has_value()) file = IdentityOf(path);
    if (IdentityOf(path) != file) {
      // Held open, so that the number of the inode is not used again.
      kept_open.push_back(open(path.c_str(), O_RDONLY));
      file = IdentityOf(path);
      ++files;
      // More than one commit fits into a file, so what was new is in one of two.
      ASSERT_LE(numbers.front(), last + 3);
    } else if (files == 1 && kept_open.empty()) {
      kept_open.push_back(open(path.c_str(), O_RDONLY));
    }
    last = numbers.back();
  }
  EXPECT_EQ(changelog.counts().rotations, files - 1);
  EXPECT_EQ(changelog.counts().written, last);
  // A run later too.
  Changelog next(At(path, 1000));
  next.Attach(sequence);
  Commit(&next, sequence + 1, 1);
  EXPECT_EQ(Numbers(path).back(), last + 1);
  for (const int fd : kept_open) close(fd);
}

TEST(ChangelogTest, ACommitLargerThanTheFileLeavesTheLastLines) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log"), 1000));
  changelog.Attach(0);
  Commit(&changelog, 1, 100);
  const std::vector<int64_t> numbers = Numbers(folder.Path("log"));
  EXPECT_EQ(numbers.back(), 100);
  EXPECT_LT(numbers.size(), 20u);
  EXPECT_EQ(changelog.counts().written, 100);
  EXPECT_EQ(changelog.counts().lost, 0);
}

TEST(ChangelogTest, ALineLargerThanTheFileHasItsOwn) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log"), 10));
  changelog.Attach(0);
  Commit(&changelog, 1, 3);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(3));
}

TEST(ChangelogTest, NumbersGoOnWhereTheFileIsGoneAfterARestart) {
  TestFolder folder;
  {
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(0);
    Commit(&changelog, 1, 3);
  }
  std::filesystem::remove(folder.Path("log"));
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(1);
  Commit(&changelog, 2);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(4));
}

TEST(ChangelogTest, AFileThatOthersRemovedIsBegunAnew) {
  TestFolder folder;
  Changelog changelog(At(folder.Path("log")));
  changelog.Attach(0);
  Commit(&changelog, 1);
  std::filesystem::remove(folder.Path("log"));
  Commit(&changelog, 2);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(2));
  std::filesystem::rename(folder.Path("log"), folder.Path("log.1"));
  WriteAll(folder.Path("log"), "");
  Commit(&changelog, 3);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(3));
  EXPECT_THAT(Numbers(folder.Path("log.1")), ElementsAre(2));
  std::filesystem::resize_file(folder.Path("log"), 0);
  Commit(&changelog, 4);
  EXPECT_THAT(Numbers(folder.Path("log")), ElementsAre(4));
  EXPECT_EQ(changelog.counts().lost, 0);
}

TEST(ChangelogTest, ATornLineIsLeftBehind) {
  std::string whole;
  {
    TestFolder folder;
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(0);
    Commit(&changelog, 1, 2);
    whole = ReadAll(folder.Path("log"));
  }
  const size_t first_line = whole.find('\n') + 1;
  for (size_t size = first_line + 1; size < whole.size(); ++size) {
    TestFolder folder;
    WriteAll(folder.Path("log"), whole.substr(0, size));
    WriteAll(folder.Path("log.state"),
             "ctlstore-changelog-state 1 00000000000000000000 00000000000000000000\n");
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(1);
    Commit(&changelog, 2);
    const std::vector<int64_t> numbers = Numbers(folder.Path("log"));
    ASSERT_THAT(numbers, SizeIs(1));
    // A reader has seen the line 1, and has lost 2.
    ASSERT_GT(numbers[0], 2);
    ASSERT_EQ(changelog.counts().rotations, 1);
  }
}

TEST(ChangelogTest, WhatAPowerFailureLeftIsBegunAnew) {
  for (const std::string& text :
       {std::string(5000, '\0'), std::string("{\"seq\":1}\n") + std::string(300, '\0'),
        std::string("{\"seq\":x}\n"), std::string("{}\n"), std::string("{\"seq\":-5,}\n")}) {
    TestFolder folder;
    WriteAll(folder.Path("log"), text);
    Changelog changelog(At(folder.Path("log")));
    changelog.Attach(3);
    Commit(&changelog, 4);
    EXPECT_THAT(Numbers(folder.Path("log")), SizeIs(1));
  }
}

TEST(ChangelogTest, AFileOfOthersIsNotTouched) {
  TestFolder folder;
  const std::string path = folder.Path("log");
  WriteAll(path, "root:x:0:0\n");
  Changelog changelog(At(path, 20));
  CapturedLog log;
  changelog.Attach(3);
  Commit(&changelog, 4, 5);
  EXPECT_EQ(ReadAll(path), "root:x:0:0\n");
  EXPECT_EQ(changelog.counts().lost, 5);
  ASSERT_THAT(log.lines(), SizeIs(1));
  EXPECT_THAT(log.lines()[0], HasSubstr("is not a changelog"));
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  Commit(&changelog, 5);
  EXPECT_EQ(changelog.counts().lost, 6);
}

TEST(ChangelogTest, WhatCannotBeWrittenIsAJumpAndIsLoggedOnce) {
  TestFolder folder;
  const std::string place = folder.Path("place");
  std::filesystem::create_directory(place);
  CapturedLog log;
  Changelog changelog(At(place + "/log"));
  changelog.Attach(0);
  Commit(&changelog, 1);
  std::filesystem::remove_all(place);
  Commit(&changelog, 2, 2);
  Commit(&changelog, 3, 3);
  EXPECT_EQ(changelog.counts().lost, 5);
  ASSERT_THAT(log.lines(), SizeIs(1));
  EXPECT_THAT(log.lines()[0], HasSubstr("event=changelog_failed"));
  std::filesystem::create_directory(place);
  Commit(&changelog, 4);
  Commit(&changelog, 5);
  EXPECT_THAT(Numbers(place + "/log"), ElementsAre(7, 8));
  EXPECT_EQ(changelog.counts().written, 3);
  ASSERT_THAT(log.lines(), SizeIs(2));
  EXPECT_THAT(log.lines()[1], HasSubstr("event=changelog_written_again"));
  EXPECT_THAT(log.lines()[1], HasSubstr("lost=5"));
}

TEST(ChangelogTest, ATroubleOfTheFirstRunIsAJumpInTheNext) {
  TestFolder folder;
  const std::string place = folder.Path("place");
  {
    Changelog changelog(At(place + "/log"));
    changelog.Attach(0);
    Commit(&changelog, 1);
    EXPECT_EQ(changelog.counts().lost, 1);
    std::filesystem::create_directory(place);
    Commit(&changelog, 2);
    EXPECT_THAT(Numbers(place + "/log"), ElementsAre(2));
    std::filesystem::remove(place + "/log");
    std::filesystem::create_directory(place + "/log");
    Commit(&changelog, 3);
    std::filesystem::remove(place + "/log");
  }
  Changelog changelog(At(place + "/log"));
  changelog.Attach(3);
  Commit(&changelog, 4);
  EXPECT_THAT(Numbers(place + "/log"), ElementsAre(4));
}

// As on a full disk: files can be this large and no larger.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &old_limit_);
    old_handler_ = signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = old_limit_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_limit_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  struct rlimit old_limit_;
  sighandler_t old_handler_;
};

TEST(ChangelogTest, AWriteThatIsCutOffLeavesWholeLinesAndAJump) {
  for (int limit = 200; limit < 1400; limit += 37) {
    TestFolder folder;
    const std::string path = folder.Path("log");
    Changelog changelog(At(path));
    changelog.Attach(0);
    int fd = -1;
    {
      FileSizeLimit full(limit);
      Commit(&changelog, 1, 1);
      fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      Commit(&changelog, 2, 15);
    }
    ASSERT_EQ(changelog.counts().written + changelog.counts().lost, 16);
    ASSERT_GT(changelog.counts().lost, 0);
    // What a consumer can have seen: the lines that are whole.
    std::string seen = ReadAll(absl::StrCat("/proc/self/fd/", fd));
    close(fd);
    const int64_t whole = std::count(seen.begin(), seen.end(), '\n');
    ASSERT_EQ(whole, changelog.counts().written);
    Commit(&changelog, 3);
    const std::vector<int64_t> numbers = Numbers(path);
    ASSERT_EQ(numbers.back(), 17);
    ASSERT_TRUE(numbers.size() == 1 || numbers[numbers.size() - 2] == whole);
    ASSERT_EQ(changelog.counts().written, whole + 1);
  }
}

TEST(ChangelogTest, KilledAtAnyMomentNoLineIsMissedWithoutAJump) {
  TestFolder folder;
  const std::string path = folder.Path("log");
  // Stands for the database: the position, and nothing else.
  const std::string database = folder.Path("database");
  const auto applied_sequence = [&] {
    int64_t sequence = 0;
    std::ifstream(database) >> sequence;
    return sequence;
  };
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      Changelog changelog(At(path, 20000));
      int64_t sequence = applied_sequence();
      changelog.Attach(sequence);
      std::mt19937 own(round);
      while (true) {
        ++sequence;
        TestChanges changes;
        for (int i = own() % 10; i >= 0; --i) changes.Key(sequence, "tbl", sequence * 1000 + i);
        changelog.Committing(changes.span());
        WriteAll(database + ".new", absl::StrCat(sequence));
        std::filesystem::rename(database + ".new", database);
        changelog.Committed(changes.span(), sequence);
        if (write(ready[1], "x", 1) != 1) _exit(1);
      }
    }
    close(ready[1]);
    char byte;
    for (int i = random() % 40; i >= 0; --i) {
      ASSERT_EQ(read(ready[0], &byte, 1), 1);
    }
    for (int i = random() % 2000; i > 0; --i) sched_yield();
    kill(pid, SIGKILL);
    ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
    close(ready[0]);
    // Whole lines only, but for the last one. Where numbers follow one another, so do commits and
    // the keys in them.
    const std::string text = ReadAll(path);
    int64_t number = -1;
    int64_t key = -1;
    for (absl::string_view line :
         absl::StrSplit(text.substr(0, text.rfind('\n') + 1), '\n', absl::SkipEmpty())) {
      const auto json = nlohmann::json::parse(line.begin(), line.end());
      const int64_t next_key = json["key"][0]["value"];
      if (json["seq"] == number + 1) {
        ASSERT_TRUE(next_key == key - 1 || (key % 1000 == 0 && next_key / 1000 == key / 1000 + 1))
            << "round " << round << " " << key << " " << line;
      }
      ASSERT_GT(json["seq"], number);
      number = json["seq"];
      key = next_key;
    }
  }
}

}  // namespace
}  // namespace ctlstore::ldb
