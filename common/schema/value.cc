#include "common/schema/value.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ctlstore {

absl::string_view ValueKindName(ValueKind kind) {
  switch (kind) {
    case ValueKind::kNull:
      return "null";
    case ValueKind::kInteger:
      return "integer";
    case ValueKind::kDecimal:
      return "decimal";
    case ValueKind::kText:
      return "text";
    case ValueKind::kBytes:
      return "bytes";
  }
  return "unknown";
}

bool operator==(const ValueView& a, const ValueView& b) {
  if (a.kind_ != b.kind_) return false;
  switch (a.kind_) {
    case ValueKind::kNull:
      return true;
    case ValueKind::kInteger:
      return a.integer_ == b.integer_;
    case ValueKind::kDecimal:
      return a.decimal_ == b.decimal_;
    case ValueKind::kText:
    case ValueKind::kBytes:
      return a.data_ == b.data_;
  }
  return false;
}

Value::Value(ValueView view) : kind_(view.kind()) {
  switch (kind_) {
    case ValueKind::kNull:
      break;
    case ValueKind::kInteger:
      integer_ = view.integer();
      break;
    case ValueKind::kDecimal:
      decimal_ = view.decimal();
      break;
    case ValueKind::kText:
    case ValueKind::kBytes:
      data_ = std::string(view.data());
      break;
  }
}

Value Value::Integer(int64_t integer) { return Value(ValueView(integer)); }

Value Value::Decimal(double decimal) { return Value(ValueView(decimal)); }

Value Value::Text(std::string text) {
  Value value;
  value.kind_ = ValueKind::kText;
  value.data_ = std::move(text);
  return value;
}

Value Value::Bytes(std::string bytes) {
  Value value;
  value.kind_ = ValueKind::kBytes;
  value.data_ = std::move(bytes);
  return value;
}

ValueView Value::view() const {
  switch (kind_) {
    case ValueKind::kNull:
      break;
    case ValueKind::kInteger:
      return ValueView(integer_);
    case ValueKind::kDecimal:
      return ValueView(decimal_);
    case ValueKind::kText:
      return ValueView(absl::string_view(data_));
    case ValueKind::kBytes:
      return ValueView::Bytes(data_);
  }
  return ValueView();
}

std::string DebugString(const ValueView& value) {
  constexpr size_t kShownBytes = 64;
  switch (value.kind()) {
    case ValueKind::kNull:
      return "null";
    case ValueKind::kInteger:
      return absl::StrCat(value.integer());
    case ValueKind::kDecimal:
      return absl::StrFormat("%.17g", value.decimal());
    case ValueKind::kText:
      return absl::StrCat("\"", absl::Utf8SafeCHexEscape(value.data().substr(0, kShownBytes)),
                          value.data().size() > kShownBytes ? "..." : "", "\"");
    case ValueKind::kBytes:
      return absl::StrCat("x'", absl::BytesToHexString(value.data().substr(0, kShownBytes)),
                          value.data().size() > kShownBytes ? "..." : "", "'");
  }
  return "unknown";
}

}  // namespace ctlstore
