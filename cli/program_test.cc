// The program as its users meet it: the real binary, its output and its exit status.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/exit_status.h"
#include "cli/subprocess.h"
#include "common/rpc/testing/certificates.h"

namespace ctlstore::cli {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

// Far more than anything here takes; reached only by what hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

struct Outcome {
  int status = -1;
  std::string output;
  std::string errors;
};

class ProgramTest : public testing::Test {
 protected:
  ProgramTest()
      : folder_(absl::StrCat(testing::TempDir(), "/program-", getpid(), "-",
                             testing::UnitTest::GetInstance()->current_test_info()->name())),
        program_(absl::StrCat(std::getenv("TEST_SRCDIR"), "/ctlstore/cli/ctlstore")) {
    std::filesystem::create_directories(folder_);
  }
  ~ProgramTest() override {
    dev_.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string data_dir() const { return folder_ + "/data"; }

  // What follows --executive_listen and --sidecar_listen.
  std::unique_ptr<Subprocess> NewDev(const std::string& executive, const std::string& sidecar,
                                     const std::string& data_dir, const Arguments& more = {}) {
    Arguments arguments = {program_,
                           "dev",
                           "--data_dir=" + data_dir,
                           "--executive_listen=" + executive,
                           "--sidecar_listen=" + sidecar,
                           "--reflector_listen=127.0.0.1:0",
                           "--supervisor_listen=127.0.0.1:0",
                           "--http_port=0",
                           "--sidecar_http_port=0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Subprocess>(folder_, arguments);
  }

  // The rest of the line that begins with `label`.
  static std::string LineAfter(const std::string& text, const std::string& label) {
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (absl::StartsWith(line, label)) {
        return std::string(absl::StripAsciiWhitespace(line.substr(label.size())));
      }
    }
    return "";
  }

  void StartDev() {
    dev_ = NewDev("127.0.0.1:0", "127.0.0.1:0", data_dir());
    ASSERT_TRUE(dev_->WaitForOutput("ctlstore is ready\n", kPatience))
        << dev_->output() << dev_->errors();
    executive_ = LineAfter(dev_->output(), "executive (writes)");
    sidecar_ = LineAfter(dev_->output(), "sidecar (reads)");
  }

  // An executive alone, with these flags of its own.
  std::unique_ptr<Subprocess> StartExecutive(const Arguments& flags) {
    Arguments arguments = {program_, "executive", "--listen=127.0.0.1:0", "--http_port=0",
                           "--ctldb=sqlite:" + folder_ + "/ctldb.db"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    auto executive = std::make_unique<Subprocess>(folder_, arguments);
    constexpr char kStarted[] = "event=executive_started listen=";
    const absl::Time deadline = absl::Now() + kPatience;
    while (!absl::StrContains(executive->errors(), kStarted)) {
      EXPECT_LT(absl::Now(), deadline) << executive->errors();
      if (absl::Now() >= deadline) return executive;
      absl::SleepFor(absl::Milliseconds(10));
    }
    const std::string log = executive->errors();
    const std::string rest = log.substr(log.find(kStarted) + sizeof(kStarted) - 1);
    executive_ = rest.substr(0, rest.find_first_of(" \n"));
    return executive;
  }

  void StopDev(int signal) {
    dev_->Signal(signal);
    EXPECT_EQ(dev_->WaitForExit(kPatience), kExitOk) << dev_->errors();
    EXPECT_TRUE(absl::StrContains(dev_->output(), "ctlstore has stopped"));
    // Nothing of it is left.
    EXPECT_NE(kill(dev_->pid(), 0), 0);
    dev_.reset();
  }

  Outcome Run(const Arguments& arguments, absl::string_view input = "") {
    Arguments all = {program_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Subprocess process(folder_, all, input,
                       {{"CTLSTORE_EXECUTIVE", executive_},
                        {"CTLSTORE_SIDECAR", sidecar_},
                        {"CTLSTORE_WRITER_SECRET_FILE", secret_file_}});
    Outcome outcome;
    outcome.status = process.WaitForExit(kPatience);
    outcome.output = process.output();
    outcome.errors = process.errors();
    return outcome;
  }

  // Runs what must succeed.
  std::string Do(const Arguments& arguments, absl::string_view input = "") {
    const Outcome outcome = Run(arguments, input);
    EXPECT_EQ(outcome.status, kExitOk) << absl::StrJoin(arguments, " ") << "\n" << outcome.errors;
    return outcome.output;
  }

  json DoJson(Arguments arguments, absl::string_view input = "") {
    arguments.push_back("--json");
    return json::parse(Do(arguments, input), nullptr, /*allow_exceptions=*/false);
  }

  // A write is read a moment later.
  void WaitForSequence(int64_t sequence) {
    const absl::Time deadline = absl::Now() + kPatience;
    while (DoJson({"status"})["applied_sequence"] < sequence) {
      ASSERT_LT(absl::Now(), deadline);
    }
  }

  void UseOwnSecret() { secret_file_ = data_dir() + "/writer.secret"; }

  std::string WriteFile(const std::string& name, absl::string_view content) {
    const std::string path = absl::StrCat(folder_, "/", name);
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  const std::string folder_;
  const std::string program_;
  std::unique_ptr<Subprocess> dev_;
  // Nobody listens on port 1.
  std::string executive_ = "127.0.0.1:1";
  std::string sidecar_ = "127.0.0.1:1";
  std::string secret_file_;
};

TEST_F(ProgramTest, HelpIsOutputAndWrongUsageIsNot) {
  Outcome outcome = Run({"help"});
  EXPECT_EQ(outcome.status, kExitOk);
  EXPECT_TRUE(absl::StrContains(outcome.output, "Exit status")) << outcome.output;
  outcome = Run({"import", "--help"});
  EXPECT_EQ(outcome.status, kExitOk);
  for (const char* part : {"ctlstore import FAMILY TABLE FILE", "--skip_bad_rows", "--executive"}) {
    EXPECT_TRUE(absl::StrContains(outcome.output, part)) << part;
  }
  EXPECT_FALSE(absl::StrContains(outcome.output, "--data_dir"));

  for (const Arguments& arguments :
       {Arguments{}, Arguments{"gett"}, Arguments{"table"}, Arguments{"get", "geo"},
        Arguments{"get", "geo", "countries", "NZ", "--nope"},
        Arguments{"list", "a", "b", "--limit=x"}, Arguments{"table", "create", "geo", "countries"},
        Arguments{"table", "create", "geo", "countries", "--fields=a:nothing", "--key=a"},
        Arguments{"executive", "--poll_interval_ms=1"}, Arguments{"dev", "argument"}}) {
    outcome = Run(arguments);
    EXPECT_EQ(outcome.status, kExitUsage) << absl::StrJoin(arguments, " ") << outcome.errors;
    EXPECT_EQ(outcome.output, "");
    EXPECT_NE(outcome.errors, "");
  }
  EXPECT_TRUE(absl::StrContains(Run({"gett"}).errors, "did you mean 'get'?"));
}

TEST_F(ProgramTest, ServicesDescribeTheirOwnFlags) {
  const std::pair<const char*, const char*> own_flags[] = {
      {"executive", "--max_ctldb_connections"},
      {"reflector", "--poll_jitter"},
      {"sidecar", "--max_list_rows"},
      {"heartbeat", "--heartbeat_interval_ms"}};
  for (const auto& [service, flag] : own_flags) {
    const std::string help = Do({service, "--help"});
    EXPECT_TRUE(absl::StrContains(help, flag)) << help;
    EXPECT_TRUE(absl::StrContains(help, "--log_level")) << help;
    for (const auto& [other, other_flag] : own_flags) {
      EXPECT_EQ(absl::StrContains(help, other_flag), flag == other_flag) << help;
    }
  }
}

TEST_F(ProgramTest, SaysWhatCannotBeReached) {
  secret_file_ = WriteFile("secret", "a secret");
  for (const Arguments& arguments :
       {Arguments{"status"}, Arguments{"get", "geo", "countries", "NZ"},
        Arguments{"family", "list"}, Arguments{"put", "geo", "countries", "a=b"}}) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.status, kExitUnavailable) << outcome.errors;
    EXPECT_TRUE(absl::StrContains(outcome.errors, "127.0.0.1:1")) << outcome.errors;
  }
  EXPECT_EQ(Run({"get", "geo", "countries", "NZ", "--ldb=" + folder_ + "/none.db"}).status,
            kExitUnavailable);
}

TEST_F(ProgramTest, DevServesStopsAndGoesOnWithTheSameData) {
  StartDev();
  UseOwnSecret();
  Do({"family", "create", "demo"});
  Do({"table", "create", "demo", "greetings", "--fields=language:string,text:text",
      "--key=language"});
  const json put = DoJson({"put", "demo", "greetings", "language=en", "text=hello"});
  WaitForSequence(put["sequence"]);
  EXPECT_EQ(Do({"get", "demo", "greetings", "en"}), "language  en\ntext      hello\n");
  StopDev(SIGINT);

  // The file alone is enough to read.
  const std::string ldb = "--ldb=" + data_dir() + "/ldb.db";
  EXPECT_EQ(DoJson({"get", "demo", "greetings", "en", ldb})["text"], "hello");

  StartDev();
  EXPECT_EQ(DoJson({"get", "demo", "greetings", "en"})["text"], "hello");
  const json second = DoJson({"put", "demo", "greetings", "language=de", "text=hallo"});
  EXPECT_GT(second["sequence"], put["sequence"]);
  WaitForSequence(second["sequence"]);
  EXPECT_EQ(DoJson({"list", "demo", "greetings"}).size(), 2u);
  StopDev(SIGTERM);
}

TEST_F(ProgramTest, DevNamesTheFlagOfWhatIsTaken) {
  StartDev();
  const std::string other = folder_ + "/other";
  const struct {
    std::string executive, sidecar, data_dir, expected;
  } cases[] = {
      {executive_, "127.0.0.1:0", other, "--executive_listen"},
      {"127.0.0.1:0", sidecar_, other, "--sidecar_listen"},
      {"127.0.0.1:0", "127.0.0.1:0", data_dir(), "--data_dir"},
      {"127.0.0.1:0", "nowhere", other, "--sidecar_listen"},
  };
  for (const auto& test : cases) {
    const auto second = NewDev(test.executive, test.sidecar, test.data_dir);
    EXPECT_EQ(second->WaitForExit(kPatience), kExitFailed) << second->errors();
    EXPECT_TRUE(absl::StrContains(second->errors(), test.expected)) << second->errors();
    EXPECT_EQ(second->output(), "");
  }
  StopDev(SIGINT);
}

TEST_F(ProgramTest, EveryTypeMakesTheRoundTripExactly) {
  StartDev();
  UseOwnSecret();
  Do({"family", "create", "demo"});
  Do({"table", "create", "demo", "kinds",
      "--fields=i:integer,s:string,b:bytestring,d:decimal,t:text,x:binary", "--key=i,s,b"});
  Do({"put", "demo", "kinds", "i=-9223372036854775808", "s=42", "b=0x00ff", "d=0.1",
      "t=a\nb\\\xC3\xA9", "x=base64:AAEC"});
  const json last = DoJson({"put", "demo", "kinds", "i=7", "s=0x01", "b=0x"});
  WaitForSequence(last["sequence"]);

  const json expected = {{"i", INT64_MIN},        {"s", "42"},  {"b", "AP8="}, {"d", 0.1},
                         {"t", "a\nb\\\xC3\xA9"}, {"x", "AAEC"}};
  const std::string ldb = "--ldb=" + data_dir() + "/ldb.db";
  for (const Arguments& source : {Arguments{}, Arguments{ldb}}) {
    Arguments get = {"get", "demo", "kinds", "-9223372036854775808", "42", "base64:AP8="};
    get.insert(get.end(), source.begin(), source.end());
    EXPECT_EQ(DoJson(get), expected);
    Arguments list = {"list", "demo", "kinds"};
    list.insert(list.end(), source.begin(), source.end());
    const json all = DoJson(list);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0], expected);
    EXPECT_EQ(all[1]["s"], "0x01");
    EXPECT_EQ(all[1]["b"], "");
    EXPECT_TRUE(all[1]["t"].is_null());
    list.push_back("7");
    EXPECT_EQ(DoJson(list).size(), 1u);
    list.back() = "--limit=1";
    EXPECT_EQ(DoJson(list).size(), 1u);
    EXPECT_TRUE(absl::StrContains(Run(list).errors, "more rows"));
  }
  const json deleted = DoJson({"delete", "demo", "kinds", "7", "0x01", "0x"});
  WaitForSequence(deleted["sequence"]);
  EXPECT_EQ(Run({"get", "demo", "kinds", "7", "0x01", "0x"}).status, kExitNotFound);
  StopDev(SIGINT);
}

TEST_F(ProgramTest, ExitStatusesTellWhatHappened) {
  StartDev();
  UseOwnSecret();
  Do({"family", "create", "demo"});
  Do({"table", "create", "demo", "pairs", "--fields=k:integer,v:string", "--key=k"});
  const json put = DoJson({"put", "demo", "pairs", "k=1", "v=x"});
  WaitForSequence(put["sequence"]);

  const struct {
    Arguments arguments;
    int status;
    const char* error;
  } cases[] = {
      {{"get", "demo", "pairs", "2"}, kExitNotFound, "no row with this key"},
      {{"get", "demo", "nothing", "2"}, kExitNotFound, "TABLE_NOT_FOUND"},
      {{"get", "demo", "pairs", "x"}, kExitRefused, "INVALID_KEY"},
      {{"get", "demo", "pairs", "1", "2"}, kExitRefused, "INVALID_KEY"},
      {{"get", "x", "pairs", "1"}, kExitRefused, "INVALID_NAME"},
      {{"table", "show", "demo", "nothing"}, kExitNotFound, "TABLE_NOT_FOUND"},
      {{"table", "list", "nothing"}, kExitNotFound, "FAMILY_NOT_FOUND"},
      {{"table", "create", "demo", "pairs", "--fields=k:integer", "--key=k"},
       kExitRefused,
       "TABLE_DIFFERS"},
      {{"fields", "add", "demo", "pairs", "v:integer"}, kExitRefused, "FIELD_DIFFERS"},
      {{"put", "demo", "pairs", "k=1.5"}, kExitRefused, "INVALID_VALUE"},
      {{"put", "demo", "pairs", "k=1", "w=x"}, kExitRefused, "UNKNOWN_FIELD"},
      {{"put", "demo", "pairs", "v=x"}, kExitRefused, "field: mutations[0].values.k"},
      {{"put", "demo", "pairs", "k=1", "v=" + std::string(192, 'x')}, kExitRefused, "TOO_LARGE"},
      {{"delete", "demo", "pairs", "1", "2"}, kExitRefused, "INVALID_KEY"},
      {{"import", "demo", "pairs", folder_ + "/none.json"}, kExitNotFound, "none.json"},
  };
  for (const auto& test : cases) {
    const Outcome outcome = Run(test.arguments);
    EXPECT_EQ(outcome.status, test.status) << absl::StrJoin(test.arguments, " ") << "\n"
                                           << outcome.errors;
    EXPECT_TRUE(absl::StrContains(outcome.errors, test.error)) << outcome.errors;
    EXPECT_EQ(outcome.output, "");
  }

  // The writer exists now; another secret is not its own, and stays unsaid.
  secret_file_ = WriteFile("wrong", "not-the-secret\n");
  const Outcome outcome = Run({"put", "demo", "pairs", "k=1"});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "BAD_CREDENTIALS")) << outcome.errors;
  EXPECT_FALSE(absl::StrContains(outcome.errors, "not-the-secret")) << outcome.errors;
  secret_file_.clear();
  EXPECT_EQ(Run({"put", "demo", "pairs", "k=1"}).status, kExitUsage);
  StopDev(SIGINT);
}

