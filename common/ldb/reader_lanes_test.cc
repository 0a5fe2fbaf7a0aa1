#include "common/ldb/reader_lanes.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"

namespace ctlstore::ldb {
namespace {

// Lanes whose data counts what is there.
class LanesTest : public ::testing::Test {
 protected:
  std::unique_ptr<ReaderLanes> Make() {
    return std::make_unique<ReaderLanes>(
        [this]() -> void* {
          ++made_;
          return new int(0);
        },
        [this](void* data) {
          ++destroyed_;
          delete static_cast<int*>(data);
        });
  }

  std::atomic<int> made_{0};
  std::atomic<int> destroyed_{0};
};

// Something whose end is seen.
class Object {
 public:
  explicit Object(std::atomic<int>* freed) : freed_(freed) {}
  static void Retire(ReaderLanes* lanes, std::atomic<int>* freed, size_t bytes = 1) {
    lanes->Retire(
        new Object(freed),
        [](void* object) {
          auto* const self = static_cast<Object*>(object);
          ++*self->freed_;
          delete self;
        },
        bytes);
  }

 private:
  std::atomic<int>* const freed_;
};

// More than any number of steps that a batch takes when no pins are held.
void ReclaimAll(ReaderLanes* lanes) {
  for (int i = 0; i < 10; ++i) lanes->Reclaim();
}

TEST_F(LanesTest, AThreadHasOneLaneAndAnotherThreadAnother) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  ReaderLanes::Lane* const mine = lanes->Mine();
  EXPECT_EQ(lanes->Mine(), mine);
  std::thread([&] {
    EXPECT_NE(lanes->Mine(), mine);
    EXPECT_NE(lanes->Mine()->data(), mine->data());
    EXPECT_EQ(lanes->Mine(), lanes->Mine());
  }).join();
  EXPECT_EQ(made_, 2);
}

TEST_F(LanesTest, AThreadThatEndsLeavesItsLaneToTheNext) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  for (int i = 0; i < 100; ++i) {
    std::thread([&] { ++*static_cast<int*>(lanes->Mine()->data()); }).join();
  }
  EXPECT_EQ(made_, 1);
  int total = 0;
  lanes->ForEach([&](void* data) { total += *static_cast<int*>(data); });
  EXPECT_EQ(total, 100);
}

TEST_F(LanesTest, ManyReadersOfOneThreadAreToldApart) {
  std::vector<std::unique_ptr<ReaderLanes>> readers;
  std::vector<ReaderLanes::Lane*> lanes;
  for (int i = 0; i < 50; ++i) {
    readers.push_back(Make());
    lanes.push_back(readers.back()->Mine());
  }
  EXPECT_EQ(std::set<ReaderLanes::Lane*>(lanes.begin(), lanes.end()).size(), 50u);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) EXPECT_EQ(readers[i]->Mine(), lanes[i]);
  }
  EXPECT_EQ(made_, 50);
}

TEST_F(LanesTest, AReaderInThePlaceOfADestroyedOneHasLanesOfItsOwn) {
  for (int i = 0; i < 1000; ++i) {
    const std::unique_ptr<ReaderLanes> lanes = Make();
    EXPECT_EQ(*static_cast<int*>(lanes->Mine()->data()), 0);
    *static_cast<int*>(lanes->Mine()->data()) = 1;
  }
  EXPECT_EQ(made_, 1000);
  EXPECT_EQ(destroyed_, 1000);
}

TEST_F(LanesTest, AReaderMayEndBeforeTheThreadsThatUsedIt) {
  std::unique_ptr<ReaderLanes> lanes = Make();
  absl::Notification used;
  absl::Notification destroyed;
  std::thread thread([&] {
    lanes->Mine();
    used.Notify();
    destroyed.WaitForNotification();
  });
  used.WaitForNotification();
  lanes.reset();
  EXPECT_EQ(destroyed_, 1);
  destroyed.Notify();
  thread.join();
}

TEST_F(LanesTest, ThreadsAndReadersMayEndAtTheSameTime) {
  for (int round = 0; round < 200; ++round) {
    std::unique_ptr<ReaderLanes> lanes = Make();
    std::atomic<int> used{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        lanes->Mine();
        ++used;
      });
    }
    while (used < 4) std::this_thread::yield();
    lanes.reset();
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(made_, destroyed_);
}

