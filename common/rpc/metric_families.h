// Metrics that are made when they are asked for, out of what a service knows of its state. For
// implementations of prometheus::Collectable.

#ifndef CTLSTORE_COMMON_RPC_METRIC_FAMILIES_H_
#define CTLSTORE_COMMON_RPC_METRIC_FAMILIES_H_

#include <prometheus/metric_family.h>

#include <vector>

namespace ctlstore::rpc {

using MetricFamilies = std::vector<prometheus::MetricFamily>;

// Adds a metric with one value and no labels.
void AddGauge(const char* name, const char* help, double value, MetricFamilies* families);
void AddCounter(const char* name, const char* help, double value, MetricFamilies* families);

}  // namespace ctlstore::rpc

#endif  // CTLSTORE_COMMON_RPC_METRIC_FAMILIES_H_
