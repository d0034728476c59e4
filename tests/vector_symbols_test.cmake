# Code for a newer instruction set must not replace code that every machine runs: an inline function
# emitted in an object of kernels/cpu/vector could be the copy that the linker keeps.
# Run as: cmake "-DOBJECTS=<object>;..." -P vector_symbols_test.cmake
cmake_minimum_required(VERSION 3.25)
foreach(object ${OBJECTS})
  execute_process(COMMAND nm --defined-only --demangle ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
  foreach(symbol ${weak})
    if(NOT symbol MATCHES "x86_64_v[0-9]" AND NOT symbol MATCHES "DW\\.ref|typeinfo")
      message(SEND_ERROR "${object} emits a shared inline function: ${symbol}")
    endif()
  endforeach()
endforeach()
