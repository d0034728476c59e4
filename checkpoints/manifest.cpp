#include "checkpoints/manifest.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <set>
#include <utility>

#include "checkpoints/error.h"

namespace trireme::checkpoints {
namespace {

// Blocks of one tensor that begin in the same column and leave no rows out form a strip. Sweeps
// over the rows with the intervals of columns that are covered at the moment.
bool overlaps(std::vector<Region> regions) {
  std::ranges::sort(regions, {}, &Region::first_row);
  std::map<std::int64_t, Region> open;  // by first column; disjoint
  for (const Region& region : regions) {
    auto next = open.lower_bound(region.first_column);
    // Those above this row have ended.
    const auto ended = [&](const Region& other) { return other.end_row() <= region.first_row; };
    while (next != open.end() && next->second.first_column < region.end_column()) {
      if (!ended(next->second)) return true;
      next = open.erase(next);
    }
    while (next != open.begin()) {
      const auto before = std::prev(next);
      if (before->second.end_column() <= region.first_column) break;
      if (!ended(before->second)) return true;
      next = open.erase(before);
    }
    open.emplace(region.first_column, region);
  }
  return false;
}

// Numbers in names count as numbers: layer 10 comes after layer 9.
bool comes_before(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    const auto length = [&](const std::string& text, std::size_t at) {
      std::size_t end = at;
      while (end < text.size() && is_digit(text[end])) ++end;
      return end - at;
    };
    const std::size_t digits = length(a, i), others = length(b, j);
    if (digits != others) return digits < others;
    const int order = a.compare(i, digits, b, j, others);
    if (order != 0) return order < 0;
    i += digits;
    j += others;
  }
  return a.size() - i < b.size() - j;
}

}  // namespace

const StoredTensor* Manifest::find(std::string_view name) const {
  const auto found = std::ranges::find_if(
      tensors, [&](const StoredTensor& tensor) { return tensor.info.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

std::uint64_t Manifest::bytes() const {
  std::uint64_t sum = 0;
  for (const StoredFile& file : files) sum += file.bytes;
  return sum;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string dataset_path(const TensorInfo& tensor, const Region& region) {
  const std::string column = std::to_string(region.first_column);
  if (tensor.dimensions == 1) return tensor.name + "@" + column;
  return tensor.name + "@" + std::to_string(region.first_row) + "," + column;
}

void merge_reports(Manifest& manifest, const std::vector<ShardReport>& reports) {
  std::map<std::string, std::size_t> places;
  for (const ShardReport& report : reports) {
    const int file = static_cast<int>(manifest.files.size());
    manifest.files.push_back(report.file);
    for (const StoredTensor& part : report.tensors) {
      const auto [place, is_new] = places.emplace(part.info.name, manifest.tensors.size());
      if (is_new) manifest.tensors.push_back({.info = part.info, .slices = {}});
      StoredTensor& whole = manifest.tensors[place->second];
      if (!(whole.info == part.info)) {
        throw CheckpointError(Fault::corrupt, part.info.name + ": ranks disagree on what it is");
      }
      for (StoredSlice slice : part.slices) {
        slice.file = file;
        whole.slices.push_back(slice);
      }
    }
  }
  std::ranges::sort(manifest.tensors, [](const StoredTensor& a, const StoredTensor& b) {
    const bool first = is_parameter(a.info.name), second = is_parameter(b.info.name);
    return first != second ? first : comes_before(a.info.name, b.info.name);
  });
}

void check_coverage(const Manifest& manifest, const std::string& where) {
  for (const StoredTensor& tensor : manifest.tensors) {
    const auto fail = [&](const std::string& what) {
      throw CheckpointError(Fault::corrupt, where + ": " + tensor.info.name + ": " + what);
    };
    std::int64_t covered = 0;
    std::vector<Region> regions;
    for (const StoredSlice& slice : tensor.slices) {
      if (slice.region.first_row < 0 || slice.region.first_column < 0 ||
          slice.region.end_row() > tensor.info.rows ||
          slice.region.end_column() > tensor.info.columns || slice.region.size() == 0) {
        fail("a slice is empty or reaches beyond the tensor");
      }
      covered += slice.region.size();
      regions.push_back(slice.region);
    }
    if (overlaps(std::move(regions))) fail("slices overlap");
    if (covered != tensor.info.size()) {
      fail("slices hold " + std::to_string(covered) + " of " + std::to_string(tensor.info.size()) +
           " elements");
    }
  }
}

}  // namespace trireme::checkpoints
