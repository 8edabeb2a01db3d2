# The lit suite as one ctest entry, "lit". A single test: lit -v BUILD/test --filter=mla/ops

find_program(LIT_EXE NAMES llvm-lit lit lit-22 HINTS ${LLVM_TOOLS_BINARY_DIR} ${LLVM_TOOLS_BINARY_DIR}/../build/utils/lit)
if(NOT LIT_EXE)
  message(FATAL_ERROR "wants lit (Debian: llvm-22-tools), found none in ${LLVM_TOOLS_BINARY_DIR} or PATH")
endif()
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(HADAL_PYTHON "${Python3_EXECUTABLE}" CACHE FILEPATH "python that tests run scripts with")

configure_file(${CMAKE_CURRENT_LIST_DIR}/lit.site.cfg.py.in ${CMAKE_CURRENT_BINARY_DIR}/lit.site.cfg.py @ONLY)
add_test(NAME lit COMMAND ${LIT_EXE} -sv ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(lit PROPERTIES TIMEOUT 1800)

add_subdirectory(reference)
add_subdirectory(exec)
