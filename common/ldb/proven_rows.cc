#include "common/ldb/proven_rows.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ctlstore::ldb {
namespace {

// grp, member, version, added, filler, proof and gen<N>.
constexpr int64_t kFirstFields = 7;

// The shape that a table with these fields has; 0 where it cannot be.
class Shape {
 public:
  void Add(absl::string_view field) {
    ++fields_;
    if (absl::ConsumePrefix(&field, "gen")) {
      is_wrong_ = is_wrong_ || generation_ >= 0 || !absl::SimpleAtoi(field, &generation_);
    } else if (field != "filler" && absl::ConsumePrefix(&field, "f")) {
      int64_t number = 0;
      ++added_;
      is_wrong_ = is_wrong_ || !absl::SimpleAtoi(field, &number) || number != added_;
    }
  }
  int64_t State() const {
    if (is_wrong_ || generation_ < 0 || fields_ != kFirstFields + added_) return 0;
    return ProvenTable::ShapeState(generation_, added_);
  }
  int64_t generation() const { return generation_; }
  int64_t added() const { return added_; }

 private:
  int64_t fields_ = 0;
  int64_t generation_ = -1;
  int64_t added_ = 0;
  bool is_wrong_ = false;
};

}  // namespace

std::string ReadProvenRow(const ProvenTable& table, const RowView& row, int64_t* group,
                          int64_t* member, std::vector<ReadHistory::Fact>* facts) {
  Shape shape;
  for (size_t i = 0; i < row.size(); ++i) shape.Add(row.name(i));
  if (shape.State() == 0) return absl::StrCat("a row with wrong columns, ", row.size());
  const absl::StatusOr<int64_t> row_group = row.GetInteger("grp");
  const absl::StatusOr<absl::string_view> name = row.GetText("member");
  const absl::StatusOr<int64_t> version = row.GetInteger("version");
  const absl::StatusOr<int64_t> added = row.GetInteger("added");
  const absl::StatusOr<absl::string_view> filler = row.GetText("filler");
  const absl::StatusOr<int64_t> proof = row.GetInteger("proof");
  const absl::StatusOr<int64_t> generation =
      row.GetInteger(absl::StrCat("gen", shape.generation()));
  for (const absl::Status& status :
       {row_group.status(), name.status(), version.status(), added.status(), filler.status(),
        proof.status(), generation.status()}) {
    if (!status.ok()) return status.ToString();
  }
  absl::string_view digits = *name;
  if (!absl::ConsumePrefix(&digits, "m") || !absl::SimpleAtoi(digits, member)) {
    return absl::StrCat("a member named ", *name);
  }
  *group = *row_group;
  const std::string which = absl::StrCat("row ", *group, "/", *name, " of version ", *version);
  if (*proof != ProofOf(table.number, *group, *member, *version)) {
    return absl::StrCat(which, " has the proof ", *proof);
  }
  if (*filler != FillerOf(*version)) return absl::StrCat(which, " has another one's filler");
  if (*generation != shape.generation()) {
    return absl::StrCat(which, " is of generation ", *generation, ", not ", shape.generation());
  }
  for (int64_t i = 1; i <= shape.added(); ++i) {
    const absl::StatusOr<ValueView> field = row.Get(absl::StrCat("f", i));
    if (!field.ok()) return field.status().ToString();
    const ValueView wanted = i <= *added ? ValueView(*version) : ValueView();
    if (*field != wanted) return absl::StrCat(which, ": f", i, " is ", DebugString(*field));
  }
  facts->push_back({table.Row(*group, *member), *version});
  facts->push_back({table.Shape(), shape.State()});
  facts->push_back({table.Existence(), 1});
  return "";
}

std::string ReadProvenSchema(const ProvenTable& table, const TableSchema& schema,
                             std::vector<ReadHistory::Fact>* facts) {
  if (schema.name().family != table.family || schema.name().table != table.name) {
    return absl::StrCat("the definition is that of ", SqlTableName(schema.name()));
  }
  Shape shape;
  for (const Field& field : schema.fields()) shape.Add(field.name);
  if (shape.State() == 0)
    return absl::StrCat("a definition of ", schema.fields().size(), " fields");
  if (schema.key_field_names() != std::vector<std::string>{"grp", "member"}) {
    return "a definition with another key";
  }
  facts->push_back({table.Shape(), shape.State()});
  facts->push_back({table.Existence(), 1});
  return "";
}

}  // namespace ctlstore::ldb
