// The rules of proto/README.md, checked on the descriptors and, for comments, on the files.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::ServiceDescriptor;
using google::protobuf::SourceLocation;

const std::filesystem::path kProtoRoot =
    std::filesystem::path(TIDEMARK_GOLDEN_DIR).parent_path().parent_path() / "proto";

class ProtoStyle : public ::testing::Test {
 protected:
  // With their comments, which generated code has not: protoc reads the files anew.
  void SetUp() override {
    const tidemark::testing::TempDir directory;
    const std::string set_path = directory.path() + "/set";
    const std::string command =
        "protoc --include_source_info --include_imports --descriptor_set_out=" + set_path +
        " --proto_path=" + kProtoRoot.string() + " " + kProtoRoot.string() + "/tidemark/v1/*.proto";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    std::ifstream file(set_path, std::ios::binary);
    google::protobuf::FileDescriptorSet set;
    ASSERT_TRUE(set.ParseFromIstream(&file));
    for (const auto& proto : set.file()) {
      files_.push_back(pool_.BuildFile(proto));
      ASSERT_NE(files_.back(), nullptr) << proto.name();
    }
  }

  // Every message and enum, nested ones too.
  std::vector<const Descriptor*> Messages() const {
    std::vector<const Descriptor*> all;
    for (const FileDescriptor* file : files_)
      for (int i = 0; i < file->message_type_count(); ++i) all.push_back(file->message_type(i));
    for (size_t at = 0; at < all.size(); ++at)
      for (int i = 0; i < all[at]->nested_type_count(); ++i) all.push_back(all[at]->nested_type(i));
    return all;
  }
  std::vector<const EnumDescriptor*> Enums() const {
    std::vector<const EnumDescriptor*> all;
    for (const FileDescriptor* file : files_)
      for (int i = 0; i < file->enum_type_count(); ++i) all.push_back(file->enum_type(i));
    return all;
  }
  std::vector<const ServiceDescriptor*> Services() const {
    std::vector<const ServiceDescriptor*> all;
    for (const FileDescriptor* file : files_)
      for (int i = 0; i < file->service_count(); ++i) all.push_back(file->service(i));
    return all;
  }

  template <typename Thing>
  static void ExpectComment(const Thing& thing) {
    SourceLocation location;
    const bool there = thing.GetSourceLocation(&location) && location.leading_comments.size() > 3;
    EXPECT_TRUE(there) << thing.full_name() << " has no comment";
  }

  google::protobuf::DescriptorPool pool_;
  std::vector<const FileDescriptor*> files_;
};

TEST_F(ProtoStyle, EverythingHasAComment) {
  ASSERT_GE(files_.size(), 4u);
  for (const Descriptor* message : Messages()) {
    ExpectComment(*message);
    for (int i = 0; i < message->field_count(); ++i) ExpectComment(*message->field(i));
  }
  for (const EnumDescriptor* type : Enums()) {
    ExpectComment(*type);
    for (int i = 0; i < type->value_count(); ++i) ExpectComment(*type->value(i));
  }
  for (const ServiceDescriptor* service : Services()) {
    ExpectComment(*service);
    for (int i = 0; i < service->method_count(); ++i) ExpectComment(*service->method(i));
  }
}

TEST_F(ProtoStyle, ServicesAndMethodsAreNamedByTheRule) {
  std::set<std::string> seen;
  for (const ServiceDescriptor* service : Services()) {
    EXPECT_TRUE(service->name().ends_with("Service")) << service->name();
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      EXPECT_EQ(method->input_type()->name(), method->name() + "Request");
      EXPECT_EQ(method->output_type()->name(), method->name() + "Response");
      EXPECT_TRUE(seen.insert(method->input_type()->full_name()).second);
      EXPECT_TRUE(seen.insert(method->output_type()->full_name()).second);
    }
  }
  EXPECT_FALSE(seen.empty());
}

TEST_F(ProtoStyle, EnumsBeginUnspecifiedAndCarryTheirName) {
  for (const EnumDescriptor* type : Enums()) {
    std::string prefix;
    for (const char c : type->name()) {
      if (c >= 'A' && c <= 'Z' && !prefix.empty()) prefix += '_';
      prefix += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    EXPECT_EQ(type->FindValueByNumber(0)->name(), prefix + "_UNSPECIFIED");
    for (int i = 0; i < type->value_count(); ++i)
      EXPECT_TRUE(type->value(i)->name().starts_with(prefix + "_")) << type->value(i)->name();
  }
}

TEST_F(ProtoStyle, TimesAreSignedMicroseconds) {
  for (const Descriptor* message : Messages())
    for (int i = 0; i < message->field_count(); ++i) {
      const FieldDescriptor* field = message->field(i);
      if (field->name().ends_with("_us")) {
        EXPECT_EQ(field->type(), FieldDescriptor::TYPE_INT64) << field->full_name();
      }
      EXPECT_FALSE(field->name().ends_with("_time")) << field->full_name() << " lacks its unit";
    }
}

TEST_F(ProtoStyle, NoMessageIsWithoutUse) {
  std::vector<const Descriptor*> reached;
  std::set<const Descriptor*> seen;
  const auto reach = [&](const Descriptor* message) {
    if (message != nullptr && seen.insert(message).second) reached.push_back(message);
  };
  for (const ServiceDescriptor* service : Services())
    for (int i = 0; i < service->method_count(); ++i) {
      reach(service->method(i)->input_type());
      reach(service->method(i)->output_type());
    }
  for (size_t at = 0; at < reached.size(); ++at)
    for (int i = 0; i < reached[at]->field_count(); ++i)
      reach(reached[at]->field(i)->message_type());
  for (const Descriptor* message : Messages())
    EXPECT_TRUE(seen.contains(message) || message->name() == "ErrorDetail") << message->full_name();
}

}  // namespace
