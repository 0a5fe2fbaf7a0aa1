#include "cli/key_guess.h"

#include <gtest/gtest.h>

#include <vector>

#include "common/schema/errors.h"

namespace ctlstore::cli {
namespace {

absl::Status Refusal(const char* field) {
  return InvalidField(field, reason::kInvalidKey, "another kind is needed");
}

TEST(KeyGuessTest, GoesOnWithTheArgumentThatWasRefused) {
  KeyGuess guess({"42", "0x01", "7"});
  EXPECT_EQ(guess.values(),
            (std::vector<Value>{Value::Integer(42), Value::Bytes("\x01"), Value::Integer(7)}));
  ASSERT_TRUE(guess.Refine(Refusal("key[1]")));
  ASSERT_TRUE(guess.Refine(Refusal("key_prefix[0]")));
  EXPECT_EQ(guess.values(),
            (std::vector<Value>{Value::Text("42"), Value::Text("0x01"), Value::Integer(7)}));
}

TEST(KeyGuessTest, EndsWhereNothingElseCanBeMeant) {
  KeyGuess guess({"NZ", "1"});
  EXPECT_FALSE(guess.Refine(Refusal("key[0]")));
  EXPECT_TRUE(guess.Refine(Refusal("key[1]")));
  EXPECT_FALSE(guess.Refine(Refusal("key[1]")));
}

TEST(KeyGuessTest, LeavesOtherErrorsAlone) {
  KeyGuess guess({"1"});
  EXPECT_FALSE(guess.Refine(Refusal("key")));
  EXPECT_FALSE(guess.Refine(Refusal("key[1]")));
  EXPECT_FALSE(guess.Refine(Refusal("key[x]")));
  EXPECT_FALSE(guess.Refine(absl::UnavailableError("key[0]")));
  EXPECT_FALSE(guess.Refine(InvalidField("key[0]", reason::kInvalidName, "x")));
  EXPECT_EQ(guess.values(), (std::vector<Value>{Value::Integer(1)}));
}

}  // namespace
}  // namespace ctlstore::cli
