#include "sidecar/watch_filter.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/proto_conversion.h"
#include "common/schema/errors.h"
#include "common/schema/limits.h"

namespace ctlstore::sidecar {
namespace {

bool BeginsWith(const std::vector<Value>& key, const std::vector<Value>& prefix) {
  return prefix.size() <= key.size() && std::equal(prefix.begin(), prefix.end(), key.begin());
}

}  // namespace

absl::StatusOr<WatchFilter> WatchFilter::Create(
    const google::protobuf::RepeatedPtrField<v1::WatchSelector>& selectors) {
  if (selectors.size() > kMaxSelectors) {
    return InvalidField("selectors", reason::kInvalidRequest,
                        absl::StrCat("has ", selectors.size(), " selectors, more than ",
                                     kMaxSelectors, "; watch whole tables or families instead"));
  }
  WatchFilter filter;
  filter.everything_ = selectors.empty();
  for (int i = 0; i < selectors.size(); ++i) {
    const absl::Status status = filter.Add(selectors[i]);
    if (!status.ok()) return UnderField(absl::StrCat("selectors[", i, "]."), status);
  }
  return filter;
}

absl::Status WatchFilter::Add(const v1::WatchSelector& selector) {
  absl::StatusOr<std::string> family = NormalizeFamilyName("family", selector.family());
  if (!family.ok()) return family.status();
  if (selector.table().empty()) {
    if (!selector.key_prefix().empty()) {
      return InvalidField("key_prefix", reason::kInvalidRequest,
                          "needs a table, which the selector does not name");
    }
    families_.insert(*std::move(family));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> table = NormalizeTableName("table", selector.table());
  if (!table.ok()) return table.status();
  if (static_cast<size_t>(selector.key_prefix_size()) > limits::kKeyFieldsMax) {
    return InvalidField("key_prefix", reason::kInvalidKey,
                        absl::StrCat("has ", selector.key_prefix_size(), " values, more than the ",
                                     limits::kKeyFieldsMax, " fields that a key can have"));
  }
  const absl::StatusOr<std::vector<ValueView>> values =
      rpc::FromProto("key_prefix", selector.key_prefix());
  if (!values.ok()) return values.status();
  KeyPrefix prefix;
  for (size_t i = 0; i < values->size(); ++i) {
    const ValueView& value = (*values)[i];
    if (value.kind() == ValueKind::kNull || value.kind() == ValueKind::kDecimal) {
      return InvalidField(absl::StrCat("key_prefix[", i, "]"), reason::kInvalidKey,
                          absl::StrCat("is ", ValueKindName(value.kind()),
                                       ", which no key holds; text, integers and bytes are held"));
    }
    prefix.push_back(Value(value));
  }
  tables_[TableName{*std::move(family), *std::move(table)}].push_back(std::move(prefix));
  return absl::OkStatus();
}

bool WatchFilter::Matches(const ldb::ChangeEvent& change) const {
  if (everything_ || change.kind == ldb::Change::Kind::kEverything) return true;
  if (families_.contains(change.table.family)) return true;
  const auto table = tables_.find(change.table);
  if (table == tables_.end()) return false;
  return change.kind == ldb::Change::Kind::kTable ||
         std::any_of(table->second.begin(), table->second.end(),
                     [&](const KeyPrefix& prefix) { return BeginsWith(change.key, prefix); });
}

}  // namespace ctlstore::sidecar
