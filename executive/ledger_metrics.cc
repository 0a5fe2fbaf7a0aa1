#include "executive/ledger_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "common/schema/errors.h"

namespace ctlstore::executive {
namespace {

using prometheus::Histogram;

// From a fast query to what nobody should see.
const Histogram::BucketBoundaries kSeconds = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                              0.1,    0.2,   0.5,   1,     2,    5,    10};

prometheus::Counter& Counter(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*registry).Add({});
}

prometheus::Gauge& Gauge(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
}

}  // namespace

class LedgerMetrics::Impl {
 public:
  explicit Impl(prometheus::Registry* registry)
      : listeners(Gauge(registry, "ctlstore_executive_ledger_listeners",
                        "Callers that listen to the ledger")),
        listeners_max(Gauge(registry, "ctlstore_executive_ledger_listeners_max",
                            "How many callers may listen to the ledger")),
        catching_up(Gauge(registry, "ctlstore_executive_ledger_listeners_catching_up",
                          "Callers that listen to the ledger and are behind the buffer")),
        let_go(prometheus::BuildCounter()
                   .Name("ctlstore_executive_ledger_listeners_let_go_total")
                   .Help("Callers that listened, or wanted to, and were sent away, by reason")
                   .Register(*registry)),
        entries(Counter(registry, "ctlstore_executive_ledger_entries_sent_total",
                        "Ledger entries sent, to all listeners together")),
        bytes(Counter(registry, "ctlstore_executive_ledger_bytes_sent_total",
                      "Size of the ledger entries sent, to all listeners together")),
        buffer_bytes(Gauge(registry, "ctlstore_executive_ledger_buffer_bytes",
                           "Size of the newest ledger entries in memory")),
        buffer_bytes_max(Gauge(registry, "ctlstore_executive_ledger_buffer_bytes_max",
                               "How large the newest ledger entries in memory may be")),
        buffer_entries(Gauge(registry, "ctlstore_executive_ledger_buffer_entries",
                             "Newest ledger entries in memory")),
        buffer_first(Gauge(registry, "ctlstore_executive_ledger_buffer_first_sequence",
                           "The oldest ledger sequence in memory, 0 where none is")),
        queries(prometheus::BuildCounter()
                    .Name("ctlstore_executive_ledger_queries_total")
                    .Help("Times that the ctldb was asked for ledger entries")
                    .Register(*registry)),
        queries_new(queries.Add({{"for", "new"}})),
        queries_old(queries.Add({{"for", "old"}})),
        delay(prometheus::BuildHistogram()
                  .Name("ctlstore_executive_ledger_delay_seconds")
                  .Help("From a commit of this executive to handing its entries on")
                  .Register(*registry)
                  .Add({}, kSeconds)) {}

  prometheus::Gauge& listeners;
  prometheus::Gauge& listeners_max;
  prometheus::Gauge& catching_up;
  prometheus::Family<prometheus::Counter>& let_go;
  prometheus::Counter& entries;
  prometheus::Counter& bytes;
  prometheus::Gauge& buffer_bytes;
  prometheus::Gauge& buffer_bytes_max;
  prometheus::Gauge& buffer_entries;
  prometheus::Gauge& buffer_first;
  prometheus::Family<prometheus::Counter>& queries;
  prometheus::Counter& queries_new;
  prometheus::Counter& queries_old;
  Histogram& delay;
};

LedgerMetrics::LedgerMetrics(prometheus::Registry* registry)
    : impl_(std::make_unique<Impl>(registry)) {}

LedgerMetrics::~LedgerMetrics() = default;

void LedgerMetrics::SetLimits(size_t max_listeners, size_t buffer_bytes) {
  impl_->listeners_max.Set(static_cast<double>(max_listeners));
  impl_->buffer_bytes_max.Set(static_cast<double>(buffer_bytes));
}

void LedgerMetrics::SetListeners(size_t all, size_t catching_up) {
  impl_->listeners.Set(static_cast<double>(all));
  impl_->catching_up.Set(static_cast<double>(catching_up));
}

void LedgerMetrics::SetBuffer(size_t bytes, size_t entries, int64_t first_sequence) {
  impl_->buffer_bytes.Set(static_cast<double>(bytes));
  impl_->buffer_entries.Set(static_cast<double>(entries));
  impl_->buffer_first.Set(static_cast<double>(first_sequence));
}

void LedgerMetrics::Sent(size_t entries, size_t bytes) {
  impl_->entries.Increment(static_cast<double>(entries));
  impl_->bytes.Increment(static_cast<double>(bytes));
}

void LedgerMetrics::LetGo(const absl::Status& status) {
  impl_->let_go
      .Add({{"reason", ErrorReason(status).value_or(absl::StatusCodeToString(status.code()))}})
      .Increment();
}

void LedgerMetrics::AskedForNew() { impl_->queries_new.Increment(); }

void LedgerMetrics::AskedForOld() { impl_->queries_old.Increment(); }

void LedgerMetrics::HandedOn(absl::Duration delay) {
  impl_->delay.Observe(absl::ToDoubleSeconds(delay));
}

}  // namespace ctlstore::executive
