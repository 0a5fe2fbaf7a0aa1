#include "common/object_store/xml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"

namespace ctlstore::object_store {
namespace {

using ::testing::HasSubstr;

constexpr char kListing[] = R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <IsTruncated>false</IsTruncated>
  <Contents><Key>a &amp; b&#x27;&lt;</Key><Size>5</Size></Contents>
  <Contents><Key>ä/ö</Key><Owner><ID>1</ID></Owner></Contents>
  <Empty/>
</ListBucketResult>)";

TEST(XmlReaderTest, ReadsElementsInOrder) {
  const absl::StatusOr<XmlElement> root = ParseXml(kListing);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->name, "ListBucketResult");
  EXPECT_EQ(root->text_of("IsTruncated"), "false");
  ASSERT_EQ(root->children.size(), 4u);
  EXPECT_EQ(root->children[1].text_of("Key"), "a & b'<");
  EXPECT_EQ(root->children[2].text_of("Key"), "ä/ö");
  EXPECT_EQ(root->children[2].child("Owner")->text_of("ID"), "1");
  ASSERT_NE(root->child("Empty"), nullptr);
  EXPECT_EQ(root->text_of("Empty"), "");
  EXPECT_EQ(root->child("Nothing"), nullptr);
  EXPECT_EQ(root->text_of("Nothing"), "");
}

TEST(XmlReaderTest, LeavesPrefixesOut) {
  const absl::StatusOr<XmlElement> root = ParseXml("<s3:a><s3:b>c</s3:b></s3:a>");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->name, "a");
  EXPECT_EQ(root->text_of("b"), "c");
}

TEST(XmlReaderTest, RefusesWhatIsNoXml) {
  for (const char* text :
       {"", " ", "hello", "<a>", "<a></b>", "<a/><b/>", "<a>&nothing;</a>", "<a>\x01</a>",
        "<a>\xff</a>", "{\"a\": 1}", "<html><body>Bad gateway<br></body></html>"}) {
    EXPECT_EQ(ParseXml(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(XmlReaderTest, RefusesEveryDocumentThatIsCutOff) {
  const absl::string_view listing = kListing;
  for (size_t size = 0; size < listing.size(); ++size) {
    EXPECT_FALSE(ParseXml(listing.substr(0, size)).ok()) << size;
  }
}

TEST(XmlReaderTest, RefusesDocumentTypes) {
  const absl::Status status =
      ParseXml("<!DOCTYPE a [<!ENTITY b \"cccccccc\">]><a>&b;&b;&b;</a>").status();
  EXPECT_THAT(status.message(), HasSubstr("document type"));
  EXPECT_THAT(ParseXml("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>").status().message(),
              HasSubstr("document type"));
}

TEST(XmlReaderTest, HasLimits) {
  std::string deep;
  for (size_t i = 0; i <= kXmlMaxDepth; ++i) absl::StrAppend(&deep, "<a>");
  EXPECT_THAT(ParseXml(deep).status().message(), HasSubstr("nested too deeply"));
  std::string many = "<a>";
  for (size_t i = 0; i < kXmlMaxElements; ++i) many += "<b/>";
  EXPECT_THAT(ParseXml(many + "</a>").status().message(), HasSubstr("too many elements"));
}

TEST(XmlReaderTest, WhatIsEscapedIsReadAgain) {
  const std::string text = "<a href=\"b\">&amp;'</a>";
  const absl::StatusOr<XmlElement> root = ParseXml(absl::StrCat("<x>", XmlEscape(text), "</x>"));
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->text, text);
}

TEST(XmlReaderTest, TakesAnyBytes) {
  std::mt19937 random(20260601);
  const std::string pieces[] = {"<a>", "</a>", "<b", "/>", "&", "amp;", "<!--", "-->", "<![CDATA[",
                                "]]>", "<?x",  "?>", "\"", "=", "x",    "\xc3", "\xa4"};
  int valid = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    if (round % 2 == 0) {
      text = kListing;
      for (int change = 0; change < 3; ++change) {
        text[random() % text.size()] = static_cast<char>(random());
      }
    } else {
      for (size_t i = random() % 12; i > 0; --i) text += pieces[random() % std::size(pieces)];
    }
    if (ParseXml(text).ok()) ++valid;
  }
  EXPECT_GT(valid, 0);
}

}  // namespace
}  // namespace ctlstore::object_store
