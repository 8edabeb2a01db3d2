# The lit suite as ctests of one folder or two, "lit-passes" ... A single test:
# lit -v BUILD/test --filter=mla/ops

find_program(LIT_EXE NAMES llvm-lit lit lit-22 HINTS ${LLVM_TOOLS_BINARY_DIR} ${LLVM_TOOLS_BINARY_DIR}/../build/utils/lit)
if(NOT LIT_EXE)
  message(FATAL_ERROR "wants lit (Debian: llvm-22-tools), found none in ${LLVM_TOOLS_BINARY_DIR} or PATH")
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(HADAL_PYTHON "${Python3_EXECUTABLE}" CACHE FILEPATH "python that tests run scripts with")

configure_file(${CMAKE_CURRENT_LIST_DIR}/lit.site.cfg.py.in ${CMAKE_CURRENT_BINARY_DIR}/lit.site.cfg.py @ONLY)
# What has no shard of its own is in "lit-rest".
set(shards passes/ pipelines/ exec/fp8_ "exec/(pairs|tiles)" exec/rows
  "exec/(grouped|matmul|panel|weight)" exec/)
set(names passes pipelines exec-fp8 exec-tiles exec-rows exec-products exec)
set(before "^$")
foreach(shard name IN ZIP_LISTS shards names)
  add_test(NAME lit-${name} COMMAND ${LIT_EXE} -sv "--filter=:: ${shard}" "--filter-out=${before}"
    ${CMAKE_CURRENT_BINARY_DIR})
  string(APPEND before "|:: ${shard}")
endforeach()
add_test(NAME lit-rest COMMAND ${LIT_EXE} -sv "--filter-out=${before}" ${CMAKE_CURRENT_BINARY_DIR})

# What ops compute, once more on the emulated device (`-Dtiers=serial`: by serial kernels alone). Left
# out are products of FP8 codes of many rows, whose serial kernels do not give the CPU's bits yet.
add_test(NAME exec-emulated COMMAND ${LIT_EXE} -sv -Ddevice=emulated "--filter=:: exec/"
  "--filter-out=exec/fp8_(code_matmul|linear|matmul|packed|weight_grad)" ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(exec-emulated PROPERTIES TIMEOUT 1800)

add_subdirectory(reference)
add_subdirectory(exec)
