#include "reflector/reflector_flags.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/lock_order.h"
#include "common/base/shutdown_signal.h"
#include "common/ctldb/ctldb_flags.h"
#include "common/ldb/ldb_flags.h"
#include "common/object_store/store_flags.h"
#include "common/rpc/client.h"
#include "common/rpc/client_flags.h"
#include "common/rpc/metrics_flags.h"
#include "common/rpc/server_flags.h"
#include "common/schema/names.h"
#include "common/snapshot/snapshot_flags.h"
#include "reflector/reflector_server.h"
#include "reflector/upstream_target.h"

ABSL_FLAG(std::string, upstream, "",
          "Where the ledger is read, in order of preference, separated by commas: "
          "\"grpc://host:port\" or \"grpc:unix:/path\" for an executive's stream, by which changes "
          "arrive within milliseconds (TLS and token by --client_tls, --token_file and the flags "
          "beside them); \"mysql://user@host:port/database\" or \"sqlite:///path\" for a ctldb, "
          "which is asked every --poll_interval_ms. The next one takes over where one fails. "
          "Empty: what --ctldb says.");
ABSL_FLAG(std::string, families, "",
          "The families that --ldb keeps, separated by commas; rows of others never reach the "
          "file. Empty: all. When the list changes, the local database is built anew, while "
          "readers keep the old one. Name the family ctlstore too, which has the heartbeat: "
          "without it the age of the copy is not known.");
ABSL_FLAG(std::string, changelog_path, "",
          "A file to which the key of each change of --ldb is appended, as a line of JSON, for "
          "programs that keep caches. Empty: none.");
ABSL_FLAG(std::string, ldbs, "",
          "Several local databases instead of --ldb, --families and --changelog_path, separated by "
          "commas: \"PATH\" or \"PATH?families=a+b&changelog=PATH\". Each has its own position and "
          "connection; what happens to one does not touch the others.");
ABSL_FLAG(int64_t, changelog_max_bytes, int64_t{1} << 20,
          "The size of a changelog, in bytes, at which it is removed and begun anew.");
ABSL_FLAG(int64_t, poll_interval_ms, 1000,
          "How often a ctldb is asked when nothing is new, in milliseconds. Changes arrive sooner "
          "when it is shorter; each host's query costs the ctldb a little. Streams need none.");
ABSL_FLAG(
    double, poll_jitter, 0.25,
    "The part of --poll_interval_ms, from 0 to 1, by which each interval is changed at random "
    "in either direction, so that hosts do not ask at the same moment.");
ABSL_FLAG(int64_t, max_entries_per_query, 10000,
          "The most ledger entries that are read with one query, and that are applied at once.");
ABSL_FLAG(int64_t, max_bytes_per_query, int64_t{16} << 20,
          "The most bytes of statements that are read with one query, give or take one entry. "
          "Bounds the memory that the reflector takes, with --max_read_ahead_bytes.");
ABSL_FLAG(int64_t, max_read_ahead_bytes, int64_t{32} << 20,
          "How much of the ledger is read ahead of its being applied, in bytes, give or take one "
          "query, for each local database.");
ABSL_FLAG(int64_t, max_commit_entries, 10000,
          "The ledger entries after which a transaction of the LDB is committed, at the end of "
          "the next ledger transaction.");
ABSL_FLAG(int64_t, max_commit_bytes, int64_t{16} << 20,
          "The bytes of statements after which that is done as well.");
ABSL_FLAG(int64_t, max_commit_ms, 200,
          "The milliseconds after which that is done as well, so that readers see what has come.");
ABSL_FLAG(int64_t, checkpoint_wal_bytes, int64_t{8} << 20,
          "The size of the LDB's WAL, in bytes, over which it is moved into the database. Larger: "
          "fewer writes, a larger file.");
ABSL_FLAG(int64_t, max_wal_bytes, int64_t{2} << 30,
          "The size of the LDB's WAL, in bytes, over which nothing more is applied while a reader "
          "that holds an old state keeps it from being emptied.");

ABSL_FLAG(
    int64_t, change_history_bytes, int64_t{16} << 20,
    "How much of what the last commits changed is kept in the LDB, in bytes, about: those who "
    "watch it can be away for as long without missing anything. 0: none.");

ABSL_DECLARE_FLAG(std::string, listen);

