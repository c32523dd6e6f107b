// Requests, answers and chunked bodies as they come.
#include "proto/rpc/http_request.h"

#include <gtest/gtest.h>

#include "proto/rpc/http_response.h"

namespace tidemark::rpc {
namespace {

using Step = HttpRequest::Step;

// The body, whatever the pieces it comes in; "error" or "more" if there is none.
std::string BodyOf(const std::string& chunks, size_t step, std::string* behind = nullptr) {
  ChunkedBody decoder;
  std::string input;
  std::string body;
  for (size_t at = 0; at < chunks.size(); at += step) {
    input.append(chunks, at, step);
    const auto done = decoder.Put(&input, &body);
    if (!done.ok()) return "error";
    if (!*done) continue;
    if (behind) *behind = input;
    return body;
  }
  return "more";
}

TEST(ChunkedBody, ComesOutHoweverItIsCut) {
  const std::string chunks = "3\r\nab\n\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
  for (size_t step = 1; step <= chunks.size(); ++step) {
    EXPECT_EQ(BodyOf(chunks, step), "ab\n0123456789") << step;
  }
}

TEST(ChunkedBody, WhatFollowsStays) {
  std::string behind;
  EXPECT_EQ(BodyOf("1\r\na\r\n0\r\n\r\nGET", 100, &behind), "a");
  EXPECT_EQ(behind, "GET");
}

TEST(ChunkedBody, MalformedOnesAreErrors) {
  for (const std::string& chunks :
       {std::string("\r\n"), std::string("x\r\n"), std::string("-1\r\n"), std::string("1\na\n"),
        std::string("1\r\nab\r\n"), std::string("0x1\r\n"), std::string("1\r\r\na"),
        std::string("1111111111111111\r\n"), std::string("1;") + std::string(5000, 'x'),
        std::string("1;") + std::string(5000, 'x') + "\r\n"}) {
    EXPECT_EQ(BodyOf(chunks, chunks.size()), "error") << chunks;
  }
  std::string trailers = "0\r\n";
  for (int i = 0; i < 100; ++i) trailers += "X: " + std::string(1000, 'x') + "\r\n";
  EXPECT_EQ(BodyOf(trailers, 100), "error");
}

std::string AnswerOf(const std::string& bytes, size_t step) {
  HttpResponseReader reader;
  std::string body;
  for (size_t at = 0; at < bytes.size(); at += step) {
    const Status fed = reader.Feed(std::string_view(bytes).substr(at, step), &body);
    if (!fed.ok()) return CodeName(fed.code());
  }
  const Status ended = reader.FeedEnd();
  return ended.ok() ? body + (reader.reusable() ? "" : " then closed") : CodeName(ended.code());
}

// The same on the client's side; found by tests/fuzz/rpc_response_fuzz.cc.
TEST(HttpResponse, WhatAbortedBeastsChunksIsAnError) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
  // The first aborts it byte by byte.
  for (const std::string& trailer :
       {std::string("\n"), std::string("\0e\0\0\0", 5) + "0\r,X: y\r\n\r\n"}) {
    const std::string bad = head + trailer;
    for (size_t step = 1; step <= bad.size(); ++step) EXPECT_EQ(AnswerOf(bad, step), "corruption");
  }
}

TEST(HttpResponse, BodyComesOutHoweverItIsCut) {
  const std::string early = "HTTP/1.1 100 Continue\r\n\r\n";
  for (const auto& [bytes, body] : std::vector<std::pair<std::string, std::string>>{
           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\nab\n\r\n1;x\r\nc\r\n0\r\nT: x\r\n\r\n",
            "ab\nc"},
           {early + early + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
           {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
           {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", "abc then closed"},
           {"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", ""},
           {"HTTP/1.1 200 OK\r\n\r\nabc", "abc then closed"},
           {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "truncated"},
           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", "truncated"},
           {early, "truncated"}})
    for (size_t step = 1; step <= bytes.size(); ++step)
      EXPECT_EQ(AnswerOf(bytes, step), body) << step << " " << bytes;
}

// Beast 1.81 aborts on it: the reason why ChunkedBody is there.
TEST(HttpRequest, WhatAbortedBeastsChunksIsAnError) {
  std::string input = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" +
                      std::string("\0e\0\0\0", 5) + "0\r,X: y\r\n\r\n";
  HttpRequest request(1024);
  ASSERT_EQ(*request.Put(&input), Step::kHead);
  EXPECT_EQ(request.Put(&input).error().code(), Code::kCorruption);
}

TEST(HttpRequest, AmbiguousBodiesAreErrors) {
  for (const char* headers :
       {"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "Content-Length: -1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 99999999999999999999\r\n"}) {
    std::string input = std::string("POST / HTTP/1.1\r\n") + headers + "\r\n";
    HttpRequest request(1024);
    const auto put = request.Put(&input);
    ASSERT_FALSE(put.ok()) << headers;
    EXPECT_EQ(put.error().code(), Code::kCorruption);
  }
}

TEST(HttpRequest, TheHeadComesFirstAndTheBodyWhenAskedFor) {
  std::string input = "POST /a?b HTTP/1.1\r\nContent-Length: 2\r\nX: y\r\n\r\nabGET";
  HttpRequest request(1024);
  ASSERT_EQ(*request.Put(&input), Step::kHead);
  EXPECT_EQ(request.path(), "/a");
  EXPECT_EQ(request.Header("x"), "y");
  EXPECT_EQ(request.content_length(), 2u);
  EXPECT_EQ(request.body_bytes(), 0u);
  ASSERT_EQ(*request.Put(&input), Step::kDone);
  EXPECT_EQ(request.TakeBody(), "ab");
  EXPECT_EQ(input, "GET");
}

}  // namespace
}  // namespace tidemark::rpc
