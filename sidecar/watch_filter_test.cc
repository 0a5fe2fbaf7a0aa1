#include "sidecar/watch_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/errors.h"

namespace ctlstore::sidecar {
namespace {

using ::testing::HasSubstr;

void AddSelector(const std::string& family, const std::string& table,
                 const std::vector<ValueView>& key_prefix, v1::WatchRequest* request) {
  v1::WatchSelector* selector = request->add_selectors();
  selector->set_family(family);
  selector->set_table(table);
  for (const ValueView& value : key_prefix) rpc::ToProto(value, selector->add_key_prefix());
}

v1::WatchRequest Selecting(const std::string& family, const std::string& table = "",
                           const std::vector<ValueView>& key_prefix = {}) {
  v1::WatchRequest request;
  AddSelector(family, table, key_prefix, &request);
  return request;
}

absl::Status Error(const v1::WatchRequest& request) {
  return WatchFilter::Create(request.selectors()).status();
}

ldb::ChangeEvent KeyChange(const std::string& family, const std::string& table,
                           const std::vector<ValueView>& key) {
  ldb::ChangeEvent change;
  change.table = {family, table};
  for (const ValueView& value : key) change.key.emplace_back(value);
  return change;
}

ldb::ChangeEvent TableChange(const std::string& family, const std::string& table) {
  ldb::ChangeEvent change = KeyChange(family, table, {});
  change.kind = ldb::Change::Kind::kTable;
  return change;
}

bool Matches(const v1::WatchRequest& request, const ldb::ChangeEvent& change) {
  const absl::StatusOr<WatchFilter> filter = WatchFilter::Create(request.selectors());
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() && filter->Matches(change);
}

TEST(WatchFilterTest, NoSelectorSelectsEverything) {
  EXPECT_TRUE(Matches({}, KeyChange("geo", "places", {"nz"})));
  EXPECT_TRUE(Matches({}, TableChange("geo", "places")));
}

TEST(WatchFilterTest, AFamilySelectsItsTables) {
  EXPECT_TRUE(Matches(Selecting("geo"), KeyChange("geo", "places", {"nz"})));
  EXPECT_TRUE(Matches(Selecting("geo"), TableChange("geo", "rivers")));
  EXPECT_FALSE(Matches(Selecting("geo"), KeyChange("geology", "places", {"nz"})));
}

TEST(WatchFilterTest, ATableSelectsItsRows) {
  EXPECT_TRUE(Matches(Selecting("geo", "places"), KeyChange("geo", "places", {"nz"})));
  EXPECT_FALSE(Matches(Selecting("geo", "places"), KeyChange("geo", "rivers", {"nz"})));
  EXPECT_FALSE(Matches(Selecting("geo", "places"), KeyChange("shop", "places", {"nz"})));
  EXPECT_FALSE(Matches(Selecting("geo", "places"), TableChange("geo", "rivers")));
}

TEST(WatchFilterTest, AKeyPrefixSelectsByValueAndKind) {
  const v1::WatchRequest request = Selecting("geo", "places", {"nz", 1});
  EXPECT_TRUE(Matches(request, KeyChange("geo", "places", {"nz", 1})));
  EXPECT_TRUE(Matches(request, KeyChange("geo", "places", {"nz", 1, "x"})));
  EXPECT_FALSE(Matches(request, KeyChange("geo", "places", {"nz"})));
  EXPECT_FALSE(Matches(request, KeyChange("geo", "places", {"nz", 2})));
  EXPECT_FALSE(Matches(request, KeyChange("geo", "places", {"nz", "1"})));
  EXPECT_FALSE(Matches(request, KeyChange("geo", "places", {ValueView::Bytes("nz"), 1})));
  EXPECT_TRUE(Matches(Selecting("geo", "places", {ValueView::Bytes("nz")}),
                      KeyChange("geo", "places", {ValueView::Bytes("nz"), 1})));
  // Values are compared whole.
  EXPECT_FALSE(Matches(Selecting("geo", "places", {"n"}), KeyChange("geo", "places", {"nz"})));
}

TEST(WatchFilterTest, AChangedTableIsToldToAllWhoSelectSomethingOfIt) {
  EXPECT_TRUE(Matches(Selecting("geo", "places", {"nz", 1}), TableChange("geo", "places")));
}

TEST(WatchFilterTest, AnythingIsToldToAll) {
  ldb::ChangeEvent everything;
  everything.kind = ldb::Change::Kind::kEverything;
  EXPECT_TRUE(Matches(Selecting("geo", "places", {"nz", 1}), everything));
}

TEST(WatchFilterTest, AnyOfSeveralSelectorsWill) {
  v1::WatchRequest request = Selecting("geo", "places", {"nz"});
  AddSelector("geo", "places", {"fr"}, &request);
  AddSelector("geo", "places", {"fr"}, &request);
  AddSelector("shop", "", {}, &request);
  EXPECT_TRUE(Matches(request, KeyChange("geo", "places", {"nz"})));
  EXPECT_TRUE(Matches(request, KeyChange("geo", "places", {"fr"})));
  EXPECT_TRUE(Matches(request, KeyChange("shop", "prices", {"fr"})));
  EXPECT_FALSE(Matches(request, KeyChange("geo", "places", {"de"})));
}

TEST(WatchFilterTest, NamesAreTakenInAnyCase) {
  EXPECT_TRUE(Matches(Selecting("GEO", "Places"), KeyChange("geo", "places", {"nz"})));
}

TEST(WatchFilterTest, WhatIsMalformedIsNamed) {
  v1::WatchRequest request = Selecting("geo");
  AddSelector("g", "", {}, &request);
  EXPECT_EQ(ErrorField(Error(request)), "selectors[1].family");
  EXPECT_EQ(ErrorReason(Error(request)), reason::kInvalidName);
  EXPECT_EQ(ErrorField(Error(Selecting("", "places"))), "selectors[0].family");
  EXPECT_EQ(ErrorField(Error(Selecting("geo", "no__pe"))), "selectors[0].table");
  EXPECT_EQ(ErrorField(Error(Selecting("geo", "", {"nz"}))), "selectors[0].key_prefix");
  EXPECT_EQ(ErrorField(Error(Selecting("geo", "places", {"nz", ValueView()}))),
            "selectors[0].key_prefix[1]");
  EXPECT_EQ(ErrorReason(Error(Selecting("geo", "places", {1.5}))), reason::kInvalidKey);
  v1::WatchRequest unset = Selecting("geo", "places");
  unset.mutable_selectors(0)->add_key_prefix();
  EXPECT_EQ(ErrorField(Error(unset)), "selectors[0].key_prefix[0]");
  EXPECT_EQ(ErrorReason(Error(unset)), reason::kInvalidValue);
}

TEST(WatchFilterTest, SelectorsAndTheirKeysAreLimited) {
  v1::WatchRequest request;
  for (int i = 0; i < WatchFilter::kMaxSelectors; ++i) AddSelector("geo", "", {}, &request);
  EXPECT_TRUE(Error(request).ok());
  AddSelector("geo", "", {}, &request);
  EXPECT_EQ(ErrorField(Error(request)), "selectors");
  EXPECT_THAT(std::string(Error(request).message()), HasSubstr("101"));

  EXPECT_TRUE(Error(Selecting("geo", "places", std::vector<ValueView>(16, 1))).ok());
  EXPECT_EQ(ErrorField(Error(Selecting("geo", "places", std::vector<ValueView>(17, 1)))),
            "selectors[0].key_prefix");
}

}  // namespace
}  // namespace ctlstore::sidecar