TEST_F(ProgramTest, DevWithTlsAndRoles) {
  const rpc::testing::CertificateAuthority ca;
  const rpc::testing::Certificate server = ca.IssueServer();
  WriteFile("ca.pem", ca.cert());
  WriteFile("server.pem", server.cert);
  WriteFile("server.key", server.key);
  WriteFile("reader", "reader-token-0123456789\n");
  // In a folder whose path is short, as sockets have it.
  char folder[] = "/tmp/ctlstore_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string data = folder;
  dev_ = NewDev(
      "127.0.0.1:0", "127.0.0.1:0", data,
      {"--tls_cert_file=" + folder_ + "/server.pem", "--tls_key_file=" + folder_ + "/server.key",
       "--reader_token_file=" + folder_ + "/reader"});
  ASSERT_TRUE(dev_->WaitForOutput("ctlstore is ready\n", kPatience))
      << dev_->output() << dev_->errors();
  EXPECT_TRUE(absl::StrContains(dev_->output(), "--token_file=" + data + "/admin.token"));
  executive_ = LineAfter(dev_->output(), "executive (writes)");
  sidecar_ = LineAfter(dev_->output(), "sidecar (reads)");

  Outcome outcome = Run({"status"});
  EXPECT_EQ(outcome.status, kExitUnavailable);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "--client_tls")) << outcome.errors;
  const Arguments tls = {"--client_tls", "--client_tls_ca_file=" + folder_ + "/ca.pem"};
  outcome = Run({"status", tls[0], tls[1]});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "--token_file")) << outcome.errors;
  Do({"status", tls[0], tls[1], "--token_file=" + folder_ + "/reader"});
  Do({"family", "list", tls[0], tls[1], "--token_file=" + data + "/admin.token"});
  outcome = Run({"status", "--sidecar=192.0.2.1:1331", "--token_file=" + folder_ + "/reader"});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "in clear")) << outcome.errors;
  StopDev(SIGINT);
  std::filesystem::remove_all(data);
}

