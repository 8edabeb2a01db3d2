#include "dialects/mla/Mla.h"
