#include "checkpoints/json.h"

#include <set>
#include <utility>
#include <vector>

#include "checkpoints/error.h"

namespace trireme::checkpoints {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostExact = std::int64_t{1} << 53;

}  // namespace

json parse_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> open;
  std::string twice;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open.back().insert(key).second && twice.empty()) twice = key;
    }
    return true;
  };
  json parsed;
  try {
    parsed = json::parse(text, watch);
  } catch (const json::exception& error) {
    throw CheckpointError(Fault::corrupt, where + ": is not JSON: " + error.what());
  }
  if (!twice.empty()) {
    throw CheckpointError(Fault::corrupt, where + ": \"" + twice + "\" appears twice");
  }
  return parsed;
}

JsonObject::JsonObject(const json& value, std::string where)
    : value_(value), where_(std::move(where)) {
  if (!value.is_object()) fail("is not a JSON object");
}

const json& JsonObject::member(const char* key) const {
  const auto found = value_.find(key);
  if (found == value_.end()) fail(std::string("has no \"") + key + "\"");
  return *found;
}

std::string JsonObject::text(const char* key) const {
  const json& value = member(key);
  if (!value.is_string()) fail(std::string("\"") + key + "\" is not a text");
  return value.get<std::string>();
}

std::int64_t JsonObject::count(const char* key) const {
  return count_of(member(key), where_ + ": \"" + key + "\"");
}

double JsonObject::number(const char* key) const {
  const json& value = member(key);
  if (!value.is_number()) fail(std::string("\"") + key + "\" is not a number");
  return value.get<double>();
}

bool JsonObject::boolean(const char* key) const {
  const json& value = member(key);
  if (!value.is_boolean()) fail(std::string("\"") + key + "\" is neither true nor false");
  return value.get<bool>();
}

const json& JsonObject::list(const char* key) const {
  const json& value = member(key);
  if (!value.is_array()) fail(std::string("\"") + key + "\" is not a list");
  return value;
}

void JsonObject::fail(const std::string& what) const {
  throw CheckpointError(Fault::corrupt, where_ + ": " + what);
}

std::int64_t count_of(const json& value, const std::string& where) {
  const bool whole =
      value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
  if (!whole || value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMostExact)) {
    throw CheckpointError(Fault::corrupt, where + " is not a whole number from 0 to 2^53");
  }
  return value.get<std::int64_t>();
}

}  // namespace trireme::checkpoints
