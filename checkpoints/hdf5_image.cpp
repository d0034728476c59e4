#include "checkpoints/hdf5_image.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "checkpoints/error.h"
#include "checkpoints/hdf5_memory.h"

namespace trireme::checkpoints {
namespace {

using Sizes = std::array<hsize_t, 2>;

// The 16-bit float types that HDF5 1.10 has no names for. The fields have to fit before the size
// shrinks.
Hdf5Handle half(std::size_t exponent_bits, std::size_t bias) {
  Hdf5Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose, "copy a type");
  const std::size_t mantissa = 15 - exponent_bits;
  expect_hdf5(H5Tset_fields(type, 15, mantissa, exponent_bits, 0, mantissa), "make a type");
  expect_hdf5(H5Tset_precision(type, 16), "make a type");
  expect_hdf5(H5Tset_size(type, 2), "make a type");
  expect_hdf5(H5Tset_ebias(type, bias), "make a type");
  return type;
}

Hdf5Handle type_of(kernels::Dtype dtype) {
  switch (dtype) {
    case kernels::Dtype::bf16: return half(8, 127);
    case kernels::Dtype::f16: return half(5, 15);
    case kernels::Dtype::f64: return {H5Tcopy(H5T_IEEE_F64LE), H5Tclose, "copy a type"};
    case kernels::Dtype::i32: return {H5Tcopy(H5T_STD_I32LE), H5Tclose, "copy a type"};
    case kernels::Dtype::f32: break;
  }
  return {H5Tcopy(H5T_IEEE_F32LE), H5Tclose, "copy a type"};
}

Sizes sizes(std::int64_t rows, std::int64_t columns) {
  return {static_cast<hsize_t>(rows), static_cast<hsize_t>(columns)};
}

// Of a vector, the columns alone.
const hsize_t* shown(const TensorInfo& tensor, const Sizes& all) {
  return all.data() + (2 - tensor.dimensions);
}

Hdf5Handle space_of(const TensorInfo& tensor, std::int64_t rows, std::int64_t columns) {
  const Sizes all = sizes(rows, columns);
  return {H5Screate_simple(tensor.dimensions, shown(tensor, all), nullptr), H5Sclose,
          "describe a shape"};
}

Hdf5Handle with_groups() {
  Hdf5Handle link(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "describe a link");
  expect_hdf5(H5Pset_create_intermediate_group(link, 1), "describe a link");
  return link;
}

void add_attribute(hid_t dataset, const TensorInfo& tensor, const char* name, const Sizes& values) {
  const auto count = static_cast<hsize_t>(tensor.dimensions);
  const Hdf5Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose, "describe a shape");
  const Hdf5Handle attribute(
      H5Acreate2(dataset, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
      "add an attribute");
  expect_hdf5(H5Awrite(attribute, H5T_NATIVE_INT64, shown(tensor, values)), "write an attribute");
}

// The offset of the values, for which HDF5 takes room and writes nothing.
std::uint64_t add_dataset(hid_t file, const ShardDataset& dataset) {
  const TensorInfo& tensor = *dataset.tensor;
  const Region& region = dataset.region;
  const Hdf5Handle type = type_of(tensor.dtype), link = with_groups(),
                   space = space_of(tensor, region.rows, region.columns);
  const Hdf5Handle layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "describe a dataset");
  expect_hdf5(H5Pset_layout(layout, H5D_CONTIGUOUS), "describe a dataset");
  expect_hdf5(H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY), "describe a dataset");
  expect_hdf5(H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER), "describe a dataset");
  const Hdf5Handle made(
      H5Dcreate2(file, dataset.path.c_str(), type, space, link, layout, H5P_DEFAULT), H5Dclose,
      "make a dataset");
  add_attribute(made, tensor, "global_offset", sizes(region.first_row, region.first_column));
  add_attribute(made, tensor, "global_shape", sizes(tensor.rows, tensor.columns));
  const haddr_t offset = H5Dget_offset(made);
  if (offset == HADDR_UNDEF) throw CheckpointError(Fault::io, "HDF5 cannot place a dataset");
  return offset;
}

void add_virtual(hid_t file, const VirtualTensor& entry) {
  const TensorInfo& tensor = *entry.tensor;
  const Hdf5Handle type = type_of(tensor.dtype), link = with_groups(),
                   whole = space_of(tensor, tensor.rows, tensor.columns);
  const Hdf5Handle layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "describe a dataset");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  expect_hdf5(H5Pset_fill_value(layout, H5T_NATIVE_FLOAT, &nan), "choose a fill value");
  for (const VirtualSource& source : entry.sources) {
    const Region& region = source.region;
    const Sizes first = sizes(region.first_row, region.first_column),
                count = sizes(region.rows, region.columns);
    expect_hdf5(H5Sselect_hyperslab(whole, H5S_SELECT_SET, shown(tensor, first), nullptr,
                                    shown(tensor, count), nullptr),
                "select a block");
    const Hdf5Handle part = space_of(tensor, region.rows, region.columns);
    expect_hdf5(H5Pset_virtual(layout, whole, source.file.c_str(), source.path.c_str(), part),
                "map a block");
  }
  expect_hdf5(H5Sselect_all(whole), "select a tensor");
  const Hdf5Handle made(
      H5Dcreate2(file, tensor.name.c_str(), type, whole, link, layout, H5P_DEFAULT), H5Dclose,
      "make a virtual dataset");
}

}  // namespace

Hdf5Image shard_image(const std::vector<ShardDataset>& datasets) {
  Hdf5Memory memory;
  Hdf5Image image;
  {
    const Hdf5Handle file = create_in_memory(memory);
    for (const ShardDataset& dataset : datasets) {
      image.offsets.push_back(add_dataset(file, dataset));
    }
    expect_hdf5(H5Fflush(file, H5F_SCOPE_LOCAL), "finish a file");
  }
  image.bytes = memory.end;
  std::vector<std::size_t> order(datasets.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return image.offsets[i]; });
  std::uint64_t at = 0;
  const auto add_metadata = [&](std::uint64_t end) {
    if (at == end) return;
    auto& piece = image.pieces.emplace_back();
    piece = {.offset = at, .bytes = end - at};
    piece.content.resize(end - at);
    memory.read(at, piece.content);
  };
  for (const std::size_t i : order) {
    const auto bytes = static_cast<std::uint64_t>(datasets[i].region.size()) *
                       kernels::size_of(datasets[i].tensor->dtype);
    add_metadata(image.offsets[i]);
    image.pieces.push_back(
        {.offset = image.offsets[i], .bytes = bytes, .dataset = static_cast<int>(i)});
    at = image.offsets[i] + bytes;
  }
  add_metadata(image.bytes);
  return image;
}

std::vector<std::byte> index_image(const std::vector<VirtualTensor>& tensors) {
  Hdf5Memory memory;
  {
    const Hdf5Handle file = create_in_memory(memory);
    for (const VirtualTensor& tensor : tensors) add_virtual(file, tensor);
    expect_hdf5(H5Fflush(file, H5F_SCOPE_LOCAL), "finish a file");
  }
  std::vector<std::byte> content(memory.end);
  memory.read(0, content);
  return content;
}

}  // namespace trireme::checkpoints
