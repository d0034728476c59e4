#include "runtime/train/data_parallel.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "kernels/check.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Dtype;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

namespace {

// Numbers of a rank's totals, and of its WorkTimes.
constexpr int kTotals = 3, kTimes = 3;

// Neighbors become one view.
void append(std::vector<View>& views, View bucket, std::int64_t first, std::int64_t count) {
  const View view = bucket.column_range(first, count);
  if (!views.empty()) {
    View& last = views.back();
    const auto* end = static_cast<const std::byte*>(last.data) + last.bytes();
    if (end == view.data) {
      last = View(last.data, {1, last.columns + count}, last.dtype);
      return;
    }
  }
  views.push_back(view);
}

}  // namespace

ParameterGroups make_parameter_groups(const Mesh& mesh, int key_value_heads, bool has_end) {
  Communicator& tensor = mesh.group(Axis::tensor);
  Communicator& pipeline = mesh.group(Axis::pipeline);
  const int copies = std::max(1, tensor.size() / key_value_heads);
  const int stage = pipeline.rank();
  return {.data = mesh.group(Axis::data).split(0, "data"),
          .tensor = tensor.split(0, "tensor gradients"),
          .copies = tensor.split(tensor.rank() / copies, "key and value heads"),
          .ends = pipeline.split(has_end ? 0 : 1 + stage, "tied embeddings"),
          .stage = mesh.world().split(stage, "totals of a stage"),
          .stages = pipeline.split(0, "totals")};
}

DataParallel::DataParallel(kernels::Backend& backend, Stream& compute, ParameterBuffers& buffers,
                           ParameterGroups groups, DataParallelOptions options)
    : backend_(backend),
      compute_(compute),
      buffers_(buffers),
      groups_(std::move(groups)),
      options_(options),
      communication_(backend.make_urgent_stream()),
      buckets_(static_cast<std::size_t>(buffers.buckets())),
      totals_(backend.allocate(compute, {1, kTotals + kTimes * groups_.stages->size()}, Dtype::f64,
                               Category::workspace)),
      host_(backend.host_memory(totals_.view().bytes())),
      host_times_(backend.host_memory(totals_.view().bytes())) {
  if (options_.spans) options_.spans->name_lane(*communication_, "gradients and parameters");
  const Communicator& data = *groups_.data;
  kernels::expects(buffers.options().owners == data.size(), "buffers padded for the group");
  for (int b = 0; b < buffers.buckets(); ++b) {
    Bucket& bucket = buckets_[static_cast<std::size_t>(b)];
    bucket.values = buffers.values(b);
    bucket.gradients = buffers.gradients(b);
    const std::int64_t count =
        sharded() ? bucket.values.columns / data.size() : bucket.values.columns;
    const std::int64_t first = sharded() ? count * data.rank() : 0;
    bucket.owned_values = bucket.values.column_range(first, count);
    bucket.owned_gradients = bucket.gradients.column_range(first, count);
    bucket.optimizer = std::make_unique<optim::AdamW>(backend, compute, bucket.owned_values,
                                                      segments(b, first, count), options.adamw);
    describe(b);
  }
}

DataParallel::Sharing DataParallel::sharing_of(const models::Shard& shard) const {
  if (shard.slice.copies == 1) return Sharing::none;
  if (shard.parameter.sharding != models::Sharding::replicated) return Sharing::copies;
  const bool same_everywhere =
      shard.parameter.reader == models::Reader::every_rank && !options_.sequence_parallel;
  return same_everywhere ? Sharing::none : Sharing::tensor;
}

// What of a bucket is summed among whom, and what of it counts in the norm here.
void DataParallel::describe(int b) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(b)];
  // Each element is counted by one rank: its owner, or with whole copies the one whose turn it is.
  const std::int64_t part = bucket.gradients.columns / groups_.data->size();
  const std::int64_t begin = part * groups_.data->rank();
  for (const auto& slot : buffers_.slots()) {
    if (slot.bucket != b) continue;
    bucket.among_ends |= slot.shard.shared_by_stages;
    const Sharing sharing = sharing_of(slot.shard);
    if (sharing != Sharing::none) {
      auto& shared = sharing == Sharing::tensor ? bucket.among_tensor : bucket.among_copies;
      append(shared.parts, bucket.gradients, slot.first, slot.size());
    }
    const std::int64_t first = std::max(slot.first, begin);
    const std::int64_t last = std::min(slot.first + slot.size(), begin + part);
    if (slot.shard.is_counted && first < last) {
      append(bucket.counted, bucket.gradients, first, last - first);
    }
  }
  for (SharedGradients* shared : {&bucket.among_tensor, &bucket.among_copies}) {
    std::int64_t size = 0;
    for (const View& view : shared->parts) size += view.columns;
    if (size == 0) continue;
    shared->packed =
        backend_.allocate(compute_, {1, size}, bucket.gradients.dtype, Category::workspace);
  }
}

