//===- TableHash.cpp - hashes of what tables say --------------------------===//

#include "runtime/module/TableHash.h"

#include "runtime/module/Dataflow.h"
#include "runtime/module/Expr.h"

namespace hadal::tablehash {

uint64_t ofExpr(Hash hash, const fb::Expr &expr, const std::vector<uint64_t> *registers) {
  const auto &code = *expr.code();
  for (uint32_t i = 0; i + 1 < code.size(); i += 2) {
    hash.add(uint64_t(code.Get(i)));
    bool isRegister = code.Get(i) == int64_t(ExprOp::Register) && registers;
    hash.add(isRegister ? (*registers)[size_t(code.Get(i + 1))] : uint64_t(code.Get(i + 1)));
  }
  return hash.value;
}

static void addGrid(Hash &hash, const fb::Grid &grid) {
  hash.add(grid.threads()).add(grid.cluster()).add(grid.shared_bytes());
  hash.add(grid.scratch_bytes()).add(grid.tasks_per_block()).add(grid.persistent());
  if (!grid.tensor_maps())
    return;
  for (const fb::TensorMap *map : *grid.tensor_maps()) {
    hash.add("tensor map").add(map->binding()).add(map->element()).add(map->swizzle_bytes());
    for (const fb::Expr *size : *map->sizes())
      hash.value = ofExpr(hash, *size, nullptr);
    for (const fb::Expr *stride : *map->stride_bytes())
      hash.value = ofExpr(hash, *stride, nullptr);
    for (uint32_t size : *map->box())
      hash.add(size);
  }
}

Leaves::Leaves(const fb::Module &module) {
  for (const fb::Parameter *p : *module.parameters()) {
    Hash hash("parameter");
    hash.add(p->name()).add(p->element()).add(p->count());
    for (int64_t size : *p->shape())
      hash.add(uint64_t(size));
    parameters.push_back(hash.value);
  }
  for (const fb::Weight *w : *module.weights())
    weights.push_back(Hash("weight").add(w->name()).add(w->bytes()).value);
  for (const fb::State *s : *module.states()) {
    Hash hash("state");
    hash.add(s->name()).add(s->element());
    for (const fb::Expr *size : *s->shape())
      hash.value = ofExpr(hash, *size, nullptr);
    states.push_back(hash.value);
  }
  for (const fb::Constant *c : *module.constants())
    constants.push_back(
        Hash("constant")
            .add(std::string_view(reinterpret_cast<const char *>(c->bytes()->data()),
                                  c->bytes()->size()))
            .value);
  for (const fb::Kernel *k : *module.kernels()) {
    Hash hash("kernel");
    hash.add(k->symbol());
    if (const fb::CpuTasks *tasks = k->shape_as_CpuTasks())
      hash.add(tasks->scratch_bytes());
    else if (const fb::Grid *grid = k->shape_as_Grid())
      addGrid(hash.add(k->tier()), *grid);
    if (k->code() != 0) // so that hashes of modules of one code stay as they are
      hash.add("code").add(k->code());
    if (isDescribed(*k))
      for (const fb::KernelBuffer *buffer : *k->buffers())
        hash.value = ofExpr(hash.add(buffer->access()), *buffer->bytes(), nullptr);
    kernels.push_back(hash.value);
  }
}

uint64_t placesHash(const fb::Module &module) {
  Hash hash("places");
  if (const fb::Training *training = module.training()) {
    for (const fb::Trainable *t : *training->trainables()) {
      hash.add(t->name())
          .add(t->count())
          .add(t->sharded())
          .add(t->correction())
          .add(t->layout())
          .add(uint64_t(t->packed_elements()));
      for (int64_t size : *t->shape())
        hash.add(uint64_t(size));
    }
    if (training->ranks())
      for (const fb::Stage *stage : *training->ranks()->stages()) {
        hash.add(stage->first_layer()).add(stage->layers());
        for (const fb::Accumulator *a : *stage->accumulators()) {
          hash.add(a->state()).add(uint64_t(a->trainable())).add(a->use());
          if (a->segment_owners())
            for (uint32_t owner : *a->segment_owners())
              hash.add(owner);
        }
      }
  }
  if (const fb::Inference *inference = module.inference()) {
    hash.add(inference->ep()).add(inference->nodes());
    for (uint32_t parameter : *inference->sharded())
      hash.add(module.parameters()->Get(parameter)->name());
    for (const fb::InferenceProgram *program : *inference->programs()) {
      const fb::Program &table = *module.programs()->Get(program->program());
      hash.add(table.name());
      for (uint32_t output : *program->outputs())
        hash.add(table.arguments()->Get(output)->name());
    }
  }
  return hash.value;
}

} // namespace hadal::tablehash