// Uses its lanes when the thread's memory is destroyed: before and after the lanes' own part is.
struct UsesLanesAtItsEnd {
  ~UsesLanesAtItsEnd() {
    if (lanes == nullptr) return;
    EXPECT_EQ(lanes->Mine(), lanes->Mine());
  }
  ReaderLanes* lanes = nullptr;
};

TEST_F(LanesTest, MayBeUsedWhileAThreadsMemoryIsDestroyed) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::thread([&] {
    // Made before the lanes' part, and destroyed after it.
    static thread_local UsesLanesAtItsEnd after;
    after.lanes = lanes.get();
    lanes->Mine();
    static thread_local UsesLanesAtItsEnd before;
    before.lanes = lanes.get();
  }).join();
  EXPECT_LE(made_, 2);
}

TEST_F(LanesTest, ThreadsThatRunOnAtTheProcesssEndDoNotHurt) {
  const auto run = [] {
    static ReaderLanes* const kept =
        new ReaderLanes([]() -> void* { return nullptr; }, [](void*) {});
    static UsesLanesAtItsEnd at_end;
    at_end.lanes = kept;
    kept->Mine();
    for (int i = 0; i < 4; ++i) {
      std::thread([] {
        while (true) ReaderLanes::Pin pin = kept->MakePin(kept->Mine());
      }).detach();
    }
    std::exit(0);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}

TEST_F(LanesTest, AChildProcessMayHaveReadersOfItsOwn) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  lanes->Mine();
  // Their ends take the same locks as the child will.
  std::atomic<bool> stop{false};
  std::thread others([&] {
    while (!stop) std::thread([&] { lanes->Mine(); }).join();
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const std::unique_ptr<ReaderLanes> own = Make();
      const bool right = own->Mine() == own->Mine();
      _exit(right ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  others.join();
}

TEST_F(LanesTest, FreesWhatIsRetiredOnceNoPinIsHeld) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<int> freed{0};
  Object::Retire(lanes.get(), &freed, 100);
  EXPECT_EQ(freed, 0);
  EXPECT_EQ(lanes->retired_bytes(), 100u);
  ReclaimAll(lanes.get());
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(lanes->retired_bytes(), 0u);
}

TEST_F(LanesTest, FreesNothingThatAPinFromBeforeMayLookAt) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<int> others{0};
  // At any step of an earlier batch, after any number of batches: the pin is counted in either
  // phase.
  for (int batches = 0; batches < 4; ++batches) {
    for (int steps = 0; steps < 4; ++steps) {
      for (int i = 0; i < batches; ++i) {
        Object::Retire(lanes.get(), &others);
        ReclaimAll(lanes.get());
      }
      Object::Retire(lanes.get(), &others);
      for (int i = 0; i < steps; ++i) lanes->Reclaim();
      std::atomic<int> freed{0};
      ReaderLanes::Pin pin = lanes->MakePin(lanes->Mine());
      Object::Retire(lanes.get(), &freed);
      ReclaimAll(lanes.get());
      EXPECT_EQ(freed, 0);
      pin.Release();
      ReclaimAll(lanes.get());
      EXPECT_EQ(freed, 1);
    }
  }
}

TEST_F(LanesTest, NewPinsDoNotKeepWhatWasRetiredBefore) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<int> freed{0};
  // A pin is always held, each by another than the one before.
  ReaderLanes::Pin pin = lanes->MakePin(lanes->Mine());
  for (int i = 0; i < 100; ++i) {
    Object::Retire(lanes.get(), &freed);
    lanes->Reclaim();
    ReaderLanes::Pin next = lanes->MakePin(lanes->Mine());
    pin = std::move(next);
  }
  EXPECT_GE(freed, 90);
}