void DataParallel::initialize(std::uint64_t seed) {
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    const Bucket& bucket = buckets_[b];
    const std::vector<float> values = buffers_.initial_values(static_cast<int>(b), seed);
    const Tensor exact =
        backend_.allocate(compute_, bucket.values.shape(), Dtype::f32, Category::workspace);
    backend_.upload(compute_, std::as_bytes(std::span(values)), exact);
    backend_.run(compute_, kernels::Convert{.x = exact, .out = bucket.values});
    const std::int64_t first = sharded() ? bucket.owned_values.columns * groups_.data->rank() : 0;
    backend_.run(compute_, kernels::Convert{
                               .x = exact.view().column_range(first, bucket.owned_values.columns),
                               .out = bucket.optimizer->master()});
    compute_.synchronize();
  }
}

void DataParallel::before_unit(int unit) {
  for (const int b : buffers_.buckets_of_unit(unit)) {
    wait_for_values(buckets_[static_cast<std::size_t>(b)]);
  }
}

void DataParallel::begin_step() {
  for (Bucket& bucket : buckets_) {
    bucket.complete = 0;
    backend_.run(compute_, kernels::Fill{.out = bucket.gradients, .value = 0});
  }
}

void DataParallel::gradients_complete(int unit) {
  for (const int b : buffers_.buckets_of_unit(unit)) {
    Bucket& bucket = buckets_[static_cast<std::size_t>(b)];
    // What the ends of the pipeline share waits for the later of them: at the end of the step, so
    // that nothing waits behind it.
    if (++bucket.complete == buffers_.units_of_bucket(b) && !bucket.among_ends) reduce(bucket);
  }
}

void DataParallel::sum(const SharedGradients& shared, Communicator& group) {
  if (shared.parts.empty()) return;
  const View packed = shared.packed;
  const auto for_parts = [&](const auto& visit) {
    std::int64_t first = 0;
    for (const View& view : shared.parts) {
      visit(view, packed.column_range(first, view.columns));
      first += view.columns;
    }
  };
  for_parts([&](View part, View place) {
    backend_.run(*communication_, kernels::Convert{.x = part, .out = place});
  });
  group.all_reduce(*communication_, packed);
  for_parts([&](View part, View place) {
    backend_.run(*communication_, kernels::Convert{.x = place, .out = part});
  });
}

void DataParallel::reduce(Bucket& bucket) {
  communication_->wait_for(compute_);
  sum(bucket.among_tensor, *groups_.tensor);
  sum(bucket.among_copies, *groups_.copies);
  if (bucket.among_ends) {
    groups_.ends->all_reduce(*communication_, bucket.gradients);
  }
  if (groups_.data->size() == 1) return;
  if (sharded()) {
    groups_.data->reduce_scatter(*communication_, bucket.gradients, bucket.owned_gradients);
  } else {
    groups_.data->all_reduce(*communication_, bucket.gradients);
  }
}

Totals DataParallel::reduce_stage_totals(View loss, bool stop) {
  for (Bucket& bucket : buckets_) {
    if (bucket.among_ends) reduce(bucket);
  }
  compute_.wait_for(*communication_);
  const View totals = totals_.view().column_range(0, kTotals);
  backend_.run(compute_, kernels::Convert{.x = loss, .out = totals.column_range(0, 1)});
  backend_.run(compute_, kernels::Fill{.out = totals.column_range(1, 1), .value = 0});
  backend_.run(compute_,
               kernels::Fill{.out = totals.column_range(2, 1), .value = stop ? 1.0 : 0.0});
  for (const Bucket& bucket : buckets_) {
    for (const View& counted : bucket.counted) {
      backend_.run(compute_, kernels::SquaredNorm{.x = counted, .out = totals.column_range(1, 1)});
    }
  }
  communication_->wait_for(compute_);
  sum_totals(*groups_.stage, totals);
  // The computation first: if both failed, the communication failed because of it.
  compute_.synchronize();
  communication_->synchronize();
  return totals_on_host();
}

// Each rank in its own place: the sum has them all.
void DataParallel::begin_totals(const WorkTimes& mine) {
  const View times = totals_.view().column_range(kTotals, totals_.view().columns - kTotals);
  std::vector<double> numbers(static_cast<std::size_t>(times.columns), 0.0);
  const std::array<double, kTimes> own{mine.first_start, mine.last_end, mine.work};
  std::ranges::copy(own, numbers.begin() + groups_.stages->rank() * kTimes);
  std::memcpy(host_times_.get(), numbers.data(), times.bytes());
  backend_.upload(*communication_, {host_times_.get(), times.bytes()}, times);
  sum_totals(*groups_.stages, totals_);
}

Totals DataParallel::finish_totals() {
  communication_->synchronize();
  Totals totals = totals_on_host();
  totals.bubble = bubble_on_host();
  return totals;
}

double DataParallel::reduce_loss(View loss) {
  const View totals = totals_.view().column_range(0, kTotals);
  backend_.run(compute_, kernels::Fill{.out = totals, .value = 0});
  backend_.run(compute_, kernels::Convert{.x = loss, .out = totals.column_range(0, 1)});
  communication_->wait_for(compute_);
  sum_totals(*groups_.stage, totals);
  sum_totals(*groups_.stages, totals);
  compute_.synchronize();
  communication_->synchronize();
  return totals_on_host().loss;
}