namespace ctlstore::reflector {
namespace {

constexpr int kReadyPolls = 3;
constexpr int kStartError = 1;
constexpr int kUsageError = 2;

// Family names with `separator` between them; none for an empty text.
absl::StatusOr<std::vector<std::string>> ParseFamilies(absl::string_view text, char separator) {
  std::vector<std::string> families;
  if (absl::StripAsciiWhitespace(text).empty()) return families;
  for (const absl::string_view each : absl::StrSplit(text, separator)) {
    absl::StatusOr<std::string> family =
        NormalizeFamilyName("family", absl::StripAsciiWhitespace(each));
    if (!family.ok()) return family.status();
    families.push_back(*std::move(family));
  }
  std::sort(families.begin(), families.end());
  families.erase(std::unique(families.begin(), families.end()), families.end());
  return families;
}

absl::StatusOr<ReflectorRunner::Ldb> ParseLdb(absl::string_view text) {
  ReflectorRunner::Ldb ldb;
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('?', 1));
  ldb.path = std::string(parts.first);
  if (ldb.path.empty()) return absl::InvalidArgumentError("has no path");
  if (parts.second.empty()) return ldb;
  for (const absl::string_view each : absl::StrSplit(parts.second, '&')) {
    const std::pair<absl::string_view, absl::string_view> option =
        absl::StrSplit(each, absl::MaxSplits('=', 1));
    if (option.first == "families") {
      absl::StatusOr<std::vector<std::string>> families = ParseFamilies(option.second, '+');
      if (!families.ok()) return families.status();
      if (families->empty()) return absl::InvalidArgumentError("families= names none");
      ldb.families = *std::move(families);
    } else if (option.first == "changelog") {
      ldb.changelog_path = std::string(option.second);
      if (ldb.changelog_path.empty()) return absl::InvalidArgumentError("changelog= has no path");
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("has the option \"", option.first, "\"; there are families and changelog"));
    }
  }
  return ldb;
}

absl::Status InvalidFlag(absl::string_view flag, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", message));
}

absl::StatusOr<std::vector<ReflectorRunner::Ldb>> LdbsFromFlags() {
  const std::string several = absl::GetFlag(FLAGS_ldbs);
  if (!several.empty()) {
    for (const auto& [flag, value] :
         {std::make_pair("ldb", absl::GetFlag(FLAGS_ldb)),
          std::make_pair("families", absl::GetFlag(FLAGS_families)),
          std::make_pair("changelog_path", absl::GetFlag(FLAGS_changelog_path))}) {
      if (!value.empty()) {
        return InvalidFlag(flag, "is for one local database; with --ldbs say it there");
      }
    }
    absl::StatusOr<std::vector<ReflectorRunner::Ldb>> ldbs = ParseLdbs(several);
    if (!ldbs.ok()) return InvalidFlag("ldbs", ldbs.status().message());
    return ldbs;
  }
  ReflectorRunner::Ldb ldb;
  ldb.path = ldb::LdbPathFromFlags();
  absl::StatusOr<std::vector<std::string>> families =
      ParseFamilies(absl::GetFlag(FLAGS_families), ',');
  if (!families.ok()) return InvalidFlag("families", families.status().message());
  ldb.families = *std::move(families);
  ldb.changelog_path = absl::GetFlag(FLAGS_changelog_path);
  return std::vector<ReflectorRunner::Ldb>{ldb};
}

bool HasCtldb(const std::vector<UpstreamTarget>& upstreams) {
  return std::any_of(upstreams.begin(), upstreams.end(),
                     [](const UpstreamTarget& upstream) { return !upstream.is_stream(); });
}

// Serves the reflector's API. Without --listen it takes the default address where that is free:
// what keeps copies up must not fail because of what shows it.
absl::StatusOr<std::unique_ptr<ReflectorServer>> Serve(const rpc::ServerOptions& options,
                                                       bool is_default, ReflectorRunner* runner) {
  absl::StatusOr<std::unique_ptr<ReflectorServer>> server =
      ReflectorServer::Start(options, runner, runner->registry());
  if (server.ok() || !is_default || !absl::IsUnavailable(server.status())) return server;
  LOG(WARNING) << "event=reflector_api_not_served error=\"" << server.status().message()
               << "; choose another address with --listen\"";
  return std::unique_ptr<ReflectorServer>();
}

int FailStart(const absl::Status& status) {
  LOG(ERROR) << "event=start_failed service=reflector error=\"" << status.ToString() << "\"";
  return kStartError;
}

