// The comparison while both databases are in use.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/verify/verifier_test_base.h"
#include "common/sql/random_data.h"

namespace ctlstore::cli {
namespace {

using ::ctlstore::ctldb::testing::MustSchema;
using ::testing::IsEmpty;

TableSchema Simple(const std::string& table) {
  return MustSchema("fam", table, {{"id", FieldType::kInteger}, {"n", FieldType::kText}}, {"id"});
}

TableSchema Words() {
  return MustSchema(
      "fam", "words",
      {{"w", FieldType::kString}, {"n", FieldType::kInteger}, {"t", FieldType::kText}}, {"w", "n"});
}

class VerifierLoadTest : public VerifierTest {
 protected:
  VerifierLoadTest() {
    executive_->Create(Simple("hot"));
    executive_->Create(Simple("cold"));
    executive_->Create(Words());
    std::vector<TableRow> rows;
    for (int64_t id = 0; id < 2000; ++id) {
      rows.push_back({Value::Integer(id), Value::Text(absl::StrCat("number ", id))});
    }
    EXPECT_TRUE(executive_->Write(Simple("cold"), rows));
    Reflect();
  }
  ~VerifierLoadTest() override { StopAll(); }

  void Start(std::function<void(TestExecutive*)> work) {
    threads_.emplace_back([this, work = std::move(work)] {
      const std::unique_ptr<TestExecutive> executive = NewExecutive();
      while (!stop_) work(executive.get());
    });
  }

  // `pause` between two applications.
  void StartReflector(absl::Duration pause) {
    threads_.emplace_back([this, pause] {
      const std::unique_ptr<TestReflector> reflector = NewReflector();
      while (!stop_) {
        applied_ += static_cast<int64_t>(reflector->Apply(50));
        absl::SleepFor(pause);
      }
    });
  }

  // One key all the time, others at random, deletions, and rows that go as they come.
  void StartWriters() {
    Start([](TestExecutive* executive) {
      static std::atomic<int64_t> n{0};
      executive->Write(Simple("hot"), {{Value::Integer(1), Value::Text(absl::StrCat(++n))}});
    });
    Start([random = sql::RandomData(7)](TestExecutive* executive) mutable {
      std::vector<TableRow> rows, keys;
      for (size_t i = random.Below(4); i > 0; --i) {
        rows.push_back({Value::Text(random.Text(2)), Value::Integer(random.Below(3)),
                        random.Of(FieldType::kText, true)});
        keys.push_back({Value::Text(random.Text(2)), Value::Integer(random.Below(3))});
      }
      if (!rows.empty()) executive->Write(Words(), rows, keys);
    });
  }

  void StopAll() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  // Verifies so often, with something applied in between.
  void VerifyOften(int times, const std::function<void(const Report&)>& check) {
    for (int i = 0; i < times; ++i) {
      const int64_t before = applied_;
      const absl::StatusOr<Report> report = Run(VerifierOptions());
      ASSERT_TRUE(report.ok()) << report.status();
      check(*report);
      const absl::Time deadline = Late();
      while (applied_ == before) {
        ASSERT_LT(absl::Now(), deadline);
        absl::SleepFor(absl::Milliseconds(1));
      }
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<int64_t> applied_{0};
  std::vector<std::thread> threads_;
};

CTLSTORE_FOR_BOTH_KINDS(VerifierLoadTest);

TEST_P(VerifierLoadTest, ALiveSystemIsEqualAllTheTime) {
  StartReflector(absl::Milliseconds(2));
  StartWriters();
  int64_t apart = 0, sequence = 0;
  VerifyOften(15, [&](const Report& report) {
    EXPECT_THAT(Findings(report), IsEmpty());
    EXPECT_EQ(report.tables.size(), 3u);
    EXPECT_EQ(TableOf(report, "fam.cold").rows, 2000);
    EXPECT_NE(TableOf(report, "fam.cold").ldb_digest, "");
    for (const TableReport& table : report.tables) apart += table.keys_apart;
    EXPECT_GE(report.last_sequence, report.first_sequence);
    EXPECT_GE(report.last_sequence, sequence);
    sequence = report.last_sequence;
  });
  // Otherwise this was no test of what is left out at first.
  EXPECT_GT(apart, 0);
  StopAll();
  Reflect();
  EXPECT_THAT(Findings(Verify()), IsEmpty());
}

TEST_P(VerifierLoadTest, AnLdbThatLagsIsEqualToo) {
  StartReflector(absl::Milliseconds(100));
  StartWriters();
  VerifyOften(4, [&](const Report& report) { EXPECT_THAT(Findings(report), IsEmpty()); });
}

TEST_P(VerifierLoadTest, ADifferenceIsFoundUnderLoad) {
  InLdb("UPDATE fam___cold SET n = 'number 70l' WHERE id = 701");
  StartReflector(absl::Milliseconds(2));
  StartWriters();
  VerifyOften(5, [&](const Report& report) {
    EXPECT_THAT(Findings(report), testing::ElementsAre("fam.cold: id=integer 701: n is text "
                                                       "\"number 701\", in the LDB text "
                                                       "\"number 70l\""));
  });
}

// As a program would do it that applies some entries wrongly.
TEST_P(VerifierLoadTest, ADifferenceInARowThatChangesAllTheTimeIsFound) {
  InLdb(
      "CREATE TRIGGER wrong AFTER INSERT ON fam___hot BEGIN "
      "UPDATE fam___hot SET n = n || '!' WHERE id = NEW.id; END");
  StartReflector(absl::Milliseconds(50));
  StartWriters();
  const absl::Time deadline = Late();
  while (applied_ < 100 && absl::Now() < deadline) absl::SleepFor(absl::Milliseconds(1));
  VerifyOften(3, [&](const Report& report) {
    EXPECT_EQ(TableOf(report, "fam.hot").differing_rows, 1);
    EXPECT_THAT(Findings(report),
                testing::ElementsAre(testing::MatchesRegex(
                    "fam.hot: id=integer 1: n is text \"[0-9]+\", in the LDB text "
                    "\"[0-9]+!\"")));
  });
}

TEST_P(VerifierLoadTest, TablesThatComeAndGoAreNoDifference) {
  StartReflector(absl::Milliseconds(2));
  StartWriters();
  Start([](TestExecutive* executive) {
    const TableSchema schema = Simple("guest");
    executive->Create(schema);
    executive->Write(schema, {{Value::Integer(1), Value::Text("x")}});
    executive->AddField(schema.name(), {"more", FieldType::kText});
    executive->Clear(schema.name());
    executive->Drop(schema.name());
  });
  Start([n = 0](TestExecutive* executive) mutable {
    executive->Clear(Words().name());
    executive->AddField(Simple("hot").name(), {absl::StrCat("f", ++n % 20), FieldType::kInteger});
    absl::SleepFor(absl::Milliseconds(20));
  });
  VerifyOften(15, [&](const Report& report) {
    for (const TableReport& table : report.tables) {
      EXPECT_NE(table.verdict(), Verdict::kDiffers);
      // What changes all the time need not be decided.
      if (table.name == "fam.guest") continue;
      EXPECT_EQ(table.verdict(), Verdict::kEqual) << table.undecided;
    }
    if (report.verdict() == Verdict::kDiffers) {
      EXPECT_THAT(Findings(report), IsEmpty());
    }
  });
}

}  // namespace
}  // namespace ctlstore::cli