void DataParallel::sum_totals(Communicator& group, View totals) {
  if (group.size() > 1) group.all_reduce(*communication_, totals);
  backend_.download(*communication_, totals, {host_.get(), totals.bytes()});
}

double DataParallel::number_on_host(int i) const {
  double number = 0;
  std::memcpy(&number, host_.get() + static_cast<std::size_t>(i) * sizeof number, sizeof number);
  return number;
}

Totals DataParallel::totals_on_host() const {
  return {
      .loss = number_on_host(0), .squared_norm = number_on_host(1), .stop = number_on_host(2) > 0};
}

double DataParallel::bubble_on_host() const {
  const int ranks = groups_.stages->size();
  if (ranks == 1) return 0;
  double first_start = number_on_host(kTotals), last_end = 0, work = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    first_start = std::min(first_start, number_on_host(kTotals + rank * kTimes));
    last_end = std::max(last_end, number_on_host(kTotals + rank * kTimes + 1));
    work += number_on_host(kTotals + rank * kTimes + 2);
  }
  return last_end > first_start ? 1 - work / (ranks * (last_end - first_start)) : 0;
}

void DataParallel::update(double learning_rate, double gradient_scale, std::int64_t step) {
  recorded(options_.spans, compute_, "compute", {.name = "update", .kind = "optimizer"}, [&] {
    for (Bucket& bucket : buckets_) {
      wait_for_values(bucket);  // after a roll-back they are still on their way
      bucket.optimizer->update(compute_, bucket.owned_gradients, learning_rate, gradient_scale,
                               step);
      gather(bucket);
    }
  });
}

void DataParallel::keep() {
  for (Bucket& bucket : buckets_) bucket.optimizer->keep(compute_);
}

void DataParallel::roll_back() {
  for (Bucket& bucket : buckets_) {
    wait_for_values(bucket);
    bucket.optimizer->restore(compute_);
    gather(bucket);
  }
}

std::vector<DataParallel::Share> DataParallel::updated_shares() const {
  std::vector<Share> shares;
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    const Bucket& bucket = buckets_[b];
    const std::int64_t count = bucket.owned_values.columns;
    shares.push_back({.bucket = static_cast<int>(b),
                      .first = sharded() ? count * groups_.data->rank() : 0,
                      .count = count,
                      .master = bucket.optimizer->master(),
                      .first_moment = bucket.optimizer->first_moment(),
                      .second_moment = bucket.optimizer->second_moment()});
  }
  return shares;
}

std::vector<DataParallel::Share> DataParallel::saved_shares() const {
  std::vector<Share> shares = updated_shares();
  if (sharded()) return shares;
  for (Share& share : shares) {
    share.count /= groups_.data->size();
    share.first = share.count * groups_.data->rank();
    for (View* view : {&share.master, &share.first_moment, &share.second_moment}) {
      *view = view->column_range(share.first, share.count);
    }
  }
  return shares;
}

void DataParallel::adopt_master_weights() {
  for (Bucket& bucket : buckets_) {
    const View master = bucket.optimizer->master();
    if (master.data != bucket.owned_values.data) {
      backend_.run(compute_, kernels::Convert{.x = master, .out = bucket.owned_values});
    }
    gather(bucket);
  }
}

void DataParallel::gather(Bucket& bucket) {
  if (!sharded()) return;
  communication_->wait_for(compute_);
  groups_.data->all_gather(*communication_, bucket.owned_values, bucket.values);
  bucket.gathered = communication_->record();
}

void DataParallel::wait_for_values(Bucket& bucket) {
  if (bucket.gathered) compute_.wait_for(std::exchange(bucket.gathered, nullptr));
}

void DataParallel::gather_gradients() {
  if (!sharded()) return;
  communication_->wait_for(compute_);
  for (Bucket& bucket : buckets_) {
    groups_.data->all_gather(*communication_, bucket.owned_gradients, bucket.gradients);
  }
  communication_->synchronize();
}

void DataParallel::synchronize() {
  compute_.synchronize();
  communication_->synchronize();
}

std::vector<optim::Segment> DataParallel::segments(int bucket, std::int64_t first,
                                                   std::int64_t count) const {
  std::vector<optim::Segment> found;
  for (const auto& slot : buffers_.slots()) {
    if (slot.bucket != bucket) continue;
    const std::int64_t begin = std::max(slot.first, first);
    const std::int64_t end = std::min(slot.first + slot.size(), first + count);
    if (begin >= end) continue;
    const bool decays = slot.parameter().decays();
    if (!found.empty() && found.back().decays == decays) {
      found.back().count += end - begin;
    } else {
      found.push_back({.first = begin - first, .count = end - begin, .decays = decays});
    }
  }
  return found;
}

}  // namespace trireme::runtime