TEST_F(ProgramTest, BeyondLoopbackServersAskForProtection) {
  const auto refused = [](const Outcome& outcome) {
    EXPECT_NE(outcome.status, kExitOk);
    const std::string all = outcome.output + outcome.errors;
    for (const char* word : {"0.0.0.0:0", "--tls_cert_file", "--admin_token_file", "--insecure"}) {
      EXPECT_TRUE(absl::StrContains(all, word)) << all;
    }
  };
  refused(Run({"dev", "--data_dir=" + data_dir(), "--executive_listen=0.0.0.0:0"}));
  refused(Run({"dev", "--data_dir=" + data_dir(), "--sidecar_listen=0.0.0.0:0"}));
  refused(Run({"dev", "--data_dir=" + data_dir(), "--reflector_listen=0.0.0.0:0"}));
  refused(Run({"sidecar", "--ldb=" + folder_ + "/ldb.db", "--listen=0.0.0.0:0"}));
  refused(Run({"executive", "--ctldb=sqlite://" + folder_ + "/ctldb.db", "--listen=0.0.0.0:0"}));
}

TEST_F(ProgramTest, WritersAndTheirCookies) {
  StartDev();
  EXPECT_EQ(Run({"writer", "register", "loader"}, "first secret\n").status, kExitOk);
  EXPECT_EQ(Run({"writer", "register", "loader"}, "first secret").status, kExitOk);
  EXPECT_EQ(Run({"writer", "register", "loader"}, "another secret").status, kExitRefused);
  EXPECT_EQ(Run({"writer", "register", "loader"}, "x").status, kExitRefused);

  secret_file_ = WriteFile("secret", "first secret\n");
  EXPECT_EQ(DoJson({"cookie", "get", "--writer=loader"})["cookie"], "");
  Do({"cookie", "set", "position 7", "--writer=loader"});
  EXPECT_EQ(Do({"cookie", "get", "--writer=loader"}), "position 7\n");
  Do({"cookie", "set", "0x0001", "--writer=loader"});
  EXPECT_EQ(Do({"cookie", "get", "--writer=loader"}), "0x0001\n");
  EXPECT_EQ(Run({"cookie", "get", "--writer=stranger", "--noregister"}).status, kExitRefused);
  EXPECT_EQ(Run({"cookie", "get", "--writer=stranger"}).status, kExitOk);
  StopDev(SIGINT);
}

