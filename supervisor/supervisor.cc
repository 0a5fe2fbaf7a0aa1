#include "supervisor/supervisor.h"

#include <glog/logging.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/schema/errors.h"

namespace ctlstore::supervisor {
namespace {

// Of a thread that makes snapshots, as nice(1) has it.
constexpr int kNiceness = 10;

// Makes the calling thread, and those that it starts, wait for other threads on a busy machine:
// changes are to arrive while a snapshot is made. On Linux a thread has a niceness of its own.
void YieldToOthers() {
  if (setpriority(PRIO_PROCESS, 0, kNiceness) != 0) {
    LOG(WARNING) << "event=niceness_not_set error=\"" << std::strerror(errno) << "\"";
  }
}

// Lists that may wait for a thread, for each destination.
constexpr size_t kMaxWaitingLists = 8;

absl::Status Ending() { return absl::UnavailableError("the supervisor ends"); }

absl::Status EndedBy(const absl::Status& status) {
  return absl::IsCancelled(status) ? Ending() : status;
}

}  // namespace

// What comes of one snapshot in all destinations, for those who wait for it.
class Supervisor::Delivery {
 public:
  Delivery(SnapshotSummary snapshot, std::vector<OnTaken> callers, size_t destinations)
      : callers_(std::move(callers)), missing_(destinations) {
    result_.snapshot = std::move(snapshot);
    result_.destinations.resize(destinations);
  }

  void Ended(size_t destination, const std::string& url, const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      result_.destinations[destination] = {url, status};
      if (--missing_ != 0) return;
    }
    // Nobody else uses it any more.
    const absl::StatusOr<SnapshotResult> outcome = Outcome();
    for (const OnTaken& on_taken : callers_) on_taken(outcome);
  }

 private:
  absl::StatusOr<SnapshotResult> Outcome() {
    absl::MutexLock lock(&mutex_);
    std::vector<std::string> errors;
    for (const DestinationResult& each : result_.destinations) {
      if (each.status.ok()) return result_;
      errors.push_back(absl::StrCat(each.url, ": ", each.status.message()));
    }
    return ErrorWithReason(absl::StatusCode::kUnavailable, kNotPublishedReason,
                           absl::StrCat("the snapshot ", result_.snapshot.id,
                                        " came to no destination: ", absl::StrJoin(errors, "; ")));
  }

  const std::vector<OnTaken> callers_;
  absl::Mutex mutex_;
  size_t missing_ ABSL_GUARDED_BY(mutex_);
  SnapshotResult result_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Start(const Options& options,
                                                              const OpenStore& open_store,
                                                              const Copy* copy,
                                                              SupervisorMetrics* metrics) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(options, copy, metrics));
  absl::Status status = supervisor->Prepare(open_store);
  if (!status.ok()) return status;
  return supervisor;
}

Supervisor::Supervisor(const Options& options, const Copy* copy, SupervisorMetrics* metrics)
    : options_(options), copy_(copy), metrics_(metrics) {
  absl::MutexLock lock(&mutex_);
  stage_since_ = options_.clock->Now();
  next_at_ = options_.clock->SteadyNow();
}

Supervisor::~Supervisor() { Stop(); }

