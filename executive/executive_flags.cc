#include "executive/executive_flags.h"

#include <glog/logging.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/lock_order.h"
#include "common/base/shutdown_signal.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/object_store/store_flags.h"
#include "common/rpc/http_flags.h"
#include "common/rpc/metrics_flags.h"
#include "common/rpc/server_flags.h"
#include "common/snapshot/snapshot_flags.h"

ABSL_FLAG(int64_t, max_ctldb_connections,
          ctlstore::executive::ExecutiveServer::Options().max_ctldb_connections,
          "The most connections to the ctldb. Each call under way takes one, a schema change two; "
          "further calls wait.");
ABSL_FLAG(int64_t, ctldb_wait_ms, 60000,
          "How long to wait at start for a ctldb that cannot be reached, in milliseconds; then the "
          "executive ends with an error.");

ABSL_FLAG(int, worker_threads,
          static_cast<int>(ctlstore::executive::ExecutiveServer::Options().worker_threads),
          "Threads for calls that wait for the ctldb, other than Mutates. Fewer than "
          "--max_ctldb_connections.");
ABSL_FLAG(int64_t, max_waiting_calls,
          ctlstore::executive::ExecutiveServer::Options().max_waiting_calls,
          "How many calls other than Mutates may wait for such a thread; further ones are refused "
          "with RESOURCE_EXHAUSTED.");
ABSL_FLAG(int64_t, max_queue_requests,
          ctlstore::executive::GroupCommitter::Options().max_queue_requests,
          "How many Mutates may wait for their commit; further ones are refused with "
          "RESOURCE_EXHAUSTED.");
ABSL_FLAG(int64_t, max_queue_bytes, ctlstore::executive::GroupCommitter::Options().max_queue_bytes,
          "How large the Mutates that wait for their commit may be together, in bytes.");
ABSL_FLAG(int64_t, max_group_requests,
          ctlstore::executive::GroupCommitter::Options().max_group_requests,
          "The most Mutates that share one transaction of the ctldb.");
ABSL_FLAG(
    bool, enable_destructive_changes, false,
    "Allows DropTable, ClearTable and ClearFamily, which remove rows for good on every host.");
ABSL_FLAG(int64_t, table_warn_bytes,
          ctlstore::executive::LimitBook::Options().default_table_limit.warn_bytes,
          "The size from which a table without limits of its own is warned about, in bytes.");
ABSL_FLAG(int64_t, table_max_bytes,
          ctlstore::executive::LimitBook::Options().default_table_limit.max_bytes,
          "The size from which a table without limits of its own takes no more rows, in bytes.");
ABSL_FLAG(
    int64_t, writer_max_rows, ctlstore::executive::LimitBook::Options().default_writer_rows,
    "How many rows a writer without a limit of its own may change in each "
    "--writer_rate_period_ms, over all executives of the ctldb. 0: writers are not limited at "
    "all.");
ABSL_FLAG(int64_t, writer_rate_period_ms, 60000,
          "The period by which writers' rows are counted, in milliseconds; whole seconds. Must be "
          "the same for all executives of a ctldb.");
ABSL_FLAG(int64_t, limits_refresh_ms, 5000,
          "How often the limits in the ctldb are looked at, in milliseconds.");
ABSL_FLAG(int64_t, table_sizes_refresh_ms, 30000,
          "How often the tables' sizes are measured, in milliseconds.");
ABSL_FLAG(
    bool, upgrade_writer_secrets, true,
    "Replaces the unsalted hashes that a Go executive has left, when their writers call. To be "
    "switched off while Go executives work on the same ctldb: they know only their own.");
ABSL_FLAG(
    int64_t, ledger_poll_interval_ms, 100,
    "How often the ledger is looked at for what other executives commit while anybody listens "
    "to it, in milliseconds: how late their changes may be. What this executive commits is "
    "sent at once.");
ABSL_FLAG(int64_t, ledger_buffer_bytes, ctlstore::executive::LedgerTailer::Options().buffer_bytes,
          "How much of the ledger's end is kept in memory for its listeners, in bytes. Listeners "
          "that fall behind by more are sent away and have to catch up from the ctldb.");
ABSL_FLAG(int64_t, ledger_catch_up_readers,
          ctlstore::executive::LedgerTailer::Options().catch_up_readers,
          "How many connections to the ctldb read for the ledger's listeners that catch up; there "
          "is one more for new entries.");