TEST_F(ProgramTest, AnExecutiveIsAdministered) {
  const auto executive =
      StartExecutive({"--enable_destructive_changes", "--writer_max_rows=50",
                      "--writer_rate_period_ms=1000", "--table_warn_bytes=1000000"});
  secret_file_ = WriteFile("secret", "a secret");
  Do({"family", "create", "demo"});
  for (const char* table : {"one", "two"}) {
    Do({"table", "create", "demo", table, "--fields=k:integer", "--key=k"});
  }

  Do({"limits", "table", "set", "demo", "one", "--warn_bytes=5", "--max_bytes=10"});
  json limits = DoJson({"limits", "table", "list"});
  EXPECT_EQ(limits["default"]["warn_bytes"], 1000000);
  EXPECT_EQ(
      limits["tables"],
      json::array({{{"family", "demo"}, {"table", "one"}, {"warn_bytes", 5}, {"max_bytes", 10}}}));
  Do({"limits", "table", "delete", "demo", "one"});
  EXPECT_EQ(Run({"limits", "table", "delete", "demo", "one"}).status, kExitNotFound);

  Do({"limits", "writer", "set", "loader", "--rows=7", "--period_ms=1000"});
  limits = DoJson({"limits", "writer", "list"});
  EXPECT_EQ(limits["default"], json({{"rows", 50}, {"period_ms", 1000}}));
  EXPECT_EQ(limits["writers"],
            json::array({{{"writer", "loader"}, {"rows", 7 * 60}, {"period_ms", 60000}}}));
  Do({"limits", "writer", "delete", "loader"});
  EXPECT_EQ(Run({"limits", "writer", "delete", "loader"}).status, kExitNotFound);

  // Requests of a hundred rows would never be taken.
  std::string rows = "k\n";
  for (int i = 0; i < 120; ++i) absl::StrAppend(&rows, i, "\n");
  const std::string file = WriteFile("rows.csv", rows);
  EXPECT_EQ(DoJson({"import", "demo", "one", file})["rows_written"], 120);

  const int64_t cleared = DoJson({"table", "clear", "demo", "one", "--yes"})["sequence"];
  EXPECT_EQ(DoJson({"family", "clear", "demo", "--yes"})["sequence"].is_number_integer(), true);
  EXPECT_GT(DoJson({"table", "drop", "demo", "one", "--yes"})["sequence"], cleared);
  EXPECT_EQ(Run({"table", "show", "demo", "one"}).status, kExitNotFound);
  EXPECT_EQ(Run({"table", "drop", "demo", "one", "--yes"}).status, kExitNotFound);
  EXPECT_EQ(Run({"table", "drop", "demo", "two"}).status, kExitUsage);
  Do({"table", "show", "demo", "two"});

  const json status = DoJson({"status", "executive"});
  EXPECT_EQ(status["ctldb_available"], true);
  EXPECT_EQ(status["destructive_changes_enabled"], true);
  EXPECT_GT(status["last_sequence"], cleared);
  executive->Signal(SIGTERM);
  EXPECT_EQ(executive->WaitForExit(kPatience), kExitOk) << executive->errors();
}

