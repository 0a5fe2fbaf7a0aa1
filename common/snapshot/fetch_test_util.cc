#include "common/snapshot/fetch_test_util.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/ldb_writer.h"
#include "common/object_store/file_store.h"
#include "common/schema/ledger_position.h"
#include "common/snapshot/folder.h"
#include "common/snapshot/object_encoder.h"
#include "common/sqlite/database.h"

namespace ctlstore::snapshot {
namespace {

using object_store::FileStore;
using object_store::ObjectInfo;
using object_store::ObjectStore;
using object_store::StoreUrl;

constexpr char kScheme[] = "file://";

// Another test's store, which lives on.
class SharedStore : public ObjectStore {
 public:
  explicit SharedStore(std::shared_ptr<ObjectStore> base) : base_(std::move(base)) {}

  std::string name() const override { return base_->name(); }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override {
    return base_->List(prefix);
  }
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override { return base_->Stat(key); }
  absl::Status Read(absl::string_view key, const ReadOptions& options, const Sink& sink) override {
    return base_->Read(key, options, sink);
  }
  absl::Status PutFile(absl::string_view key, const std::string& path,
                       const PutOptions& options) override {
    return base_->PutFile(key, path, options);
  }
  absl::Status Put(absl::string_view key, absl::string_view contents,
                   const PutOptions& options) override {
    return base_->Put(key, contents, options);
  }
  absl::Status Delete(absl::string_view key) override { return base_->Delete(key); }
  absl::Status RemoveUnfinished(absl::Time before) override {
    return base_->RemoveUnfinished(before);
  }
  void Cancel() override { base_->Cancel(); }

 private:
  const std::shared_ptr<ObjectStore> base_;
};

}  // namespace

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteBytes(const std::string& path, absl::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  ASSERT_TRUE(file.flush().good()) << path;
}

FetchTest::FetchTest() {
  options_.min_free_bytes = 0;
  options_.open_store = [this](const StoreUrl& url) { return OpenFaulty(url); };
}

absl::StatusOr<std::unique_ptr<ObjectStore>> FetchTest::OpenFaulty(const StoreUrl& url) {
  auto store = std::make_shared<FaultyStore>(std::make_unique<FileStore>(url));
  const std::string place = url.path.substr(url.path.rfind('/') + 1);
  if (configure_ != nullptr) configure_(place, store.get());
  stores_[place] = store;
  return std::make_unique<SharedStore>(std::move(store));
}

TestSnapshot FetchTest::Take(const TakeOptions& options) {
  const std::string folder = root_.Path(absl::StrCat("taken", taken_++));
  std::filesystem::create_directories(folder);
  TestSnapshot snapshot;
  snapshot.file_path = folder + "/ldb.db";
  snapshot.object_path = folder + "/object";

  const std::string ldb_path = folder + "/source.db";
  ldb::TestLedger ledger;
  ledger.Add("CREATE TABLE fam___data (\"k\" INTEGER, \"v\" TEXT, PRIMARY KEY(\"k\"));");
  std::mt19937 random(options.rows + options.seed);
  for (int i = 0; i < options.rows; ++i) {
    std::string value(64, '\0');
    for (char& c : value) c = static_cast<char>(random());
    ledger.Add(absl::StrCat("REPLACE INTO fam___data (\"k\",\"v\") VALUES(", i, ",'",
                            absl::BytesToHexString(value), "')"));
  }
  {
    ldb::LdbWriter::Options writer_options;
    writer_options.families = options.families;
    writer_options.change_history_bytes = 0;
    std::unique_ptr<ldb::LdbWriter> writer = ldb::OpenWriter(ldb_path, writer_options);
    EXPECT_EQ(writer->Apply(ledger.entries()), absl::OkStatus());
    snapshot.manifest.position = writer->applied_position();
  }
  EXPECT_EQ(
      ldb::OpenPlain(ldb_path)->Execute(absl::StrCat("VACUUM INTO '", snapshot.file_path, "'")),
      absl::OkStatus());

  EncodeOptions encode;
  encode.compression = options.compression;
  encode.chunk_bytes = options.chunk_bytes;
  const absl::StatusOr<EncodedObject> encoded =
      EncodeObject(snapshot.file_path, snapshot.object_path, encode, nullptr);
  EXPECT_TRUE(encoded.ok()) << encoded.status();
  Manifest& manifest = snapshot.manifest;
  manifest.id = NewSnapshotId(manifest.position.sequence, options.taken_at);
  manifest.taken_at = options.taken_at;
  manifest.families = options.families;
  manifest.object = SnapshotObjectName(manifest.id, options.compression);
  manifest.compression = options.compression;
  if (encoded.ok()) {
    manifest.object_bytes = encoded->object_bytes;
    manifest.object_sha256 = encoded->object_sha256;
    manifest.file_bytes = encoded->file_bytes;
    manifest.chunks = encoded->chunks;
  }
  manifest.instance = "test/1";
  return snapshot;
}

void FetchTest::Publish(const std::string& place, const TestSnapshot& snapshot) {
  FileStore store(LocationOf(place).store);
  EXPECT_EQ(Folder(&store).Publish(snapshot.manifest, snapshot.object_path), absl::OkStatus());
}

std::string FetchTest::PathIn(const std::string& place, absl::string_view name) const {
  return absl::StrCat(root_.Path(place), "/", name);
}

Location FetchTest::LocationOf(const std::string& place) const {
  absl::StatusOr<Location> location = ParseLocation(absl::StrCat(kScheme, root_.Path(place)));
  EXPECT_TRUE(location.ok()) << location.status();
  return location.value_or(Location());
}

absl::StatusOr<FetchedSnapshot> FetchTest::Fetch(const std::vector<std::string>& places) {
  std::vector<Location> locations;
  for (const std::string& place : places) locations.push_back(LocationOf(place));
  stores_.clear();
  return FetchNewest(locations, target(), options_);
}

int64_t FetchTest::bytes_read() const {
  int64_t bytes = 0;
  for (const auto& [place, store] : stores_) bytes += store->bytes_read();
  return bytes;
}

std::vector<std::string> FetchTest::FilesInTarget() const {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(target(), error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void FetchTest::ExpectFetched(const absl::StatusOr<FetchedSnapshot>& fetched,
                              const TestSnapshot& snapshot) {
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->position, snapshot.manifest.position);
  EXPECT_EQ(fetched->families, snapshot.manifest.families);
  EXPECT_EQ(fetched->file_bytes, static_cast<int64_t>(ReadBytes(snapshot.file_path).size()));
  EXPECT_EQ(FilesInTarget(), std::vector<std::string>{"ldb.db"});
  EXPECT_TRUE(ReadBytes(target() + "/ldb.db") == ReadBytes(snapshot.file_path));
}

void FetchTest::ExpectNoFile() { EXPECT_FALSE(std::filesystem::exists(target() + "/ldb.db")); }

}  // namespace ctlstore::snapshot
