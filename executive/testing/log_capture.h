// What is logged during a test.

#ifndef CTLSTORE_EXECUTIVE_TESTING_LOG_CAPTURE_H_
#define CTLSTORE_EXECUTIVE_TESTING_LOG_CAPTURE_H_

#include <glog/logging.h>

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace ctlstore::executive {

// Keeps the lines that are logged while it lives. Thread-safe.
class LogCapture : public google::LogSink {
 public:
  LogCapture() { google::AddLogSink(this); }
  ~LogCapture() override { google::RemoveLogSink(this); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&,
            const char* message, size_t size) override {
    absl::MutexLock lock(&mutex_);
    lines_.emplace_back(message, size);
  }

  // Those with `text` in them.
  std::vector<std::string> Lines(absl::string_view text) const {
    absl::MutexLock lock(&mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (absl::StrContains(line, text)) found.push_back(line);
    }
    return found;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ctlstore::executive

#endif  // CTLSTORE_EXECUTIVE_TESTING_LOG_CAPTURE_H_
