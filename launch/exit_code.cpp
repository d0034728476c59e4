#include "launch/exit_code.h"

#include <filesystem>

#include "checkpoints/error.h"
#include "data/error.h"
#include "kernels/check.h"
#include "launch/config_file.h"
#include "models/shape.h"
#include "runtime/comm/communicator.h"
#include "schedules/action.h"

namespace trireme::launch {
namespace {

ExitCode code_of(data::Fault fault) {
  switch (fault) {
    case data::Fault::missing: return ExitCode::missing;
    case data::Fault::corrupt: return ExitCode::corrupt;
    case data::Fault::io: return ExitCode::io;
  }
  return ExitCode::internal;
}

ExitCode code_of(checkpoints::Fault fault) {
  switch (fault) {
    case checkpoints::Fault::missing: return ExitCode::missing;
    case checkpoints::Fault::corrupt: return ExitCode::corrupt;
    case checkpoints::Fault::io: return ExitCode::io;
  }
  return ExitCode::internal;
}

}  // namespace

Failure failure_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const ConfigError& error) {
    return {ExitCode::usage, error.what()};
  } catch (const UsageError& error) {
    return {ExitCode::usage, error.what()};
  } catch (const models::ModelError& error) {
    return {ExitCode::usage, error.what()};
  } catch (const schedules::ScheduleError& error) {
    return {ExitCode::usage, error.what()};
  } catch (const MissingInput& error) {
    return {ExitCode::missing, error.what()};
  } catch (const data::DataError& error) {
    return {code_of(error.fault), error.what()};
  } catch (const checkpoints::CheckpointError& error) {
    return {code_of(error.fault), error.what()};
  } catch (const runtime::CommunicationError& error) {
    return {ExitCode::communication, error.what()};
  } catch (const std::filesystem::filesystem_error& error) {
    return {ExitCode::io, error.what()};
  } catch (const kernels::DeviceError& error) {
    return {ExitCode::internal, error.what()};
  } catch (const std::exception& error) {
    return {ExitCode::internal, std::string("internal error: ") + error.what()};
  } catch (...) {
    return {ExitCode::internal, "internal error of an unknown type"};
  }
}

}  // namespace trireme::launch
