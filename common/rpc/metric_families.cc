#include "common/rpc/metric_families.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_type.h>

#include <utility>

namespace ctlstore::rpc {
namespace {

void Add(const char* name, const char* help, prometheus::MetricType type,
         const prometheus::ClientMetric& metric, MetricFamilies* families) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(metric);
  families->push_back(std::move(family));
}

}  // namespace

void AddGauge(const char* name, const char* help, double value, MetricFamilies* families) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  Add(name, help, prometheus::MetricType::Gauge, metric, families);
}

void AddCounter(const char* name, const char* help, double value, MetricFamilies* families) {
  prometheus::ClientMetric metric;
  metric.counter.value = value;
  Add(name, help, prometheus::MetricType::Counter, metric, families);
}

}  // namespace ctlstore::rpc
