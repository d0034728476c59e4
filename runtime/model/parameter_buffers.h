#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "models/shards.h"

namespace trireme::runtime {

// A parameter, or several neighbors with the same columns seen as one matrix: its value, and its
// main gradient in the accumulator dtype.
struct Weight {
  kernels::View value;
  kernels::View gradient;

  explicit operator bool() const { return static_cast<bool>(value); }
};

// The parameters and main gradients of a rank, laid out flat in buckets of whole units in the order
// of the forward pass, so that a bucket is reduced, updated and gathered in one piece. A bucket
// belongs to one stage, and what several stages share has one of its own. Buckets are padded with
// zeros until every one of `owners` ranks can own an equal part.
class ParameterBuffers {
 public:
  struct Options {
    kernels::Dtype dtype = kernels::Dtype::f32;
    int owners = 1;
    std::int64_t bucket_elements = std::int64_t{4} << 20;  // a bucket closes once it has as many
  };

  // Where a parameter lies.
  struct Slot {
    models::Shard shard;
    int bucket;
    std::int64_t first;  // element of the bucket

    const models::Parameter& parameter() const { return shard.parameter; }
    kernels::Shape shape() const { return {shard.slice.rows, shard.slice.columns}; }
    std::int64_t size() const { return shard.slice.size(); }
  };

  ParameterBuffers(kernels::Backend& backend, kernels::Stream& stream,
                   const std::vector<std::vector<models::Shard>>& stages, Options options);

  int buckets() const { return static_cast<int>(buckets_.size()); }
  // Those that hold a parameter that `unit` reads, in order.
  const std::vector<int>& buckets_of_unit(int unit) const;
  // How many units read something of it.
  int units_of_bucket(int bucket) const { return at(bucket).units; }
  kernels::View values(int bucket) const { return at(bucket).values; }        // (1, n)
  kernels::View gradients(int bucket) const { return at(bucket).gradients; }  // (1, n)
  const std::vector<Slot>& slots() const { return slots_; }
  // Of all elements of a bucket: see models::initial_values. Padding is zero.
  std::vector<float> initial_values(int bucket, std::uint64_t seed) const;
  const Options& options() const { return options_; }

  // Nothing if the model has no parameter of this name.
  Weight find(const std::string& name) const;

  // Throws ContractViolation if the model has no parameter of this name.
  Weight weight(const std::string& name) const;

  // Neighbors in the table with the same columns, one below the other: one matrix product reads
  // them all. Vectors are joined end to end. Nothing if the first does not exist.
  Weight joined(const std::vector<std::string>& names) const;

 private:
  struct Bucket {
    kernels::Tensor values, gradients;
    int units = 0;
  };

  const Bucket& at(int bucket) const { return buckets_.at(static_cast<std::size_t>(bucket)); }
  std::vector<std::int64_t> place(const std::vector<std::vector<models::Shard>>& stages);
  Weight window(const Slot& slot, kernels::Shape shape) const;
  const Slot* slot_of(const std::string& name) const;

  Options options_;
  std::vector<Slot> slots_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::map<int, std::vector<int>> buckets_of_unit_;
  std::vector<Bucket> buckets_;
};

}  // namespace trireme::runtime
