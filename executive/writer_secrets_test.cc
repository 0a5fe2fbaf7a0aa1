#include "executive/writer_secrets.h"

#include <gtest/gtest.h>

#include <string>

namespace ctlstore::executive {
namespace {

TEST(WriterSecrets, TheHashIsHexadecimalSha256) {
  // The standard's own example: FIPS 180-2, appendix B.1.
  EXPECT_EQ(HashSecret("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(WriterSecrets, OnlyTheSameSecretMatches) {
  const std::string hash = HashSecret("open sesame");
  EXPECT_TRUE(SecretMatches("open sesame", hash));
  EXPECT_FALSE(SecretMatches("open sesamE", hash));
  EXPECT_FALSE(SecretMatches("", hash));
  EXPECT_FALSE(SecretMatches(hash, hash));
}

TEST(WriterSecrets, SecretsMayHoldAnyBytes) {
  const std::string secret("a\0b", 3);
  EXPECT_TRUE(SecretMatches(secret, HashSecret(secret)));
  EXPECT_FALSE(SecretMatches("a", HashSecret(secret)));
}

TEST(WriterSecrets, NothingMatchesAHashThatIsNone) {
  EXPECT_FALSE(SecretMatches("", ""));
  EXPECT_FALSE(SecretMatches("abc", "ba7816bf"));
}

}  // namespace
}  // namespace ctlstore::executive
