#include "passes/kernels/Kernel.h"
