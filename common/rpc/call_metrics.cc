#include "common/rpc/call_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore::rpc {
namespace {

using prometheus::Counter;
using prometheus::Histogram;

// From a read of a local database to a request's longest deadline, in seconds.
const Histogram::BucketBoundaries kSeconds = {50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3,
                                              5e-3,  10e-3,  25e-3,  50e-3,  0.1,  0.25,
                                              0.5,   1,      2.5,    5,      10};

// The codes of absl::StatusCode are 0 to 16; what is none of them counts as UNKNOWN.
constexpr size_t kCodes = 17;

// Beyond this many methods of one API all others count as one, so that a caller's mistake does not
// take the memory of this process and of Prometheus.
constexpr size_t kMaxMethods = 200;
constexpr char kOtherMethods[] = "other";

}  // namespace

class CallMetrics::Impl {
 public:
  Impl(absl::string_view api, prometheus::Registry* registry)
      : api_(api),
        calls_(prometheus::BuildCounter()
                   .Name("ctlstore_calls_total")
                   .Help("Calls answered, by API, method and code")
                   .Register(*registry)),
        seconds_(prometheus::BuildHistogram()
                     .Name("ctlstore_call_seconds")
                     .Help("How long calls took, by API and method")
                     .Register(*registry)) {}

  void Record(absl::string_view method, absl::StatusCode code, absl::Duration duration) {
    Method* const metrics = MethodOf(method);
    CounterOf(metrics, code)->Increment();
    // The clock may have been set back meanwhile.
    metrics->seconds.Observe(std::max(0.0, absl::ToDoubleSeconds(duration)));
  }

 private:
  // What is found once is kept: the library looks its metrics up by a map of strings.
  struct Method {
    Method(std::string name, Histogram& seconds) : name(std::move(name)), seconds(seconds) {}
    const std::string name;
    Histogram& seconds;
    std::array<std::atomic<Counter*>, kCodes> calls = {};
  };

  Method* MethodOf(absl::string_view name) {
    {
      absl::ReaderMutexLock lock(&mutex_);
      const auto found = methods_.find(name);
      if (found != methods_.end()) return found->second.get();
    }
    absl::MutexLock lock(&mutex_);
    if (methods_.size() >= kMaxMethods && !methods_.contains(name)) name = kOtherMethods;
    std::unique_ptr<Method>& method = methods_[name];
    if (method == nullptr) {
      std::string text(name);
      Histogram& seconds = seconds_.Add({{"api", api_}, {"method", text}}, kSeconds);
      method = std::make_unique<Method>(std::move(text), seconds);
    }
    return method.get();
  }

  Counter* CounterOf(Method* method, absl::StatusCode code) {
    size_t index = static_cast<size_t>(code);
    if (index >= kCodes) index = static_cast<size_t>(absl::StatusCode::kUnknown);
    std::atomic<Counter*>& slot = method->calls[index];
    Counter* counter = slot.load(std::memory_order_acquire);
    if (counter == nullptr) {
      // Two threads at once get the same one.
      counter =
          &calls_.Add({{"api", api_},
                       {"method", method->name},
                       {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(index))}});
      slot.store(counter, std::memory_order_release);
    }
    return counter;
  }

  const std::string api_;
  prometheus::Family<Counter>& calls_;
  prometheus::Family<Histogram>& seconds_;

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Method>> methods_ ABSL_GUARDED_BY(mutex_);
};

CallMetrics::CallMetrics(absl::string_view api, prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(api, registry)) {}

CallMetrics::~CallMetrics() = default;

void CallMetrics::Record(absl::string_view method, absl::StatusCode code, absl::Duration duration) {
  impl_->Record(method, code, duration);
}

}  // namespace ctlstore::rpc
