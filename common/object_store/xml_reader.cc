#include "common/object_store/xml_reader.h"

#include <expat.h>

#include <limits>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace ctlstore::object_store {
namespace {

// What expat's callbacks work on.
struct Builder {
  XML_Parser parser;
  // The elements that have begun and not ended, outermost first, each holding its children so far.
  std::vector<XmlElement> open;
  XmlElement root;
  size_t elements = 0;
  const char* refused = nullptr;

  void Refuse(const char* reason) {
    if (refused == nullptr) refused = reason;
    XML_StopParser(parser, XML_FALSE);
  }
};

void OnStart(void* data, const XML_Char* name, const XML_Char** /*attributes*/) {
  auto* const builder = static_cast<Builder*>(data);
  if (builder->open.size() >= kXmlMaxDepth)
    return builder->Refuse("elements are nested too deeply");
  if (++builder->elements > kXmlMaxElements) return builder->Refuse("there are too many elements");
  absl::string_view local = name;
  local.remove_prefix(local.rfind(':') + 1);
  XmlElement element;
  element.name = std::string(local);
  builder->open.push_back(std::move(element));
}

void OnEnd(void* data, const XML_Char* /*name*/) {
  auto* const builder = static_cast<Builder*>(data);
  XmlElement element = std::move(builder->open.back());
  builder->open.pop_back();
  if (builder->open.empty()) {
    builder->root = std::move(element);
  } else {
    builder->open.back().children.push_back(std::move(element));
  }
}

void OnText(void* data, const XML_Char* text, int size) {
  auto* const builder = static_cast<Builder*>(data);
  if (!builder->open.empty()) builder->open.back().text.append(text, static_cast<size_t>(size));
}

void OnDocumentType(void* data, const XML_Char* /*name*/, const XML_Char* /*system*/,
                    const XML_Char* /*public*/, int /*has_internal*/) {
  static_cast<Builder*>(data)->Refuse("it has a document type");
}

}  // namespace

const XmlElement* XmlElement::child(absl::string_view child_name) const {
  for (const XmlElement& each : children) {
    if (each.name == child_name) return &each;
  }
  return nullptr;
}

absl::string_view XmlElement::text_of(absl::string_view child_name) const {
  const XmlElement* const found = child(child_name);
  return found != nullptr ? absl::string_view(found->text) : absl::string_view();
}

absl::StatusOr<XmlElement> ParseXml(absl::string_view text) {
  if (text.size() > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError("XML of more than 2 GiB");
  }
  const std::unique_ptr<std::remove_pointer_t<XML_Parser>, decltype(&XML_ParserFree)> parser(
      XML_ParserCreate(nullptr), &XML_ParserFree);
  if (parser == nullptr) return absl::ResourceExhaustedError("no memory for an XML parser");
  Builder builder;
  builder.parser = parser.get();
  XML_SetUserData(parser.get(), &builder);
  XML_SetElementHandler(parser.get(), &OnStart, &OnEnd);
  XML_SetCharacterDataHandler(parser.get(), &OnText);
  XML_SetStartDoctypeDeclHandler(parser.get(), &OnDocumentType);
  if (XML_Parse(parser.get(), text.data(), static_cast<int>(text.size()), XML_TRUE) !=
      XML_STATUS_OK) {
    return absl::InvalidArgumentError(
        absl::StrCat("no valid XML: line ", XML_GetCurrentLineNumber(parser.get()), ": ",
                     builder.refused != nullptr ? builder.refused
                                                : XML_ErrorString(XML_GetErrorCode(parser.get()))));
  }
  return std::move(builder.root);
}

std::string XmlEscape(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&apos;"}});
}

}  // namespace ctlstore::object_store
