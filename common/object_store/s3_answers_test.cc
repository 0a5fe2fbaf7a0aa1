#include "common/object_store/s3_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"

namespace ctlstore::object_store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

HttpResponse Response(int status, const std::string& body) {
  HttpResponse response;
  response.status = status;
  response.body = body;
  return response;
}

TEST(S3AnswersTest, ReadsPagesOfObjects) {
  const absl::StatusOr<S3ObjectPage> page = ParseObjectPage(R"(<ListBucketResult>
    <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
    <NextContinuationToken>t+/=</NextContinuationToken>
    <Contents><Key>a+b%2Bc%25/%C3%A4</Key><Size>12</Size><ETag>&quot;e&quot;</ETag>
    <LastModified>2026-06-01T12:00:00.500Z</LastModified></Contents></ListBucketResult>)");
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].key, "a b+c%/ä");
  EXPECT_EQ(page->objects[0].size, 12);
  EXPECT_EQ(page->objects[0].version, "\"e\"");
  EXPECT_EQ(absl::FormatTime(page->objects[0].modified, absl::UTCTimeZone()),
            "2026-06-01T12:00:00.5+00:00");
  EXPECT_EQ(page->next, "t+/=");
}

TEST(S3AnswersTest, PagesThatMakeNoSenseAreErrors) {
  for (const char* xml :
       {"", "<a/>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>"}) {
    EXPECT_EQ(ParseObjectPage(xml).status().code(), absl::StatusCode::kUnavailable) << xml;
  }
  EXPECT_FALSE(ParseUploadId("<InitiateMultipartUploadResult/>").ok());
  EXPECT_FALSE(ParseUploadPage("<ListBucketResult/>").ok());
}

TEST(S3AnswersTest, ReadsPagesOfUploads) {
  const absl::StatusOr<S3UploadPage> page = ParseUploadPage(R"(<ListMultipartUploadsResult>
    <IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>
    <NextUploadIdMarker>i</NextUploadIdMarker>
    <Upload><Key>a+b</Key><UploadId>u</UploadId><Initiated>2026-06-01T12:00:00Z</Initiated></Upload>
    <Upload><Key>c</Key><UploadId>v</UploadId><Initiated>once</Initiated></Upload>
    </ListMultipartUploadsResult>)");
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_EQ(page->uploads.size(), 2u);
  EXPECT_EQ(page->uploads[0].key, "a+b");
  EXPECT_EQ(page->uploads[0].initiated, absl::FromUnixSeconds(1780315200));
  // Nothing is removed whose age is not known.
  EXPECT_EQ(page->uploads[1].initiated, absl::InfiniteFuture());
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_key, "k");
  EXPECT_EQ(page->next_id, "i");
}

TEST(S3AnswersTest, FindsErrors) {
  EXPECT_FALSE(ErrorIn(Response(200, "")).has_value());
  EXPECT_FALSE(ErrorIn(Response(204, "")).has_value());
  EXPECT_FALSE(ErrorIn(Response(200, "<a><Error></Error></a>")).has_value());
  const absl::optional<S3Error> late =
      ErrorIn(Response(200, " <Error><Code>InternalError</Code></Error>"));
  ASSERT_TRUE(late.has_value());
  EXPECT_TRUE(late->passing());
  const absl::optional<S3Error> plain = ErrorIn(Response(404, "nothing here"));
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->ToString(), "(HTTP status 404)");
}

TEST(S3AnswersTest, MessagesAreShortAndPrintable) {
  const std::string body =
      absl::StrCat("<Error><Code>AccessDenied</Code><Message>line\nbreak ", std::string(5000, 'x'),
                   "</Message><StringToSign>hidden</StringToSign></Error>");
  const absl::Status status = ErrorIn(Response(403, body))->ToStatus("what: ", "us-east-1");
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("what: AccessDenied: line break x"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hidden")));
  EXPECT_LT(status.message().size(), 400u);
}

TEST(S3AnswersTest, ReadsRanges) {
  const absl::optional<ContentRange> range = ParseContentRange("bytes 5-9/20");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->first, 5);
  EXPECT_EQ(range->last, 9);
  EXPECT_EQ(range->size, 20);
  EXPECT_EQ(ParseContentRange("bytes */20")->size, 20);
  EXPECT_EQ(ParseContentRange("bytes 0-0/*")->size, -1);
  for (const char* text : {"", "bytes", "bytes ", "bytes 1", "bytes 1-/2", "bytes -1-2/3",
                           "bytes 5-4/9", "items 1-2/3", "bytes 1-2/-3", "bytes 1-2/x"}) {
    EXPECT_FALSE(ParseContentRange(text).has_value()) << text;
  }
}

TEST(S3AnswersTest, OnlyAPlainMd5IsComparable) {
  EXPECT_EQ(Md5InEtag("\"5d41402abc4b2a76b9719d911017c592\""), "5d41402abc4b2a76b9719d911017c592");
  EXPECT_EQ(Md5InEtag("5d41402abc4b2a76b9719d911017c592"), "5d41402abc4b2a76b9719d911017c592");
  for (const char* etag :
       {"", "\"5d41402abc4b2a76b9719d911017c592-2\"", "\"5d41402a\"",
        "\"5D41402ABC4B2A76B9719D911017C592\"", "\"zzzz402abc4b2a76b9719d911017c592\""}) {
    EXPECT_EQ(Md5InEtag(etag), "") << etag;
  }
}

TEST(S3AnswersTest, TakesAnyBytes) {
  std::mt19937 random(3);
  const std::string xml = R"(<ListMultipartUploadsResult><EncodingType>url</EncodingType>
    <Upload><Key>%41+</Key><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>)";
  const std::string range = "bytes 5-9/20";
  for (int round = 0; round < 20000; ++round) {
    std::string text = xml;
    std::string header = range;
    for (int change = 0; change < 2; ++change) {
      text[random() % text.size()] = static_cast<char>(random());
      header[random() % header.size()] = static_cast<char>(random());
    }
    (void)ParseUploadPage(text);
    (void)ParseObjectPage(text);
    (void)ErrorIn(Response(200 + static_cast<int>(random() % 400), text));
    (void)ParseContentRange(header);
    (void)Md5InEtag(header);
  }
}

}  // namespace
}  // namespace ctlstore::object_store
