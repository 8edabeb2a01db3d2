//===- Alone.cpp - a library of the runtime, linked without those above it ===//

int main() {}
