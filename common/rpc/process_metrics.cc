#include "common/rpc/process_metrics.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"

namespace ctlstore::rpc {
namespace {

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// The fields of /proc/self/stat from the third on (proc(5)). The second is the program's name in
// parentheses, which may hold anything.
std::vector<std::string> StatFields() {
  const std::string stat = ReadFile("/proc/self/stat");
  const size_t end_of_name = stat.rfind(')');
  if (end_of_name == std::string::npos) return {};
  return absl::StrSplit(absl::string_view(stat).substr(end_of_name + 1), absl::ByAnyChar(" \n"),
                        absl::SkipEmpty());
}

// Field `number` as proc(5) counts them.
absl::optional<int64_t> Number(const std::vector<std::string>& fields, size_t number) {
  int64_t value = 0;
  if (number - 3 >= fields.size() || !absl::SimpleAtoi(fields[number - 3], &value)) {
    return absl::nullopt;
  }
  return value;
}

// When the machine was started, as Unix time.
absl::optional<int64_t> BootTime() {
  const std::string stat = ReadFile("/proc/stat");
  for (absl::string_view line : absl::StrSplit(stat, '\n')) {
    int64_t seconds = 0;
    if (absl::ConsumePrefix(&line, "btime ") && absl::SimpleAtoi(line, &seconds)) return seconds;
  }
  return absl::nullopt;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

MetricFamilies ProcessMetrics::Collect() const {
  MetricFamilies families;
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    AddCounter("process_cpu_seconds_total", "CPU time used by the process, in seconds",
               Seconds(usage.ru_utime) + Seconds(usage.ru_stime), &families);
  }

  const std::vector<std::string> stat = StatFields();
  if (const auto bytes = Number(stat, 23)) {
    AddGauge("process_virtual_memory_bytes", "Address space of the process",
             static_cast<double>(*bytes), &families);
  }
  if (const auto pages = Number(stat, 24)) {
    AddGauge("process_resident_memory_bytes", "Memory that the process occupies",
             static_cast<double>(*pages) * static_cast<double>(sysconf(_SC_PAGESIZE)), &families);
  }
  const auto ticks_after_boot = Number(stat, 22);
  const auto boot_time = BootTime();
  if (ticks_after_boot.has_value() && boot_time.has_value()) {
    AddGauge("process_start_time_seconds", "When the process was started, as Unix time",
             static_cast<double>(*boot_time) +
                 static_cast<double>(*ticks_after_boot) / static_cast<double>(sysconf(_SC_CLK_TCK)),
             &families);
  }

  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  if (!error) {
    // The listing itself has one open.
    AddGauge("process_open_fds", "Files and connections that the process has open",
             static_cast<double>(std::distance(begin(files), end(files)) - 1), &families);
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    AddGauge("process_max_fds", "How many files and connections the process may have open",
             static_cast<double>(limit.rlim_cur), &families);
  }
  return families;
}

}  // namespace ctlstore::rpc
