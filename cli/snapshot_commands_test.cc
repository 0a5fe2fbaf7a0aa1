// `ctlstore snapshot ...` as its users meet it: the real binary, its output and its exit status.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/subprocess.h"
#include "cli/verify/verifier_test_base.h"
#include "common/schema/table_schema.h"

namespace ctlstore::cli {
namespace {

using ::ctlstore::ctldb::testing::MustQuery;
using ::ctlstore::ctldb::testing::MustSchema;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

void Write(const std::string& path, const std::string& contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << contents;
}

class SnapshotCommandsTest : public VerifierTest {
 protected:
  struct Outcome {
    int status = -1;
    std::string output;
    std::string errors;
  };

  SnapshotCommandsTest()
      : place_(std::filesystem::path(folder_ + "/place").lexically_normal().string()),
        url_("file://" + place_),
        flags_(MustSchema("shop", "flags",
                          {{"name", FieldType::kString}, {"note", FieldType::kText}}, {"name"})) {
    executive_->Create(flags_);
    Put("first");
  }

  void Put(const std::string& name) {
    EXPECT_TRUE(
        executive_->Write(flags_, {{Value::Text(name), Value::Text(std::string(5000, 'n'))}}));
    Reflect();
  }

  Outcome Run(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(
        arguments.begin(),
        {absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore"), "snapshot"});
    Subprocess process(folder_, arguments, input);
    Outcome outcome;
    outcome.status = process.WaitForExit(absl::Minutes(2));
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }

  // The id.
  std::string MustTake(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"take", "--ldb=" + ldb_path_, "--json", url_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
    return json::parse(outcome.output)["id"];
  }

  json MustList(const std::string& url) {
    const Outcome outcome = Run({"list", "--json", url});
    EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
    return json::parse(outcome.output);
  }

  // Of the place, those with this ending.
  std::vector<std::string> FilesOf(const std::string& id, const std::string& ending) {
    std::vector<std::string> files;
    for (const auto& file : std::filesystem::directory_iterator(place_)) {
      const std::string path = file.path().string();
      if (absl::StrContains(path, id) && absl::EndsWith(path, ending)) files.push_back(path);
    }
    return files;
  }
  std::string ObjectOf(const std::string& id) {
    const std::vector<std::string> files = FilesOf(id, ".zst");
    EXPECT_EQ(files.size(), 1u);
    return files.at(0);
  }

  const std::string place_;
  const std::string url_;
  const TableSchema flags_;
};

// What the commands do to a ctldb is tested with both kinds; all else does not depend on it.
using SnapshotRestoreCommandTest = SnapshotCommandsTest;
CTLSTORE_FOR_BOTH_KINDS(SnapshotRestoreCommandTest);

class SnapshotPlacesTest : public SnapshotCommandsTest {};
INSTANTIATE_TEST_SUITE_P(Sqlite, SnapshotPlacesTest, testing::Values(ctldb::Target::Kind::kSqlite));

TEST_P(SnapshotPlacesTest, ListShowsTheNewestFirstAndWhatIsInIt) {
  EXPECT_THAT(MustList(url_)["snapshots"], IsEmpty());
  const std::string first = MustTake();
  Put("second");
  const std::string second = MustTake();
  const json snapshots = MustList(url_)["snapshots"];
  ASSERT_EQ(snapshots.size(), 2u);
  EXPECT_EQ(snapshots[0]["id"], second);
  EXPECT_EQ(snapshots[1]["id"], first);
  EXPECT_EQ(snapshots[0]["sequence"], 3);
  EXPECT_EQ(snapshots[0]["tables"], 1);
  EXPECT_EQ(snapshots[0]["rows"], 2);
  EXPECT_EQ(snapshots[1]["rows"], 1);
  EXPECT_EQ(snapshots[0]["compression"], "zstd");
  EXPECT_EQ(snapshots[0]["place"], url_);
  EXPECT_THAT(snapshots[0]["families"], IsEmpty());
  EXPECT_EQ(snapshots[0]["object_bytes"].get<int64_t>(),
            static_cast<int64_t>(std::filesystem::file_size(ObjectOf(second))));

  const Outcome text = Run({"list", url_});
  EXPECT_THAT(text.output, AllOf(StartsWith("ID "), HasSubstr(second + "  3 "),
                                 HasSubstr(" zstd  "), HasSubstr(" all  ")));
}

TEST_P(SnapshotPlacesTest, APlaceThatCannotBeAskedIsNamedAndTheOthersAreShown) {
  const std::string id = MustTake();
  const Outcome outcome =
      Run({"list", "http://127.0.0.1:1/nothing", url_, "--object_store_max_attempts=1"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_THAT(outcome.output, HasSubstr(id));
  EXPECT_THAT(outcome.errors, HasSubstr("http://127.0.0.1:1/nothing"));

  EXPECT_EQ(Run({"list"}).status, kExitUsage);
  EXPECT_EQ(Run({"list", "ftp://host/x"}).status, kExitUsage);
}

TEST_P(SnapshotPlacesTest, FetchMakesAPlainFileOfTheSameRows) {
  const std::string first = MustTake();
  Put("second");
  MustTake();
  const std::string to = folder_ + "/copy.db";
  Outcome outcome = Run({"fetch", "--to=" + to, url_});
  ASSERT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_THAT(outcome.output, HasSubstr("sequence 3"));
  Verifier::Options options = HastyOptions();
  options.ldb_path = to;
  EXPECT_EQ(VerifierTest::Run(options)->verdict(), Verdict::kEqual);
  EXPECT_FALSE(std::filesystem::exists(to + ".fetch"));

  const std::string before = Contents(to);
  outcome = Run({"fetch", "--to=" + to, "--snapshot=" + first, url_});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_THAT(outcome.errors, HasSubstr("--force"));
  EXPECT_EQ(Contents(to), before);
  Write(to + "-wal", "another file's");
  outcome = Run({"fetch", "--to=" + to, "--snapshot=" + first, "--force", "--json", url_});
  ASSERT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(json::parse(outcome.output)["sequence"], 2);
  EXPECT_FALSE(std::filesystem::exists(to + "-wal"));

  outcome = Run({"fetch", "--to=" + to, "--force",
                 "--snapshot=00000000000000000099-20260101T000000Z-00000000", url_});
  EXPECT_EQ(outcome.status, kExitNotFound) << outcome.errors;
  EXPECT_EQ(Run({"fetch", url_}).status, kExitUsage);
}

TEST_P(SnapshotPlacesTest, FetchDoesNotReplaceWhatAReflectorWrites) {
  MustTake();
  const auto reflector = NewReflector();
  const Outcome outcome = Run({"fetch", "--to=" + ldb_path_, "--force", url_});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_THAT(outcome.errors, HasSubstr("a reflector keeps"));
}

TEST_P(SnapshotPlacesTest, FetchTakesTheNewestThatIsGood) {
  const std::string first = MustTake();
  Put("second");
  const std::string damaged = MustTake();
  std::string object = Contents(ObjectOf(damaged));
  object[object.size() / 2] ^= 1;
  Write(ObjectOf(damaged), object);
  const Outcome outcome = Run({"fetch", "--to=" + folder_ + "/copy.db", "--json", url_});
  ASSERT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(json::parse(outcome.output)["id"], first);
}

TEST_P(SnapshotPlacesTest, VerifyFindsWhatIsDamaged) {
  const std::string first = MustTake();
  Put("second");
  const std::string second = MustTake();
  const auto verify = [this](std::vector<std::string> more) {
    more.insert(more.begin(), {"verify", url_});
    return Run(more);
  };
  Outcome outcome = verify({});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_THAT(outcome.output, MatchesRegex(absl::StrCat("good +", url_, "/", second,
                                                        ": sequence 3, [0-9]+ bytes, 1 tables\n")));
  outcome = verify({"--all"});
  EXPECT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr(first), HasSubstr(second)));

  const std::string path = ObjectOf(first);
  const std::string object = Contents(path);
  for (const bool deep : {true, false}) {
    const std::string flag = deep ? "--deep" : "--nodeep";
    std::string wrong = object;
    wrong[object.size() - 3] ^= 4;
    Write(path, wrong);
    outcome = verify({"--all", flag});
    EXPECT_EQ(outcome.status, kExitDiffers);
    EXPECT_THAT(outcome.output, AllOf(HasSubstr("DAMAGED  " + url_ + "/" + first),
                                      HasSubstr("good     " + url_ + "/" + second)));
    Write(path, object.substr(0, object.size() - 1));
    EXPECT_EQ(verify({"--snapshot=" + first, flag}).status, kExitDiffers);
    Write(path, object + "x");
    EXPECT_EQ(verify({"--snapshot=" + first, flag}).status, kExitDiffers);
    std::filesystem::remove(path);
    EXPECT_EQ(verify({"--snapshot=" + first, flag}).status, kExitDiffers);
    Write(path, object);
    EXPECT_EQ(verify({"--snapshot=" + first, flag}).status, kExitOk);
  }
  EXPECT_EQ(verify({"--snapshot=00"}).status, kExitNotFound);
}

TEST_P(SnapshotPlacesTest, VerifyComparesEachTableWithTheManifest) {
  const std::string id = MustTake();
  const std::string path = place_ + "/" + id + ".json";
  const json manifest = json::parse(Contents(path));
  const auto expect_damaged = [&](const json& wrong, const std::string& what) {
    Write(path, wrong.dump());
    const Outcome outcome = Run({"verify", url_});
    EXPECT_EQ(outcome.status, kExitDiffers) << outcome.errors;
    EXPECT_THAT(outcome.output, AllOf(StartsWith("DAMAGED"), HasSubstr(what)));
    // The object itself is good.
    EXPECT_EQ(Run({"verify", "--nodeep", url_}).status, kExitOk);
  };
  json wrong = manifest;
  wrong["tables"][0]["rows"] = 7;
  expect_damaged(wrong, "shop.flags");
  wrong = manifest;
  std::string checksum = wrong["tables"][0]["checksum"];
  checksum[5] = checksum[5] == '0' ? '1' : '0';
  wrong["tables"][0]["checksum"] = checksum;
  expect_damaged(wrong, "shop.flags");
  wrong = manifest;
  wrong["tables"].erase(0);
  expect_damaged(wrong, "shop.flags");
  wrong = manifest;
  wrong["tables"][0]["table"] = "other";
  expect_damaged(wrong, "shop.");
  Write(path, manifest.dump());
  EXPECT_EQ(Run({"verify", url_}).status, kExitOk);
  Write(path, manifest.dump().substr(0, 100));
  EXPECT_EQ(Run({"verify", url_}).status, kExitDiffers);
}

TEST_P(SnapshotPlacesTest, TakePutsTheSameIntoEachPlaceThatCanBeHad) {
  const std::string other = "file://" + folder_ + "/other";
  const std::string single = "file://" + folder_ + "/single/snapshot.db.gz";
  const std::string blocked = place_ + "-blocked";
  Write(blocked, "no folder");
  const Outcome outcome = Run({"take", "--ldb=" + ldb_path_, "--compression=gzip",
                               "file://" + blocked, url_, other, single});
  EXPECT_NE(outcome.status, kExitOk);
  EXPECT_THAT(outcome.errors, HasSubstr(blocked));
  const json here = MustList(url_)["snapshots"], there = MustList(other)["snapshots"];
  ASSERT_EQ(here.size(), 1u);
  EXPECT_EQ(here[0]["compression"], "gzip");
  EXPECT_EQ(here[0]["id"], there[0]["id"]);
  EXPECT_EQ(MustList(single)["objects"].size(), 1u);
  EXPECT_EQ(Run({"verify", single, other, url_}).status, kExitOk);
  const Outcome shallow = Run({"verify", "--nodeep", single});
  EXPECT_NE(shallow.status, kExitOk);
  EXPECT_THAT(shallow.output, StartsWith("UNKNOWN"));

  EXPECT_EQ(Run({"take", "--ldb=" + folder_ + "/nothing.db", url_}).status, kExitNotFound);
  EXPECT_EQ(Run({"take", "--compression=lzma", "--ldb=" + ldb_path_, url_}).status, kExitUsage);
}

TEST_P(SnapshotRestoreCommandTest, FillsAnEmptyCtldbAndTellsWhatIsToBeDone) {
  const std::string id = MustTake();
  const ctldb::Target target = ctldb::testing::NewTarget(GetParam());
  const std::vector<std::string> restore = {"restore", "--ctldb=" + target.ToString(), url_};
  const auto with = [&restore](std::vector<std::string> more) {
    more.insert(more.begin(), restore.begin(), restore.end());
    return more;
  };
  Outcome outcome = Run(restore);
  EXPECT_EQ(outcome.status, kExitUsage);
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("--yes"), HasSubstr(id), HasSubstr("sequence 2")));
  EXPECT_EQ(Run(with({"--yes", "--sequence_jump=1"})).status, kExitUsage);

