#include "replication/base/printable.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

TEST(PrintableTest, TextOfAnyLanguageStaysAsItIs) {
  for (const char* text :
       {"", "DROP TABLE t", "a\tb\nc", "Grüße, 表 и 🙂", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(Printable(text), text);
}

TEST(PrintableTest, WhatATerminalWouldObeyIsNotPassedOn) {
  EXPECT_EQ(Printable("\x1b[2J\x07"), "?[2J?");
  EXPECT_EQ(Printable("a\rb\x7f"), "a?b?");
  EXPECT_EQ(Printable(std::string("a\0b", 3)), "a?b");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "?31m")
      << "CSI as one character";
  EXPECT_EQ(Printable("\xe2\x80\xae"
                      "elbat\xe2\x81\xa9"),
            "?elbat?");
}

TEST(PrintableTest, WhatIsNoUtf8IsNotPassedOn) {
  EXPECT_EQ(Printable("\x9b"), "?");
  EXPECT_EQ(Printable("\xc0\x9b"), "??") << "an overlong spelling of ESC";
  EXPECT_EQ(Printable("\xe0\x80\x9b"), "???");
  EXPECT_EQ(Printable("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "????") << "beyond U+10FFFF";
  EXPECT_EQ(Printable("a\xe2\x82"), "a??") << "cut off";
}

}  // namespace
}  // namespace tidemark
