#include "common/object_store/file_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/schema/errors.h"

namespace ctlstore::object_store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class FileStoreTest : public ::testing::Test {
 protected:
  FileStoreTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/file_store_XXXXXX");
    root_ = mkdtemp(&pattern[0]);
    store_ = Open();
  }
  ~FileStoreTest() override { std::filesystem::remove_all(root_); }

  // Not there at first.
  std::string folder() const { return root_ + "/a/store"; }

  std::unique_ptr<FileStore> Open() const {
    const auto url = ParseStoreUrl("file://" + folder());
    EXPECT_TRUE(url.ok()) << url.status();
    return std::make_unique<FileStore>(*url);
  }

  absl::StatusOr<std::string> Read(absl::string_view key, ObjectStore::ReadOptions options = {}) {
    std::string read;
    absl::Status status = store_->Read(key, options, [&](absl::string_view piece) {
      read.append(piece.data(), piece.size());
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return read;
  }

  std::vector<std::string> Keys(absl::string_view prefix = "") {
    const auto objects = store_->List(prefix);
    EXPECT_TRUE(objects.ok()) << objects.status();
    std::vector<std::string> keys;
    if (objects.ok()) {
      for (const ObjectInfo& object : *objects) keys.push_back(object.key);
    }
    return keys;
  }

  // All files in the folder by name, hidden ones too.
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder())) {
      if (!entry.is_directory()) {
        names.push_back(std::filesystem::relative(entry.path(), folder()));
      }
    }
    return names;
  }

  void Write(const std::string& path, absl::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }

  static std::string RandomText(size_t size) {
    std::mt19937_64 random(size);
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  }

  std::string root_;
  std::unique_ptr<FileStore> store_;
};

TEST_F(FileStoreTest, WhatIsPutCanBeReadListedAndLookedAt) {
  const absl::Time before = absl::Now() - absl::Seconds(2);
  ASSERT_EQ(store_->Put("x/one", "hello", {}), absl::OkStatus());
  ASSERT_EQ(store_->Put("two", "", {}), absl::OkStatus());
  EXPECT_EQ(*Read("x/one"), "hello");
  EXPECT_EQ(*Read("two"), "");
  EXPECT_THAT(Keys(), ElementsAre("two", "x/one"));
  const auto info = store_->Stat("x/one");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->key, "x/one");
  EXPECT_EQ(info->size, 5);
  EXPECT_GT(info->modified, before);
  EXPECT_THAT(info->metadata, IsEmpty());
  const auto listed = store_->List("x/");
  ASSERT_TRUE(listed.ok() && listed->size() == 1);
  EXPECT_EQ((*listed)[0].version, info->version);
  EXPECT_EQ((*listed)[0].size, 5);
  EXPECT_EQ((*listed)[0].modified, info->modified);
  // Nothing else is left there.
  EXPECT_THAT(Files(), UnorderedElementsAre("two", "x/one"));
}

TEST_F(FileStoreTest, LargeFilesArePutAsTheyAre) {
  const std::string text = RandomText((size_t{20} << 20) + 12345);
  Write(root_ + "/from", text);
  ASSERT_EQ(store_->PutFile("large", root_ + "/from", {}), absl::OkStatus());
  EXPECT_TRUE(*Read("large") == text);
  ASSERT_EQ(store_->Put("large2", text, {}), absl::OkStatus());
  EXPECT_TRUE(*Read("large2") == text);
}

TEST_F(FileStoreTest, AFileThatTheSystemCannotCopyIsPutToo) {
  // On another file system, and of a kind that says it is empty.
  ASSERT_EQ(store_->PutFile("status", "/proc/self/limits", {}), absl::OkStatus());
  EXPECT_THAT(*Read("status"), HasSubstr("Max open files"));
}

