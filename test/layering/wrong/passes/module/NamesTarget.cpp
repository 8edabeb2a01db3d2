#include "passes/targets/cpu/Kernel.h"
