#include "common/ldb/row.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ldb/row_data.h"

namespace ctlstore::ldb {
namespace {

absl::Status WrongKind(absl::string_view column, ValueKind wanted, ValueKind found) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the column ", column, " is ", ValueKindName(found), ", not ", ValueKindName(wanted)));
}

}  // namespace

bool RowView::exists() const { return data_ != nullptr && data_->exists(); }

size_t RowView::size() const { return data_ == nullptr ? 0 : data_->size(); }

absl::string_view RowView::name(size_t column) const { return data_->shape().columns[column].name; }

ValueView RowView::value(size_t column) const { return data_->value(column); }

absl::StatusOr<ValueView> RowView::Get(absl::string_view column) const {
  for (size_t i = 0; i < size(); ++i) {
    if (absl::EqualsIgnoreCase(name(i), column)) return value(i);
  }
  return absl::NotFoundError(exists() ? absl::StrCat("there is no column ", column)
                                      : absl::StrCat("there is no row, so no column ", column));
}

absl::StatusOr<absl::string_view> RowView::GetText(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kText) return WrongKind(column, ValueKind::kText, value->kind());
  return value->data();
}

absl::StatusOr<int64_t> RowView::GetInteger(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kInteger) {
    return WrongKind(column, ValueKind::kInteger, value->kind());
  }
  return value->integer();
}

absl::StatusOr<double> RowView::GetDecimal(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kDecimal) {
    return WrongKind(column, ValueKind::kDecimal, value->kind());
  }
  return value->decimal();
}

absl::StatusOr<absl::string_view> RowView::GetBytes(absl::string_view column) const {
  absl::StatusOr<ValueView> value = Get(column);
  if (!value.ok()) return value.status();
  if (value->kind() != ValueKind::kBytes) {
    return WrongKind(column, ValueKind::kBytes, value->kind());
  }
  return value->data();
}

Row::Row(Row&& other) noexcept
    : RowView(other), pin_(std::move(other.pin_)), owned_(std::move(other.owned_)) {
  other.Forget();
}

Row& Row::operator=(Row&& other) noexcept {
  if (this == &other) return *this;
  RowView::operator=(other);
  pin_ = std::move(other.pin_);
  owned_ = std::move(other.owned_);
  other.Forget();
  return *this;
}

Row::~Row() = default;

OwnedRow Row::Copy() const {
  if (data() == nullptr) return OwnedRow();
  if (owned_ != nullptr) return OwnedRow(owned_);
  return OwnedRow(std::shared_ptr<const RowData>(data()->Copy()));
}

}  // namespace ctlstore::ldb
