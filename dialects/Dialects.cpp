//===- Dialects.cpp - hadal's dialects together -----------------------------===//

#include "dialects/Dialects.h"
#include "dialects/exec/Exec.h"
#include "dialects/fp8/Fp8.h"
#include "dialects/hopper/Hopper.h"
#include "dialects/job/Job.h"
#include "dialects/mla/Mla.h"
#include "dialects/moe/Moe.h"
#include "dialects/sample/Sample.h"
#include "dialects/train/Train.h"

void hadal::registerHadalDialects(mlir::DialectRegistry &registry) {
  registry.insert<mla::MlaDialect, moe::MoeDialect, fp8::Fp8Dialect, exec::ExecDialect,
                  hopper::HopperDialect, job::HadalDialect, job::JobDialect, sample::SampleDialect,
                  train::TrainDialect>();
}
