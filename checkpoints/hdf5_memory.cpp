#include "checkpoints/hdf5_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "checkpoints/error.h"

namespace trireme::checkpoints {
namespace {

// A file as the driver sees it. HDF5 wants its own part first.
struct OpenFile {
  H5FD_t of_hdf5 = {};
  Hdf5Memory* memory = nullptr;
  haddr_t allocated = 0;
};

OpenFile& file_of(H5FD_t* file) { return *reinterpret_cast<OpenFile*>(file); }
const OpenFile& file_of(const H5FD_t* file) { return *reinterpret_cast<const OpenFile*>(file); }

H5FD_t* open_file(const char*, unsigned, hid_t access, haddr_t) {
  Hdf5Memory* memory = nullptr;
  std::memcpy(&memory, H5Pget_driver_info(access), sizeof memory);
  auto* file = new OpenFile;
  file->memory = memory;
  return &file->of_hdf5;
}

herr_t close_file(H5FD_t* file) {
  delete &file_of(file);
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA;
  return 0;
}

haddr_t allocated(const H5FD_t* file, H5FD_mem_t) { return file_of(file).allocated; }

herr_t allocate(H5FD_t* file, H5FD_mem_t, haddr_t end) {
  file_of(file).allocated = end;
  return 0;
}

haddr_t end_of_file(const H5FD_t* file, H5FD_mem_t) { return file_of(file).memory->end; }

herr_t read(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t offset, std::size_t size, void* out) {
  file_of(file).memory->read(offset, {static_cast<std::byte*>(out), size});
  return 0;
}

herr_t write(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t offset, std::size_t size, const void* bytes) {
  try {
    file_of(file).memory->write(offset, {static_cast<const std::byte*>(bytes), size});
    return 0;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

herr_t truncate(H5FD_t* file, hid_t, hbool_t) {
  file_of(file).memory->end = file_of(file).allocated;
  return 0;
}

H5FD_class_t driver_class() {
  H5FD_class_t driver = {};
  driver.name = "trireme_memory";
  driver.maxaddr = static_cast<haddr_t>(1) << 62;
  driver.fc_degree = H5F_CLOSE_STRONG;
  driver.fapl_size = sizeof(Hdf5Memory*);
  driver.open = open_file;
  driver.close = close_file;
  driver.query = query;
  driver.get_eoa = allocated;
  driver.set_eoa = allocate;
  driver.get_eof = end_of_file;
  driver.read = read;
  driver.write = write;
  driver.truncate = truncate;
  for (H5FD_mem_t& type : driver.fl_map) type = H5FD_MEM_SUPER;
  return driver;
}

hid_t driver() {
  static const H5FD_class_t described = driver_class();
  static const hid_t registered = [] {
    // Failures are exceptions here; HDF5 would print them too.
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return H5FDregister(&described);
  }();
  return registered;
}

}  // namespace

Hdf5Handle::Hdf5Handle(hid_t id, Close close, const char* what) : id_(id), close_(close) {
  if (id < 0) throw CheckpointError(Fault::io, std::string("HDF5 cannot ") + what);
}

Hdf5Handle::Hdf5Handle(Hdf5Handle&& other) noexcept
    : id_(std::exchange(other.id_, -1)), close_(other.close_) {}

Hdf5Handle::~Hdf5Handle() {
  if (id_ >= 0) close_(id_);
}

void expect_hdf5(herr_t status, const char* what) {
  if (status < 0) throw CheckpointError(Fault::io, std::string("HDF5 cannot ") + what);
}

void Hdf5Memory::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    auto& page = pages_[offset / kPage];
    page.resize(kPage);
    const std::uint64_t at = offset % kPage;
    const std::size_t count = std::min<std::size_t>(bytes.size(), kPage - at);
    std::memcpy(page.data() + at, bytes.data(), count);
    bytes = bytes.subspan(count);
    offset += count;
    end = std::max(end, offset);
  }
}

void Hdf5Memory::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const std::uint64_t at = offset % kPage;
    const std::size_t count = std::min<std::size_t>(out.size(), kPage - at);
    const auto page = pages_.find(offset / kPage);
    if (page == pages_.end()) {
      std::memset(out.data(), 0, count);
    } else {
      std::memcpy(out.data(), page->second.data() + at, count);
    }
    out = out.subspan(count);
    offset += count;
  }
}

Hdf5Handle create_in_memory(Hdf5Memory& memory) {
  const hid_t in_memory = driver();
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "describe a file");
  const Hdf5Memory* pointer = &memory;
  expect_hdf5(H5Pset_driver(access, in_memory, &pointer), "use a driver");
  // Metadata with checksums; datasets of pages on pages of the disk.
  expect_hdf5(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110), "choose a version");
  expect_hdf5(H5Pset_alignment(access, 65536, 4096), "align a file");
  expect_hdf5(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), "choose how to close");
  return {H5Fcreate("memory", H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose, "create a file"};
}

}  // namespace trireme::checkpoints