int FailFlags(const absl::Status& status) {
  LOG(ERROR) << "event=bad_flags error=\"" << status.message() << "\"";
  return kUsageError;
}

}  // namespace

absl::StatusOr<std::vector<ReflectorRunner::Ldb>> ParseLdbs(absl::string_view text) {
  std::vector<ReflectorRunner::Ldb> ldbs;
  for (const absl::string_view each : absl::StrSplit(text, ',')) {
    const auto invalid = [&](absl::string_view message) {
      return absl::InvalidArgumentError(
          absl::StrCat("local database ", ldbs.size() + 1, ": ", message));
    };
    absl::StatusOr<ReflectorRunner::Ldb> ldb = ParseLdb(absl::StripAsciiWhitespace(each));
    if (!ldb.ok()) return invalid(ldb.status().message());
    for (const ReflectorRunner::Ldb& earlier : ldbs) {
      if (earlier.path == ldb->path) return invalid("its path is there twice");
      if (!ldb->changelog_path.empty() && earlier.changelog_path == ldb->changelog_path) {
        return invalid("another one has the same changelog");
      }
    }
    ldbs.push_back(*std::move(ldb));
  }
  return ldbs;
}

absl::Status ReadReflectorFlags(ReflectorRunner::Options* options) {
  const int64_t poll_interval_ms = absl::GetFlag(FLAGS_poll_interval_ms);
  const int64_t max_entries = absl::GetFlag(FLAGS_max_entries_per_query);
  const int64_t max_bytes = absl::GetFlag(FLAGS_max_bytes_per_query);
  const int64_t max_queue_bytes = absl::GetFlag(FLAGS_max_read_ahead_bytes);
  const int64_t commit_entries = absl::GetFlag(FLAGS_max_commit_entries);
  const int64_t commit_bytes = absl::GetFlag(FLAGS_max_commit_bytes);
  const int64_t commit_ms = absl::GetFlag(FLAGS_max_commit_ms);
  const int64_t checkpoint_wal_bytes = absl::GetFlag(FLAGS_checkpoint_wal_bytes);
  const int64_t max_wal_bytes = absl::GetFlag(FLAGS_max_wal_bytes);
  const int64_t changelog_max_bytes = absl::GetFlag(FLAGS_changelog_max_bytes);
  const std::pair<const char*, int64_t> counts[] = {
      {"poll_interval_ms", poll_interval_ms}, {"max_entries_per_query", max_entries},
      {"max_bytes_per_query", max_bytes},     {"max_read_ahead_bytes", max_queue_bytes},
      {"max_commit_entries", commit_entries}, {"max_commit_bytes", commit_bytes},
      {"max_commit_ms", commit_ms},           {"checkpoint_wal_bytes", checkpoint_wal_bytes},
      {"max_wal_bytes", max_wal_bytes},       {"changelog_max_bytes", changelog_max_bytes}};
  for (const auto& [flag, value] : counts) {
    if (value < 1) return InvalidFlag(flag, absl::StrCat("must be at least 1, is ", value));
  }
  if (max_wal_bytes < checkpoint_wal_bytes) {
    return InvalidFlag("max_wal_bytes",
                       absl::StrCat("must be at least --checkpoint_wal_bytes (",
                                    checkpoint_wal_bytes, "), is ", max_wal_bytes));
  }
  const int64_t change_history_bytes = absl::GetFlag(FLAGS_change_history_bytes);
  if (change_history_bytes < 0) {
    return InvalidFlag("change_history_bytes",
                       absl::StrCat("must be at least 0, is ", change_history_bytes));
  }
  const absl::StatusOr<int64_t> first_sequence = ctldb::LedgerFirstSequenceFromFlags();
  if (!first_sequence.ok()) return first_sequence.status();
  const double jitter = absl::GetFlag(FLAGS_poll_jitter);
  if (!(jitter >= 0 && jitter <= 1)) {
    return InvalidFlag("poll_jitter", absl::StrCat("must be from 0 to 1, is ", jitter));
  }

  options->poll_interval = absl::Milliseconds(poll_interval_ms);
  options->poll_jitter = jitter;
  options->ledger_first_sequence = *first_sequence;
  options->reflector.max_entries_per_query = static_cast<size_t>(max_entries);
  options->reflector.max_bytes_per_query = static_cast<size_t>(max_bytes);
  options->reflector.max_queue_bytes = static_cast<size_t>(max_queue_bytes);
  options->writer.max_commit_entries = static_cast<size_t>(commit_entries);
  options->writer.max_commit_bytes = static_cast<size_t>(commit_bytes);
  options->writer.max_commit_time = absl::Milliseconds(commit_ms);
  options->writer.checkpoint_wal_bytes = checkpoint_wal_bytes;
  options->writer.max_wal_bytes = max_wal_bytes;
  options->writer.change_history_bytes = change_history_bytes;
  options->changelog_max_bytes = changelog_max_bytes;
  // Who looks seldom by intention is not late.
  options->reflector.ready_within =
      std::max(options->reflector.ready_within, kReadyPolls * options->poll_interval);
  return absl::OkStatus();
}

