#include "executive/json_limits.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/time/time.h"
#include "common/rpc/json_reader.h"
#include "executive/limit_conversion.h"

namespace ctlstore::executive {
namespace {

using Json = nlohmann::ordered_json;
using rpc::JsonNode;
using rpc::ParseJson;
using rpc::ReadInteger;
using rpc::ReadMembers;

constexpr char kMaxSize[] = "max-size";
constexpr char kWarnSize[] = "warn-size";
constexpr char kAmount[] = "amount";
constexpr char kPeriod[] = "period";

// 0, which no limit may be, where it is missing.
absl::StatusOr<int64_t> IntegerOf(absl::string_view path, const JsonNode* node) {
  if (node == nullptr) return 0;
  return ReadInteger(path, *node);
}

Json JsonOf(const ctldb::TableSizeLimit& limit) {
  return Json{{kMaxSize, limit.max_bytes}, {kWarnSize, limit.warn_bytes}};
}

Json JsonOf(const RateLimit& limit) {
  return Json{{kAmount, limit.rows}, {kPeriod, PeriodToNanoseconds(limit.period)}};
}

// A writer's name may be any text; ours are UTF-8, those of others need not be.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<ctldb::TableSizeLimit> ParseTableSizeLimit(absl::string_view body) {
  absl::StatusOr<JsonNode> json = ParseJson(body);
  if (!json.ok()) return json.status();
  const JsonNode* max_size = nullptr;
  const JsonNode* warn_size = nullptr;
  absl::Status status = ReadMembers("", *json, {{kMaxSize, &max_size}, {kWarnSize, &warn_size}});
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> max_bytes = IntegerOf(kMaxSize, max_size);
  if (!max_bytes.ok()) return max_bytes.status();
  absl::StatusOr<int64_t> warn_bytes = IntegerOf(kWarnSize, warn_size);
  if (!warn_bytes.ok()) return warn_bytes.status();
  const ctldb::TableSizeLimit limit{*warn_bytes, *max_bytes};
  status = CheckTableSizeLimit(kWarnSize, kMaxSize, limit);
  if (!status.ok()) return status;
  return limit;
}

absl::StatusOr<RateLimit> ParseRateLimit(absl::string_view body) {
  absl::StatusOr<JsonNode> json = ParseJson(body);
  if (!json.ok()) return json.status();
  const JsonNode* amount = nullptr;
  const JsonNode* period = nullptr;
  absl::Status status = ReadMembers("", *json, {{kAmount, &amount}, {kPeriod, &period}});
  if (!status.ok()) return status;
  absl::StatusOr<int64_t> rows = IntegerOf(kAmount, amount);
  if (!rows.ok()) return rows.status();
  RateLimit limit{*rows, absl::ZeroDuration()};
  if (period != nullptr && period->kind == JsonNode::Kind::kString) {
    absl::StatusOr<absl::Duration> parsed = ParsePeriod(kPeriod, period->text);
    if (!parsed.ok()) return parsed.status();
    limit.period = *parsed;
  } else {
    absl::StatusOr<int64_t> nanoseconds = IntegerOf(kPeriod, period);
    if (!nanoseconds.ok()) return nanoseconds.status();
    absl::StatusOr<absl::Duration> parsed = PeriodFromNanoseconds(kPeriod, *nanoseconds);
    if (!parsed.ok()) return parsed.status();
    limit.period = *parsed;
  }
  // What is looked at here are the errors, in the body's words.
  status = RowsPerMinute(kAmount, limit.rows, kPeriod, limit.period).status();
  if (!status.ok()) return status;
  return limit;
}

std::string ToJson(const TableLimits& limits) {
  Json tables = Json::array();
  for (const ctldb::TableLimit& limit : limits.tables) {
    Json table = JsonOf(limit.limit);
    table["family"] = limit.table.family;
    table["table"] = limit.table.table;
    tables.push_back(std::move(table));
  }
  return Dump(Json{{"global", JsonOf(limits.default_limit)}, {"tables", std::move(tables)}});
}

std::string ToJson(const WriterLimits& limits) {
  Json writers = Json::array();
  for (const ctldb::WriterLimit& limit : limits.writers) {
    writers.push_back(
        Json{{"writer", limit.writer},
             {"rate-limit", JsonOf(RateLimit{limit.rows_per_minute, absl::Minutes(1)})}});
  }
  const RateLimit global = limits.default_limit.value_or(RateLimit{0, absl::Minutes(1)});
  return Dump(Json{{"global", JsonOf(global)}, {"writers", std::move(writers)}});
}

}  // namespace ctlstore::executive
