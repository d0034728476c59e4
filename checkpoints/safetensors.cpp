#include "checkpoints/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "checkpoints/error.h"
#include "checkpoints/float_conversion.h"
#include "checkpoints/json.h"

namespace trireme::checkpoints {
namespace {

using kernels::Dtype;
using nlohmann::json;

constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // what the reference reader allows
constexpr std::int64_t kMostElements = std::int64_t{1} << 48;

// Bits of an element, by name.
const std::map<std::string, std::uint64_t>& dtype_bits() {
  static const std::map<std::string, std::uint64_t> bits{
      {"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
      {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
      {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
      {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64},        {"U64", 64}};
  return bits;
}

std::optional<Dtype> float_of(const std::string& dtype) {
  if (dtype == "F32") return Dtype::f32;
  if (dtype == "F64") return Dtype::f64;
  if (dtype == "BF16") return Dtype::bf16;
  if (dtype == "F16") return Dtype::f16;
  return std::nullopt;
}

const char* name_in_file(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16: return "BF16";
    case Dtype::f16: return "F16";
    default: return "F32";
  }
}

SafeTensor read_entry(const json& value, const std::string& where) {
  const JsonObject object(value, where);
  SafeTensor tensor{.dtype = object.text("dtype"), .shape = {}};
  const auto bits = dtype_bits().find(tensor.dtype);
  if (bits == dtype_bits().end()) object.fail("dtype \"" + tensor.dtype + "\" does not exist");
  std::int64_t elements = 1;
  for (const json& size : object.list("shape")) {
    const std::int64_t count = count_of(size, where + ": \"shape\"");
    if (count > 0 && elements > kMostElements / count)
      object.fail("\"shape\" is beyond all memory");
    elements *= count;
    tensor.shape.push_back(count);
  }
  const json& offsets = object.list("data_offsets");
  if (offsets.size() != 2) object.fail("\"data_offsets\" are not two");
  tensor.begin = static_cast<std::uint64_t>(count_of(offsets[0], where + ": \"data_offsets\""));
  tensor.end = static_cast<std::uint64_t>(count_of(offsets[1], where + ": \"data_offsets\""));
  const std::uint64_t all_bits = static_cast<std::uint64_t>(elements) * bits->second;
  if (all_bits % 8 != 0) object.fail("does not fill its last byte");
  if (tensor.begin > tensor.end || tensor.end - tensor.begin != all_bits / 8) {
    object.fail("\"data_offsets\" are not as far apart as shape and dtype need: " +
                std::to_string(all_bits / 8) + " bytes");
  }
  return tensor;
}

// Contiguous from 0, without holes or overlaps, up to the last byte of the file.
void check_offsets(const SafetensorsHeader& header, std::uint64_t file_bytes,
                   const std::string& where) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
  for (const auto& [name, tensor] : header.tensors) parts.emplace_back(tensor.begin, tensor.end);
  std::ranges::sort(parts);
  std::uint64_t at = 0;
  for (const auto& [begin, end] : parts) {
    if (begin != at) {
      throw CheckpointError(Fault::corrupt, where + ": tensors " +
                                                (begin < at ? "overlap" : "leave a hole") +
                                                " at byte " + std::to_string(std::min(begin, at)));
    }
    at = end;
  }
  if (header.data_offset + at != file_bytes) {
    throw CheckpointError(Fault::corrupt, where + ": has " + std::to_string(file_bytes) +
                                              " bytes, its tensors end at " +
                                              std::to_string(header.data_offset + at));
  }
}

void read_metadata(const json& value, SafetensorsHeader& header, const std::string& where) {
  if (!value.is_object()) {
    throw CheckpointError(Fault::corrupt, where + ": __metadata__ is not an object");
  }
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      throw CheckpointError(Fault::corrupt, where + ": __metadata__." + key + " is not a text");
    }
    header.metadata[key] = text.get<std::string>();
  }
}

}  // namespace