absl::Status Supervisor::Prepare(const OpenStore& open_store) {
  std::vector<Destination::Options> destinations;
  std::vector<std::unique_ptr<object_store::ObjectStore>> stores;
  for (const snapshot::Location& location : options_.destinations) {
    absl::StatusOr<std::unique_ptr<object_store::ObjectStore>> store = open_store(location);
    if (!store.ok()) return store.status();
    stores.push_back(*std::move(store));
    Destination::Options destination;
    destination.location = location;
    destination.compression = options_.encode.compression;
    destination.retention = options_.retention;
    destination.clock = options_.clock;
    destinations.push_back(destination);
  }
  SnapshotTaker::Options taker = options_.taker;
  taker.objects = Wanted(destinations);
  taker.clock = options_.clock;
  taker.cancelled = [this] { return stop_.load(); };
  taker.on_stage = [this](Stage stage) { SetStage(stage); };
  taker.on_step = [this](absl::string_view step, absl::Duration duration,
                         const absl::Status& status) { metrics_->Step(step, duration, status); };
  absl::StatusOr<std::unique_ptr<SnapshotTaker>> created = SnapshotTaker::Create(std::move(taker));
  if (!created.ok()) return created.status();
  taker_ = *std::move(created);
  for (size_t i = 0; i < stores.size(); ++i) {
    destinations_.push_back(
        std::make_unique<Destination>(destinations[i], std::move(stores[i]), metrics_));
  }
  absl::MutexLock stop_lock(&stop_mutex_);
  absl::MutexLock lock(&mutex_);
  listers_ =
      std::make_unique<WorkerPool>(destinations_.size(), kMaxWaitingLists * destinations_.size());
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

std::vector<snapshot::EncodeOptions> Supervisor::Wanted(
    const std::vector<Destination::Options>& destinations) const {
  std::vector<snapshot::EncodeOptions> wanted;
  for (const Destination::Options& destination : destinations) {
    snapshot::EncodeOptions encode = options_.encode;
    encode.compression = Destination::CompressionOf(destination);
    if (encode.compression != options_.encode.compression) encode.level = 0;
    encode.file_sha1 = destination.location.form == snapshot::Location::Form::kSingleObject;
    const auto known = std::find_if(wanted.begin(), wanted.end(), [&](const auto& each) {
      return each.compression == encode.compression;
    });
    if (known == wanted.end()) {
      wanted.push_back(encode);
    } else {
      known->file_sha1 = known->file_sha1 || encode.file_sha1;
    }
  }
  return wanted;
}

void Supervisor::RequestStop() {
  stop_ = true;
  wake_.Notify();
  for (const auto& destination : destinations_) destination->RequestStop();
}

void Supervisor::Stop() {
  RequestStop();
  // Held to the end, so that every caller finds the work ended when its call returns.
  absl::MutexLock stop_lock(&stop_mutex_);
  if (thread_.joinable()) thread_.join();
  std::unique_ptr<WorkerPool> listers;
  {
    absl::MutexLock lock(&mutex_);
    listers = std::move(listers_);
  }
  listers.reset();
  for (const auto& destination : destinations_) destination->Stop();
}

void Supervisor::TakeSnapshot(OnTaken on_taken) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (stop_) {
      refused = Ending();
    } else if (callers_.size() >= options_.max_callers) {
      refused = WithRetryDelay(
          ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                          absl::StrCat(callers_.size(), " calls wait for the next snapshot")),
          absl::Seconds(10));
    } else {
      callers_.push_back(std::move(on_taken));
    }
  }
  if (!refused.ok()) return on_taken(refused);
  wake_.Notify();
}

void Supervisor::Run() {
  YieldToOthers();
  while (!stop_) {
    std::vector<OnTaken> callers;
    {
      absl::MutexLock lock(&mutex_);
      callers.swap(callers_);
    }
    if (!callers.empty()) {
      const absl::Status ready = copy_->Readiness();
      if (ready.ok()) {
        Take(std::move(callers));
      } else {
        for (const OnTaken& on_taken : callers) on_taken(ready);
      }
      continue;
    }
    const absl::Duration pause = FollowSchedule();
    if (!stop_) options_.clock->SleepOrWake(pause, &wake_);
  }
  std::vector<OnTaken> callers;
  {
    // Who comes later is refused: `stop_` is looked at under the same lock.
    absl::MutexLock lock(&mutex_);
    callers.swap(callers_);
  }
  for (const OnTaken& on_taken : callers) on_taken(Ending());
}

absl::Duration Supervisor::FollowSchedule() {
  if (options_.interval == absl::ZeroDuration()) return absl::InfiniteDuration();
  const absl::Duration now = options_.clock->SteadyNow();
  {
    absl::MutexLock lock(&mutex_);
    if (now < next_at_) return next_at_ - now;
  }
  const absl::Status ready = copy_->Readiness();
  if (!ready.ok()) {
    if (!waiting_for_copy_) {
      LOG(WARNING) << "event=snapshot_waits reason=\"" << ready.message() << "\"";
    }
    waiting_for_copy_ = true;
    return options_.ready_interval;
  }
  waiting_for_copy_ = false;
  const int64_t sequence = copy_->applied_sequence();
  if (EveryDestinationHas(sequence)) {
    LOG(INFO) << "event=snapshot_skipped sequence=" << sequence
              << " reason=\"every destination has it\"";
    metrics_->Skipped();
    absl::MutexLock lock(&mutex_);
    next_at_ = now + options_.interval;
    return options_.interval;
  }
  Take({});
  return absl::ZeroDuration();
}

bool Supervisor::EveryDestinationHas(int64_t sequence) const {
  const absl::Time since = options_.clock->Now() - options_.max_skip_age;
  return std::all_of(destinations_.begin(), destinations_.end(), [&](const auto& destination) {
    const absl::optional<LedgerPosition> position = destination->Holds(since);
    return position.has_value() && position->sequence == sequence;
  });
}

