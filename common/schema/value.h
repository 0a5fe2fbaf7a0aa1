// The values that a field can hold: ValueView looks at one, Value owns one.

#ifndef CTLSTORE_COMMON_SCHEMA_VALUE_H_
#define CTLSTORE_COMMON_SCHEMA_VALUE_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"

namespace ctlstore {

enum class ValueKind : uint8_t { kNull, kInteger, kDecimal, kText, kBytes };

// "null", "integer", "decimal", "text" or "bytes".
absl::string_view ValueKindName(ValueKind kind);

// One value, by reference: text and bytes stay where they are and must outlive the view. Cheap to
// copy. Converts from what a key is usually written with, so that a call reads
// `reader->GetRow("geo", "countries", {"NZ"})`; bytes need ValueView::Bytes, because text and bytes
// are never equal.
class ValueView {
 public:
  ValueView() = default;                                                       // null
  ValueView(const char* text) : ValueView(absl::string_view(text)) {}          // NOLINT
  ValueView(const std::string& text) : ValueView(absl::string_view(text)) {}   // NOLINT
  ValueView(absl::string_view text) : kind_(ValueKind::kText), data_(text) {}  // NOLINT
  template <typename Integer,
            std::enable_if_t<std::is_integral_v<Integer> && !std::is_same_v<Integer, bool> &&
                                 (std::is_signed_v<Integer> || sizeof(Integer) < 8),
                             int> = 0>
  ValueView(Integer integer)  // NOLINT
      : kind_(ValueKind::kInteger), integer_(integer) {}
  ValueView(double decimal) : kind_(ValueKind::kDecimal), decimal_(decimal) {}  // NOLINT
  // Would become decimals otherwise, and large numbers lose digits.
  template <typename Other,
            std::enable_if_t<std::is_integral_v<Other> &&
                                 (std::is_same_v<Other, bool> ||
                                  (std::is_unsigned_v<Other> && sizeof(Other) >= 8)),
                             char> = 0>
  ValueView(Other) = delete;  // NOLINT

  static ValueView Bytes(absl::string_view bytes) {
    ValueView view(bytes);
    view.kind_ = ValueKind::kBytes;
    return view;
  }

  ValueKind kind() const { return kind_; }
  bool is_null() const { return kind_ == ValueKind::kNull; }
  // Each may only be called on its own kind; data() is for text and bytes.
  int64_t integer() const { return integer_; }
  double decimal() const { return decimal_; }
  absl::string_view data() const { return data_; }

  // Same kind and same bytes. Decimals compare by value, so that NaN equals nothing.
  friend bool operator==(const ValueView& a, const ValueView& b);
  friend bool operator!=(const ValueView& a, const ValueView& b) { return !(a == b); }

 private:
  ValueKind kind_ = ValueKind::kNull;
  union {
    int64_t integer_ = 0;
    double decimal_;
  };
  absl::string_view data_;
};

// One value that owns its text or bytes. A plain value type: copy, move, compare.
class Value {
 public:
  Value() = default;  // null
  explicit Value(ValueView view);

  static Value Null() { return Value(); }
  static Value Integer(int64_t integer);
  static Value Decimal(double decimal);
  static Value Text(std::string text);
  static Value Bytes(std::string bytes);

  ValueKind kind() const { return kind_; }
  bool is_null() const { return kind_ == ValueKind::kNull; }
  // Each may only be called on its own kind; data() is for text and bytes.
  int64_t integer() const { return integer_; }
  double decimal() const { return decimal_; }
  const std::string& data() const { return data_; }

  // The view is valid as long as this value is neither changed nor destroyed.
  ValueView view() const;
  operator ValueView() const { return view(); }  // NOLINT

  friend bool operator==(const Value& a, const Value& b) { return a.view() == b.view(); }
  friend bool operator!=(const Value& a, const Value& b) { return !(a == b); }

 private:
  ValueKind kind_ = ValueKind::kNull;
  union {
    int64_t integer_ = 0;
    double decimal_;
  };
  std::string data_;
};

// For tests and messages: null, 42, 1.5, "text" escaped, x'hex'. Long data is cut after 64 bytes.
std::string DebugString(const ValueView& value);
inline std::ostream& operator<<(std::ostream& out, const Value& value) {
  return out << DebugString(value);
}

}  // namespace ctlstore

#endif  // CTLSTORE_COMMON_SCHEMA_VALUE_H_
