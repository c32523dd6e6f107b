// Errors, envelopes, compression and messages as bytes.
#include <gmock/gmock.h>
#include <google/protobuf/source_context.pb.h>

#include "proto/rpc/compression.h"
#include "proto/rpc/envelope.h"
#include "proto/rpc/message_codec.h"
#include "proto/rpc/rpc_error.h"

namespace tidemark::rpc {
namespace {

using google::protobuf::SourceContext;

TEST(RpcError, EveryStatusComesBackAsItWas) {
  for (uint8_t value = 1; value <= static_cast<uint8_t>(Code::kIo); ++value) {
    const Status sent(static_cast<Code>(value), "what \"happened\"\n", "what to do");
    const auto decoded = DecodeErrorJson(EncodeErrorJson(ToRpcError(sent)));
    ASSERT_TRUE(decoded.ok());
    const Status got = ToStatus(*decoded);
    EXPECT_EQ(got.code(), sent.code()) << CodeName(sent.code());
    EXPECT_EQ(got.message(), sent.message());
    EXPECT_EQ(got.hint(), sent.hint());
  }
}

TEST(RpcError, EveryCodeHasANameAndComesBack) {
  for (uint8_t value = 1; value <= 16; ++value) {
    const auto code = static_cast<RpcCode>(value);
    EXPECT_EQ(RpcCodeByName(RpcCodeName(code)), code);
    EXPECT_FALSE(ToStatus({code, "", {}}).ok());
    EXPECT_GE(HttpStatusOf(code), 400);
  }
  EXPECT_FALSE(RpcCodeByName("ok"));
}

TEST(RpcError, InterruptedIsTheDeadlineIfThatHasPassed) {
  const Status interrupted(Code::kInterrupted, "stopped");
  EXPECT_EQ(ToRpcError(interrupted).code, RpcCode::kCanceled);
  EXPECT_EQ(ToRpcError(interrupted, true).code, RpcCode::kDeadlineExceeded);
}

TEST(RpcError, DetailsHaveNoPaddingAndAreReadWithAndWithout) {
  EXPECT_EQ(EncodeErrorJson({RpcCode::kNotFound, "m", {{"a.B", "x"}}}),
            R"({"code":"not_found","details":[{"type":"a.B","value":"eA"}],"message":"m"})");
  for (const char* value : {"eA", "eA=="}) {
    const auto error = DecodeErrorJson(R"({"code":"not_found","details":[{"type":"a.B","value":")" +
                                       std::string(value) + R"(","debug":{}}]})");
    ASSERT_TRUE(error.ok());
    EXPECT_EQ(error->details.at(0).value, "x");
  }
}

TEST(RpcError, OddDetailsAreLeftOutAndOddErrorsRefused) {
  const auto odd = DecodeErrorJson(
      R"({"code":"new_code","message":5,"details":[1,{"type":2,"value":"!"},{"value":"A"},{}]})");
  ASSERT_TRUE(odd.ok());
  EXPECT_EQ(odd->code, RpcCode::kUnknown);
  EXPECT_EQ(odd->details.size(), 1u);  // the empty one
  for (const char* text : {"", "[]", "null", "{}", "{\"message\":\"x\"}", "<html>", "{\"code\":"}) {
    EXPECT_FALSE(DecodeErrorJson(text).ok()) << text;
  }
}

