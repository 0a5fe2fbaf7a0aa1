#include "common/ldb/leader_time.h"

namespace ctlstore::ldb {

absl::optional<absl::Time> ParseLeaderTime(absl::string_view text) {
  for (const char* format : {"%Y-%m-%d %H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S",
                             "%Y-%m-%dT%H:%M:%E*S%Ez", "%Y-%m-%dT%H:%M:%E*S"}) {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(format, text, absl::UTCTimeZone(), &time, &error)) continue;
    // "infinite-future" is a time to Abseil.
    if (time == absl::InfiniteFuture() || time == absl::InfinitePast()) return absl::nullopt;
    return time;
  }
  return absl::nullopt;
}

std::string FormatLeaderTime(absl::Time time) {
  const absl::Time seconds = absl::FromUnixSeconds(absl::ToUnixSeconds(time));
  const bool fraction = absl::ToUnixMicros(time) != absl::ToUnixMicros(seconds);
  return absl::FormatTime(fraction ? "%Y-%m-%d %H:%M:%E6S+00:00" : "%Y-%m-%d %H:%M:%S+00:00", time,
                          absl::UTCTimeZone());
}

}  // namespace ctlstore::ldb
