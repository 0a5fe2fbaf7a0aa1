#include "common/rpc/testing/scrape.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ctlstore::rpc::testing {
namespace {

using Labels = std::map<std::string, std::string>;

constexpr int kPatienceSeconds = 30;

absl::Status Malformed(absl::string_view what, absl::string_view line) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", line));
}

bool IsName(absl::string_view name, bool colons) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  return std::all_of(name.begin(), name.end(), [colons](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || (colons && c == ':');
  });
}

// Takes `{name="value",...}` from the front of `text`.
absl::StatusOr<Labels> TakeLabels(absl::string_view* text) {
  Labels labels;
  if (!absl::ConsumePrefix(text, "{")) return labels;
  while (!absl::ConsumePrefix(text, "}")) {
    const size_t equals = text->find("=\"");
    if (equals == absl::string_view::npos) return Malformed("a label without a value", *text);
    const std::string name(text->substr(0, equals));
    text->remove_prefix(equals + 2);
    std::string value;
    while (!text->empty() && text->front() != '"') {
      if (text->front() == '\\') {
        text->remove_prefix(1);
        if (text->empty() || !absl::StrContains("\\\"n", text->front())) {
          return Malformed("an unknown escape", *text);
        }
        value += text->front() == 'n' ? '\n' : text->front();
      } else {
        value += text->front();
      }
      text->remove_prefix(1);
    }
    if (!absl::ConsumePrefix(text, "\"")) return Malformed("a label without an end", *text);
    if (!IsName(name, false) || !labels.emplace(name, value).second) {
      return Malformed("a bad label name", name);
    }
    absl::ConsumePrefix(text, ",");
  }
  return labels;
}

std::string SampleText(absl::string_view name, const Labels& labels) {
  if (labels.empty()) return std::string(name);
  return absl::StrCat(name, "{",
                      absl::StrJoin(labels, ",",
                                    [](std::string* out, const auto& label) {
                                      absl::StrAppend(out, label.first, "=\"", label.second, "\"");
                                    }),
                      "}");
}

absl::optional<double> ParseNumber(absl::string_view text) {
  if (text == "+Inf") return HUGE_VAL;
  if (text == "-Inf") return -HUGE_VAL;
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) return absl::nullopt;
  return value;
}

// A histogram while its samples are read.
struct Histogram {
  // By upper bound.
  std::map<double, double> buckets;
  absl::optional<double> count;
  absl::optional<double> sum;
};

absl::Status Check(const std::string& name, const Histogram& histogram) {
  if (!histogram.count.has_value() || !histogram.sum.has_value() || histogram.buckets.empty()) {
    return Malformed("a histogram that is not whole", name);
  }
  double last = 0;
  for (const auto& [bound, count] : histogram.buckets) {
    if (count < last) return Malformed("buckets that do not grow", name);
    last = count;
  }
  if (histogram.buckets.rbegin()->first != HUGE_VAL || last != *histogram.count) {
    return Malformed("buckets that do not hold all", name);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HttpAnswer> Ask(const std::string& address, const std::string& path,
                               const std::string& method) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(address, absl::MaxSplits(':', 1));
  uint32_t port = 0;
  sockaddr_in server = {};
  server.sin_family = AF_INET;
  if (inet_pton(AF_INET, parts.first.c_str(), &server.sin_addr) != 1 ||
      !absl::SimpleAtoi(parts.second, &port)) {
    return Malformed("not an IPv4 address and a port", address);
  }
  server.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience = {kPatienceSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof(server)) != 0) {
    close(fd);
    return absl::UnavailableError(absl::StrCat("cannot connect to ", address));
  }
  const std::string request = absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: ", address,
                                           "\r\nConnection: close\r\n\r\n");
  send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string text;
  char buffer[16384];
  ssize_t size = 0;
  while ((size = recv(fd, buffer, sizeof(buffer), 0)) > 0) text.append(buffer, size);
  close(fd);

  const size_t head_end = text.find("\r\n\r\n");
  if (head_end == std::string::npos) return absl::UnavailableError("no whole answer came");
  HttpAnswer answer;
  answer.body = text.substr(head_end + 4);
  const std::vector<std::string> lines = absl::StrSplit(text.substr(0, head_end), "\r\n");
  const std::vector<std::string> first = absl::StrSplit(lines[0], ' ');
  if (first.size() < 2 || first[0] != "HTTP/1.1" || !absl::SimpleAtoi(first[1], &answer.status)) {
    return Malformed("not an HTTP answer", lines[0]);
  }
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> header =
        absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
    answer.headers[absl::AsciiStrToLower(header.first)] =
        std::string(absl::StripAsciiWhitespace(header.second));
  }
  if (method != "HEAD" && answer.headers.count("content-length") > 0 &&
      answer.headers["content-length"] != absl::StrCat(answer.body.size())) {
    return absl::UnavailableError("the answer's body is not whole");
  }
  return answer;
}