TEST(RpcError, TextThatIsNotUtf8IsMadeSo) {
  EXPECT_EQ(ValidUtf8("a\xff"
                      "b\xc3\xa9\xed\xa0\x80"),
            "a\xef\xbf\xbd"
            "b\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  const Status status(Code::kIo, "file \xfe", "hint \xfe");
  const auto back = DecodeErrorJson(EncodeErrorJson(ToRpcError(status)));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(ToStatus(*back).message(), "file \xef\xbf\xbd");
  EXPECT_EQ(ToStatus(*back).hint(), "hint \xef\xbf\xbd");
}

TEST(RpcError, AStreamsEndHasAnErrorOrNot) {
  EXPECT_EQ(EncodeEndStream(std::nullopt), "{}");
  EXPECT_FALSE(DecodeEndStream("{\"metadata\":{}}")->has_value());
  const auto end = DecodeEndStream(EncodeEndStream(RpcError{RpcCode::kAborted, "m", {}}));
  ASSERT_TRUE(end.ok() && *end);
  EXPECT_EQ((*end)->code, RpcCode::kAborted);
  EXPECT_FALSE(DecodeEndStream("{\"error\":{}}").ok());
  EXPECT_FALSE(DecodeEndStream("[]").ok());
}

TEST(Envelope, ComesBackHoweverItIsCut) {
  std::string bytes;
  AppendEnvelope(0, "\x08\x96\x01", &bytes);
  EXPECT_EQ(bytes, std::string("\0\0\0\0\3\x08\x96\x01", 8));
  AppendEnvelope(kEnvelopeCompressed, "", &bytes);
  AppendEnvelope(kEnvelopeEndStream, "{}", &bytes);
  for (size_t step = 1; step <= bytes.size(); ++step) {
    EnvelopeReader reader(100);
    std::string seen;
    for (size_t at = 0; at < bytes.size(); at += step) {
      reader.Append(std::string_view(bytes).substr(at, step));
      for (;;) {
        const auto next = reader.Next();
        ASSERT_TRUE(next.ok());
        if (!*next) break;
        seen += std::to_string((*next)->flags) + ":" + (*next)->payload + ";";
      }
    }
    EXPECT_EQ(seen, "0:\x08\x96\x01;1:;2:{};");
    EXPECT_TRUE(reader.Finish().ok());
  }
}

TEST(Envelope, TooLongIsToldFromItsHead) {
  EnvelopeReader reader(2);
  reader.Append(std::string("\0\0\0\0\3", 5));
  EXPECT_EQ(reader.Next().error().code(), Code::kUsage);
}

TEST(Envelope, UnknownFlagsTailsAndHalvesAreErrors) {
  EnvelopeReader flags(10);
  flags.Append("\x04");
  EXPECT_EQ(flags.Next().error().code(), Code::kCorruption);
  EnvelopeReader tail(10);
  tail.Append(std::string("\2\0\0\0\0x", 6));
  EXPECT_TRUE(tail.Next().ok());
  EXPECT_EQ(tail.Next().error().code(), Code::kCorruption);
  EnvelopeReader half(10);
  half.Append(std::string("\0\0", 2));
  EXPECT_FALSE(half.Next()->has_value());
  EXPECT_EQ(half.Finish().code(), Code::kTruncated);
}

class EveryCompression : public ::testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(All, EveryCompression,
                         ::testing::Values(Compression::kIdentity, Compression::kGzip,
                                           Compression::kZstd));

TEST_P(EveryCompression, ComesBackAtExactlyTheLimitAndNotBeyond) {
  for (const size_t size : {0u, 1u, 65535u, 65536u, 65537u, 300000u}) {
    const std::string plain(size, 'x');
    const std::string packed = Compress(GetParam(), plain);
    const auto back = Decompress(GetParam(), packed, size);
    ASSERT_TRUE(back.ok()) << size << ": " << back.error().message();
    EXPECT_EQ(*back, plain);
    if (size == 0) continue;
    EXPECT_EQ(Decompress(GetParam(), packed, size - 1).error().code(), Code::kUsage);
  }
}

TEST_P(EveryCompression, CutAndContinuedDataIsCorrupt) {
  if (GetParam() == Compression::kIdentity) return;
  const std::string packed = Compress(GetParam(), std::string(1000, 'x') + "yz");
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_EQ(Decompress(GetParam(), packed.substr(0, size), 5000).error().code(),
              Code::kCorruption)
        << size;
  }
  EXPECT_FALSE(Decompress(GetParam(), packed + "x", 5000).ok());
}

TEST(Compression, IsChosenByQualityThenOrder) {
  EXPECT_EQ(ChooseCompression(""), Compression::kIdentity);
  EXPECT_EQ(ChooseCompression("br, gzip, zstd"), Compression::kGzip);
  EXPECT_EQ(ChooseCompression("ZSTD,gzip"), Compression::kZstd);
  EXPECT_EQ(ChooseCompression("gzip;q=0.5, zstd;q=0.8"), Compression::kZstd);
  EXPECT_EQ(ChooseCompression("gzip;q=0, identity"), Compression::kIdentity);
  EXPECT_EQ(ChooseCompression("gzip;q=x"), Compression::kIdentity);
  EXPECT_EQ(ChooseCompression(",;,=,*;q=1"), Compression::kIdentity);
}

TEST(MessageCodec, ContentTypesAreKnownByName) {
  EXPECT_EQ(ParseContentType("application/json"), (ContentType{Codec::kJson, false}));
  EXPECT_EQ(ParseContentType("Application/Connect+Proto"), (ContentType{Codec::kProto, true}));
  EXPECT_EQ(ParseContentType("application/json; charset=UTF-8"),
            (ContentType{Codec::kJson, false}));
  EXPECT_FALSE(ParseContentType("application/json; charset=latin1"));
  EXPECT_FALSE(ParseContentType("application/grpc"));
  EXPECT_FALSE(ParseContentType(""));
  EXPECT_FALSE(ParseContentType("application/jsonx"));
}

TEST(MessageCodec, ComesBackInBothForms) {
  SourceContext sent;
  sent.set_file_name("a\"b");
  for (const Codec codec : {Codec::kProto, Codec::kJson}) {
    const auto bytes = EncodeMessage(codec, sent);
    ASSERT_TRUE(bytes.ok());
    SourceContext got;
    ASSERT_TRUE(DecodeMessage(codec, *bytes, &got).ok());
    EXPECT_EQ(got.file_name(), "a\"b");
  }
}

TEST(MessageCodec, UnknownJsonFieldsAreLetPassAndNonsenseIsNot) {
  SourceContext got;
  EXPECT_TRUE(DecodeMessage(Codec::kJson, R"({"fileName":"x","later":{"a":[1]}})", &got).ok());
  EXPECT_EQ(got.file_name(), "x");
  for (const char* text : {"", "{", "[]", "{\"fileName\":5", "{\"fileName\":{}}", "{} {}"}) {
    EXPECT_EQ(DecodeMessage(Codec::kJson, text, &got).code(), Code::kCorruption) << text;
  }
  EXPECT_EQ(DecodeMessage(Codec::kJson, std::string(100000, '['), &got).code(), Code::kCorruption);
  EXPECT_EQ(DecodeMessage(Codec::kProto, "\x0a\x05x", &got).code(), Code::kCorruption);
}

TEST(MessageCodec, JsonIsAlwaysUtf8) {
  SourceContext message;
  message.set_file_name("a\xff");
  EXPECT_EQ(*EncodeMessage(Codec::kJson, message), "{\"fileName\":\"a\"}");
}

}  // namespace
}  // namespace tidemark::rpc
