//===- GraphOp.cpp - what passes ask of an op of the model ----------------===//

#include "dialects/GraphOp.h"

#include "dialects/GraphOp.cpp.inc"