void Supervisor::Take(std::vector<OnTaken> callers) {
  const bool by_schedule = callers.empty();
  const absl::Duration begin = options_.clock->SteadyNow();
  {
    absl::MutexLock lock(&mutex_);
    next_at_ = begin + options_.interval;
  }
  const absl::StatusOr<std::shared_ptr<const TakenSnapshot>> taken = taker_->Take();
  SetStage(Stage::kIdle);
  if (!taken.ok()) {
    if (!absl::IsCancelled(taken.status())) {
      LOG(ERROR) << "event=snapshot_failed error=\"" << taken.status().ToString() << "\"";
    }
    for (const OnTaken& on_taken : callers) on_taken(EndedBy(taken.status()));
    return;
  }
  // Where one of them failed the last time, the others have this state already.
  std::vector<Destination*> wanted;
  const absl::Time since = options_.clock->Now() - options_.max_skip_age;
  for (const auto& destination : destinations_) {
    const absl::optional<LedgerPosition> position = destination->Holds(since);
    if (by_schedule && position.has_value() && *position == (*taken)->position()) continue;
    wanted.push_back(destination.get());
  }
  const SnapshotSummary summary =
      SummaryOf((*taken)->ManifestFor(destinations_.front()->compression()));
  LOG(INFO) << "event=snapshot_taken id=" << summary.id << " sequence=" << summary.sequence
            << " tables=" << summary.tables << " rows=" << summary.rows
            << " file_bytes=" << summary.file_bytes << " object_bytes=" << summary.object_bytes
            << " seconds=" << absl::ToDoubleSeconds(options_.clock->SteadyNow() - begin);
  const auto delivery = std::make_shared<Delivery>(summary, std::move(callers), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const std::string& url = wanted[i]->url();
    wanted[i]->Put(*taken, [delivery, i, url](const absl::Status& status) {
      delivery->Ended(i, url, EndedBy(status));
    });
  }
}

void Supervisor::SetStage(Stage stage) {
  metrics_->SetStage(stage);
  absl::MutexLock lock(&mutex_);
  stage_ = stage;
  stage_since_ = options_.clock->Now();
}

void Supervisor::ListSnapshots(OnListed on_listed) {
  struct Listing {
    absl::Mutex mutex;
    size_t missing ABSL_GUARDED_BY(mutex);
    std::vector<DestinationList> lists ABSL_GUARDED_BY(mutex);
  };
  const auto listing = std::make_shared<Listing>();
  {
    absl::MutexLock lock(&listing->mutex);
    listing->missing = destinations_.size();
    listing->lists.resize(destinations_.size());
  }
  const auto ended = [listing, on_listed](size_t i, DestinationList list) {
    std::vector<DestinationList> all;
    {
      absl::MutexLock lock(&listing->mutex);
      listing->lists[i] = std::move(list);
      if (--listing->missing != 0) return;
      all.swap(listing->lists);
    }
    on_listed(all);
  };
  for (size_t i = 0; i < destinations_.size(); ++i) {
    Destination* const destination = destinations_[i].get();
    bool submitted = false;
    {
      absl::MutexLock lock(&mutex_);
      submitted = listers_ != nullptr && listers_->TrySubmit([destination, i, ended] {
        DestinationList list;
        list.url = destination->url();
        absl::StatusOr<std::vector<SnapshotSummary>> found = destination->List();
        list.status = found.status();
        if (found.ok()) list.snapshots = *std::move(found);
        ended(i, std::move(list));
      });
    }
    if (submitted) continue;
    DestinationList list;
    list.url = destination->url();
    list.status = absl::UnavailableError("too many ask for what is there, or the supervisor ends");
    ended(i, std::move(list));
  }
}

SupervisorStatus Supervisor::Status() const {
  SupervisorStatus status;
  status.applied_sequence = copy_->applied_sequence();
  status.ledger_sequence = copy_->ledger_sequence();
  status.readiness = copy_->Readiness();
  absl::optional<absl::Time> busy_since;
  for (const auto& destination : destinations_) {
    status.destinations.push_back(destination->Status());
    const absl::optional<absl::Time>& since = status.destinations.back().busy_since;
    if (since.has_value()) busy_since = std::min(busy_since.value_or(*since), *since);
  }
  absl::MutexLock lock(&mutex_);
  status.stage = stage_;
  status.stage_since = stage_since_;
  if (stage_ == Stage::kIdle && busy_since.has_value()) {
    status.stage = Stage::kUploading;
    status.stage_since = *busy_since;
  }
  if (options_.interval != absl::ZeroDuration()) {
    status.next_snapshot = options_.clock->Now() +
                           std::max(next_at_ - options_.clock->SteadyNow(), absl::ZeroDuration());
  }
  return status;
}

}  // namespace ctlstore::supervisor