ABSL_FLAG(int64_t, ledger_listener_timeout_ms, 30000,
          "How long a listener of the ledger may take nothing before it is cancelled, in "
          "milliseconds.");
ABSL_FLAG(int64_t, max_ledger_listeners, ctlstore::executive::LedgerTailer::Options().max_listeners,
          "How many may listen to the ledger; further ones are refused with RESOURCE_EXHAUSTED.");
ABSL_FLAG(bool, prune_ledger, false,
          "Removes ledger entries that are older than --prune_older_than_hours and in a verified "
          "snapshot in each folder of --snapshot_urls. Hosts that were away for longer come back "
          "through a snapshot.");
ABSL_FLAG(double, prune_older_than_hours, 168,
          "How old a ledger entry has to be to be removed, in hours; may have a fraction.");
ABSL_FLAG(int64_t, prune_interval_s, 3600,
          "How often it is looked whether ledger entries can be removed, in seconds.");
ABSL_FLAG(int64_t, prune_batch_entries, ctlstore::executive::LedgerPruner::Options().batch_entries,
          "How many ledger entries are removed in one transaction.");
ABSL_FLAG(int64_t, prune_pause_ms, 20, "The pause between two such transactions, in milliseconds.");
ABSL_FLAG(double, prune_reverify_hours, 24,
          "How long a snapshot that was read as a whole and found good is believed before it is "
          "read again, in hours; may have a fraction. 0: it is read in every round.");

namespace ctlstore::executive {
namespace {

constexpr int kStartError = 1;
constexpr int kUsageError = 2;
constexpr int64_t kMinConnections = 2;
constexpr int64_t kMaxConnections = 1000;
// Some messages.
constexpr int64_t kMinLedgerBuffer = int64_t{4} << 20;
constexpr int64_t kMaxCatchUpReaders = 100;
// Larger transactions would be in the way of writers.
constexpr int64_t kMaxPruneBatch = 100000;
constexpr int64_t kMaxPrunePauseMs = 60000;
// A hundred years.
constexpr double kMaxPruneHours = 876000;

absl::Status Invalid(absl::string_view flag, absl::string_view what, int64_t value) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": must be ", what, ", is ", value));
}

absl::Status SetAtLeastOne(absl::string_view flag, int64_t value, size_t* option) {
  if (value < 1) return Invalid(flag, "at least 1", value);
  *option = static_cast<size_t>(value);
  return absl::OkStatus();
}

absl::Status SetPositive(absl::string_view flag, int64_t milliseconds, absl::Duration* option) {
  if (milliseconds < 1) return Invalid(flag, "at least 1", milliseconds);
  *option = absl::Milliseconds(milliseconds);
  return absl::OkStatus();
}

