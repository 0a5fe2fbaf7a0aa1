// Watches of a real local database, through the service.

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "common/schema/errors.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Text(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kText:
      return value.text();
    case v1::Value::kInteger:
      return absl::StrCat(value.integer());
    case v1::Value::kBytes:
      return absl::StrCat("x", absl::BytesToHexString(value.bytes()));
    case v1::Value::kNull:
      return "null";
    default:
      return "?";
  }
}

// "sequence:family.table/key/key", with "=name" where there is a row.
std::vector<std::string> Texts(const v1::WatchResponse& message) {
  std::vector<std::string> texts;
  for (const v1::RowChange& change : message.changes()) {
    std::string text = absl::StrCat(change.sequence(), ":", change.family(), ".", change.table());
    for (const v1::Value& value : change.key()) absl::StrAppend(&text, "/", Text(value));
    if (change.has_row()) absl::StrAppend(&text, "=", Text(change.row().values().at("name")));
    texts.push_back(std::move(text));
  }
  return texts;
}

class WatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "/watch_XXXXXX");
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    path_ = absl::StrCat(folder_, "/ldb.db");
  }

  void TearDown() override {
    watch_.reset();
    stub_.reset();
    if (service_ != nullptr) service_->EndWatches();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<ldb::LdbWriter> OpenWriter(const std::string& path, int64_t history_bytes) {
    ldb::LdbWriter::Options options;
    options.change_history_bytes = history_bytes;
    auto writer = ldb::LdbWriter::Open(path, options);
    EXPECT_TRUE(writer.ok()) << writer.status();
    return *std::move(writer);
  }

  // Applies the statements, each a ledger entry, all in one commit where they can be.
  void Apply(const std::vector<std::string>& statements) {
    if (writer_ == nullptr) writer_ = OpenWriter(path_, 1 << 20);
    std::vector<LedgerEntry> entries;
    int64_t sequence = writer_->received_sequence();
    for (const std::string& statement : statements) {
      entries.push_back({++sequence, "2024-05-06 12:53:15.25", statement});
    }
    const absl::Status status = writer_->Apply(entries);
    ASSERT_TRUE(status.ok()) << status;
  }

  static std::string CreatePlaces() {
    return "CREATE TABLE geo___places (\"code\" VARCHAR(191), \"name\" TEXT, "
           "PRIMARY KEY(\"code\"));";
  }
  static std::string Place(const std::string& code, const std::string& name) {
    return absl::StrCat("REPLACE INTO geo___places (\"code\",\"name\") VALUES('", code, "','", name,
                        "')");
  }
  static std::string NoPlace(const std::string& code) {
    return absl::StrCat("DELETE FROM geo___places WHERE \"code\" = '", code, "'");
  }

  void Serve() {
    reader_ = std::make_unique<ldb::Reader>(path_);
    service_ = std::make_unique<SidecarService>(reader_.get(), Clock::Real(), options_);
    rpc::ServerOptions server_options;
    server_options.listen = {"127.0.0.1:0"};
    auto server = rpc::Server::Start(server_options, {service_->grpc_service()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    rpc::ChannelOptions channel_options;
    channel_options.own_connection = true;
    stub_ = v1::Sidecar::NewStub(rpc::NewChannel(server_->addresses()[0], channel_options));
  }

  // In place of the one before.
  void Watch(int64_t after, bool with_rows = true) {
    v1::WatchRequest request;
    request.set_after_sequence(after);
    request.set_with_rows(with_rows);
    watch_.reset();
    context_ = std::make_unique<grpc::ClientContext>();
    watch_ = stub_->Watch(context_.get(), request);
  }

  v1::WatchResponse Next() {
    v1::WatchResponse message;
    EXPECT_TRUE(watch_->Read(&message));
    return message;
  }

  std::string folder_;
  std::string path_;
  SidecarService::Options options_;
  std::unique_ptr<ldb::LdbWriter> writer_;
  // In the order in which they need one another: destroyed from the last one.
  std::unique_ptr<ldb::Reader> reader_;
  std::unique_ptr<SidecarService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Sidecar::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchResponse>> watch_;
};

TEST_F(WatchTest, EachKindOfChangeIsTold) {
  Apply({CreatePlaces(), "--- BEGIN", Place("nz", "old"), NoPlace("fr"), Place("nz", "new"),
         "--- COMMIT", "ALTER TABLE geo___places ADD COLUMN \"area\" INTEGER",
         "DELETE FROM geo___places", Place("de", "last"),
         "CREATE TABLE shop___prices (\"sku\" VARCHAR(191), \"name\" TEXT, PRIMARY KEY(\"sku\"));",
         "DROP TABLE IF EXISTS shop___prices"});
  Serve();
  Watch(0);
  const v1::WatchResponse message = Next();
  EXPECT_THAT(Texts(message),
              ElementsAre("1:geo.places", "3:geo.places/nz", "4:geo.places/fr", "5:geo.places/nz",
                          "7:geo.places", "8:geo.places", "9:geo.places/de=last", "10:shop.prices",
                          "11:shop.prices"));
  EXPECT_EQ(message.sequence(), 11);
  EXPECT_FALSE(message.everything_changed());
}

TEST_F(WatchTest, ChangesAreToldAsTheyAreCommitted) {
  Apply({CreatePlaces()});
  Serve();
  Watch(1);
  EXPECT_THAT(Texts(Next()), IsEmpty());
  for (int i = 2; i < 30; ++i) {
    Apply({Place("nz", absl::StrCat(i))});
    const v1::WatchResponse message = Next();
    EXPECT_THAT(Texts(message), ElementsAre(absl::StrCat(i, ":geo.places/nz=", i)));
    EXPECT_EQ(message.sequence(), i);
  }
  EXPECT_EQ(service_->watch_stats().changes_sent, 28);
}

TEST_F(WatchTest, KeysKeepTheirValuesAndKinds) {
  Apply(
      {"CREATE TABLE geo___keys (\"s\" VARCHAR(191), \"i\" INTEGER, \"b\" BLOB(255), "
       "\"name\" TEXT, PRIMARY KEY(\"s\",\"i\",\"b\"));",
       "REPLACE INTO geo___keys (\"s\",\"i\",\"b\",\"name\") "
       "VALUES('it''s',-9223372036854775808,x'0027ff','x')",
       "DELETE FROM geo___keys WHERE \"s\" = '' AND \"i\" = 9223372036854775807 AND \"b\" = x''"});
  Serve();
  Watch(1);
  const v1::WatchResponse message = Next();
  EXPECT_THAT(Texts(message), ElementsAre("2:geo.keys/it's/-9223372036854775808/x0027ff=x",
                                          "3:geo.keys//9223372036854775807/x"));
}

TEST_F(WatchTest, ALargeCommitTakesSeveralMessages) {
  std::vector<std::string> statements = {CreatePlaces(), "--- BEGIN"};
  for (int i = 0; i < 3000; ++i) statements.push_back(Place(absl::StrCat(i), "x"));
  statements.push_back("--- COMMIT");
  Apply(statements);
  Serve();
  for (const bool with_rows : {false, true}) {
    int64_t told = 2;
    int64_t after = 1;
    while (told < 3002) {
      // As somebody who begins again after each message.
      Watch(after, with_rows);
      const v1::WatchResponse message = Next();
      ASSERT_FALSE(message.everything_changed());
      for (const v1::RowChange& change : message.changes()) {
        ASSERT_EQ(change.sequence(), ++told);
        EXPECT_EQ(change.has_row(), with_rows);
      }
      after = message.sequence();
      context_->TryCancel();
    }
    EXPECT_EQ(told, 3002);
  }
}

TEST_F(WatchTest, WhatIsNotRememberedAnyMoreIsEverything) {
  writer_ = OpenWriter(path_, 2000);
  Apply({CreatePlaces()});
  for (int i = 0; i < 500; ++i) Apply({Place(absl::StrCat("place ", i), "x")});
  Serve();
  Watch(1);
  const v1::WatchResponse message = Next();
  EXPECT_TRUE(message.everything_changed());
  EXPECT_THAT(Texts(message), IsEmpty());
  EXPECT_EQ(message.sequence(), 501);
  Apply({Place("nz", "New Zealand")});
  EXPECT_THAT(Texts(Next()), ElementsAre("502:geo.places/nz=New Zealand"));
}

TEST_F(WatchTest, WithoutAHistoryEachCommitIsEverything) {
  writer_ = OpenWriter(path_, 0);
  Apply({CreatePlaces()});
  Serve();
  Watch(1);
  EXPECT_FALSE(Next().everything_changed());
  Apply({Place("nz", "New Zealand")});
  const v1::WatchResponse message = Next();
  EXPECT_TRUE(message.everything_changed());
  EXPECT_EQ(message.sequence(), 2);
}

TEST_F(WatchTest, ATableThatGotAnotherKeyIsNoError) {
  Apply({CreatePlaces(), Place("nz", "New Zealand"), "DROP TABLE IF EXISTS geo___places",
         "CREATE TABLE geo___places (\"id\" INTEGER, \"name\" TEXT, PRIMARY KEY(\"id\"));",
         "REPLACE INTO geo___places (\"id\",\"name\") VALUES(7,'seven')"});
  Serve();
  Watch(1);
  EXPECT_THAT(Texts(Next()), ElementsAre("2:geo.places/nz", "3:geo.places", "4:geo.places",
                                         "5:geo.places/7=seven"));
}

TEST_F(WatchTest, AnotherLocalDatabaseIsEverything) {
  // So that it is looked at soon, although nothing is committed.
  options_.watches.progress_interval = absl::Milliseconds(10);
  Apply({CreatePlaces(), Place("nz", "New Zealand")});
  Serve();
  Watch(2);
  EXPECT_FALSE(Next().everything_changed());

  // The same sequences, other contents.
  const std::string other = absl::StrCat(folder_, "/other.db");
  writer_.reset();
  writer_ = OpenWriter(other, 1 << 20);
  Apply({CreatePlaces(), Place("nz", "Aotearoa"), Place("fr", "France")});
  ASSERT_TRUE(writer_->Checkpoint().ok());
  writer_.reset();
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
  std::filesystem::rename(other, path_);
  v1::WatchResponse message;
  do {
    message = Next();
  } while (!message.everything_changed() && !HasFailure());
  EXPECT_EQ(message.sequence(), 3);
}

TEST_F(WatchTest, WithoutALocalDatabaseItEnds) {
  Serve();
  Watch(0);
  v1::WatchResponse message;
  EXPECT_FALSE(watch_->Read(&message));
  const absl::Status status = rpc::FromGrpcStatus(watch_->Finish());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(status), reason::kLdbUnavailable);
}

}  // namespace
}  // namespace ctlstore::sidecar
