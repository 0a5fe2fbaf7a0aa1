#include "common/snapshot/location.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ctlstore::snapshot {
namespace {

using object_store::StoreUrl;

constexpr char kAsObject[] = "?form=object";
constexpr char kAsFolder[] = "?form=folder";

Location::Form FormByName(absl::string_view url) {
  return absl::EndsWith(url, ".db") || absl::EndsWith(url, ".sqlite") || absl::EndsWith(url, ".gz")
             ? Location::Form::kSingleObject
             : Location::Form::kFolder;
}

Compression CompressionByName(absl::string_view key) {
  if (absl::EndsWith(key, ".gz")) return Compression::kGzip;
  if (absl::EndsWith(key, ".zst")) return Compression::kZstd;
  return Compression::kNone;
}

// Takes the last part of the URL's path away. Empty where there is none.
std::string TakeLastPart(StoreUrl* url) {
  const size_t slash = url->path.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  std::string part = url->path.substr(begin);
  url->path.resize(begin);
  // The root folder keeps its '/'.
  if (url->path.size() > 1 || url->kind != StoreUrl::Kind::kFile) {
    url->path = std::string(absl::StripSuffix(url->path, "/"));
  }
  return part;
}

}  // namespace

std::string Location::ToString() const {
  StoreUrl whole = store;
  if (form == Form::kSingleObject) {
    if (!whole.path.empty() && !absl::EndsWith(whole.path, "/")) whole.path.push_back('/');
    whole.path += key;
  }
  std::string url = whole.ToString();
  // Where there is no name in the URL that could tell otherwise, it is a folder.
  if (!whole.path.empty() && form != FormByName(whole.path)) {
    url += form == Form::kFolder ? kAsFolder : kAsObject;
  }
  return url;
}

absl::StatusOr<Location> ParseLocation(absl::string_view url) {
  Location location;
  absl::string_view rest = url;
  bool form_is_given = true;
  if (absl::ConsumeSuffix(&rest, kAsObject)) {
    location.form = Location::Form::kSingleObject;
  } else if (!absl::ConsumeSuffix(&rest, kAsFolder)) {
    form_is_given = false;
  }
  if (absl::StrContains(rest, '?')) {
    return absl::InvalidArgumentError(
        absl::StrCat("a snapshot's URL must not have anything behind a '?' but \"", kAsObject + 1,
                     "\" or \"", kAsFolder + 1, "\" (in a path a '?' is \"%3F\")"));
  }
  absl::StatusOr<StoreUrl> store = object_store::ParseStoreUrl(rest);
  if (!store.ok()) return store.status();
  location.store = *std::move(store);
  if (!form_is_given && !location.store.path.empty() && !absl::EndsWith(rest, "/")) {
    location.form = FormByName(location.store.path);
  }
  if (location.form == Location::Form::kSingleObject) {
    location.key = TakeLastPart(&location.store);
    if (location.key.empty()) {
      return absl::InvalidArgumentError("a single object's URL must have a path that names it");
    }
    location.compression = CompressionByName(location.key);
  }
  return location;
}

absl::StatusOr<std::vector<Location>> ParseLocations(absl::string_view urls) {
  std::vector<Location> locations;
  const std::vector<absl::string_view> parts = absl::StrSplit(urls, ',', absl::SkipWhitespace());
  for (const absl::string_view part : parts) {
    absl::StatusOr<Location> location = ParseLocation(absl::StripAsciiWhitespace(part));
    if (!location.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "URL ", locations.size() + 1, " of ", parts.size(), ": ", location.status().message()));
    }
    locations.push_back(*std::move(location));
  }
  return locations;
}

}  // namespace ctlstore::snapshot
