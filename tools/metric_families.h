// Families of samples, built in order. Internal to metrics_page.cc: the only other place with
// prometheus-cpp in it.
#pragma once

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tidemark {

class MetricFamilies {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;

  // What follows belongs to it. A family without samples does not show.
  void Begin(prometheus::MetricType type, const char* name, const char* help) {
    families_.push_back({name, help, type, {}});
  }
  void Sample(Labels labels, double value) {
    prometheus::ClientMetric& metric = Add(std::move(labels));
    if (families_.back().type == prometheus::MetricType::Counter)
      metric.counter.value = value;
    else
      metric.gauge.value = value;
  }
  // counts: one for each bound, each without those below; and one for what is above all.
  void Histogram(Labels labels, std::span<const int64_t> bounds_us,
                 std::span<const uint64_t> counts, int64_t sum_us) {
    prometheus::ClientMetric::Histogram& histogram = Add(std::move(labels)).histogram;
    for (size_t i = 0; i < counts.size(); ++i) {
      histogram.sample_count += counts[i];
      const double bound =
          i < bounds_us.size() ? static_cast<double>(bounds_us[i]) / 1e6 : HUGE_VAL;
      histogram.bucket.push_back({histogram.sample_count, bound});
    }
    histogram.sample_sum = static_cast<double>(sum_us) / 1e6;
  }
  void Summary(Labels labels, uint64_t count, double sum) {
    prometheus::ClientMetric::Summary& summary = Add(std::move(labels)).summary;
    summary.sample_count = count;
    summary.sample_sum = sum;
  }
  std::string Text() {
    std::erase_if(families_, [](const auto& family) { return family.metric.empty(); });
    return prometheus::TextSerializer().Serialize(families_);
  }

 private:
  prometheus::ClientMetric& Add(Labels labels) {
    prometheus::ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace tidemark