absl::StatusOr<Metrics> Metrics::Parse(absl::string_view text) {
  Metrics metrics;
  std::map<std::string, Histogram> histograms;
  std::string family;
  if (!text.empty() && text.back() != '\n') return Malformed("no line end at the end", text);
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&line, "# HELP ")) continue;
    if (absl::ConsumePrefix(&line, "# TYPE ")) {
      const std::vector<std::string> parts = absl::StrSplit(line, ' ');
      if (parts.size() != 2 || !IsName(parts[0], true)) return Malformed("a bad type", line);
      if (parts[1] != "counter" && parts[1] != "gauge" && parts[1] != "histogram") {
        return Malformed("an unknown type", line);
      }
      family = parts[0];
      if (!metrics.types_.emplace(family, parts[1]).second) {
        return Malformed("a family that comes twice", line);
      }
      continue;
    }
    if (absl::StartsWith(line, "#")) return Malformed("an unknown comment", line);

    const absl::string_view whole = line;
    const std::string name(line.substr(0, line.find_first_of("{ ")));
    line.remove_prefix(name.size());
    absl::StatusOr<Labels> labels = TakeLabels(&line);
    if (!labels.ok()) return labels.status();
    const absl::optional<double> value =
        absl::ConsumePrefix(&line, " ") ? ParseNumber(line) : absl::nullopt;
    if (!IsName(name, true) || !value.has_value()) return Malformed("a bad sample", whole);
    if (!metrics.samples_.emplace(SampleText(name, *labels), *value).second) {
      return Malformed("a sample that comes twice", whole);
    }
    absl::string_view suffix = name;
    if (family.empty() || !absl::ConsumePrefix(&suffix, family)) {
      return Malformed("a sample outside its family", whole);
    }
    if (metrics.types_[family] != "histogram") {
      if (!suffix.empty()) return Malformed("a sample outside its family", whole);
      continue;
    }
    absl::optional<double> bound;
    if (suffix == "_bucket") {
      bound = ParseNumber((*labels)["le"]);
      if (!bound.has_value()) return Malformed("a bucket without a bound", whole);
      labels->erase("le");
    }
    Histogram& histogram = histograms[SampleText(family, *labels)];
    if (suffix == "_bucket") {
      histogram.buckets[*bound] = *value;
    } else if (suffix == "_count") {
      histogram.count = value;
    } else if (suffix == "_sum") {
      histogram.sum = value;
    } else {
      return Malformed("a sample outside its family", whole);
    }
  }
  for (const auto& [name, histogram] : histograms) {
    absl::Status status = Check(name, histogram);
    if (!status.ok()) return status;
  }
  return metrics;
}

absl::optional<double> Metrics::Get(const std::string& sample) const {
  const auto found = samples_.find(sample);
  if (found == samples_.end()) return absl::nullopt;
  return found->second;
}

absl::StatusOr<Metrics> Scrape(const std::string& address) {
  absl::StatusOr<HttpAnswer> answer = Ask(address, "/metrics");
  if (!answer.ok()) return answer.status();
  if (answer->status != 200) {
    return absl::UnavailableError(absl::StrCat("/metrics answers ", answer->status));
  }
  return Metrics::Parse(answer->body);
}

absl::optional<double> ScrapeOne(const std::string& address, const std::string& sample) {
  const absl::StatusOr<Metrics> metrics = Scrape(address);
  return metrics.ok() ? metrics->Get(sample) : absl::nullopt;
}

}  // namespace ctlstore::rpc::testing
