// Rows as plain structs.
//
//   struct Country {
//     std::string code;
//     absl::optional<std::string> name;
//     absl::optional<int64_t> population;
//   };
//   const auto kCountries = ctlstore::ldb::StructOf<Country>("geo", "countries")
//                               .Field("alpha_2", &Country::code)
//                               .Field("name", &Country::name)
//                               .Field("population", &Country::population);
//
//   absl::StatusOr<absl::optional<Country>> country = kCountries.Get(&reader, {"NZ"});
//   absl::StatusOr<std::vector<Country>> all = kCountries.List(&reader, {});

#ifndef CTLSTORE_COMMON_LDB_ROW_STRUCT_H_
#define CTLSTORE_COMMON_LDB_ROW_STRUCT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "common/ldb/reader.h"
#include "common/ldb/row.h"
#include "common/schema/table_schema.h"
#include "common/schema/value.h"

namespace ctlstore::ldb {

// What a declaration says of its fields, and where a table's rows have them. Part of RowStruct.
// Thread-safe once all fields are declared.
class StructFields {
 public:
  StructFields(absl::string_view family, absl::string_view table);
  StructFields(const StructFields&) = delete;
  StructFields& operator=(const StructFields&) = delete;

  void Declare(absl::string_view column, ValueKind kind, bool nullable);

  const std::string& family() const { return family_; }
  const std::string& table() const { return table_; }

  // Whether Check() has been successful once.
  bool checked() const { return checked_.load(std::memory_order_relaxed); }
  absl::Status Check(const TableSchema& table) const;

  // The fields' columns in a row that exists, in the order of their declaration. Found out once for
  // each thread and shape of the table; valid until the thread asks again.
  absl::StatusOr<const size_t*> Columns(const RowView& row) const;

  // OK where the field can take the value.
  absl::Status CheckValue(size_t field, const ValueView& value) const {
    const Declared& declared = declared_[field];
    if (value.kind() == declared.kind || (value.is_null() && declared.nullable)) {
      return absl::OkStatus();
    }
    return WrongValue(declared, value);
  }

 private:
  struct Declared {
    std::string column;
    ValueKind kind;
    bool nullable;
  };

  absl::Status CheckType(const Declared& declared, absl::optional<FieldType> type) const;
  absl::Status WrongValue(const Declared& declared, const ValueView& value) const;
  absl::Status Differs(const Declared& declared, absl::string_view but) const;

  const std::string family_;
  const std::string table_;
  // No other declaration of this process has the same.
  const uint64_t id_;
  std::vector<Declared> declared_;
  mutable std::atomic<bool> checked_{false};
};

// How the rows of one table become structs: which field is for which column. Columns that are not
// named are left alone, so that a table may get more of them. Fields are of these types:
//   std::string   string and text columns with Field(), binary and bytestring ones with
//   BytesField() int64_t       integer double        decimal absl::optional of one of these, where
//   the column may be null, as any that is no key may
//
// The declaration is checked against the table at its first use, and again when the table's
// definition has changed: FAILED_PRECONDITION (STRUCT_DIFFERS) names the table, the column, the
// field's type and the column's. The same error comes for a row with a null, or a value of another
// type, that its field cannot take. All other errors are the reader's.
//
// To be made once and kept. Thread-safe when it is made. A read copies the named columns and
// looks no name up.
template <typename T>
class RowStruct {
 public:
  RowStruct(absl::string_view family, absl::string_view table)
      : fields_(std::make_unique<StructFields>(family, table)) {}

  // `column` is taken in any case.
  template <typename Member>
  RowStruct Field(absl::string_view column, Member T::*member) && {
    using Type = typename Traits<Member>::Type;
    static_assert(std::is_same_v<Type, std::string> || std::is_same_v<Type, int64_t> ||
                      std::is_same_v<Type, double>,
                  "a field is a std::string, int64_t, double, or an absl::optional of one");
    if constexpr (std::is_same_v<Type, std::string>) {
      return std::move(*this).Declare(column, member, ValueKind::kText);
    } else if constexpr (std::is_same_v<Type, int64_t>) {
      return std::move(*this).Declare(column, member, ValueKind::kInteger);
    } else {
      return std::move(*this).Declare(column, member, ValueKind::kDecimal);
    }
  }

