// XML that servers answer with, as a small tree.

#ifndef CTLSTORE_COMMON_OBJECT_STORE_XML_READER_H_
#define CTLSTORE_COMMON_OBJECT_STORE_XML_READER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ctlstore::object_store {

// One element. Attributes are left out, prefixes of names too. A plain value type.
struct XmlElement {
  std::string name;
  // The characters in it that are in no child.
  std::string text;
  std::vector<XmlElement> children;

  // The first child of that name; nullptr where there is none.
  const XmlElement* child(absl::string_view child_name) const;
  // The text of that child; empty where there is none.
  absl::string_view text_of(absl::string_view child_name) const;
};

// What a document has at most. No answer that is asked for comes near.
inline constexpr size_t kXmlMaxDepth = 16;
inline constexpr size_t kXmlMaxElements = 100000;

// The root. INVALID_ARGUMENT names the line where `text` is no XML, is cut off, or has a document
// type, which nothing here needs and which could make it grow without end.
absl::StatusOr<XmlElement> ParseXml(absl::string_view text);

// Characters with those replaced that mean something in XML.
std::string XmlEscape(absl::string_view text);

}  // namespace ctlstore::object_store

#endif  // CTLSTORE_COMMON_OBJECT_STORE_XML_READER_H_