std::int64_t SafeTensor::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::uint64_t safetensors_header_bytes(std::string_view start, std::uint64_t file_bytes,
                                       const std::string& where) {
  const auto fail = [&](const std::string& what) {
    throw CheckpointError(Fault::corrupt, where + ": " + what);
  };
  if (file_bytes < 8 || start.size() < 8) fail("is too short for a safetensors file");
  std::uint64_t length = 0;
  for (int byte = 7; byte >= 0; --byte) {
    length = length << 8 | static_cast<unsigned char>(start[static_cast<std::size_t>(byte)]);
  }
  if (length > kMostHeaderBytes) {
    fail("claims a header of " + std::to_string(length) + " bytes, more than " +
         std::to_string(kMostHeaderBytes));
  }
  if (length > file_bytes - 8) fail("ends inside its header");
  return length + 8;
}

SafetensorsHeader parse_safetensors(std::string_view header, std::uint64_t file_bytes,
                                    const std::string& where) {
  SafetensorsHeader found{.data_offset = safetensors_header_bytes(header, file_bytes, where),
                          .tensors = {},
                          .metadata = {}};
  if (header.size() != found.data_offset) {
    throw CheckpointError(Fault::corrupt, where + ": ends inside its header");
  }
  const json parsed = parse_json(header.substr(8), where);
  if (!parsed.is_object()) {
    throw CheckpointError(Fault::corrupt, where + ": its header is not an object");
  }
  for (const auto& [name, value] : parsed.items()) {
    if (name == "__metadata__") {
      read_metadata(value, found, where);
    } else {
      found.tensors.emplace(name, read_entry(value, where + ": " + name));
    }
  }
  check_offsets(found, file_bytes, where);
  return found;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  std::string header(std::min<std::uint64_t>(8, file_.size()), '\0');
  file_.read(0, std::as_writable_bytes(std::span(header)));
  header.resize(safetensors_header_bytes(header, file_.size(), path.string()));
  file_.read(0, std::as_writable_bytes(std::span(header)));
  header_ = parse_safetensors(header, file_.size(), path.string());
}

std::vector<float> SafetensorsFile::read(const std::string& name) const {
  const SafeTensor& tensor = header_.tensors.at(name);
  const auto dtype = float_of(tensor.dtype);
  if (!dtype) {
    throw CheckpointError(Fault::corrupt, path().string() + ": " + name + " has dtype " +
                                              tensor.dtype + "; read are F32, F64, BF16 and F16");
  }
  std::vector<std::byte> bytes(tensor.end - tensor.begin);
  file_.read(header_.data_offset + tensor.begin, bytes);
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  to_floats(*dtype, bytes.data(), tensor.elements(), values.data());
  return values;
}

namespace {

std::string header_text(const std::vector<SafeTensorPlan>& tensors, Dtype dtype) {
  nlohmann::ordered_json header;
  // Without it, transformers refuses the file.
  header["__metadata__"] = {{"format", "pt"}};
  std::uint64_t at = 0;
  for (const SafeTensorPlan& tensor : tensors) {
    std::uint64_t bytes = kernels::size_of(dtype);
    for (const std::int64_t size : tensor.shape) bytes *= static_cast<std::uint64_t>(size);
    header[tensor.name] = {{"dtype", name_in_file(dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string length(8, '\0');
  for (std::size_t byte = 0; byte < 8; ++byte) {
    length[byte] = static_cast<char>(text.size() >> (8 * byte) & 0xff);
  }
  return length + text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const Disk& disk, const std::filesystem::path& path,
                                     const std::vector<SafeTensorPlan>& tensors, Dtype dtype)
    : file_(disk, path), dtype_(dtype) {
  const std::string header = header_text(tensors, dtype);
  file_.write(std::as_bytes(std::span(header)));
}

void SafetensorsWriter::add(std::span<const float> values) {
  converted_.resize(values.size() * kernels::size_of(dtype_));
  from_floats(dtype_, values, converted_.data());
  file_.write(converted_);
}

}  // namespace trireme::checkpoints