  // A column of bytes; the member is a std::string or an absl::optional of one.
  template <typename Member>
  RowStruct BytesField(absl::string_view column, Member T::*member) && {
    static_assert(std::is_same_v<typename Traits<Member>::Type, std::string>,
                  "bytes go into a std::string, or an absl::optional of one");
    return std::move(*this).Declare(column, member, ValueKind::kBytes);
  }

  // `source` is a Reader or a Snapshot. nullopt where there is no row with this key.
  template <typename Source>
  absl::StatusOr<absl::optional<T>> Get(Source* source, absl::Span<const ValueView> key) const {
    if (absl::Status status = CheckOnce(source); !status.ok()) return status;
    absl::StatusOr<Row> row = source->GetRow(fields_->family(), fields_->table(), key);
    if (!row.ok()) return row.status();
    absl::optional<T> object;
    if (!row->exists()) return object;
    object.emplace();
    if (absl::Status status = Read(*row, &*object); !status.ok()) return status;
    return object;
  }

  // The rows whose key begins with these values, in key order.
  template <typename Source>
  absl::StatusOr<std::vector<T>> List(Source* source, absl::Span<const ValueView> key_prefix,
                                      const ListOptions& options = {}) const {
    std::vector<T> objects;
    absl::Status status = ForEach(source, key_prefix, options,
                                  [&objects](T object) { objects.push_back(std::move(object)); });
    if (!status.ok()) return status;
    return objects;
  }

  // The same, one after the other: calls `visit` with a T for each row.
  template <typename Source, typename Visit>
  absl::Status ForEach(Source* source, absl::Span<const ValueView> key_prefix,
                       const ListOptions& options, Visit visit) const {
    if (absl::Status status = CheckOnce(source); !status.ok()) return status;
    RowIterator rows = source->ListRows(fields_->family(), fields_->table(), key_prefix, options);
    while (rows.Next()) {
      T object{};
      if (absl::Status status = Read(rows.row(), &object); !status.ok()) return status;
      visit(std::move(object));
    }
    return rows.status();
  }

  // Fills the declared fields from a row of the table that the caller has read, and leaves the
  // others as they are. NOT_FOUND where the row does not exist. On an error only some are filled.
  absl::Status Read(const RowView& row, T* object) const {
    absl::StatusOr<const size_t*> columns = fields_->Columns(row);
    if (!columns.ok()) return columns.status();
    for (size_t i = 0; i < setters_.size(); ++i) {
      const ValueView value = row.value((*columns)[i]);
      if (absl::Status status = fields_->CheckValue(i, value); !status.ok()) return status;
      setters_[i](value, object);
    }
    return absl::OkStatus();
  }

 private:
  template <typename Member>
  struct Traits {
    using Type = Member;
    static constexpr bool kNullable = false;
  };
  template <typename Held>
  struct Traits<absl::optional<Held>> {
    using Type = Held;
    static constexpr bool kNullable = true;
  };

  template <typename Member>
  RowStruct Declare(absl::string_view column, Member T::*member, ValueKind kind) && {
    fields_->Declare(column, kind, Traits<Member>::kNullable);
    setters_.push_back([member](const ValueView& value, T* object) {
      if constexpr (Traits<Member>::kNullable) {
        if (value.is_null()) {
          (object->*member).reset();
        } else {
          if (!(object->*member).has_value()) (object->*member).emplace();
          Set(value, &*(object->*member));
        }
      } else {
        Set(value, &(object->*member));
      }
    });
    return std::move(*this);
  }

  static void Set(const ValueView& value, std::string* to) {
    to->assign(value.data().data(), value.data().size());
  }
  static void Set(const ValueView& value, int64_t* to) { *to = value.integer(); }
  static void Set(const ValueView& value, double* to) { *to = value.decimal(); }

  // So that a wrong declaration shows also while the table is empty.
  template <typename Source>
  absl::Status CheckOnce(Source* source) const {
    if (fields_->checked()) return absl::OkStatus();
    absl::StatusOr<TableSchema> table = source->GetTable(fields_->family(), fields_->table());
    if (!table.ok()) return table.status();
    return fields_->Check(*table);
  }

  std::unique_ptr<StructFields> fields_;
  // As declared.
  std::vector<std::function<void(const ValueView&, T*)>> setters_;
};

// Begins a declaration.
template <typename T>
RowStruct<T> StructOf(absl::string_view family, absl::string_view table) {
  return RowStruct<T>(family, table);
}

}  // namespace ctlstore::ldb

#endif  // CTLSTORE_COMMON_LDB_ROW_STRUCT_H_
