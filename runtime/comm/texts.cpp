#include "runtime/comm/texts.h"

#include <algorithm>
#include <span>

#include "runtime/comm/numbers.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;
using kernels::Tensor;

// Devices have no texts: bytes travel in words.
Tensor make_room(kernels::Backend& backend, kernels::Stream& stream, std::size_t bytes) {
  const auto words = static_cast<std::int64_t>(std::max<std::size_t>(1, (bytes + 3) / 4));
  return backend.allocate(stream, {1, words}, Dtype::i32, kernels::Category::workspace);
}

std::string padded(std::string text, const Tensor& room) {
  text.resize(room.view().bytes());
  return text;
}

}  // namespace

std::vector<std::string> gather_texts(kernels::Backend& backend, kernels::Stream& stream,
                                      Communicator& group, const std::string& text) {
  const auto ranks = static_cast<std::size_t>(group.size());
  const auto mine = static_cast<std::size_t>(group.rank());
  std::vector<double> lengths(ranks, 0);
  lengths[mine] = static_cast<double>(text.size());
  sum_numbers(backend, stream, group, lengths);
  if (mine != 0) {
    const Tensor room = make_room(backend, stream, text.size());
    const std::string sent = padded(text, room);
    backend.upload(stream, std::as_bytes(std::span(sent)), room);
    group.send(stream, room, 0);
    stream.synchronize();
    return {};
  }
  std::vector<std::string> texts = {text};
  for (std::size_t r = 1; r < ranks; ++r) {
    const auto length = static_cast<std::size_t>(lengths[r]);
    const Tensor room = make_room(backend, stream, length);
    std::string received = padded("", room);
    group.receive(stream, room, static_cast<int>(r));
    backend.download(stream, room, std::as_writable_bytes(std::span(received)));
    stream.synchronize();
    received.resize(length);
    texts.push_back(std::move(received));
  }
  return texts;
}

std::string broadcast_text(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                           const std::string& text) {
  double length = static_cast<double>(text.size());
  broadcast_numbers(backend, stream, group, {&length, 1}, 0);
  const Tensor room = make_room(backend, stream, static_cast<std::size_t>(length));
  std::string all = padded(text, room);
  backend.upload(stream, std::as_bytes(std::span(all)), room);
  group.broadcast(stream, room, 0);
  backend.download(stream, room, std::as_writable_bytes(std::span(all)));
  stream.synchronize();
  all.resize(static_cast<std::size_t>(length));
  return all;
}

}  // namespace trireme::runtime
