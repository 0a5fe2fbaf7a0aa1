#include "executive/writer_secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/sql/random_data.h"
#include "executive/testing/slow_hash_counter.h"

namespace ctlstore::executive {
namespace {

using ::testing::MatchesRegex;

bool Matches(absl::string_view secret, absl::string_view stored_hash) {
  absl::StatusOr<bool> matches = SecretMatches(secret, stored_hash);
  EXPECT_TRUE(matches.ok()) << matches.status();
  return matches.ok() && *matches;
}

// The same hash computed elsewhere: Python's hashlib.scrypt(b"open sesame", salt=bytes(range(16)),
// n=2**14, r=8, p=1, dklen=32).
constexpr char kOpenSesame[] =
    "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$fTfzoLyPAH2olSiLhfKjA92Q4XpKw0fGakH5MUTuB24";

TEST(WriterSecrets, AreStoredAsScryptHashesThatNameTheirCost) {
  const std::string hash = *HashSecret("open sesame");
  EXPECT_THAT(hash, MatchesRegex("[$]scrypt[$]ln=14,r=8,p=1[$][A-Za-z0-9+/]+[$][A-Za-z0-9+/]+"));
  EXPECT_EQ(hash.size(), 88);
  EXPECT_FALSE(IsGoSecretHash(hash));
}

TEST(WriterSecrets, TheHashIsThatOfOtherPrograms) {
  EXPECT_TRUE(Matches("open sesame", kOpenSesame));
  EXPECT_FALSE(Matches("open sesamE", kOpenSesame));
}

TEST(WriterSecrets, EachHashHasASaltOfItsOwn) {
  const std::string one = *HashSecret("open sesame");
  const std::string two = *HashSecret("open sesame");
  EXPECT_NE(one, two);
  EXPECT_TRUE(Matches("open sesame", one));
  EXPECT_TRUE(Matches("open sesame", two));
}

TEST(WriterSecrets, OnlyTheSameSecretMatches) {
  for (const std::string& hash : {*HashSecret("open sesame"), GoSecretHash("open sesame")}) {
    EXPECT_TRUE(Matches("open sesame", hash));
    for (const std::string& wrong : std::vector<std::string>{
             "open sesamE", "open sesame ", "open sesam", "", hash, std::string(100, 'x')}) {
      EXPECT_FALSE(Matches(wrong, hash)) << wrong;
    }
  }
}

TEST(WriterSecrets, MayHoldAnyBytes) {
  const std::string secret("a\0b\xFF", 4);
  for (const std::string& hash : {*HashSecret(secret), GoSecretHash(secret)}) {
    EXPECT_TRUE(Matches(secret, hash));
    EXPECT_FALSE(Matches("a", hash));
  }
}

TEST(WriterSecrets, TheGoExecutivesHashIsHexadecimalSha256) {
  // The standard's own example: FIPS 180-2, appendix B.1.
  const std::string hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(GoSecretHash("abc"), hash);
  EXPECT_TRUE(Matches("abc", hash));
  EXPECT_TRUE(Matches("abc", absl::AsciiStrToUpper(hash)));
  EXPECT_TRUE(IsGoSecretHash(hash));
  EXPECT_FALSE(IsGoSecretHash(hash.substr(1)));
  EXPECT_FALSE(IsGoSecretHash(hash + "0"));
  EXPECT_FALSE(IsGoSecretHash("g" + hash.substr(1)));
  EXPECT_FALSE(IsGoSecretHash(""));
}

TEST(WriterSecrets, NothingMatchesAHashThatIsNone) {
  const std::string hash = kOpenSesame;
  const std::string salt = "$AAECAwQFBgcICQoLDA0ODw$";
  const std::vector<std::string> malformed = {
      "",
      "ba7816bf",
      "$",
      "$$$$",
      "open sesame",
      hash.substr(1),
      hash.substr(0, hash.size() - 1),
      hash + "A",
      hash + "=",
      hash + " ",
      " " + hash,
      hash + "$",
      absl::StrReplaceAll(hash, {{"scrypt", "bcrypt"}}),
      absl::StrReplaceAll(hash, {{"scrypt", "Scrypt"}}),
      // The same numbers in other words.
      absl::StrReplaceAll(hash, {{"ln=14", "ln=014"}}),
      absl::StrReplaceAll(hash, {{"ln=14", "ln= 14"}}),
      absl::StrReplaceAll(hash, {{"ln=14", "ln=+14"}}),
      absl::StrReplaceAll(hash, {{"ln=14,r=8", "r=8,ln=14"}}),
      absl::StrReplaceAll(hash, {{",p=1", ""}}),
      absl::StrReplaceAll(hash, {{",p=1", ",p=1,p=1"}}),
      // Of no salt and of no hash, which every secret would match.
      absl::StrReplaceAll(hash, {{salt, "$$"}}),
      hash.substr(0, hash.find(salt) + salt.size()),
      hash.substr(0, hash.find(salt) + salt.size() + 4),
      absl::StrReplaceAll(hash, {{salt, "$A A E C A w Q F B g c I C Q o L D A 0 O D w$"}}),
  };
  for (const std::string& stored : malformed) {
    EXPECT_FALSE(Matches("open sesame", stored)) << stored;
  }
}

TEST(WriterSecrets, TheEmptySecretMatchesNoHashThatIsNone) {
  for (const char* stored :
       {"", "$scrypt$ln=14,r=8,p=1$$", "$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$"}) {
    EXPECT_FALSE(Matches("", stored)) << stored;
  }
}

TEST(WriterSecrets, NoStoredHashCostsMuchMoreThanOurs) {
  const std::string hash = kOpenSesame;
  for (const char* cost :
       {"ln=63,r=8,p=1", "ln=64,r=8,p=1", "ln=4294967296,r=8,p=1", "ln=20,r=8,p=1", "ln=17,r=8,p=1",
        "ln=14,r=4096,p=1", "ln=14,r=33,p=1", "ln=14,r=8,p=17", "ln=14,r=8,p=1073741823",
        "ln=0,r=8,p=1", "ln=14,r=0,p=1", "ln=14,r=8,p=0", "ln=-1,r=8,p=1", "ln=16,r=1,p=1",
        "ln=16,r=8,p=5"}) {
    const SlowHashCounter slow;
    EXPECT_FALSE(Matches("open sesame", absl::StrReplaceAll(hash, {{"ln=14,r=8,p=1", cost}})));
    // The one of our own cost that every "no" comes after: the cost was not even tried.
    EXPECT_EQ(slow.count(), 1) << cost;
    EXPECT_LT(slow.largest_bytes(), size_t{17} << 20) << cost;
  }
  // The costliest and the cheapest that are taken work.
  for (const char* cost : {"ln=16,r=8,p=4", "ln=4,r=1,p=1"}) {
    EXPECT_FALSE(Matches("open sesame", absl::StrReplaceAll(hash, {{"ln=14,r=8,p=1", cost}})));
  }
}

TEST(WriterSecrets, TheAnswerNoComesAfterASlowHashWhateverIsStored) {
  const std::string hash = *HashSecret("open sesame");
  for (const std::string& stored :
       {hash, GoSecretHash("open sesame"), std::string(), std::string("nonsense")}) {
    const SlowHashCounter slow;
    EXPECT_FALSE(Matches("wrong", stored));
    EXPECT_EQ(slow.count(), 1) << stored;
  }
}

TEST(WriterSecrets, RandomStoredTextsMatchNothingAndCostNoMore) {
  sql::RandomData random(20240611);
  const std::string alphabet = "$,=0123456789lnrpscyt+/ABab \xC3\xA9";
  const std::string hash = *HashSecret("open sesame");
  for (int i = 0; i < 25; ++i) {
    std::string stored = random.OneIn(4) ? random.Bytes(300) : hash;
    for (size_t changes = 1 + random.Below(3); changes > 0 && !stored.empty(); --changes) {
      const size_t at = random.Below(stored.size());
      const char c = alphabet[random.Below(alphabet.size())];
      switch (random.Below(3)) {
        case 0:
          stored[at] = c;
          break;
        case 1:
          stored.insert(at, 1, c);
          break;
        default:
          stored.erase(at, 1);
      }
    }
    if (stored == hash) continue;
    const SlowHashCounter slow;
    EXPECT_FALSE(Matches("open sesame", stored)) << stored;
    EXPECT_LE(slow.largest_bytes(), size_t{65} << 20) << stored;
  }
}

}  // namespace
}  // namespace ctlstore::executive
