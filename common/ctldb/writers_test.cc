#include "common/ctldb/writers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ctldb/testing/ctldb_test_base.h"
#include "common/schema/errors.h"

namespace ctlstore::ctldb {
namespace {

using ::ctlstore::ctldb::testing::CtldbTest;
using ::ctlstore::ctldb::testing::MustQuery;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class WritersTest : public CtldbTest {};

CTLSTORE_FOR_BOTH_KINDS(WritersTest);

TEST_P(WritersTest, KeepsASecretHashAndACookie) {
  std::unique_ptr<Connection> connection = OpenReady();
  EXPECT_FALSE(ReadWriter(connection.get(), "importer")->has_value());
  EXPECT_TRUE(*AddWriter(connection.get(), "importer", "hash one"));
  EXPECT_FALSE(*AddWriter(connection.get(), "importer", "hash two"));
  absl::optional<Writer> writer = *ReadWriter(connection.get(), "importer");
  ASSERT_TRUE(writer.has_value());
  EXPECT_EQ(writer->secret_hash, "hash one");
  EXPECT_EQ(writer->cookie, "");

  std::string cookie;
  for (int i = 0; i < 1024; ++i) cookie.push_back(static_cast<char>(i));
  ASSERT_TRUE(WriteCookie(connection.get(), "importer", cookie).ok());
  EXPECT_EQ((*ReadWriter(connection.get(), "importer"))->cookie, cookie);
  // The same once more is a write too.
  ASSERT_TRUE(WriteCookie(connection.get(), "importer", cookie).ok());
  EXPECT_THAT(MustQuery(connection.get(), "SELECT clock FROM mutators"),
              ElementsAre(ElementsAre(Value::Integer(2))));
  ASSERT_TRUE(WriteCookie(connection.get(), "importer", "").ok());
  EXPECT_EQ((*ReadWriter(connection.get(), "importer"))->cookie, "");
  EXPECT_EQ(WriteCookie(connection.get(), "nobody", "x").code(), absl::StatusCode::kNotFound);
}

TEST_P(WritersTest, ReplacesASecretHashAndNothingElse) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(*AddWriter(connection.get(), "importer", "one"));
  ASSERT_TRUE(*AddWriter(connection.get(), "exporter", "one"));
  ASSERT_TRUE(WriteCookie(connection.get(), "importer", "cookie").ok());
  EXPECT_TRUE(*ReplaceSecretHash(connection.get(), "importer", "one", "two"));
  EXPECT_THAT(
      MustQuery(connection.get(), "SELECT writer, secret, clock FROM mutators ORDER BY writer"),
      ElementsAre(ElementsAre(Value::Text("exporter"), Value::Text("one"), Value::Integer(0)),
                  ElementsAre(Value::Text("importer"), Value::Text("two"), Value::Integer(1))));
  EXPECT_EQ((*ReadWriter(connection.get(), "importer"))->cookie, "cookie");
}

TEST_P(WritersTest, ReplacesNoSecretHashThatIsAnotherByNow) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(*AddWriter(connection.get(), "importer", "one"));
  for (const char* old_hash : {"two", "One", "one ", "on", ""}) {
    EXPECT_FALSE(*ReplaceSecretHash(connection.get(), "importer", old_hash, "new")) << old_hash;
  }
  EXPECT_FALSE(*ReplaceSecretHash(connection.get(), "Importer", "one", "new"));
  EXPECT_FALSE(*ReplaceSecretHash(connection.get(), "nobody", "one", "new"));
  EXPECT_EQ((*ReadWriter(connection.get(), "importer"))->secret_hash, "one");
}

TEST_P(WritersTest, ComparesSecretHashesByTheirBytesInATableThatFoldsThem) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite compares bytes";
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(connection
                  ->Execute("ALTER TABLE mutators MODIFY secret VARCHAR(255) "
                            "COLLATE utf8mb4_general_ci")
                  .ok());
  ASSERT_TRUE(*AddWriter(connection.get(), "importer", "one"));
  EXPECT_FALSE(*ReplaceSecretHash(connection.get(), "importer", "ONE", "new"));
  EXPECT_FALSE(*ReplaceSecretHash(connection.get(), "importer", "one ", "new"));
  EXPECT_TRUE(*ReplaceSecretHash(connection.get(), "importer", "one", "new"));
}