absl::Status SetLimitsFromFlags(Executive::Options* options) {
  options->destructive_changes = absl::GetFlag(FLAGS_enable_destructive_changes);
  options->writers.upgrade_hashes = absl::GetFlag(FLAGS_upgrade_writer_secrets);
  LimitBook::Options& limits = options->limits;
  limits.default_table_limit = {absl::GetFlag(FLAGS_table_warn_bytes),
                                absl::GetFlag(FLAGS_table_max_bytes)};
  if (limits.default_table_limit.warn_bytes < 1) {
    return Invalid("table_warn_bytes", "at least 1", limits.default_table_limit.warn_bytes);
  }
  if (limits.default_table_limit.max_bytes < limits.default_table_limit.warn_bytes) {
    return Invalid("table_max_bytes", "at least --table_warn_bytes",
                   limits.default_table_limit.max_bytes);
  }
  limits.default_writer_rows = absl::GetFlag(FLAGS_writer_max_rows);
  if (limits.default_writer_rows < 0) {
    return Invalid("writer_max_rows", "0 or more", limits.default_writer_rows);
  }
  const int64_t period_ms = absl::GetFlag(FLAGS_writer_rate_period_ms);
  // Periods are kept by the second in which they began.
  if (period_ms < 1000 || period_ms % 1000 != 0) {
    return Invalid("writer_rate_period_ms", "whole seconds, at least 1000", period_ms);
  }
  limits.writer_period = absl::Milliseconds(period_ms);
  GroupCommitter::Options& commits = options->commits;
  for (const absl::Status& status :
       {SetPositive("limits_refresh_ms", absl::GetFlag(FLAGS_limits_refresh_ms),
                    &limits.limits_refresh),
        SetPositive("table_sizes_refresh_ms", absl::GetFlag(FLAGS_table_sizes_refresh_ms),
                    &limits.sizes_refresh),
        SetAtLeastOne("max_queue_requests", absl::GetFlag(FLAGS_max_queue_requests),
                      &commits.max_queue_requests),
        SetAtLeastOne("max_queue_bytes", absl::GetFlag(FLAGS_max_queue_bytes),
                      &commits.max_queue_bytes),
        SetAtLeastOne("max_group_requests", absl::GetFlag(FLAGS_max_group_requests),
                      &commits.max_group_requests)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SetLedgerFromFlags(LedgerTailer::Options* options) {
  const int64_t buffer_bytes = absl::GetFlag(FLAGS_ledger_buffer_bytes);
  if (buffer_bytes < kMinLedgerBuffer) {
    return Invalid("ledger_buffer_bytes", absl::StrCat("at least ", kMinLedgerBuffer),
                   buffer_bytes);
  }
  options->buffer_bytes = static_cast<size_t>(buffer_bytes);
  const int64_t readers = absl::GetFlag(FLAGS_ledger_catch_up_readers);
  if (readers < 1 || readers > kMaxCatchUpReaders) {
    return Invalid("ledger_catch_up_readers", absl::StrCat("from 1 to ", kMaxCatchUpReaders),
                   readers);
  }
  options->catch_up_readers = static_cast<size_t>(readers);
  const absl::StatusOr<int64_t> first_sequence = ctldb::LedgerFirstSequenceFromFlags();
  if (!first_sequence.ok()) return first_sequence.status();
  options->first_sequence = *first_sequence;
  absl::Status status =
      SetPositive("ledger_poll_interval_ms", absl::GetFlag(FLAGS_ledger_poll_interval_ms),
                  &options->poll_interval);
  if (!status.ok()) return status;
  status = SetPositive("ledger_listener_timeout_ms",
                       absl::GetFlag(FLAGS_ledger_listener_timeout_ms), &options->listener_timeout);
  if (!status.ok()) return status;
  return SetAtLeastOne("max_ledger_listeners", absl::GetFlag(FLAGS_max_ledger_listeners),
                       &options->max_listeners);
}

absl::Status SetPruningFromFlags(ExecutiveServer::Options* options) {
  absl::StatusOr<std::vector<snapshot::Location>> places = snapshot::LocationsFromFlags();
  if (!places.ok()) return places.status();
  options->snapshot_places = *std::move(places);
  absl::StatusOr<object_store::StoreOptions> store = object_store::StoreOptionsFromFlags();
  if (!store.ok()) return store.status();
  options->snapshot_store = *std::move(store);

  LedgerPruner::Options& pruning = options->pruning;
  pruning.enabled = absl::GetFlag(FLAGS_prune_ledger);
  if (pruning.enabled && options->snapshot_places.empty()) {
    return absl::InvalidArgumentError(
        "--prune_ledger: only what is in snapshots may be removed; name all places where they are "
        "with --snapshot_urls");
  }
  for (const snapshot::Location& place : options->snapshot_places) {
    if (!pruning.enabled || place.form == snapshot::Location::Form::kFolder) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--prune_ledger: ", place.ToString(),
                     " in --snapshot_urls is a single object, whose position in the ledger nobody "
                     "knows, so nothing could be removed; name folders only"));
  }
  const double hours = absl::GetFlag(FLAGS_prune_older_than_hours);
  if (!(hours > 0) || hours > kMaxPruneHours) {
    return absl::InvalidArgumentError(
        absl::StrCat("--prune_older_than_hours: must be more than 0 and at most ", kMaxPruneHours,
                     ", is ", hours));
  }
  pruning.older_than = absl::Hours(hours);
  const double reverify = absl::GetFlag(FLAGS_prune_reverify_hours);
  if (!(reverify >= 0) || reverify > kMaxPruneHours) {
    return absl::InvalidArgumentError(absl::StrCat("--prune_reverify_hours: must be from 0 to ",
                                                   kMaxPruneHours, ", is ", reverify));
  }
  pruning.reverify_after = absl::Hours(reverify);
  const int64_t interval = absl::GetFlag(FLAGS_prune_interval_s);
  if (interval < 1) return Invalid("prune_interval_s", "at least 1", interval);
  pruning.interval = absl::Seconds(interval);
  const int64_t batch = absl::GetFlag(FLAGS_prune_batch_entries);
  if (batch < 1 || batch > kMaxPruneBatch) {
    return Invalid("prune_batch_entries", absl::StrCat("from 1 to ", kMaxPruneBatch), batch);
  }
  pruning.batch_entries = static_cast<size_t>(batch);
  const int64_t pause_ms = absl::GetFlag(FLAGS_prune_pause_ms);
  if (pause_ms < 0 || pause_ms > kMaxPrunePauseMs) {
    return Invalid("prune_pause_ms", absl::StrCat("from 0 to ", kMaxPrunePauseMs), pause_ms);
  }
  pruning.pause = absl::Milliseconds(pause_ms);
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadExecutiveFlags(ExecutiveServer::Options* options) {
  const int64_t connections = absl::GetFlag(FLAGS_max_ctldb_connections);
  if (connections < kMinConnections || connections > kMaxConnections) {
    return absl::InvalidArgumentError(absl::StrCat("--max_ctldb_connections: must be from ",
                                                   kMinConnections, " to ", kMaxConnections,
                                                   ", is ", connections));
  }
  options->max_ctldb_connections = static_cast<size_t>(connections);
  const int workers = absl::GetFlag(FLAGS_worker_threads);
  if (workers < 1 || workers >= connections) {
    return absl::InvalidArgumentError(
        absl::StrCat("--worker_threads: must be at least 1 and less than --max_ctldb_connections (",
                     connections, "), is ", workers));
  }
  options->worker_threads = static_cast<size_t>(workers);
  absl::Status status = SetAtLeastOne("max_waiting_calls", absl::GetFlag(FLAGS_max_waiting_calls),
                                      &options->max_waiting_calls);
  if (!status.ok()) return status;
  const int64_t wait_ms = absl::GetFlag(FLAGS_ctldb_wait_ms);
  if (wait_ms < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--ctldb_wait_ms: must not be negative, is ", wait_ms));
  }
  options->ctldb_wait = absl::Milliseconds(wait_ms);

  absl::StatusOr<absl::optional<rpc::HttpServer::Options>> http =
      rpc::HttpOptionsFromFlags(kDefaultHttpPort, options->server);
  if (!http.ok()) return http.status();
  options->http = *std::move(http);
  absl::StatusOr<absl::optional<rpc::HttpServer::Options>> metrics = rpc::MetricsOptionsFromFlags();
  if (!metrics.ok()) return metrics.status();
  options->metrics = *std::move(metrics);
  status = SetLedgerFromFlags(&options->ledger);
  if (!status.ok()) return status;
  status = SetPruningFromFlags(options);
  if (!status.ok()) return status;
  return SetLimitsFromFlags(&options->executive);
}

absl::StatusOr<ExecutiveServer::Options> ExecutiveOptionsFromFlags() {
  ExecutiveServer::Options options;
  absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
  if (!target.ok()) return target.status();
  options.ctldb = *std::move(target);
  absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
  if (!connection.ok()) return connection.status();
  options.connection = *std::move(connection);
  absl::StatusOr<rpc::ServerOptions> server = rpc::ServerOptionsFromFlags(kDefaultListen);
  if (!server.ok()) return server.status();
  options.server = *std::move(server);
  absl::Status status = ReadExecutiveFlags(&options);
  if (!status.ok()) return status;
  return options;
}

int RunExecutive() {
  StopWatchingLockOrder();
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  absl::StatusOr<ExecutiveServer::Options> options = ExecutiveOptionsFromFlags();
  if (!options.ok()) {
    LOG(ERROR) << "event=bad_flags error=\"" << options.status().message() << "\"";
    return kUsageError;
  }
  options->stop = shutdown->notification();
  absl::StatusOr<std::unique_ptr<ExecutiveServer>> server = ExecutiveServer::Start(*options);
  if (absl::IsCancelled(server.status())) {
    LOG(INFO) << "event=executive_stopped";
    return 0;
  }
  if (!server.ok()) {
    LOG(ERROR) << "event=start_failed service=executive error=\"" << server.status().message()
               << "\"";
    return kStartError;
  }
  shutdown->Wait();
  (*server)->Shutdown(rpc::ShutdownGraceFromFlags());
  LOG(INFO) << "event=executive_stopped";
  return 0;
}

}  // namespace ctlstore::executive
