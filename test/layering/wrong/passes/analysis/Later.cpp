#include "passes/programs/FormPrograms.h"
