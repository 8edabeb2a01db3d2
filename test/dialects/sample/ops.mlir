// RUN: hadal-opt %s | hadal-opt | FileCheck %s

// CHECK-LABEL: func.func @argmax(
// CHECK: sample.argmax %{{.*}} : tensor<?x512xf32> -> tensor<?xi32>
func.func @argmax(%logits: tensor<?x512xf32>) -> tensor<?xi32> {
  %ids = sample.argmax %logits : tensor<?x512xf32> -> tensor<?xi32>
  return %ids : tensor<?xi32>
}

// CHECK-LABEL: func.func @choose(
// CHECK: sample.choose %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32> -> tensor<?xi32>
func.func @choose(%logits: tensor<?x512xf32>, %temperature: tensor<?xf32>, %k: tensor<?xi32>,
                  %p: tensor<?xf32>, %least: tensor<?xf32>, %uniform: tensor<?xf32>) -> tensor<?xi32> {
  %ids = sample.choose %logits, %temperature, %k, %p, %least, %uniform
      : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xf32>, tensor<?xf32>, tensor<?xf32>
      -> tensor<?xi32>
  return %ids : tensor<?xi32>
}

// CHECK-LABEL: func.func @nll(
// CHECK: sample.nll %{{.*}}, %{{.*}} : tensor<?x512xf32>, tensor<?xi32> -> tensor<?xf32>
func.func @nll(%logits: tensor<?x512xf32>, %targets: tensor<?xi32>) -> tensor<?xf32> {
  %nll = sample.nll %logits, %targets : tensor<?x512xf32>, tensor<?xi32> -> tensor<?xf32>
  return %nll : tensor<?xf32>
}

// CHECK-LABEL: func.func @log_probabilities(
// CHECK: sample.log_probabilities %{{.*}}, %{{.*}} into %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x512xf32>, tensor<?xi32> into tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
func.func @log_probabilities(%logits: tensor<?x512xf32>, %ids: tensor<?xi32>, %c: tensor<?xf32>,
                             %i: tensor<?x?xi32>, %t: tensor<?x?xf32>)
    -> (tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>) {
  %chosen, %top_ids, %top = sample.log_probabilities %logits, %ids into %c, %i, %t
      : tensor<?x512xf32>, tensor<?xi32> into tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
  return %chosen, %top_ids, %top : tensor<?xf32>, tensor<?x?xi32>, tensor<?x?xf32>
}

// CHECK-LABEL: func.func @penalize(
// CHECK: sample.penalize %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>
func.func @penalize(%logits: tensor<?x512xf32>, %penalty: tensor<?xf32>, %offsets: tensor<?xi32>,
                    %seen: tensor<?xi32>) -> tensor<?x512xf32> {
  %penalized = sample.penalize %logits, %penalty, %offsets, %seen
      : tensor<?x512xf32>, tensor<?xf32>, tensor<?xi32>, tensor<?xi32>
  return %penalized : tensor<?x512xf32>
}