TEST_F(ProgramTest, DestructiveChangesAreRefusedUnlessEnabled) {
  const auto executive = StartExecutive({});
  Do({"family", "create", "demo"});
  Do({"table", "create", "demo", "one", "--fields=k:integer", "--key=k"});
  for (const Arguments& arguments : {Arguments{"table", "drop", "demo", "one", "--yes"},
                                     Arguments{"table", "clear", "demo", "one", "--yes"},
                                     Arguments{"family", "clear", "demo", "--yes"}}) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.status, kExitRefused) << outcome.errors;
    EXPECT_TRUE(absl::StrContains(outcome.errors, "DESTRUCTIVE_DISABLED")) << outcome.errors;
  }
  EXPECT_EQ(DoJson({"status", "executive"})["destructive_changes_enabled"], false);
}

TEST_F(ProgramTest, MutatesFromJson) {
  StartDev();
  UseOwnSecret();
  Do({"family", "create", "demo"});
  Do({"table", "create", "demo", "pairs", "--fields=k:integer,v:string", "--key=k"});
  Do({"mutate", "demo"}, R"([
    {"table": "pairs", "values": {"k": {"integer": "9007199254740993"}, "v": {"text": "a"}}},
    {"table": "pairs", "values": {"k": {"integer": 2}, "v": {"text": "b"}}},
    {"table": "pairs", "delete": true, "values": {"k": {"integer": 2}}}])");
  const std::string with_cookie = WriteFile("request.json", R"({
    "mutations": [{"table": "pairs", "values": {"k": {"integer": 3}}}],
    "cookie": "Nw==", "checkCookie": ""})");
  const json last = DoJson({"mutate", "demo", with_cookie});
  WaitForSequence(last["sequence"]);
  EXPECT_EQ(Do({"list", "demo", "pairs"}),
            "k                 v\n3                 null\n9007199254740993  a\n");
  EXPECT_EQ(Do({"cookie", "get"}), "7\n");

  const Outcome again = Run({"mutate", "demo", with_cookie});
  EXPECT_EQ(again.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(again.errors, "COOKIE_MISMATCH")) << again.errors;
  EXPECT_EQ(Run({"mutate", "demo"}, "[{\"tabel\": 1}]").status, kExitRefused);
  EXPECT_EQ(Run({"mutate", "demo"}, "nonsense").status, kExitRefused);
  EXPECT_EQ(Run({"mutate", "demo"}, "{\"family\": \"other\"}").status, kExitRefused);
  StopDev(SIGINT);
}

