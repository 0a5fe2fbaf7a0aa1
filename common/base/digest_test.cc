#include "common/base/digest.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace ctlstore {
namespace {

TEST(DigestTest, PiecesMakeTheStandardsDigests) {
  Digest sha256;
  sha256.Add("a");
  sha256.Add("");
  sha256.Add("bc");
  constexpr char kSha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(absl::BytesToHexString(sha256.Finish()), kSha256);
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")), kSha256);

  Digest sha1(Digest::Kind::kSha1);
  sha1.Add("ab");
  sha1.Add("c");
  EXPECT_EQ(absl::BytesToHexString(sha1.Finish()), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

}  // namespace
}  // namespace ctlstore
