#include "executive/audit.h"

#include <gtest/gtest.h>

#include <string>

#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

rpc::Caller Ops() {
  rpc::Caller caller;
  caller.name = "certificate ops.example.com";
  caller.peer = "10.1.2.3";
  return caller;
}

TEST(AuditTest, TellsWhoDidWhatWithWhichOutcome) {
  EXPECT_EQ(AuditLine(Ops(), "drop_table", "geo.countries", absl::OkStatus(), 42),
            "event=audit action=drop_table target=\"geo.countries\" "
            "who=\"certificate ops.example.com\" peer=10.1.2.3 outcome=OK sequence=42");
}

TEST(AuditTest, ARefusalHasItsReasonOrItsCode) {
  const absl::Status denied =
      ErrorWithReason(absl::StatusCode::kPermissionDenied, reason::kRoleMissing, "no");
  EXPECT_NE(AuditLine(Ops(), "x", "y", denied, 0).find("outcome=ROLE_MISSING sequence=0"),
            std::string::npos);
  EXPECT_NE(AuditLine(Ops(), "x", "y", absl::InternalError("?"), 0).find("outcome=INTERNAL "),
            std::string::npos);
}

TEST(AuditTest, WhatACallerChoseCannotForgeALine) {
  rpc::Caller caller;
  caller.name = "token admin";
  const std::string line =
      AuditLine(caller, "register_writer", "x\"\nevent=audit who=\"root\"", absl::OkStatus(), 0);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_NE(line.find("target=\"x\\\"\\nevent=audit who=\\\"root\\\"\""), std::string::npos)
      << line;
  EXPECT_NE(line.find(" peer=- "), std::string::npos) << line;
}

TEST(AuditTest, ALongTargetIsCut) {
  const std::string line = AuditLine(Ops(), "x", std::string(100000, 'a'), absl::OkStatus(), 0);
  EXPECT_LT(line.size(), 1000);
  EXPECT_NE(line.find("aaa...\""), std::string::npos);
}

}  // namespace
}  // namespace ctlstore::executive