  outcome = Run(with({"--yes", "--sequence_jump=500"}));
  ASSERT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("1 families, 1 tables, 1 rows"), HasSubstr("behind sequence 502"),
                    HasSubstr("ctlstore writer register")));
  const auto connection = ctldb::testing::MustOpen(target, options_);
  EXPECT_EQ(MustQuery(connection.get(), "SELECT name FROM shop___flags")[0][0],
            Value::Text("first"));

  outcome = Run(with({"--yes"}));
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_THAT(outcome.errors, HasSubstr("is not empty"));
}

TEST_P(SnapshotRestoreCommandTest, TakesTheSnapshotThatIsNamedAndNoOtherInItsPlace) {
  const std::string first = MustTake();
  Put("second");
  const std::string second = MustTake();
  std::string object = Contents(ObjectOf(second));
  object[object.size() / 2] ^= 1;
  Write(ObjectOf(second), object);
  const ctldb::Target target = ctldb::testing::NewTarget(GetParam());
  const std::vector<std::string> restore = {"restore", "--ctldb=" + target.ToString(), "--yes",
                                            "--json", url_};
  Outcome outcome = Run(restore);
  EXPECT_NE(outcome.status, kExitOk);
  EXPECT_THAT(outcome.errors, HasSubstr("SNAPSHOT_DAMAGED"));
  std::vector<std::string> named = restore;
  named.push_back("--snapshot=" + first);
  outcome = Run(named);
  ASSERT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(json::parse(outcome.output)["snapshot_sequence"], 2);
}

TEST_P(SnapshotRestoreCommandTest, GoesOverSnapshotsThatLackFamilies) {
  const std::string whole = MustTake();
  Put("second");
  InLdb("UPDATE _ldb_state SET value = 'shop' WHERE name = 'families'");
  const std::string part = MustTake();
  ASSERT_NE(part, whole);
  const ctldb::Target target = ctldb::testing::NewTarget(GetParam());
  std::vector<std::string> restore = {"restore", "--ctldb=" + target.ToString(), "--yes", "--json",
                                      url_};
  restore.push_back("--snapshot=" + part);
  Outcome outcome = Run(restore);
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_THAT(outcome.errors, HasSubstr("only the families shop"));
  restore.pop_back();
  outcome = Run(restore);
  ASSERT_EQ(outcome.status, kExitOk) << outcome.errors;
  EXPECT_EQ(json::parse(outcome.output)["snapshot_sequence"], 2);
}

}  // namespace
}  // namespace ctlstore::cli