TEST_P(WritersTest, ReadsAndWritesManyCookiesAtOnce) {
  std::unique_ptr<Connection> connection = OpenReady();
  std::vector<std::string> names;
  for (int i = 0; i < 150; ++i) names.push_back(absl::StrCat("writer ", i));
  for (const std::string& name : names) ASSERT_TRUE(*AddWriter(connection.get(), name, "hash"));
  const std::string binary("\0\xFF'", 3);
  ASSERT_TRUE(connection->BeginWrite().ok());
  for (const size_t count : {1, 2, 3, 64, 65, 150}) {
    std::vector<std::string> cookies;
    std::vector<WriterCookie> written;
    std::vector<absl::string_view> asked = {"nobody", "WRITER 0"};
    for (size_t i = 0; i < count; ++i) cookies.push_back(absl::StrCat(binary, i, "/", count));
    for (size_t i = 0; i < count; ++i) {
      written.push_back({names[i], cookies[i]});
      asked.push_back(names[i]);
      if (i % 3 == 0) asked.push_back(names[i]);
    }
    ASSERT_TRUE(WriteCookies(connection.get(), written).ok());
    const auto read = ReadCookies(connection.get(), asked);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->size(), count);
    for (const WriterCookie& cookie : written) EXPECT_EQ(read->at(cookie.writer), cookie.cookie);
  }
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_EQ((*ReadWriter(connection.get(), "writer 0"))->cookie, absl::StrCat(binary, "0/150"));
  EXPECT_TRUE(ReadCookies(connection.get(), {})->empty());
  EXPECT_TRUE(WriteCookies(connection.get(), {}).ok());
}

TEST_P(WritersTest, KeepsNamesApartByTheirBytes) {
  std::unique_ptr<Connection> connection = OpenReady();
  const std::vector<std::string> names = {"importer", "Importer", "importer ", "\xC3\xADmporter",
                                          "\xF0\x9F\x98\x80\xF0\x9F\x98\x80"};
  for (const std::string& name : names) EXPECT_TRUE(*AddWriter(connection.get(), name, name));
  for (const std::string& name : names) {
    EXPECT_EQ((*ReadWriter(connection.get(), name))->secret_hash, name);
  }
  EXPECT_FALSE(ReadWriter(connection.get(), "IMPORTER")->has_value());
}

TEST_P(WritersTest, NeverTakesOneWriterForAnotherInATableThatFoldsNames) {
  if (!is_mariadb()) GTEST_SKIP() << "SQLite compares bytes";
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(connection
                  ->Execute("ALTER TABLE mutators MODIFY writer VARCHAR(191) "
                            "COLLATE utf8mb4_general_ci NOT NULL")
                  .ok());
  ASSERT_TRUE(*AddWriter(connection.get(), "importer", "hash"));
  EXPECT_FALSE(ReadWriter(connection.get(), "IMPORTER")->has_value());
  absl::StatusOr<bool> added = AddWriter(connection.get(), "IMPORTER", "hash");
  EXPECT_EQ(added.status().code(), absl::StatusCode::kAlreadyExists) << added.status();
  EXPECT_EQ(ErrorReason(added.status()), reason::kWriterDiffers);
}

TEST_P(WritersTest, LocksTheRowInATransaction) {
  std::unique_ptr<Connection> connection = OpenReady();
  ASSERT_TRUE(*AddWriter(connection.get(), "importer", "hash"));
  ASSERT_TRUE(connection->BeginWrite().ok());
  ASSERT_TRUE((*ReadWriter(connection.get(), "importer")).has_value());
  options_.lock_timeout = absl::Milliseconds(100);
  std::unique_ptr<Connection> other = Open();
  absl::Status status = WriteCookie(other.get(), "importer", "x");
  EXPECT_EQ(ErrorReason(status), reason::kCtldbBusy) << status;
  ASSERT_TRUE(connection->Commit().ok());
  EXPECT_TRUE(WriteCookie(other.get(), "importer", "x").ok());
}

TEST_P(WritersTest, AddsAWriterOnceWhereSeveralTry) {
  OpenReady();
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<bool>> added(4, false);
  for (absl::StatusOr<bool>& result : added) {
    threads.emplace_back([&result, this] { result = AddWriter(Open().get(), "importer", "hash"); });
  }
  for (std::thread& thread : threads) thread.join();
  int winners = 0;
  for (const absl::StatusOr<bool>& result : added) {
    ASSERT_TRUE(result.ok()) << result.status();
    winners += *result ? 1 : 0;
  }
  EXPECT_EQ(winners, 1);
}

TEST_P(WritersTest, NeverShowsASecretHashInAnError) {
  std::unique_ptr<Connection> connection = OpenReady();
  if (!is_mariadb()) GTEST_SKIP() << "SQLite takes a secret hash of any length";
  absl::Status status =
      AddWriter(connection.get(), "importer", "SECRET" + std::string(300, 'x')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("SECRET")));
  EXPECT_FALSE(ReadWriter(connection.get(), "importer")->has_value());
}

}  // namespace
}  // namespace ctlstore::ctldb
