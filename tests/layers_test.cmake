# The architecture, as a test: fails if a folder includes a header of a folder it may not depend on,
# or a third-party header outside its door. Run as: cmake -DROOT=<project> -P layers_test.cmake
cmake_minimum_required(VERSION 3.25)
set(kernels_may_include kernels)
set(schedules_may_include schedules)
set(models_may_include models)
set(data_may_include data)
set(optim_may_include optim kernels)
set(checkpoints_may_include checkpoints models kernels)
set(runtime_may_include runtime checkpoints optim data models schedules kernels)
set(bench_may_include bench runtime checkpoints optim data models schedules kernels)
set(launch_may_include launch bench runtime checkpoints optim data models schedules kernels)

# door(<header regex> <file regex>): only these files may include it.
set(doors
  "mpi\\.h" "^(runtime/comm/mpi_communicator|launch/mpi_job)\\.cpp$"
  "spdlog/.*" "^(kernels/log\\.h|launch/commands/train\\.cpp)$"
  "hdf5\\.h" "^checkpoints/hdf5_(memory\\.h|memory\\.cpp|image\\.cpp)$"
  "xxhash\\.h" "^checkpoints/digest\\.cpp$"
  "oneapi/.*" "^kernels/cpu/matmul\\.cpp$"
  "toml\\+\\+/.*" "^launch/[a-z_]*\\.(cpp|h)$"
  "CLI/.*" "^launch/(main|commands/[a-z_]*)\\.cpp$"
  "cuda.*|cublas.*|cudnn.*|nccl\\.h" "^(kernels/cuda/.*|runtime/comm/nccl/.*)$")

foreach(folder kernels schedules models data optim checkpoints runtime bench launch)
  file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/${folder}/*.h ${ROOT}/${folder}/*.cpp ${ROOT}/${folder}/*.cu ${ROOT}/${folder}/*.cuh)
  foreach(file ${files})
    file(STRINGS ${ROOT}/${file} includes REGEX "^#include")
    foreach(include ${includes})
      if(include MATCHES "^#include \"([^/\"]+)" AND NOT CMAKE_MATCH_1 IN_LIST ${folder}_may_include)
        message(SEND_ERROR "${file}: ${folder}/ may not include ${CMAKE_MATCH_1}/")
      endif()
      if(file MATCHES "^kernels/(cpu|cuda|synthetic)/")
        set(backend ${CMAKE_MATCH_1})
        if(include MATCHES "\"kernels/(cpu|cuda|synthetic)/" AND NOT CMAKE_MATCH_1 STREQUAL backend
           AND NOT include MATCHES "kernels/cpu/host_(stream|memory)\\.h")
          message(SEND_ERROR "${file}: a backend may not include another: ${include}")
        endif()
      endif()
      if(file MATCHES "^runtime/comm/" AND include MATCHES "\"runtime/" AND NOT include MATCHES "\"runtime/comm/")
        message(SEND_ERROR "${file}: runtime/comm includes none of its neighbors: ${include}")
      endif()
      if(file MATCHES "^runtime/trace/" AND include MATCHES "\"runtime/(model|pipeline|train)/")
        message(SEND_ERROR "${file}: runtime/trace may include comm only: ${include}")
      endif()
      if(file MATCHES "^runtime/pipeline/" AND include MATCHES "\"runtime/(model|train)/")
        message(SEND_ERROR "${file}: runtime/pipeline may include comm and trace only: ${include}")
      endif()
      if(file MATCHES "^runtime/model/" AND include MATCHES "\"runtime/(train|pipeline|trace)/")
        message(SEND_ERROR "${file}: runtime/model may include comm only: ${include}")
      endif()
      list(LENGTH doors last)
      math(EXPR last "${last} - 1")
      foreach(i RANGE 0 ${last} 2)
        math(EXPR next "${i} + 1")
        list(GET doors ${i} header)
        list(GET doors ${next} allowed)
        if(include MATCHES "<(${header})>" AND NOT file MATCHES "${allowed}")
          message(SEND_ERROR "${file}: <${CMAKE_MATCH_1}> stays behind its door, ${allowed}")
        endif()
      endforeach()
    endforeach()
  endforeach()
endforeach()
