# The tools that hold the compiler.
add_llvm_executable(hadal-opt PARTIAL_SOURCES_INTENDED hadal-opt.cpp)
llvm_update_compile_flags(hadal-opt)
target_link_libraries(hadal-opt PRIVATE HadalDialects HadalPasses)
mlir_target_link_libraries(hadal-opt PRIVATE MLIROptLib MLIRRegisterAllDialects)

add_llvm_executable(hadal-compile PARTIAL_SOURCES_INTENDED hadal-compile.cpp)
llvm_update_compile_flags(hadal-compile)
target_link_libraries(hadal-compile PRIVATE HadalDialects HadalPasses HadalFrontend lldELF lldCommon z zstd)
mlir_target_link_libraries(hadal-compile PRIVATE MLIRRegisterAllDialects)