absl::StatusOr<ReflectorRunner::Options> ReflectorOptionsFromFlags() {
  ReflectorRunner::Options options;
  absl::Status status = ReadReflectorFlags(&options);
  if (!status.ok()) return status;
  absl::StatusOr<std::vector<UpstreamTarget>> upstreams =
      ParseUpstreamTargets(absl::GetFlag(FLAGS_upstream));
  if (!upstreams.ok()) return InvalidFlag("upstream", upstreams.status().message());
  options.upstreams = *std::move(upstreams);
  if (options.upstreams.empty()) {
    absl::StatusOr<ctldb::Target> target = ctldb::TargetFromFlags();
    if (!target.ok()) return target.status();
    options.ctldb = *std::move(target);
  }
  if (options.upstreams.empty() || HasCtldb(options.upstreams)) {
    absl::StatusOr<ctldb::ConnectionOptions> connection = ctldb::ConnectionOptionsFromFlags();
    if (!connection.ok()) return connection.status();
    options.connection = *std::move(connection);
  }
  options.channel = rpc::ChannelOptionsFromFlags();
  for (const UpstreamTarget& upstream : options.upstreams) {
    if (!upstream.is_stream()) continue;
    status = rpc::CheckChannel(upstream.stream_address, options.channel);
    if (!status.ok()) {
      return InvalidFlag("upstream", absl::StrCat(upstream.ToString(), ": ", status.message()));
    }
  }
  absl::StatusOr<std::vector<ReflectorRunner::Ldb>> ldbs = LdbsFromFlags();
  if (!ldbs.ok()) return ldbs.status();
  options.ldbs = *std::move(ldbs);
  absl::StatusOr<std::vector<snapshot::Location>> snapshots = snapshot::LocationsFromFlags();
  if (!snapshots.ok()) return snapshots.status();
  options.snapshots = *std::move(snapshots);
  absl::StatusOr<object_store::StoreOptions> store = object_store::StoreOptionsFromFlags();
  if (!store.ok()) return store.status();
  options.object_store = *std::move(store);
  return options;
}

int RunReflector() {
  StopWatchingLockOrder();
  // Never destroyed: its thread waits for signals until the process ends.
  static ShutdownSignal* const shutdown = new ShutdownSignal;

  const absl::StatusOr<ReflectorRunner::Options> options = ReflectorOptionsFromFlags();
  if (!options.ok()) return FailFlags(options.status());
  const absl::StatusOr<rpc::ServerOptions> listen = rpc::ServerOptionsFromFlags(kDefaultListen);
  if (!listen.ok()) return FailFlags(listen.status());
  const absl::StatusOr<absl::optional<rpc::HttpServer::Options>> metrics =
      rpc::MetricsOptionsFromFlags();
  if (!metrics.ok()) return FailFlags(metrics.status());

  absl::StatusOr<std::unique_ptr<ReflectorRunner>> runner = ReflectorRunner::Start(*options);
  if (!runner.ok()) return FailStart(runner.status());
  absl::StatusOr<std::unique_ptr<ReflectorServer>> server =
      Serve(*listen, absl::GetFlag(FLAGS_listen).empty(), runner->get());
  if (!server.ok()) return FailStart(server.status());
  if (metrics->has_value()) {
    const absl::StatusOr<std::string> address = (*runner)->ServeMetrics(**metrics);
    if (!address.ok()) return FailStart(address.status());
  }
  shutdown->Wait();
  if (*server != nullptr) (*server)->Shutdown(rpc::ShutdownGraceFromFlags());
  (*runner)->Stop();
  return 0;
}

}  // namespace ctlstore::reflector
