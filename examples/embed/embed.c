/* embed.c - a program of its own that runs a module of hadal, in C11.
 *
 *     embed MODULE CHECKPOINT PROMPT [TOKENS]
 *
 * Continues PROMPT by the likeliest tokens, prints their text, and on stderr what the first of them
 * cost: the call of a program by its name.
 */

#include <hadal.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first error ends the program, with its one line. */
static void check(hadal_status status) {
  if (status == HADAL_OK)
    return;
  fprintf(stderr, "embed: %s\n", hadal_last_error());
  exit(1);
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) {
    fprintf(stderr, "embed: out of memory\n");
    exit(1);
  }
  return memory;
}

/* The tokens that came, and the logits of the first. */
struct continuation {
  int32_t *tokens;
  size_t count;
  float *logits;
  size_t vocabulary;
};

static int take(void *context, const hadal_token *token) {
  struct continuation *all = context;
  if (token->index == 0) {
    all->vocabulary = token->vocabulary;
    all->logits = allocate(token->vocabulary * sizeof(float));
    memcpy(all->logits, token->logits, token->vocabulary * sizeof(float));
  }
  all->tokens[all->count++] = token->token;
  return 0; /* go on */
}

/* -log of the probability of `token`: program "nll" of one row. */
static float cost(hadal_module *module, const float *logits, size_t vocabulary, int32_t token) {
  hadal_call *call = NULL;
  check(hadal_prepare(module, "nll", &call));
  check(hadal_set_register(call, "rows", 1));
  hadal_tensor row = {HADAL_F32, 2, {1, (int64_t)vocabulary}, (void *)logits};
  hadal_tensor target = {HADAL_I32, 1, {1}, &token};
  check(hadal_bind(call, "logits", &row));
  check(hadal_bind(call, "targets", &target));
  check(hadal_run(call));
  hadal_tensor result;
  check(hadal_output(call, "nll", &result));
  float value = *(const float *)result.data;
  hadal_free_call(call);
  return value;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s MODULE CHECKPOINT PROMPT [TOKENS]\n", argv[0]);
    return 1;
  }
  hadal_module *module = NULL;
  hadal_tokenizer *tokenizer = NULL;
  check(hadal_open(argv[1], NULL, &module));
  check(hadal_load_weights(module, argv[2]));
  check(hadal_open_tokenizer(argv[2], &tokenizer));

  size_t length = 0;
  check(hadal_encode(tokenizer, argv[3], NULL, 0, &length));
  int32_t *ids = allocate(length * sizeof(int32_t));
  check(hadal_encode(tokenizer, argv[3], ids, length, &length));

  hadal_generate_options options = HADAL_GENERATE_OPTIONS_INIT;
  options.max_new_tokens = argc > 4 ? atoi(argv[4]) : 40;
  if (options.max_new_tokens < 1) {
    fprintf(stderr, "embed: TOKENS: wants a number from 1 on, got %s\n", argv[4]);
    return 1;
  }
  struct continuation all = {0};
  all.tokens = allocate((size_t)options.max_new_tokens * sizeof(int32_t));
  hadal_prompt prompt = {ids, length};
  check(hadal_generate(module, &prompt, 1, &options, take, &all));

  size_t bytes = 0;
  check(hadal_decode(tokenizer, all.tokens, all.count, NULL, 0, &bytes));
  char *text = allocate(bytes + 1);
  check(hadal_decode(tokenizer, all.tokens, all.count, text, bytes + 1, &bytes));
  fwrite(text, 1, bytes, stdout);
  putchar('\n');
  fprintf(stderr, "hadal %s: %zu tokens; the first cost %.4f\n", hadal_version(), all.count,
          cost(module, all.logits, all.vocabulary, all.tokens[0]));

  free(text);
  free(all.logits);
  free(all.tokens);
  free(ids);
  hadal_free_tokenizer(tokenizer);
  hadal_close(module);
  return 0;
}
