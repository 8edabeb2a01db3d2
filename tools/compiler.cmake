# The tools that hold the compiler.
add_llvm_executable(hadal-opt PARTIAL_SOURCES_INTENDED hadal-opt.cpp)
llvm_update_compile_flags(hadal-opt)
target_compile_definitions(hadal-opt PRIVATE HADAL_VERSION="hadal ${PROJECT_VERSION}")
target_link_libraries(hadal-opt PRIVATE HadalTools HadalDialects HadalPasses)
mlir_target_link_libraries(hadal-opt PRIVATE MLIROptLib MLIRRegisterAllDialects)

add_llvm_executable(hadal-lsp-server PARTIAL_SOURCES_INTENDED hadal-lsp-server.cpp)
llvm_update_compile_flags(hadal-lsp-server)
target_compile_definitions(hadal-lsp-server PRIVATE HADAL_VERSION="hadal ${PROJECT_VERSION}")
target_link_libraries(hadal-lsp-server PRIVATE HadalDialects)
mlir_target_link_libraries(hadal-lsp-server PRIVATE MLIRLspServerLib MLIRRegisterAllDialects)
install(TARGETS hadal-lsp-server RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)

# CLI11 throws.
set(LLVM_REQUIRES_EH ON)
set(LLVM_REQUIRES_RTTI ON)
add_llvm_executable(hadal-compile PARTIAL_SOURCES_INTENDED
  hadal-compile.cpp compile/GraphJob.cpp compile/MlirOptions.cpp
  compile/QuantizeCheckpoint.cpp compile/Request.cpp)
llvm_update_compile_flags(hadal-compile)
target_compile_definitions(hadal-compile PRIVATE HADAL_VERSION="hadal ${PROJECT_VERSION}")
target_link_libraries(hadal-compile PRIVATE HadalTools HadalDialects HadalPasses HadalFrontend)
mlir_target_link_libraries(hadal-compile PRIVATE MLIRRegisterAllDialects)

add_llvm_executable(hadal-kernel-mutants PARTIAL_SOURCES_INTENDED
  hadal-kernel-mutants.cpp mutants/MakeMutants.cpp)
llvm_update_compile_flags(hadal-kernel-mutants)
target_compile_definitions(hadal-kernel-mutants PRIVATE HADAL_VERSION="hadal ${PROJECT_VERSION}")
target_link_libraries(hadal-kernel-mutants PRIVATE
  HadalTools HadalDialects HadalPasses HadalRuntime)
mlir_target_link_libraries(hadal-kernel-mutants PRIVATE MLIRRegisterAllDialects)
add_dependencies(hadal-kernel-mutants hadal-compile hadal-run) # which it runs

# Plans from a config.json want the frontend; from modules, and orders, do not.
target_sources(HadalPlan PRIVATE plan/ModelWork.cpp)
target_link_libraries(HadalPlan PUBLIC HadalFrontend)
target_compile_definitions(HadalPlan PRIVATE HADAL_PLAN_READS_MODELS)
