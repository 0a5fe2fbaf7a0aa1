#include "executive/secret_memory.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "executive/testing/manual_clock.h"

namespace ctlstore::executive {
namespace {

class SecretMemoryTest : public ::testing::Test {
 protected:
  ManualClock clock_;
  SecretMemory memory_{absl::Seconds(30), 3, &clock_};
};

TEST_F(SecretMemoryTest, KnowsNoSecretThatItWasNotTold) {
  EXPECT_FALSE(memory_.IsFresh({"writer", "secret"}));
  EXPECT_FALSE(memory_.IsKnown({"writer", "secret"}));
  EXPECT_FALSE(memory_.IsKnownFor({"writer", "secret"}, "hash"));
  EXPECT_FALSE(memory_.IsKnownFor({"writer", ""}, ""));
  memory_.Remember({"writer", "secret"}, "hash");
  for (const Credentials& wrong : std::vector<Credentials>{{"writer", "Secret"},
                                                           {"writer", ""},
                                                           {"writer", "hash"},
                                                           {"Writer", "secret"},
                                                           {"writers", "ecret"},
                                                           {"write", "rsecret"},
                                                           {"other", "secret"}}) {
    EXPECT_FALSE(memory_.IsFresh(wrong)) << wrong.writer << wrong.secret;
    EXPECT_FALSE(memory_.IsKnown(wrong)) << wrong.writer << wrong.secret;
    EXPECT_FALSE(memory_.IsKnownFor(wrong, "hash")) << wrong.writer << wrong.secret;
  }
}

TEST_F(SecretMemoryTest, ASecretIsFreshForAWhileAndKnownForLonger) {
  const Credentials credentials = {"writer", "secret"};
  memory_.Remember(credentials, "hash");
  clock_.Advance(absl::Seconds(30) - absl::Nanoseconds(1));
  EXPECT_TRUE(memory_.IsFresh(credentials));
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_FALSE(memory_.IsFresh(credentials));
  EXPECT_TRUE(memory_.IsKnown(credentials));
  EXPECT_TRUE(memory_.IsKnownFor(credentials, "hash"));
  EXPECT_FALSE(memory_.IsKnownFor(credentials, "other hash"));
  EXPECT_FALSE(memory_.IsKnownFor(credentials, ""));
  memory_.Remember(credentials, "other hash");
  EXPECT_TRUE(memory_.IsFresh(credentials));
  EXPECT_FALSE(memory_.IsKnownFor(credentials, "hash"));
}

TEST_F(SecretMemoryTest, ASecretIsNotFreshWhereTheClockWasSetBack) {
  const Credentials credentials = {"writer", "secret"};
  memory_.Remember(credentials, "hash");
  clock_.Advance(-absl::Seconds(1));
  EXPECT_FALSE(memory_.IsFresh(credentials));
}

TEST_F(SecretMemoryTest, AWritersNewSecretTakesThePlaceOfTheOld) {
  memory_.Remember({"writer", "old"}, "hash");
  memory_.Remember({"writer", "new"}, "other hash");
  EXPECT_FALSE(memory_.IsKnown({"writer", "old"}));
  EXPECT_TRUE(memory_.IsFresh({"writer", "new"}));
}

TEST_F(SecretMemoryTest, IsBounded) {
  for (int i = 0; i < 3; ++i) memory_.Remember({absl::StrCat("writer", i), "secret"}, "hash");
  memory_.Remember({"writer0", "secret"}, "hash");
  memory_.Remember({"writer3", "secret"}, "hash");
  EXPECT_TRUE(memory_.IsKnown({"writer0", "secret"}));
  EXPECT_FALSE(memory_.IsKnown({"writer1", "secret"}));
  EXPECT_TRUE(memory_.IsKnown({"writer3", "secret"}));
}

TEST_F(SecretMemoryTest, MayBeAskedAndToldAtTheSameTime) {
  memory_.Remember({"writer", "secret"}, "hash");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i, this] {
      for (int j = 0; j < 1000; ++j) {
        EXPECT_TRUE(memory_.IsFresh({"writer", "secret"}));
        EXPECT_FALSE(memory_.IsFresh({"writer", "wrong"}));
        if (i == 0) memory_.Remember({"writer", "secret"}, "hash");
        if (i == 1) memory_.Remember({"other", absl::StrCat("secret", j)}, "hash");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ctlstore::executive
