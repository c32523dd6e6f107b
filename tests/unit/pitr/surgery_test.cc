#include "pitr/surgery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kUuid[] = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

GtidSet Set(const std::string& numbers) { return *GtidSet::Parse(std::string(kUuid) + numbers); }

void ExpectName(const std::string& text, const std::string& schema, const std::string& table) {
  const auto name = ParseTableName(text);
  ASSERT_TRUE(name.ok()) << text << ": " << name.error().message();
  EXPECT_EQ(*name, (TableName{schema, table})) << text;
}

TEST(ParseTableNameTest, BarePartsMayHoldAnythingButDotAndBackquote) {
  ExpectName("shop.orders", "shop", "orders");
  ExpectName("my-shop.2026_%", "my-shop", "2026_%");
  ExpectName("läden.bücher", "läden", "bücher");
}

TEST(ParseTableNameTest, EitherPartMayBeQuoted) {
  ExpectName("`shop`.orders", "shop", "orders");
  ExpectName("shop.`or.ders`", "shop", "or.ders");
  ExpectName("`a.b`.`c``d`", "a.b", "c`d");
  ExpectName("````.```a```", "`", "`a`");
}

TEST(ParseTableNameTest, WhatIsNoTableIsRefusedWithAHint) {
  for (const std::string text :
       {"", ".", "shop", "shop.", ".orders", "a.b.c", "`a`", "`a`.", "`a.b", "a.`b", "a.`b`c",
        "`a`b.c", "``.t", "a`b.c", "a.b`", "a.b ", "a.b\nc", "`a`.`b`.`c`", "a..b"}) {
    const auto name = ParseTableName(text);
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_EQ(name.error().code(), Code::kUsage) << text;
    EXPECT_THAT(name.error().hint(), HasSubstr("schema.table")) << text;
  }
  EXPECT_TRUE(ParseTableName("s." + std::string(256, 'x')).ok());
  EXPECT_FALSE(ParseTableName("s." + std::string(257, 'x')).ok());
}

TEST(ParseSchemaNameTest, OneNameAndNotTwo) {
  EXPECT_EQ(*ParseSchemaName("shop"), "shop");
  EXPECT_EQ(*ParseSchemaName("`a.b`"), "a.b");
  EXPECT_FALSE(ParseSchemaName("shop.orders").ok());
  EXPECT_FALSE(ParseSchemaName("").ok());
}

TEST(CheckSurgeryTest, ATransactionIsNotSkippedAndLeftOut) {
  Surgery surgery;
  surgery.skip = Set(":1-5");
  surgery.leave_out = Set(":6-9");
  EXPECT_TRUE(CheckSurgery(surgery).ok());
  surgery.leave_out = Set(":5-9");
  const Status status = CheckSurgery(surgery);
  EXPECT_EQ(status.code(), Code::kUsage);
  EXPECT_THAT(status.message(), HasSubstr(std::string(kUuid) + ":5 "));
}

TEST(CheckSurgeryTest, ATableIsNotWantedAndUnwanted) {
  Surgery surgery;
  surgery.only_tables = {{"a", "b"}, {"c", "d"}};
  surgery.without_tables = {{"a", "d"}};
  EXPECT_TRUE(CheckSurgery(surgery).ok());
  surgery.without_tables.push_back({"c", "d"});
  EXPECT_EQ(CheckSurgery(surgery).code(), Code::kUsage);
}

TEST(DescribeSurgeryTest, OneLineForEachThing) {
  EXPECT_THAT(DescribeSurgery({}), IsEmpty());
  Surgery surgery;
  surgery.skip = Set(":17");
  surgery.leave_out = Set(":20-21");
  surgery.only_schemas = {"shop"};
  surgery.only_tables = {{"crm", "people"}, {"crm", "old.people"}};
  surgery.without_tables = {{"shop", "log"}};
  EXPECT_THAT(
      DescribeSurgery(surgery),
      ElementsAre("skips 1 transaction (executed as empty): " + std::string(kUuid) + ":17",
                  "leaves out 2 transactions (never executed): " + std::string(kUuid) + ":20-21",
                  "writes only `shop`.*, crm.people, crm.`old.people`", "does not write shop.log"));
}

TEST(DescribeSurgeryTest, ALongSetIsCut) {
  Surgery surgery;
  for (int64_t i = 1; i < 1000; i += 2) surgery.skip.Add(Gtid{{*Uuid::Parse(kUuid), ""}, i});
  EXPECT_LT(DescribeSurgery(surgery).at(0).size(), 300u);
}

TEST(FilterStatementTest, NoneWithoutFilters) {
  Surgery surgery;
  surgery.skip = Set(":1");
  EXPECT_EQ(FilterStatement(surgery, "c"), "");
}

TEST(FilterStatementTest, AWantedTableBringsItsSchemaAndNoOtherTable) {
  Surgery surgery;
  surgery.only_tables = {{"shop", "orders"}, {"shop", "items"}};
  EXPECT_EQ(FilterStatement(surgery, "c"),
            "CHANGE REPLICATION FILTER REPLICATE_DO_TABLE=(`shop`.`orders`,`shop`.`items`), "
            "REPLICATE_WILD_DO_TABLE=('shop.') FOR CHANNEL 'c'");
}

TEST(FilterStatementTest, UnwantedTablesGoBeforeWantedSchemas) {
  Surgery surgery;
  surgery.only_schemas = {"shop", "shop"};
  surgery.without_tables = {{"shop", "log"}};
  EXPECT_EQ(FilterStatement(surgery, "c"),
            "CHANGE REPLICATION FILTER REPLICATE_IGNORE_TABLE=(`shop`.`log`), "
            "REPLICATE_WILD_DO_TABLE=('shop.%') FOR CHANNEL 'c'");
}

TEST(FilterStatementTest, WildcardsAndQuotesInNamesAreLiteral) {
  Surgery surgery;
  surgery.only_schemas = {R"(a_b%c'd\e)"};
  surgery.only_tables = {{"x`y", "_%'\\"}};
  const std::string statement = FilterStatement(surgery, "c");
  EXPECT_THAT(statement, HasSubstr(R"('a\\_b\\%c''d\\\\e.%')"));
  EXPECT_THAT(statement, HasSubstr("(`x``y`.`_%'\\`)"));
  EXPECT_THAT(statement, Not(HasSubstr("IGNORE")));
}

}  // namespace
}  // namespace tidemark