TEST_F(FileStoreTest, AFileThatIsNotThereIsNotPut) {
  const absl::Status status = store_->PutFile("key", root_ + "/none", {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(root_ + "/none"));
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_F(FileStoreTest, ListsByPrefix) {
  for (const char* key : {"a", "ab/c", "ab/d/e", "b", "aa"}) {
    ASSERT_EQ(store_->Put(key, "", {}), absl::OkStatus());
  }
  EXPECT_THAT(Keys("a"), ElementsAre("a", "aa", "ab/c", "ab/d/e"));
  EXPECT_THAT(Keys("ab"), ElementsAre("ab/c", "ab/d/e"));
  EXPECT_THAT(Keys("ab/d"), ElementsAre("ab/d/e"));
  EXPECT_THAT(Keys("ab/d/"), ElementsAre("ab/d/e"));
  EXPECT_THAT(Keys("c/d"), IsEmpty());
  EXPECT_THAT(Keys("a/"), IsEmpty());
  EXPECT_EQ(store_->List("../").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(FileStoreTest, AFolderThatIsNotThereIsEmpty) {
  EXPECT_THAT(Keys(), IsEmpty());
  EXPECT_EQ(store_->Stat("key").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Read("key").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Delete("key"), absl::OkStatus());
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now()), absl::OkStatus());
}

TEST_F(FileStoreTest, OtherThingsInTheFolderAreNoObjects) {
  ASSERT_EQ(store_->Put("sub/object", "1", {}), absl::OkStatus());
  std::filesystem::create_directory_symlink("..", folder() + "/sub/loop");
  std::filesystem::create_symlink("nowhere", folder() + "/dangling");
  ASSERT_EQ(mkfifo((folder() + "/pipe").c_str(), 0600), 0);
  Write(folder() + "/line\nbreak", "");
  Write(folder() + "/.uploading-1", "half");
  EXPECT_THAT(Keys(), ElementsAre("sub/object"));
  for (const char* key : {"sub", "pipe", "dangling"}) {
    EXPECT_EQ(store_->Stat(key).status().code(), absl::StatusCode::kNotFound) << key;
    EXPECT_EQ(Read(key).status().code(), absl::StatusCode::kNotFound) << key;
  }
  EXPECT_EQ(store_->Delete("sub"), absl::OkStatus());
  EXPECT_THAT(Keys(), ElementsAre("sub/object"));
  // Files of other programs are objects.
  std::filesystem::create_symlink("sub/object", folder() + "/link");
  EXPECT_EQ(*Read("link"), "1");
}

TEST_F(FileStoreTest, KeysDoNotLeadOutOfTheFolder) {
  Write(root_ + "/secret", "x");
  ASSERT_EQ(store_->Put("here", "", {}), absl::OkStatus());
  for (const char* key : {"../../secret", "/etc/passwd", "", "a/../../../secret", ".uploading-x"}) {
    EXPECT_EQ(Read(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->Stat(key).status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->Put(key, "", {}).code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(store_->PutFile(key, root_ + "/secret", {}).code(),
              absl::StatusCode::kInvalidArgument)
        << key;
    EXPECT_EQ(store_->Delete(key).code(), absl::StatusCode::kInvalidArgument) << key;
  }
  EXPECT_TRUE(std::filesystem::exists(root_ + "/secret"));
}

TEST_F(FileStoreTest, ReadsRanges) {
  const std::string text = RandomText(700000);
  ASSERT_EQ(store_->Put("key", text, {}), absl::OkStatus());
  const auto range = [&](int64_t offset, int64_t length) {
    return Read("key", {offset, length, ""});
  };
  EXPECT_EQ(*range(0, 0), "");
  EXPECT_EQ(*range(1000, 600000), text.substr(1000, 600000));
  EXPECT_EQ(*range(699999, 1), text.substr(699999));
  EXPECT_EQ(*range(650000, -1), text.substr(650000));
  EXPECT_EQ(*range(700000, -1), "");
  EXPECT_EQ(*range(700000, 0), "");
  EXPECT_EQ(range(0, 700001).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(range(700000, 1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(range(700001, -1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(range(-1, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(FileStoreTest, TheSinksErrorEndsTheReading) {
  ASSERT_EQ(store_->Put("key", RandomText(1000000), {}), absl::OkStatus());
  int calls = 0;
  const absl::Status status = store_->Read("key", {}, [&](absl::string_view) {
    return ++calls == 2 ? absl::DataLossError("enough") : absl::OkStatus();
  });
  EXPECT_EQ(status, absl::DataLossError("enough"));
  EXPECT_EQ(calls, 2);
}

TEST_F(FileStoreTest, AnotherObjectHasAnotherVersion) {
  ASSERT_EQ(store_->Put("key", "one", {}), absl::OkStatus());
  const std::string version = store_->Stat("key")->version;
  EXPECT_EQ(*Read("key", {0, -1, version}), "one");
  ASSERT_EQ(store_->Put("key", "two", {}), absl::OkStatus());
  EXPECT_NE(store_->Stat("key")->version, version);
  const absl::Status status = Read("key", {0, -1, version}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(HasReason(status, reason::kObjectChanged));
}

TEST_F(FileStoreTest, WhoReadsWhileItIsReplacedSeesTheOldOneToTheEnd) {
  const std::string old = RandomText(1000000);
  ASSERT_EQ(store_->Put("key", old, {}), absl::OkStatus());
  std::string read;
  ASSERT_EQ(store_->Read("key", {},
                         [&](absl::string_view piece) {
                           if (read.empty()) {
                             EXPECT_EQ(store_->Put("key", "new", {}), absl::OkStatus());
                           }
                           read.append(piece.data(), piece.size());
                           return absl::OkStatus();
                         }),
            absl::OkStatus());
  EXPECT_TRUE(read == old);
  EXPECT_EQ(*Read("key"), "new");
}

class FileStoreMetadataTest : public FileStoreTest {
 protected:
  void SetUp() override {
    Write(root_ + "/probe", "");
    if (setxattr((root_ + "/probe").c_str(), "user.probe", "1", 1, 0) != 0 && errno == ENOTSUP) {
      GTEST_SKIP() << "the file system has no extended attributes";
    }
  }
};

TEST_F(FileStoreMetadataTest, IsKeptWithTheObject) {
  ObjectStore::PutOptions options;
  options.metadata = {{"checksum", "abc=/+"}, {"x-2", "a = b"}};
  ASSERT_EQ(store_->Put("key", "one", options), absl::OkStatus());
  EXPECT_THAT(store_->Stat("key")->metadata,
              ElementsAre(Pair("checksum", "abc=/+"), Pair("x-2", "a = b")));
  ASSERT_EQ(store_->Put("key", "two", {}), absl::OkStatus());
  EXPECT_THAT(store_->Stat("key")->metadata, IsEmpty());
}

TEST_F(FileStoreMetadataTest, IsNotBelievedOfAFileThatOthersHaveWrittenOver) {
  ObjectStore::PutOptions options;
  options.metadata = {{"checksum", "abc"}};
  ASSERT_EQ(store_->Put("key", "one", options), absl::OkStatus());
  const auto modified = std::filesystem::last_write_time(folder() + "/key");
  // The attribute stays, the size changes.
  std::ofstream(folder() + "/key", std::ios::binary | std::ios::app) << "!";
  std::filesystem::last_write_time(folder() + "/key", modified);
  EXPECT_THAT(store_->Stat("key")->metadata, IsEmpty());
  // The same for the time.
  ASSERT_EQ(store_->Put("key", "one", options), absl::OkStatus());
  std::filesystem::last_write_time(folder() + "/key", modified - std::chrono::seconds(1));
  EXPECT_THAT(store_->Stat("key")->metadata, IsEmpty());
}

TEST_F(FileStoreTest, MetadataThatNotEveryStoreTakesIsRefused) {
  for (const auto& metadata :
       std::vector<std::map<std::string, std::string>>{{{"", "x"}},
                                                       {{"Upper", "x"}},
                                                       {{"a=b", "x"}},
                                                       {{"a", "x\ny"}},
                                                       {{"a", "\xc3\xb6"}},
                                                       {{"a", std::string(3000, 'x')}}}) {
    ObjectStore::PutOptions options;
    options.metadata = metadata;
    EXPECT_EQ(store_->Put("key", "", options).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(store_->Stat("key").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileStoreTest, DeletesObjects) {
  ASSERT_EQ(store_->Put("a/key", "one", {}), absl::OkStatus());
  EXPECT_EQ(store_->Delete("a/key"), absl::OkStatus());
  EXPECT_EQ(store_->Delete("a/key"), absl::OkStatus());
  EXPECT_EQ(store_->Delete("a/key/below"), absl::OkStatus());
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_F(FileStoreTest, RemovesWhatIsHalfWrittenAndOld) {
  ASSERT_EQ(store_->Put("sub/key", "one", {}), absl::OkStatus());
  Write(folder() + "/.uploading-old", "half");
  Write(folder() + "/sub/.uploading-old", "half");
  Write(folder() + "/.uploading-new", "half");
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const char* name : {"/.uploading-old", "/sub/.uploading-old", "/sub/key"}) {
    std::filesystem::last_write_time(folder() + name, now - std::chrono::hours(25));
  }
  EXPECT_EQ(store_->RemoveUnfinished(absl::Now() - absl::Hours(24)), absl::OkStatus());
  EXPECT_THAT(Files(), UnorderedElementsAre("sub/key", ".uploading-new"));
}

// Files may have no more than so many bytes while it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    struct rlimit limit = before_;
    limit.rlim_cur = bytes;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  struct rlimit before_ {};
};

TEST_F(FileStoreTest, WithoutRoomTheOldOneStaysAndNothingElseDoes) {
  ASSERT_EQ(store_->Put("key", "old", {}), absl::OkStatus());
  const std::string text = RandomText(1 << 20);
  Write(root_ + "/from", text);
  {
    const FileSizeLimit limit(100000);
    const absl::Status status = store_->PutFile("key", root_ + "/from", {});
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("key"));
    EXPECT_EQ(store_->Put("key", text, {}).code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(*Read("key"), "old");
  EXPECT_THAT(Files(), ElementsAre("key"));
}

TEST_F(FileStoreTest, AFileWhereAFolderShouldBeIsAnError) {
  ASSERT_EQ(store_->Put("file", "one", {}), absl::OkStatus());
  ASSERT_EQ(store_->Put("folder/key", "one", {}), absl::OkStatus());
  EXPECT_EQ(store_->Put("file/key", "", {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_->Put("folder", "", {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_->Stat("file/key").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Files(), UnorderedElementsAre("file", "folder/key"));
}

TEST_F(FileStoreTest, SaysWhereItMayNot) {
  ASSERT_EQ(store_->Put("sub/key", "one", {}), absl::OkStatus());
  ASSERT_EQ(chmod((folder() + "/sub").c_str(), 0), 0);
  // Root may do everything.
  const bool root = geteuid() == 0;
  ASSERT_EQ(root ? seteuid(65534) : 0, 0);
  const absl::Status put = store_->Put("sub/new", "", {});
  const absl::Status read = Read("sub/key").status();
  const absl::Status removed = store_->Delete("sub/key");
  ASSERT_EQ(root ? seteuid(0) : 0, 0);
  EXPECT_EQ(put.code(), absl::StatusCode::kPermissionDenied) << put;
  EXPECT_EQ(read.code(), absl::StatusCode::kPermissionDenied) << read;
  EXPECT_EQ(removed.code(), absl::StatusCode::kPermissionDenied) << removed;
  ASSERT_EQ(chmod((folder() + "/sub").c_str(), 0755), 0);
}

TEST_F(FileStoreTest, AfterCancelNothingIsDone) {
  const std::string text = RandomText(1000000);
  ASSERT_EQ(store_->Put("key", text, {}), absl::OkStatus());
  EXPECT_EQ(store_
                ->Read("key", {},
                       [&](absl::string_view) {
                         store_->Cancel();
                         return absl::OkStatus();
                       })
                .code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(store_->Put("other", "x", {}).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(store_->PutFile("other", folder() + "/key", {}).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(store_->List("").status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(store_->Stat("key").status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(store_->Delete("key").code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(Files(), ElementsAre("key"));
}

// A writer that is killed at any moment leaves a whole object, and what it leaves besides is
// removed later.
TEST_F(FileStoreTest, AKilledWriterLeavesWholeObjects) {
  std::mt19937 random(20260302);
  const auto text_of = [](int n) { return std::string(3 << 20, static_cast<char>('a' + n)); };
  ASSERT_EQ(store_->Put("key", text_of(0), {}), absl::OkStatus());
  for (int round = 0; round < 15; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int n = 0;; n = (n + 1) % 4) {
        if (!store_->Put("key", text_of(n), {}).ok()) _exit(1);
      }
    }
    absl::SleepFor(absl::Milliseconds(random() % 60));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const auto read = Read("key");
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_TRUE(!read->empty() && *read == text_of((*read)[0] - 'a'));
  }
  EXPECT_THAT(Keys(), ElementsAre("key"));
  ASSERT_EQ(store_->RemoveUnfinished(absl::InfiniteFuture()), absl::OkStatus());
  EXPECT_THAT(Files(), ElementsAre("key"));
}

}  // namespace
}  // namespace ctlstore::object_store
