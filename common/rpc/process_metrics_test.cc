#include "common/rpc/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/testing/scrape.h"

namespace ctlstore::rpc {
namespace {

double Read(const std::string& sample) {
  const auto metrics =
      testing::Metrics::Parse(prometheus::TextSerializer().Serialize(ProcessMetrics().Collect()));
  EXPECT_TRUE(metrics.ok()) << metrics.status();
  const absl::optional<double> value = metrics->Get(sample);
  EXPECT_TRUE(value.has_value()) << sample;
  return value.value_or(-1);
}

TEST(ProcessMetricsTest, MemoryGrowsWithWhatIsUsed) {
  constexpr size_t kBytes = size_t{64} << 20;
  const double before = Read("process_resident_memory_bytes");
  std::vector<char> memory(kBytes);
  std::memset(memory.data(), 1, memory.size());
  EXPECT_GE(Read("process_resident_memory_bytes"), before + kBytes / 2);
  EXPECT_GE(Read("process_virtual_memory_bytes"), Read("process_resident_memory_bytes"));
  EXPECT_EQ(memory.back(), 1);
}

TEST(ProcessMetricsTest, OpenFilesAreCounted) {
  double before = 0;
  for (int fd = 0; fd < 1000; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) ++before;
  }
  EXPECT_EQ(Read("process_open_fds"), before);
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Read("process_open_fds"), before + 1);
  close(fd);
  EXPECT_EQ(Read("process_open_fds"), before);
  EXPECT_EQ(Read("process_max_fds"), static_cast<double>(sysconf(_SC_OPEN_MAX)));
}

TEST(ProcessMetricsTest, CpuTimeGrowsWithWork) {
  const double before = Read("process_cpu_seconds_total");
  while (Read("process_cpu_seconds_total") < before + 0.05) {
  }
}

TEST(ProcessMetricsTest, TheStartIsBeforeNowAndStays) {
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  const double start = Read("process_start_time_seconds");
  // Both clocks may differ a little; a mistaken unit would be years.
  EXPECT_LT(start, now + 60);
  EXPECT_GT(start, now - 24 * 60 * 60);
  EXPECT_EQ(Read("process_start_time_seconds"), start);
}

}  // namespace
}  // namespace ctlstore::rpc
