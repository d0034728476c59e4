#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace trireme::checkpoints {

// JSON of a file that nobody vouches for. Parses, and refuses keys that appear twice. Throws
// CheckpointError{corrupt} naming `where`.
nlohmann::json parse_json(std::string_view text, const std::string& where);

// Members of an object, with complaints that name the file and the member.
class JsonObject {
 public:
  // CheckpointError{corrupt} unless `value` is an object. Borrows `value`.
  JsonObject(const nlohmann::json& value, std::string where);

  bool has(const char* key) const { return value_.contains(key); }
  const nlohmann::json& member(const char* key) const;
  std::string text(const char* key) const;
  // Whole numbers from 0 to 2^53, which every JSON reader keeps.
  std::int64_t count(const char* key) const;
  double number(const char* key) const;
  bool boolean(const char* key) const;
  const nlohmann::json& list(const char* key) const;

  const std::string& where() const { return where_; }
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const nlohmann::json& value_;
  std::string where_;
};

// A whole number from 0 to 2^53. Throws CheckpointError{corrupt} naming `where`.
std::int64_t count_of(const nlohmann::json& value, const std::string& where);

}  // namespace trireme::checkpoints
