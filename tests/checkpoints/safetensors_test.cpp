#include "checkpoints/safetensors.h"

#include <gtest/gtest.h>

#include "tests/checkpoints/small_checkpoint.h"

namespace trireme::checkpoints {
namespace {

class SafetensorsTest : public ScratchTest {
 protected:
  static std::string file(const std::string& header, const std::string& data) {
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
    return length + header + data;
  }

  std::string refusal(const std::string& content) {
    write(folder / "x.safetensors", content);
    return error_of([&] { SafetensorsFile(folder / "x.safetensors"); });
  }

  void expect_refused(const std::string& header, const std::string& data, const std::string& why) {
    const std::string said = refusal(file(header, data));
    EXPECT_NE(said.find(why), std::string::npos) << header << ": " << said;
  }
};

TEST_F(SafetensorsTest, ReadsTheGoldenFile) {
  // Bytes as the reference implementation writes them.
  write(folder / "y.safetensors",
        file(R"({"t":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}} )",
             std::string("\x80\x3f\x00\x40", 4)));
  const SafetensorsFile found(folder / "y.safetensors");
  EXPECT_EQ(found.read("t"), (std::vector<float>{1, 2}));
}

TEST_F(SafetensorsTest, ReadsWhatItWrites) {
  const Disk disk;
  const std::vector<float> a{1, -2.5, 3e-5f, 65504}, b{0.25};
  for (const auto dtype : {kernels::Dtype::f32, kernels::Dtype::bf16, kernels::Dtype::f16}) {
    const fs::path path = folder / (std::string(kernels::name_of(dtype)) + ".safetensors");
    SafetensorsWriter writer(disk, path,
                             {{.name = "a", .shape = {2, 2}}, {.name = "b", .shape = {1}}}, dtype);
    writer.add(a);
    writer.add(b);
    writer.finish();
    const SafetensorsFile found(path);
    EXPECT_EQ(found.header().metadata.at("format"), "pt");
    EXPECT_EQ(found.header().data_offset % 8, 0u);
    EXPECT_EQ(found.read("b"), b);
    const auto back = found.read("a");
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(back[i], a[i], dtype == kernels::Dtype::f32 ? 0 : 0.01 * std::abs(a[i]));
    }
  }
}

TEST_F(SafetensorsTest, AcceptsWhatIsLegal) {
  for (const std::string& header :
       {std::string("{}"), std::string("  {}  "),
        std::string(R"({"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}})"),
        std::string(R"({"__metadata__":{"x":"y"}})")}) {
    EXPECT_EQ(refusal(file(header, "")), "") << header;
  }
  EXPECT_EQ(refusal(file(R"({"a":{"dtype":"I8","shape":[],"data_offsets":[0,1]}})", "x")), "");
}

TEST_F(SafetensorsTest, RefusesAbuse) {
  EXPECT_NE(refusal(""), "");
  EXPECT_NE(refusal("1234567"), "");
  EXPECT_NE(refusal(std::string(8, '\xff')).find("header of 18446744073709551615"),
            std::string::npos);
  EXPECT_NE(refusal(file("{}", "").substr(0, 9)).find("ends inside its header"), std::string::npos);
  expect_refused("not json", "", "not JSON");
  expect_refused("[]", "", "not an object");
  expect_refused("{\"a\xff\":1}", "", "not JSON");
  const std::string one = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  expect_refused("{" + one + "}", "123", "tensors end at");
  expect_refused("{" + one + "}", "12345", "tensors end at");
  expect_refused("{" + one + "," + one + "}", "1234", "twice");
  expect_refused("{" + one + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234",
                 "overlap");
  expect_refused("{" + one + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[5,9]}})",
                 "123456789", "hole");
  expect_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234", "8 bytes");
  expect_refused(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", "1234",
                 "does not exist");
  expect_refused(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234",
                 "whole number");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "1234",
                 "whole number");
  expect_refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})",
                 "1234", "beyond");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234",
                 "as far apart");
  expect_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "1234", "not two");
  expect_refused(R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}})", "1", "last byte");
  expect_refused(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "1234", "shape");
  expect_refused(R"({"a":7})", "", "object");
  expect_refused(R"({"__metadata__":{"x":1}})", "", "not a text");
  expect_refused(R"({"__metadata__":[]})", "", "not an object");
}

}  // namespace
}  // namespace trireme::checkpoints
