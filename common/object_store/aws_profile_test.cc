#include "common/object_store/aws_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"

namespace ctlstore::object_store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr char kConfig[] = R"(# comment
[default]
region = eu-west-1

[ profile  two ]
Region=ap-south-1 # where it is
aws_secret_access_key = a#b;c==
s3 =
  addressing_style = path
  region = nowhere
output
; comment
[profile "with blanks"]
region = sa-east-1
[services two]
region = wrong
[profilethree]
region = wrong
)";

AwsEnvironment Environment(const std::map<std::string, std::string>& values) {
  return [values](const char* name) {
    const auto found = values.find(name);
    return found != values.end() ? found->second : std::string();
  };
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
  std::ofstream(path) << text;
  return path;
}

AwsProfile Section(absl::string_view name, bool is_config = true) {
  AwsProfile profile;
  ReadAwsSection(kConfig, name, is_config, &profile);
  return profile;
}

TEST(AwsProfileTest, ReadsOneSection) {
  EXPECT_THAT(Section("default"), ElementsAre(Pair("region", "eu-west-1")));
  EXPECT_THAT(Section("two"), ElementsAre(Pair("aws_secret_access_key", "a#b;c=="),
                                          Pair("region", "ap-south-1"), Pair("s3", "")));
  EXPECT_THAT(Section("with blanks"), ElementsAre(Pair("region", "sa-east-1")));
  EXPECT_THAT(Section("three"), IsEmpty());
  EXPECT_THAT(Section("two", /*is_config=*/false), IsEmpty());
  AwsProfile profile;
  EXPECT_TRUE(ReadAwsSection("[two]\r\nregion = x\r\n", "two", false, &profile));
  EXPECT_THAT(profile, ElementsAre(Pair("region", "x")));
  EXPECT_FALSE(ReadAwsSection(kConfig, "four", true, &profile));
}

TEST(AwsProfileTest, TheCredentialsFileComesFirst) {
  const std::string credentials = WriteFile("credentials", "[two]\naws_access_key_id = first\n");
  const std::string config =
      WriteFile("config", "[profile two]\naws_access_key_id = second\nregion = x\n");
  const absl::StatusOr<AwsProfile> profile =
      ReadAwsProfile(Environment({{"AWS_PROFILE", "two"},
                                  {"AWS_SHARED_CREDENTIALS_FILE", credentials},
                                  {"AWS_CONFIG_FILE", config}}));
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_THAT(*profile, ElementsAre(Pair("aws_access_key_id", "first"), Pair("region", "x")));
}

TEST(AwsProfileTest, FilesAreInTheHomeFolder) {
  const std::string home = ::testing::TempDir() + "/home";
  ASSERT_EQ(system(("mkdir -p " + home + "/.aws").c_str()), 0);
  WriteFile("home/.aws/config", "[default]\nregion = x\n");
  EXPECT_THAT(*ReadAwsProfile(Environment({{"HOME", home}})), ElementsAre(Pair("region", "x")));
  EXPECT_THAT(*ReadAwsProfile(Environment({{"HOME", home}, {"AWS_CONFIG_FILE", "~/.aws/config"}})),
              ElementsAre(Pair("region", "x")));
  EXPECT_THAT(*ReadAwsProfile(Environment({{"HOME", home + "/nobody"}})), IsEmpty());
  EXPECT_THAT(*ReadAwsProfile(Environment({})), IsEmpty());
}

TEST(AwsProfileTest, AProfileThatIsNamedHasToBeThere) {
  const absl::Status status =
      ReadAwsProfile(Environment({{"AWS_PROFILE", "nobody"}, {"HOME", "/nowhere"}})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nobody"));
}

TEST(AwsProfileTest, SettingsComeFromTheEnvironmentFirst) {
  const std::string config =
      WriteFile("settings", "[default]\nregion = file\nendpoint_url = http://file\n");
  std::map<std::string, std::string> environment = {{"AWS_CONFIG_FILE", config}};
  EXPECT_EQ(ReadAwsSettings(Environment(environment)).region, "file");
  EXPECT_EQ(ReadAwsSettings(Environment(environment)).endpoint, "http://file");
  environment["AWS_DEFAULT_REGION"] = "default";
  environment["AWS_ENDPOINT_URL"] = "http://all";
  EXPECT_EQ(ReadAwsSettings(Environment(environment)).region, "default");
  EXPECT_EQ(ReadAwsSettings(Environment(environment)).endpoint, "http://all");
  environment["AWS_REGION"] = "region";
  environment["AWS_ENDPOINT_URL_S3"] = "http://s3";
  EXPECT_EQ(ReadAwsSettings(Environment(environment)).region, "region");
  EXPECT_EQ(ReadAwsSettings(Environment(environment)).endpoint, "http://s3");
}

TEST(AwsProfileTest, TakesAnyBytes) {
  std::mt19937 random(7);
  const std::string pieces[] = {"[",  "]",  "profile", " ",  "two", "=",   "\n",  "#",
                                "\"", "\r", ";",       "\t", "[]",  "\n[", "\n]", "\xff"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t i = random() % 20; i > 0; --i) text += pieces[random() % std::size(pieces)];
    AwsProfile profile;
    ReadAwsSection(text, "two", round % 2 == 0, &profile);
  }
}

}  // namespace
}  // namespace ctlstore::object_store
