#include "common/object_store/testing/faulty_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/object_store/file_store.h"

namespace ctlstore::object_store::testing {
namespace {

using ::testing::ElementsAre;

class FaultyStoreTest : public ::testing::Test {
 protected:
  FaultyStoreTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/faulty_store_XXXXXX");
    folder_ = mkdtemp(&pattern[0]);
    store_ = std::make_unique<FaultyStore>(
        std::make_unique<FileStore>(ParseStoreUrl("file://" + folder_).value()));
  }
  ~FaultyStoreTest() override { std::filesystem::remove_all(folder_); }

  absl::Status Read(absl::string_view key, ObjectStore::ReadOptions options, std::string* read) {
    read->clear();
    return store_->Read(key, options, [&](absl::string_view piece) {
      read->append(piece.data(), piece.size());
      return absl::OkStatus();
    });
  }

  const absl::Status error_ = absl::UnavailableError("cut");
  std::string folder_;
  std::unique_ptr<FaultyStore> store_;
};

TEST_F(FaultyStoreTest, TheChosenCallFailsAndTheOthersDoNot) {
  store_->Arm(FaultyStore::Fault::kFails, 2, error_);
  EXPECT_EQ(store_->Put("a", "1", {}), absl::OkStatus());
  EXPECT_EQ(store_->Put("b", "1", {}), error_);
  EXPECT_EQ(store_->Put("c", "1", {}), absl::OkStatus());
  EXPECT_EQ(store_->Disarm(), 1);
  EXPECT_THAT(store_->changes(), ElementsAre("put a", "put c"));
  EXPECT_EQ(store_->base()->List("")->size(), 2u);
  EXPECT_EQ(store_->calls(), 3);
  EXPECT_EQ(store_->calls(StoreCall::kPut), 3);
}

TEST_F(FaultyStoreTest, OnlyTheCallsOfAKindCountWhereItIsGiven) {
  store_->Arm(FaultyStore::Fault::kFails, {StoreCall::kDelete}, 1, error_);
  EXPECT_EQ(store_->Put("a", "1", {}), absl::OkStatus());
  EXPECT_EQ(store_->Delete("a"), error_);
  EXPECT_EQ(store_->Delete("a"), absl::OkStatus());
}

TEST_F(FaultyStoreTest, AnAnswerCanBeLost) {
  store_->Arm(FaultyStore::Fault::kFailsAfter, 1, error_, /*once=*/false);
  EXPECT_EQ(store_->Put("a", "1", {}), error_);
  EXPECT_EQ(store_->Put("b", "1", {}), error_);
  EXPECT_EQ(store_->Disarm(), 2);
  EXPECT_THAT(store_->changes(), ElementsAre("put a"));
}

TEST_F(FaultyStoreTest, AReadCanEndHalfway) {
  ASSERT_EQ(store_->Put("a", std::string(600000, 'x'), {}), absl::OkStatus());
  std::string read;
  store_->Arm(FaultyStore::Fault::kFailsHalfway, 1, error_);
  EXPECT_EQ(Read("a", {}, &read), error_);
  EXPECT_EQ(read.size(), 300000u);
  EXPECT_EQ(store_->bytes_read(), 300000);
  store_->Arm(FaultyStore::Fault::kFailsHalfway, 1, error_);
  EXPECT_EQ(Read("a", {10, 1, ""}, &read), error_);
  EXPECT_EQ(read.size(), 0u);
}

TEST_F(FaultyStoreTest, BytesAreReadAsOthers) {
  ASSERT_EQ(store_->Put("a", "hello", {}), absl::OkStatus());
  store_->CorruptByte("a", 1);
  std::string read;
  EXPECT_EQ(Read("a", {}, &read), absl::OkStatus());
  EXPECT_EQ(read, "hdllo");
  EXPECT_EQ(Read("a", {1, 2, ""}, &read), absl::OkStatus());
  EXPECT_EQ(read, "dl");
  store_->CorruptByte("a", -1);
  EXPECT_EQ(Read("a", {}, &read), absl::OkStatus());
  EXPECT_EQ(read, "hello");
}

TEST_F(FaultyStoreTest, TheHookSeesEachCall) {
  store_->SetHook([&](StoreCall call, absl::string_view key) {
    return call == StoreCall::kPut && key == "b" ? error_ : absl::OkStatus();
  });
  EXPECT_EQ(store_->Put("a", "1", {}), absl::OkStatus());
  EXPECT_EQ(store_->Put("b", "1", {}), error_);
}

TEST_F(FaultyStoreTest, CanBeOneThatCannotList) {
  store_->SetCannotList(true);
  EXPECT_EQ(store_->List("").status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace ctlstore::object_store::testing