TEST_F(ProgramTest, ImportsFilesAndMayBeRunAgain) {
  StartDev();
  UseOwnSecret();
  // In the form of Debian's iso-codes.
  json languages = json::array();
  for (int i = 0; i < 8000; ++i) {
    json language = {{"alpha_3", absl::StrCat("l", i)},
                     {"name", absl::StrCat("Language \xC3\xA9 ", i)}};
    if (i % 7 == 0) language["inverted name"] = absl::StrCat(i, ", Language");
    languages.push_back(language);
  }
  const std::string file = WriteFile("iso.json", json({{"639-3", languages}}).dump(2));
  const json first = DoJson({"import", "geo", "languages", file, "--key=alpha_3"});
  EXPECT_EQ(first["created"], true);
  EXPECT_EQ(first["rows_written"], 8000);
  const json again = DoJson({"import", "geo", "languages", file});
  EXPECT_EQ(again["created"], false);
  EXPECT_EQ(again["rows_written"], 8000);
  WaitForSequence(again["sequence"]);
  EXPECT_EQ(DoJson({"list", "geo", "languages"}).size(), 8000u);
  EXPECT_EQ(
      DoJson({"get", "geo", "languages", "l7"}),
      json({{"alpha_3", "l7"}, {"name", "Language \xC3\xA9 7"}, {"inverted_name", "7, Language"}}));

  const json csv = DoJson({"import", "geo", "codes", "-", "--format=csv", "--key=code,n"},
                          "code,n,Exact\r\n007,1,1.5\r\n\"a,b\",2,\r\n");
  EXPECT_EQ(csv["rows_written"], 2);
  WaitForSequence(csv["sequence"]);
  EXPECT_EQ(DoJson({"list", "geo", "codes"}),
            json::array({{{"code", "007"}, {"n", 1}, {"exact", 1.5}},
                         {{"code", "a,b"}, {"n", 2}, {"exact", nullptr}}}));

  const std::string bad = WriteFile("bad.csv", "code,n,exact\nx,1,2\ny,two,2\nz,3,4\n");
  Outcome outcome = Run({"import", "geo", "codes", bad});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "bad.csv:3: n: ")) << outcome.errors;
  outcome = Run({"import", "geo", "codes", bad, "--skip_bad_rows"});
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.output, "2 rows written, 1 left out")) << outcome.output;
  outcome = Run({"import", "geo", "codes", "-", "--format=csv"}, "code,n,other\nx,1,2\n");
  EXPECT_EQ(outcome.status, kExitRefused);
  EXPECT_TRUE(absl::StrContains(outcome.errors, "other")) << outcome.errors;
  EXPECT_EQ(Run({"import", "geo", "unknown", bad}).status, kExitNotFound);
  EXPECT_TRUE(DoJson({"import", "geo", "dry", file, "--key=alpha_3", "--dry_run"})["dry_run"]);
  EXPECT_EQ(Run({"table", "show", "geo", "dry"}).status, kExitNotFound);
  StopDev(SIGINT);
}

}  // namespace
}  // namespace ctlstore::cli
