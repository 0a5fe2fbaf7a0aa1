#include "common/ldb/ldb_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/schema/errors.h"

namespace ctlstore::ldb {
namespace {

constexpr size_t kMaxSpare = 16;
// The connection for questions about the file needs no pages of tables.
constexpr size_t kControlPageCacheBytes = 64 << 10;

std::atomic<uint64_t> last_id{0};

}  // namespace

LdbSource::LdbSource(std::string file_path, const ReaderOptions& options,
                     std::atomic<int64_t>* open_connections)
    : id_(last_id.fetch_add(1, std::memory_order_relaxed) + 1),
      file_path_(std::move(file_path)),
      options_(options),
      open_connections_(open_connections) {}

absl::StatusOr<std::shared_ptr<LdbSource>> LdbSource::Open(const std::string& file_path,
                                                           const ReaderOptions& options,
                                                           ReaderLanes* lanes,
                                                           std::atomic<int64_t>* open_connections) {
  std::shared_ptr<LdbSource> source(new LdbSource(file_path, options, open_connections));
  absl::StatusOr<std::unique_ptr<ReaderConnection>> control =
      ReaderConnection::Open(file_path, kControlPageCacheBytes, open_connections);
  if (!control.ok()) return control.status();
  source->control_ = *std::move(control);
  source->identity_ = source->control_->identity();
  absl::StatusOr<std::unique_ptr<FreshnessPageView>> page = source->FindPage();
  if (!page.ok()) return page.status();
  source->page_ = *std::move(page);
  if (source->page_ != nullptr && options.cache_bytes > 0) {
    source->cache_ = std::make_unique<RowCache>(options.cache_bytes, source->page_.get(), lanes);
  }
  return source;
}

LdbSource::~LdbSource() = default;

absl::StatusOr<std::unique_ptr<FreshnessPageView>> LdbSource::FindPage() const {
  const absl::StatusOr<std::string> identity = control_->GetIdentity();
  if (!identity.ok()) return identity.status();
  if (identity->empty()) return nullptr;
  absl::StatusOr<std::unique_ptr<FreshnessPageView>> page =
      FreshnessPageView::Open(FreshnessPagePath(file_path_), *identity);
  // The path may lead to another file by now; the page is then of another local database.
  if (!page.ok() || !Agrees(**page)) return nullptr;
  return page;
}

bool LdbSource::Agrees(const FreshnessPageView& page) const {
  const uint64_t epoch = page.epoch();
  if (epoch % 2 != 0) return true;
  const absl::StatusOr<int64_t> in_file = control_->GetSequence();
  const int64_t in_page = page.applied_sequence();
  return !in_file.ok() || page.epoch() != epoch || *in_file == in_page;
}

bool LdbSource::PageIsRight() {
  std::lock_guard<std::mutex> lock(control_mutex_);
  if (page_ != nullptr) return page_->InPlace() && Agrees(*page_);
  const absl::StatusOr<std::unique_ptr<FreshnessPageView>> page = FindPage();
  return !page.ok() || *page == nullptr;
}

absl::StatusOr<int64_t> LdbSource::ReadSequence() {
  std::lock_guard<std::mutex> lock(control_mutex_);
  return control_->GetSequence();
}

int64_t LdbSource::LastSequence() {
  const absl::StatusOr<int64_t> sequence = ReadSequence();
  if (sequence.ok()) return *sequence;
  return page_ == nullptr ? 0 : page_->applied_sequence();
}

absl::StatusOr<std::unique_ptr<ReaderConnection>> LdbSource::OpenConnection() const {
  absl::StatusOr<std::unique_ptr<ReaderConnection>> connection =
      ReaderConnection::Open(file_path_, options_.page_cache_bytes, open_connections_);
  if (connection.ok() && (*connection)->identity() != identity_) {
    return ErrorWithReason(absl::StatusCode::kUnavailable, reason::kLdbReplaced,
                           absl::StrCat("another file is at ", file_path_, " by now"));
  }
  if (connection.ok()) (*connection)->set_source_id(id_);
  return connection;
}

absl::StatusOr<std::unique_ptr<ReaderConnection>> LdbSource::TakeConnection() {
  {
    std::lock_guard<std::mutex> lock(spare_mutex_);
    if (!spare_.empty()) {
      std::unique_ptr<ReaderConnection> connection = std::move(spare_.back());
      spare_.pop_back();
      return connection;
    }
  }
  return OpenConnection();
}

void LdbSource::GiveBack(std::unique_ptr<ReaderConnection> connection) {
  connection->LetGo();
  std::lock_guard<std::mutex> lock(spare_mutex_);
  if (spare_.size() < kMaxSpare) spare_.push_back(std::move(connection));
  // Otherwise it is closed, after the lock is let go of.
}

void LdbSource::CloseSpare() {
  std::vector<std::unique_ptr<ReaderConnection>> closed;
  std::lock_guard<std::mutex> lock(spare_mutex_);
  closed.swap(spare_);
}

}  // namespace ctlstore::ldb
