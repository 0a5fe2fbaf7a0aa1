#include "common/rpc/metrics_server.h"

#include <glog/logging.h>
#include <prometheus/collectable.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/metric_families.h"
#include "common/rpc/process_metrics.h"

namespace ctlstore::rpc {
namespace {

constexpr char kTextFormat[] = "text/plain; version=0.0.4; charset=utf-8";
// How long answers under way may take when the server ends.
constexpr absl::Duration kGrace = absl::Seconds(1);

HttpResponse Text(int status, absl::string_view text) {
  HttpResponse response;
  response.status = status;
  response.body = absl::StrCat(text, "\n");
  return response;
}

}  // namespace

class MetricsServer::Impl {
 public:
  Impl(prometheus::Registry* registry, Readiness readiness, const prometheus::Collectable* states)
      : registry_(registry), readiness_(std::move(readiness)), states_(states) {}

  ~Impl() {
    if (server_ != nullptr) server_->Shutdown(kGrace);
  }

  absl::Status Serve(const HttpServer::Options& options) {
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(
        options, [this](const HttpRequest& request, const HttpServer::Respond& respond) {
          respond(Answer(request));
        });
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  const std::string& address() const { return server_->address(); }

 private:
  HttpResponse Answer(const HttpRequest& request) const {
    const absl::string_view path = request.path();
    const bool known = path == "/metrics" || path == "/livez" || path == "/readyz";
    if (!known) return Text(404, "there are /metrics, /livez and /readyz");
    if (request.method() != "GET") {
      HttpResponse response = Text(405, "only GET is served here");
      response.headers.emplace_back("Allow", "GET");
      return response;
    }
    if (path == "/livez") return Text(200, "alive");
    if (path == "/readyz") {
      const absl::Status ready = readiness_();
      return ready.ok() ? Text(200, "ready")
                        : Text(503, absl::StrCat("not ready: ", ready.message()));
    }
    return Metrics();
  }

  HttpResponse Metrics() const {
    MetricFamilies families = registry_->Collect();
    Append(process_.Collect(), &families);
    if (states_ != nullptr) Append(states_->Collect(), &families);
    AddGauge("ctlstore_ready", "Whether the service can do its work, as /readyz says",
             readiness_().ok() ? 1 : 0, &families);
    HttpResponse response;
    response.content_type = kTextFormat;
    response.body = prometheus::TextSerializer().Serialize(families);
    return response;
  }

  static void Append(MetricFamilies from, MetricFamilies* families) {
    families->insert(families->end(), std::make_move_iterator(from.begin()),
                     std::make_move_iterator(from.end()));
  }

  prometheus::Registry* const registry_;
  const Readiness readiness_;
  const prometheus::Collectable* const states_;
  const ProcessMetrics process_;
  // Last: its threads use all of the others.
  std::unique_ptr<HttpServer> server_;
};

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const HttpServer::Options& options, prometheus::Registry* registry, Readiness readiness,
    const prometheus::Collectable* states) {
  auto impl = std::make_unique<Impl>(registry, std::move(readiness), states);
  absl::Status status = impl->Serve(options);
  if (!status.ok()) return status;
  LOG(INFO) << "event=metrics_started address=" << impl->address();
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

const std::string& MetricsServer::address() const { return impl_->address(); }

}  // namespace ctlstore::rpc
