#include "common/ldb/reader_lanes.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace ctlstore::ldb {

// All lanes of the process that are not destroyed yet, by their ids: who ends later than a reader,
// as a thread that used it does, learns here that it is gone.
class ReaderLanes::Registry {
 public:
  // Never destroyed: threads end also while the process does.
  static Registry& Get() {
    static Registry* const registry = [] {
      // A child of fork() may open readers of its own.
      pthread_atfork([] { Get().mutex_.lock(); }, [] { Get().mutex_.unlock(); },
                     [] { Get().mutex_.unlock(); });
      return new Registry;
    }();
    return *registry;
  }

  uint64_t Add(ReaderLanes* lanes) {
    std::lock_guard<std::mutex> lock(mutex_);
    live_[++last_id_] = lanes;
    return last_id_;
  }

  void Remove(uint64_t id) {
    std::lock_guard<std::mutex> lock(mutex_);
    live_.erase(id);
  }

  void GiveBack(uint64_t id, Lane* lane) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(id);
    if (found != live_.end()) found->second->GiveBack(lane);
  }

  bool IsLive(uint64_t id) {
    std::lock_guard<std::mutex> lock(mutex_);
    return live_.count(id) != 0;
  }

 private:
  std::mutex mutex_;
  uint64_t last_id_ = 0;
  absl::flat_hash_map<uint64_t, ReaderLanes*> live_;
};

// All lanes that a thread has, given back at its end.
class ReaderLanes::ThreadEnd {
 public:
  // Null when the thread's memory is gone already: something that is destroyed later still reads.
  static ThreadEnd* Mine() {
    if (ended_) return nullptr;
    static thread_local ThreadEnd mine;
    return &mine;
  }

  Lane* Find(uint64_t id) const {
    for (const Recent& lane : lanes_) {
      if (lane.id == id) return lane.lane;
    }
    return nullptr;
  }

  void Add(uint64_t id, Lane* lane) {
    if (lanes_.size() == lanes_.capacity()) {
      lanes_.erase(
          std::remove_if(lanes_.begin(), lanes_.end(),
                         [](const Recent& lane) { return !Registry::Get().IsLive(lane.id); }),
          lanes_.end());
    }
    lanes_.push_back({id, lane});
  }

 private:
  ThreadEnd() = default;
  ~ThreadEnd() {
    ended_ = true;
    for (Recent& recent : recent_) recent = {};
    // A child of fork() has no part in the parent's readers, whose locks may be held for ever.
    if (getpid() != process_) return;
    for (const Recent& lane : lanes_) Registry::Get().GiveBack(lane.id, lane.lane);
  }

  static inline thread_local bool ended_ = false;
  const pid_t process_ = getpid();
  std::vector<Recent> lanes_;
};

ReaderLanes::ReaderLanes(std::function<void*()> make, std::function<void(void*)> destroy)
    : id_(Registry::Get().Add(this)), make_(std::move(make)), destroy_(std::move(destroy)) {}

ReaderLanes::~ReaderLanes() {
  Registry::Get().Remove(id_);
  for (const std::vector<Retired>* list : {&ready_, &waiting_, &retired_}) {
    for (const Retired& retired : *list) retired.free(retired.object);
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) destroy_(lane->data_);
}

ReaderLanes::Lane* ReaderLanes::FindMine() {
  ThreadEnd* const end = ThreadEnd::Mine();
  Lane* lane = end == nullptr ? nullptr : end->Find(id_);
  if (lane == nullptr) {
    lane = TakeLane();
    if (end != nullptr) end->Add(id_, lane);
  }
  recent_[id_ % kRecent] = {id_, lane};
  return lane;
}

ReaderLanes::Lane* ReaderLanes::TakeLane() {
  {
    std::lock_guard<std::mutex> lock(lanes_mutex_);
    for (const std::unique_ptr<Lane>& lane : lanes_) {
      if (lane->in_use_) continue;
      lane->in_use_ = true;
      return lane.get();
    }
  }
  auto made = std::make_unique<Lane>();
  made->data_ = make_();
  made->in_use_ = true;
  std::lock_guard<std::mutex> lock(lanes_mutex_);
  lanes_.push_back(std::move(made));
  return lanes_.back().get();
}

void ReaderLanes::GiveBack(Lane* lane) {
  std::lock_guard<std::mutex> lock(lanes_mutex_);
  lane->in_use_ = false;
}

void ReaderLanes::Retire(void* object, void (*free)(void*), size_t bytes) {
  retired_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  std::lock_guard<std::mutex> lock(retired_mutex_);
  retired_.push_back({object, free, bytes});
}

void ReaderLanes::Reclaim(size_t max_objects) {
  std::vector<Retired> freed;
  {
    std::unique_lock<std::mutex> lock(retired_mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return;
    Advance();
    if (ready_.size() <= max_objects) {
      freed.swap(ready_);
    } else {
      freed.assign(ready_.end() - max_objects, ready_.end());
      ready_.resize(ready_.size() - max_objects);
    }
  }
  // Without the lock: what is freed may take long, or retire something itself.
  size_t bytes = 0;
  for (const Retired& retired : freed) {
    retired.free(retired.object);
    bytes += retired.bytes;
  }
  retired_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

void ReaderLanes::Advance() {
  if (waiting_.empty()) {
    if (retired_.empty()) return;
    waiting_.swap(retired_);
    // A lane that comes later has no pins from before.
    std::lock_guard<std::mutex> lock(lanes_mutex_);
    for (const std::unique_ptr<Lane>& lane : lanes_) {
      awaited_[0].push_back(&lane->pins_[0]);
      awaited_[1].push_back(&lane->pins_[1]);
    }
    phase_changed_ = false;
  }
  // Whose pin is not seen below sees that what is retired cannot be found.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (std::vector<const std::atomic<uint64_t>*>& counts : awaited_) {
    counts.erase(std::remove_if(counts.begin(), counts.end(),
                                [](const std::atomic<uint64_t>* count) {
                                  return count->load(std::memory_order_seq_cst) == 0;
                                }),
                 counts.end());
  }
  const uint32_t phase = phase_.load(std::memory_order_relaxed) & 1;
  if (!phase_changed_ && awaited_[1 - phase].empty()) {
    phase_.store(1 - phase, std::memory_order_relaxed);
    phase_changed_ = true;
  }
  if (!awaited_[0].empty() || !awaited_[1].empty()) return;
  if (ready_.empty()) {
    ready_.swap(waiting_);
  } else {
    ready_.insert(ready_.end(), waiting_.begin(), waiting_.end());
    waiting_.clear();
  }
}

void ReaderLanes::ForEach(const std::function<void(void*)>& visit) {
  std::vector<void*> all;
  {
    std::lock_guard<std::mutex> lock(lanes_mutex_);
    for (const std::unique_ptr<Lane>& lane : lanes_) all.push_back(lane->data_);
  }
  for (void* const data : all) visit(data);
}

}  // namespace ctlstore::ldb
