// A sidecar's service over a local database that the test writes, for tests.

#ifndef CTLSTORE_SIDECAR_SERVICE_TEST_UTIL_H_
#define CTLSTORE_SIDECAR_SERVICE_TEST_UTIL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/ldb/ldb_writer.h"
#include "common/ldb/reader.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status_conversion.h"
#include "ctlstore/v1/sidecar.grpc.pb.h"
#include "sidecar/sidecar_service.h"

namespace ctlstore::sidecar {

inline constexpr absl::Time kNow = absl::FromUnixSeconds(1715000000);

class FixedClock : public Clock {
 public:
  absl::Time Now() override { return kNow; }
  bool SleepOrStop(absl::Duration, absl::Notification* stop) override {
    return stop->HasBeenNotified();
  }
};

inline v1::Value Text(const std::string& text) {
  v1::Value value;
  value.set_text(text);
  return value;
}

inline v1::Value Integer(int64_t integer) {
  v1::Value value;
  value.set_integer(integer);
  return value;
}

inline v1::Value Bytes(const std::string& bytes) {
  v1::Value value;
  value.set_bytes(bytes);
  return value;
}

inline v1::Value Null() {
  v1::Value value;
  value.set_null(google::protobuf::NULL_VALUE);
  return value;
}

// A sidecar over a local database that the test writes.
class SidecarServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(::testing::TempDir(), "/sidecar_XXXXXX");
    ASSERT_NE(mkdtemp(&folder_[0]), nullptr);
    path_ = absl::StrCat(folder_, "/ldb.db");
  }

  void TearDown() override {
    stub_.reset();
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Serve(const SidecarService::Options& options = {}) {
    reader_ = std::make_unique<ldb::Reader>(path_);
    service_ = std::make_unique<SidecarService>(reader_.get(), &clock_, options);
    rpc::ServerOptions server_options;
    server_options.listen = {"127.0.0.1:0"};
    auto server = rpc::Server::Start(server_options, {service_->grpc_service()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    rpc::ChannelOptions channel_options;
    channel_options.own_connection = true;
    stub_ = v1::Sidecar::NewStub(rpc::NewChannel(server_->addresses()[0], channel_options));
  }

  void OpenWriter() {
    ldb::LdbWriter::Options options;
    // Checkpoints are made when a test asks for them.
    options.checkpoint_wal_bytes = std::numeric_limits<int64_t>::max();
    auto writer = ldb::LdbWriter::Open(path_, options);
    ASSERT_TRUE(writer.ok()) << writer.status();
    writer_ = *std::move(writer);
  }

  // Applies the statements, each a ledger entry.
  void Apply(const std::vector<std::string>& statements) {
    if (writer_ == nullptr) OpenWriter();
    std::vector<LedgerEntry> entries;
    int64_t sequence = writer_->received_sequence();
    for (const std::string& statement : statements) {
      entries.push_back({++sequence, "2024-05-06 12:53:15.25", statement});
    }
    const absl::Status status = writer_->Apply(entries);
    ASSERT_TRUE(status.ok()) << status;
  }

  // Table geo___places with a key of a text and an integer.
  void CreatePlaces() {
    Apply(
        {"CREATE TABLE geo___places (\"code\" VARCHAR(191), \"number\" INTEGER, \"name\" TEXT, "
         "PRIMARY KEY(\"code\",\"number\"));"});
  }

  static std::string Place(const std::string& code, int64_t number, const std::string& name) {
    return absl::StrCat("REPLACE INTO geo___places (\"code\",\"number\",\"name\") VALUES('", code,
                        "',", number, ",'", name, "')");
  }

  void FillPlaces(int count, const std::string& name) {
    CreatePlaces();
    std::vector<std::string> statements;
    for (int i = 0; i < count; ++i) statements.push_back(Place("nz", i, name));
    Apply(statements);
  }

  absl::Status GetRow(const std::string& family, const std::string& table,
                      const std::vector<v1::Value>& key, v1::GetRowResponse* response) {
    v1::GetRowRequest request;
    request.set_family(family);
    request.set_table(table);
    for (const v1::Value& value : key) *request.add_key() = value;
    grpc::ClientContext context;
    return rpc::FromGrpcStatus(stub_->GetRow(&context, request, response));
  }

  static v1::ListRowsRequest ListRequest(const std::vector<v1::Value>& key_prefix,
                                         int64_t limit = 0) {
    v1::ListRowsRequest request;
    request.set_family("geo");
    request.set_table("places");
    for (const v1::Value& value : key_prefix) *request.add_key_prefix() = value;
    request.set_limit(limit);
    return request;
  }

  absl::Status List(const v1::ListRowsRequest& request, std::vector<v1::ListRowsResponse>* pages) {
    grpc::ClientContext context;
    auto reader = stub_->ListRows(&context, request);
    v1::ListRowsResponse page;
    while (reader->Read(&page)) pages->push_back(page);
    return rpc::FromGrpcStatus(reader->Finish());
  }

  // "code/number" of the rows of all pages.
  static std::vector<std::string> Keys(const std::vector<v1::ListRowsResponse>& pages) {
    std::vector<std::string> keys;
    for (const v1::ListRowsResponse& page : pages) {
      for (const v1::Row& row : page.rows()) {
        keys.push_back(
            absl::StrCat(row.values().at("code").text(), "/", row.values().at("number").integer()));
      }
    }
    return keys;
  }

  int64_t WalBytes() {
    struct stat wal = {};
    return stat((path_ + "-wal").c_str(), &wal) == 0 ? wal.st_size : 0;
  }

  // Writes and checkpoints until no reader keeps the WAL from being emptied, which stays undone
  // while somebody holds an old state. False where that does not come.
  bool WalCanBeEmptied(absl::Duration patience) {
    const absl::Time give_up = absl::Now() + patience;
    do {
      Apply({Place("zz", 1, "again")});
      EXPECT_TRUE(writer_->Checkpoint().ok());
      if (WalBytes() == 0) return true;
      absl::SleepFor(absl::Milliseconds(20));
    } while (absl::Now() < give_up);
    return false;
  }

  std::string folder_;
  std::string path_;
  FixedClock clock_;
  std::unique_ptr<ldb::LdbWriter> writer_;
  // In the order in which they need one another: destroyed from the last one.
  std::unique_ptr<ldb::Reader> reader_;
  std::unique_ptr<SidecarService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Sidecar::Stub> stub_;
};

}  // namespace ctlstore::sidecar

#endif  // CTLSTORE_SIDECAR_SERVICE_TEST_UTIL_H_
