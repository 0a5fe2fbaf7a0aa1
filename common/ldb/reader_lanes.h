// What each thread that uses a reader has of its own, so that threads do not wait for one another.

#ifndef CTLSTORE_COMMON_LDB_READER_LANES_H_
#define CTLSTORE_COMMON_LDB_READER_LANES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

namespace ctlstore::ldb {

// The lanes of one reader. A thread gets a lane when it first asks and keeps it until the thread
// ends; then another thread may have it. Thread-safe.
//
// Lanes also tell when shared memory may be freed: who looks at it holds a Pin meanwhile, and what
// is retired, which nobody can find any more, is freed when every pin that was held then is gone.
class ReaderLanes {
 public:
  // Padded, so that no other thread's writes slow down this one's.
  class alignas(128) Lane {
   public:
    // What the reader keeps for the thread: owned by the lane, made by the constructor's `make`.
    void* data() const { return data_; }

   private:
    friend class ReaderLanes;
    std::atomic<uint64_t> pins_[2] = {};
    void* data_ = nullptr;
    bool in_use_ = false;
  };

  // Holds what could be found when it was made. May move to another thread. Costs two atomic
  // operations on memory of the thread's own.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept : pins_(other.pins_) { other.pins_ = nullptr; }
    Pin& operator=(Pin&& other) noexcept {
      if (this != &other) {
        Release();
        pins_ = other.pins_;
        other.pins_ = nullptr;
      }
      return *this;
    }
    ~Pin() { Release(); }
    explicit operator bool() const { return pins_ != nullptr; }
    void Release() {
      if (pins_ != nullptr) pins_->fetch_sub(1, std::memory_order_release);
      pins_ = nullptr;
    }

   private:
    friend class ReaderLanes;
    explicit Pin(std::atomic<uint64_t>* pins) : pins_(pins) {}
    std::atomic<uint64_t>* pins_ = nullptr;
  };

  // `make` makes a lane's data, `destroy` ends it when the lanes are destroyed.
  ReaderLanes(std::function<void*()> make, std::function<void(void*)> destroy);
  // All pins are gone by then. Frees what is retired.
  ~ReaderLanes();
  ReaderLanes(const ReaderLanes&) = delete;
  ReaderLanes& operator=(const ReaderLanes&) = delete;

  // The calling thread's. The thread alone uses it, but for what its data says.
  Lane* Mine() {
    const Recent& recent = recent_[id_ % kRecent];
    return recent.id == id_ ? recent.lane : FindMine();
  }

  // To be held before anything shared is looked for.
  Pin MakePin(Lane* lane) {
    std::atomic<uint64_t>* const pins = &lane->pins_[phase_.load(std::memory_order_relaxed) & 1];
    pins->fetch_add(1, std::memory_order_seq_cst);
#if !defined(__x86_64__)
    // What is looked for is not looked at before the pin can be seen; an atomic addition does that
    // by itself on x86.
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
    return Pin(pins);
  }

  // Frees it, by calling `free`, when nobody can look at it any more: not found by anybody from now
  // on. `bytes` is what it counts for. Never frees in this call.
  void Retire(void* object, void (*free)(void*), size_t bytes);

  // Frees what can be freed, at most `max_objects`; never waits. To be called from time to time,
  // and when much is retired: each call brings the next objects a step nearer to their end.
  void Reclaim(size_t max_objects = std::numeric_limits<size_t>::max());

  // Of what is retired and not freed.
  size_t retired_bytes() const { return retired_bytes_.load(std::memory_order_relaxed); }

  // Calls `visit` with each lane's data, also those of threads that have ended; without a lock.
  void ForEach(const std::function<void(void*)>& visit);

 private:
  class Registry;
  class ThreadEnd;
  struct Retired {
    void* object;
    void (*free)(void*);
    size_t bytes;
  };
  // A lane of the thread's, by the lanes' id. All zero at first, so that it takes no test whether
  // the thread has begun to use it.
  struct Recent {
    uint64_t id;
    Lane* lane;
  };
  static constexpr size_t kRecent = 8;

  Lane* FindMine();
  Lane* TakeLane();
  void GiveBack(Lane* lane);
  // Closes a batch where none waits, and looks for pins of the one that does.
  void Advance();

  // At id % kRecent, the one that was used last.
  static inline thread_local Recent recent_[kRecent];

  // From 1; no other lanes of this process ever have the same, so that a thread's memory of its
  // lane is never taken for another reader's.
  const uint64_t id_;
  const std::function<void*()> make_;
  const std::function<void(void*)> destroy_;
  std::atomic<uint32_t> phase_{0};
  std::atomic<size_t> retired_bytes_{0};

  std::mutex lanes_mutex_;
  // Guarded by it, as is in_use_ of each. They only ever become more.
  std::vector<std::unique_ptr<Lane>> lanes_;

  // May be held when lanes_mutex_ is taken. Guards all below.
  std::mutex retired_mutex_;
  // Retired since the last batch was closed; the batch that waits for its pins to go; and what
  // nobody can look at any more.
  std::vector<Retired> retired_;
  std::vector<Retired> waiting_;
  std::vector<Retired> ready_;
  // The counts of pins, by phase, that have not been seen at zero since the batch was closed. One
  // that was has no pin from before. New pins are counted in phase_, so the others come to zero;
  // when all have, the phase changes once.
  std::vector<const std::atomic<uint64_t>*> awaited_[2];
  bool phase_changed_ = false;
};

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_READER_LANES_H_