TEST_F(LanesTest, APinHoldsAlsoInAnotherThreadAndAfterItsOwnHasEnded) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<int> freed{0};
  ReaderLanes::Pin pin;
  EXPECT_FALSE(pin);
  std::thread([&] { pin = lanes->MakePin(lanes->Mine()); }).join();
  EXPECT_TRUE(pin);
  Object::Retire(lanes.get(), &freed);
  // The lane's next thread comes and goes.
  std::thread([&] { ReaderLanes::Pin other = lanes->MakePin(lanes->Mine()); }).join();
  ReclaimAll(lanes.get());
  EXPECT_EQ(freed, 0);
  ReaderLanes::Pin moved = std::move(pin);
  EXPECT_FALSE(pin);  // NOLINT(bugprone-use-after-move)
  pin.Release();
  ReclaimAll(lanes.get());
  EXPECT_EQ(freed, 0);
  moved = ReaderLanes::Pin();
  ReclaimAll(lanes.get());
  EXPECT_EQ(freed, 1);
}

TEST_F(LanesTest, FreesNoMoreAtOnceThanIsAsked) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<int> freed{0};
  for (int i = 0; i < 100; ++i) Object::Retire(lanes.get(), &freed, 10);
  int before = 0;
  for (int i = 0; i < 100 && freed < 100; ++i) {
    lanes->Reclaim(7);
    EXPECT_LE(freed - before, 7);
    before = freed;
    EXPECT_EQ(lanes->retired_bytes(), 10u * (100 - freed));
  }
  EXPECT_EQ(freed, 100);
}

TEST_F(LanesTest, WhatIsFreedMayRetireMore) {
  const std::unique_ptr<ReaderLanes> lanes = Make();
  static std::atomic<int> freed{0};
  freed = 0;
  lanes->Retire(
      lanes.get(), [](void* lanes) { Object::Retire(static_cast<ReaderLanes*>(lanes), &freed); },
      1);
  ReclaimAll(lanes.get());
  EXPECT_EQ(freed, 1);
}

TEST_F(LanesTest, WhatIsRetiredIsFreedWithTheLanes) {
  std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<int> freed{0};
  // At all steps: ready, waiting, and not looked at yet.
  for (int i = 0; i < 10; ++i) Object::Retire(lanes.get(), &freed);
  lanes->Reclaim(3);
  lanes->Reclaim(3);
  ReaderLanes::Pin pin = lanes->MakePin(lanes->Mine());
  Object::Retire(lanes.get(), &freed);
  lanes->Reclaim(0);
  Object::Retire(lanes.get(), &freed);
  pin.Release();
  lanes.reset();
  EXPECT_EQ(freed, 12);
  EXPECT_EQ(made_, destroyed_);
}

// Readers follow a pointer that a writer exchanges all the time, and look at what it led to.
TEST_F(LanesTest, NoThreadEverSeesWhatIsFreed) {
  struct Shared {
    std::atomic<int64_t> value{0};
    ~Shared() { value = -1; }
  };
  const std::unique_ptr<ReaderLanes> lanes = Make();
  std::atomic<Shared*> shared{new Shared};
  std::atomic<int> reading{3};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(i);
      std::vector<std::pair<ReaderLanes::Pin, Shared*>> held;
      for (int n = 0; n < 200000; ++n) {
        ReaderLanes::Pin pin = lanes->MakePin(lanes->Mine());
        Shared* const found = shared.load(std::memory_order_acquire);
        EXPECT_GE(found->value.load(std::memory_order_relaxed), 0);
        // Some are held for longer, and let go of in another order.
        if (random() % 4 == 0) held.emplace_back(std::move(pin), found);
        if (held.size() > 8) {
          std::swap(held[random() % held.size()], held.back());
          EXPECT_GE(held.back().second->value.load(std::memory_order_relaxed), 0);
          held.pop_back();
        }
        if (random() % 512 == 0) held.clear();
      }
      --reading;
    });
  }
  int64_t value = 0;
  while (reading > 0) {
    auto* const next = new Shared;
    next->value = ++value;
    lanes->Retire(
        shared.exchange(next), [](void* object) { delete static_cast<Shared*>(object); }, 1);
    lanes->Reclaim();
    if (lanes->retired_bytes() > 10000) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  ReclaimAll(lanes.get());
  EXPECT_EQ(lanes->retired_bytes(), 0u);
  delete shared.load();
}

}  // namespace
}  // namespace ctlstore::ldb
