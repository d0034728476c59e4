#include "kernels/cuda/published_peak.h"

#include <gtest/gtest.h>

namespace trireme::kernels {
namespace {

TEST(PublishedPeak, TellsVariantsOfAGpuApart) {
  EXPECT_EQ(published_tensor_flops("NVIDIA H100 80GB HBM3"), 989.4e12);
  EXPECT_EQ(published_tensor_flops("NVIDIA H100 PCIe"), 756e12);
  EXPECT_EQ(published_tensor_flops("NVIDIA H200"), 989.4e12);
  EXPECT_EQ(published_tensor_flops("NVIDIA GH200 480GB"), 989.4e12);
  EXPECT_EQ(published_tensor_flops("NVIDIA A100-SXM4-80GB"), 312e12);
  EXPECT_EQ(published_tensor_flops("NVIDIA GB200"), 2.5e15);
  EXPECT_EQ(published_tensor_flops("NVIDIA A40"), 149.7e12);
  EXPECT_EQ(published_tensor_flops("NVIDIA RTX A4000"), 0);
  EXPECT_EQ(published_tensor_flops("NVIDIA GeForce RTX 2080 Ti"), 0);
}

}  // namespace
}  // namespace trireme::kernels
