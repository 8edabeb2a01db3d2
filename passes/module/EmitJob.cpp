//===- EmitJob.cpp - tables that say what job a module is for ------------===//

#include "passes/module/EmitJob.h"
#include "dialects/job/Job.h"
#include "passes/analysis/Memory.h"

using namespace mlir;
using namespace hadal;
using flatbuffers::Offset;

Offset<fb::Model> JobTables::model() {
  job::ModelAttr m = job::modelOf(module);
  if (!m)
    return 0;
  std::vector<int64_t> moeLayers(m.getMoeLayers()), eos(m.getEosTokenIds());
  Offsets<fb::Setting> configuration;
  for (StringAttr setting : m.getConfiguration()) {
    auto [name, value] = setting.getValue().split('=');
    configuration.push_back(
        fb::CreateSetting(b, b.CreateString(name.str()), b.CreateString(value.str())));
  }
  return fb::CreateModelDirect(
      b, m.getModelType().str().c_str(), m.getVocabSize(), m.getHiddenSize(), m.getLayers(),
      m.getLatent(), m.getRopeDim(), m.getExperts(), m.getExpertsPerToken(), &moeLayers,
      m.getMaxPositions(), m.getPageTokens(), m.getCacheElementsPerToken(), &eos, m.getBosTokenId(),
      m.getParameterCount(), m.getActiveParameterCount(), m.getExpertGroups(),
      m.getGroupsPerToken(), configuration.empty() ? nullptr : &configuration);
}

FailureOr<Offset<fb::Training>> JobTables::training() {
  job::TrainingAttr t = job::trainingOf(module);
  if (!t || !module->hasAttr(job::kTrainablesAttr))
    return Offset<fb::Training>();
  auto string = [&](StringRef text) { return b.CreateString(text.str()); };
  auto integers = [&](ArrayRef<int64_t> list) {
    return b.CreateVector(std::vector<int64_t>(list));
  };
  Offsets<fb::Trainable> trainables;
  for (job::TrainableAttr p : job::trainablesOf(module)) {
    auto name = string(p.getName()), layout = string(p.getLayout());
    auto shape = integers(p.getShape());
    auto aliases = strings(b, p.getAliases());
    trainables.push_back(fb::CreateTrainable(
        b, name, shape, p.getCount(), layout, p.getPackedElements(), aliases, p.getCorrection(),
        p.getInitMean().convertToFloat(), p.getInitStd().convertToFloat(), p.getSharded()));
  }
  auto precision = string(t.getPrecision()), config = string(t.getConfigJson());
  auto moeLayers = integers(t.getMoeLayers());
  auto trainablesVector = b.CreateVector(trainables);
  auto ranksTable = ranks();
  if (failed(ranksTable))
    return failure();
  return fb::CreateTraining(b, t.getMicroBatch(), t.getSequence(), t.getMicroBatches(),
                            t.getMtpDepth(), t.getMtpWeight().convertToFloat(),
                            t.getBalanceWeight().convertToFloat(), t.getBiasStep().convertToFloat(),
                            precision, predictPeakBytes(module, t), t.getFirstMtpLayer(), moeLayers,
                            trainablesVector, config, t.getSumGroups(), *ranksTable);
}

FailureOr<Offset<fb::Inference>> JobTables::inference(const std::vector<uint32_t> &sharded) {
  job::RanksAttr facts = job::ranksOf(module);
  if (!facts || !facts.getStages().empty())
    return Offset<fb::Inference>();
  Offsets<fb::InferenceProgram> entries;
  for (job::ProgramAttr entry : facts.getPrograms()) {
    auto number = programs.of(entry.getName(), job::kRanksAttr);
    if (failed(number))
      return failure();
    std::vector<uint32_t> outputs;
    auto program = module.lookupSymbol<exec::ProgramOp>(entry.getName());
    for (StringAttr output : entry.getOutputs()) {
      size_t found = outputs.size();
      for (auto [i, argument] : llvm::enumerate(program.getBody().getOps<exec::ArgumentOp>()))
        if (argument.getOutput() && argument.getNameAttr() == output)
          outputs.push_back(i);
      if (outputs.size() == found)
        return program.emitOpError()
               << "has no output " << output << ", which " << job::kRanksAttr << " names";
    }
    entries.push_back(fb::CreateInferenceProgramDirect(b, *number, &outputs));
  }
  return fb::CreateInferenceDirect(b, facts.getEp(), facts.getNodes(), &entries, &sharded);
}

/// One for each pipeline rank.
LogicalResult JobTables::collectOrders() {
  job::RanksAttr ranks = job::ranksOf(module);
  if (!ranks || !job::trainingOf(module))
    return success();
  orders.resize(ranks.getPp());
  for (auto order : module.getOps<exec::OrderOp>()) {
    if (order.getRank() >= orders.size())
      return order.emitOpError() << "wants one of " << orders.size() << " pipeline ranks";
    orders[order.getRank()] = order;
  }
  if (!llvm::is_contained(orders, exec::OrderOp()))
    return success();
  return module.emitError("wants --exec-order-chunks before the module is written");
}

FailureOr<Offset<fb::Ranks>> JobTables::ranks() {
  job::RanksAttr facts = job::ranksOf(module);
  if (!facts)
    return Offset<fb::Ranks>();
  Offsets<fb::Stage> stages;
  for (job::StageAttr stage : facts.getStages()) {
    Offsets<fb::Accumulator> accumulators;
    for (job::AccumulatorAttr sum : stage.getAccumulators()) {
      std::vector<uint32_t> owners(sum.getSegmentOwners().begin(), sum.getSegmentOwners().end());
      accumulators.push_back(fb::CreateAccumulatorDirect(
          b, sum.getState().str().c_str(), sum.getTrainable(), sum.getUse(), &owners));
    }
    auto forward = programs.of(stage.getForward(), job::kRanksAttr),
         inputGrad = programs.of(stage.getInputGrad(), job::kRanksAttr),
         weightGrad = programs.of(stage.getWeightGrad(), job::kRanksAttr);
    if (failed(forward) || failed(inputGrad) || failed(weightGrad))
      return failure();
    stages.push_back(fb::CreateStageDirect(b, *forward, *inputGrad, *weightGrad,
                                           stage.getFirstLayer(), stage.getLayers(),
                                           &accumulators));
  }
  Offsets<fb::Order> orderTables;
  for (exec::OrderOp order : orders) {
    Offsets<fb::Chunk> chunks;
    for (auto chunk : order.getChunks().getAsRange<exec::ChunkAttr>())
      chunks.push_back(fb::CreateChunk(b, fb::ChunkKind(chunk.getKind()), chunk.getDirection(),
                                       chunk.getMicroBatch(), chunk.getPaired()));
    orderTables.push_back(fb::CreateOrderDirect(b, &chunks));
  }
  return fb::CreateRanksDirect(b, facts.getPp(), facts.getEp(), facts.getDp(), facts.getNodes(),
                               facts.getSchedule().str().c_str(), facts.getOverlap(),
                               facts.getFastReduction(), &stages, &orderTables);
}
