/* The C API over the fake model, its errors above all: none crashes, each has a status and a line.
 *
 *     ApiTest DIR        as WriteFakeModel fills it; t.hadal: a training module
 */

#include <hadal.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOCABULARY 259

static _Atomic int failures;
static _Thread_local char path[4096];
static const char *folder;

static const char *in(const char *name) {
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

#define EXPECT(condition)                                                                          \
  ((condition) ? (void)0                                                                           \
               : (void)(fprintf(stderr, "line %d: %s; last error: %s\n", __LINE__, #condition,     \
                                hadal_last_error()),                                               \
                        ++failures))

/* `status` is the wanted one, and its line holds `text`. */
#define REFUSED(call, status, text)                                                                \
  do {                                                                                             \
    EXPECT((call) == (status));                                                                    \
    EXPECT(strstr(hadal_last_error(), text));                                                      \
    EXPECT(!strchr(hadal_last_error(), '\n'));                                                     \
  } while (0)

static hadal_module *openModel(void) {
  hadal_module *module = NULL;
  EXPECT(hadal_open(in("m.hadal"), NULL, &module) == HADAL_OK);
  EXPECT(hadal_load_weights(module, in("ckpt")) == HADAL_OK);
  return module;
}

static void opening(void) {
  hadal_module *module = NULL;
  REFUSED(hadal_open(in("none.hadal"), NULL, &module), HADAL_NOT_FOUND, "none.hadal");
  REFUSED(hadal_open(in("in.safetensors"), NULL, &module), HADAL_INVALID_FILE, "in.safetensors");
  REFUSED(hadal_open(NULL, NULL, &module), HADAL_INVALID_ARGUMENT, "wants a path, got NULL");
  REFUSED(hadal_open(in("m.hadal"), NULL, NULL), HADAL_INVALID_ARGUMENT, "got NULL");
  hadal_open_options options = {0};
  REFUSED(hadal_open(in("m.hadal"), &options, &module), HADAL_INVALID_ARGUMENT, "options.size");
  EXPECT(module == NULL);
  options = (hadal_open_options)HADAL_OPEN_OPTIONS_INIT;
  options.threads = 2;
  options.check_memory = 1;
  options.device = "gpu";
  REFUSED(hadal_open(in("m.hadal"), &options, &module), HADAL_INVALID_ARGUMENT,
          "device 'gpu': wants cpu, cuda:N or emulated");
  options.device = "cpu";
  EXPECT(hadal_open(in("m.hadal"), &options, &module) == HADAL_OK);
  hadal_close(module);
  hadal_close(NULL);
  EXPECT(hadal_api_version() == HADAL_API_VERSION && strlen(hadal_version()) >= 5);
}

static void weights(void) {
  hadal_module *module = NULL;
  hadal_call *call = NULL;
  EXPECT(hadal_open(in("m.hadal"), NULL, &module) == HADAL_OK);
  REFUSED(hadal_prepare(module, "argmax", &call), HADAL_INVALID_ARGUMENT, "hadal_load_weights");
  REFUSED(hadal_load_weights(module, in("nowhere")), HADAL_NOT_FOUND, "nowhere");
  REFUSED(hadal_load_weights(module, in("other.safetensors")), HADAL_INVALID_FILE,
          "not in the model");
  REFUSED(hadal_load_weights(module, NULL), HADAL_INVALID_ARGUMENT, "a checkpoint, got NULL");
  REFUSED(hadal_load_weights(NULL, in("ckpt")), HADAL_INVALID_ARGUMENT, "a module, got NULL");
  EXPECT(hadal_load_weights(module, in("ckpt")) == HADAL_OK); /* after the errors */
  REFUSED(hadal_load_weights(module, in("ckpt")), HADAL_INVALID_ARGUMENT, "already");
  EXPECT(hadal_prepare(module, "@argmax", &call) == HADAL_OK);
  hadal_free_call(call);
  hadal_close(module);
}

static void calls(void) {
  hadal_module *module = openModel();
  hadal_call *call = NULL;
  REFUSED(hadal_prepare(module, "arg", &call), HADAL_NOT_FOUND, "argmax");
  REFUSED(hadal_prepare(module, NULL, &call), HADAL_INVALID_ARGUMENT, "got NULL");
  REFUSED(hadal_prepare(module, "argmax", NULL), HADAL_INVALID_ARGUMENT, "got NULL");
  size_t programs = hadal_program_count(module);
  int isListed = 0;
  for (size_t i = 0; i < programs; ++i)
    isListed |= !strcmp(hadal_program_name(module, i), "argmax");
  EXPECT(isListed && !hadal_program_name(module, programs));

  EXPECT(hadal_prepare(module, "argmax", &call) == HADAL_OK);
  hadal_argument argument;
  EXPECT(hadal_argument_count(call) == 2);
  EXPECT(hadal_get_argument(call, 1, &argument) == HADAL_OK && argument.is_output &&
         !strcmp(argument.name, "token_ids") && argument.element == HADAL_I32 &&
         argument.rank == 1);
  REFUSED(hadal_get_argument(call, 2, &argument), HADAL_NOT_FOUND, "no argument 2 (has 2)");

  static float logits[2 * VOCABULARY];
  logits[7] = 1, logits[VOCABULARY + 200] = 1;
  hadal_tensor rows = {HADAL_F32, 2, {2, VOCABULARY}, logits}, result;
  REFUSED(hadal_output(call, "token_ids", &result), HADAL_INVALID_ARGUMENT, "token_ids");
  REFUSED(hadal_run(call), HADAL_INVALID_ARGUMENT, "logits");
  REFUSED(hadal_set_register(call, "row", 2), HADAL_NOT_FOUND, "rows");
  REFUSED(hadal_set_register(call, "rows", -2), HADAL_INVALID_ARGUMENT, "-2");
  REFUSED(hadal_bind(call, "logit", &rows), HADAL_NOT_FOUND, "logit");
  REFUSED(hadal_bind(call, "logits", NULL), HADAL_INVALID_ARGUMENT, "got NULL");
  hadal_tensor wrong = rows;
  wrong.element = HADAL_I32;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "I32");
  wrong.element = HADAL_F8_E5M2;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "F8_E5M2");
  wrong.element = HADAL_F8_E8M0;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "F8_E8M0");
  wrong.element = (hadal_element)99;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "99");
  wrong = rows, wrong.rank = 9;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "rank");
  wrong = rows, wrong.data = NULL;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "tensor.data, got NULL");
  wrong = rows, wrong.shape[0] = INT64_MAX;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "shape");
  wrong = rows, wrong.shape[0] = -1;
  REFUSED(hadal_bind(call, "logits", &wrong), HADAL_INVALID_ARGUMENT, "shape");

  EXPECT(hadal_set_register(call, "rows", 3) == HADAL_OK);
  EXPECT(hadal_bind(call, "logits", &rows) == HADAL_OK);
  REFUSED(hadal_run(call), HADAL_INVALID_ARGUMENT, "wants F32 [3, 259], got F32 [2, 259]");
  EXPECT(hadal_set_register(call, "rows", 2) == HADAL_OK);
  EXPECT(hadal_run(call) == HADAL_OK);
  EXPECT(hadal_output(call, "token_ids", &result) == HADAL_OK && result.rank == 1 &&
         result.shape[0] == 2);
  EXPECT(((int32_t *)result.data)[0] == 7 && ((int32_t *)result.data)[1] == 200);
  EXPECT(hadal_set_register(call, "rows", 3) == HADAL_OK);
  REFUSED(hadal_run(call), HADAL_INVALID_ARGUMENT, "wants F32 [3, 259]");
  REFUSED(hadal_output(call, "token_ids", &result), HADAL_INVALID_ARGUMENT, "finished run");
  EXPECT(hadal_set_register(call, "rows", 2) == HADAL_OK);
  /* An output in the caller's memory. */
  int32_t mine[2] = {-1, -1};
  hadal_tensor output = {HADAL_I32, 1, {2}, mine};
  EXPECT(hadal_bind(call, "token_ids", &output) == HADAL_OK && hadal_run(call) == HADAL_OK);
  EXPECT(mine[0] == 7 && mine[1] == 200);
  REFUSED(hadal_set_state_register(module, "slots", 8), HADAL_NOT_FOUND, "cache_slots");
  EXPECT(hadal_set_state_register(module, "cache_slots", 8) == HADAL_OK);

  hadal_close(module); /* the call keeps what it needs */
  EXPECT(hadal_run(call) == HADAL_OK);
  hadal_free_call(call);
  hadal_free_call(NULL);
}

struct tokens {
  int32_t of[2][64];
  int64_t count[2];
  int64_t most;
};

static int take(void *context, const hadal_token *token) {
  struct tokens *all = context;
  EXPECT(token->index == all->count[token->sequence] && token->vocabulary == VOCABULARY);
  all->of[token->sequence][all->count[token->sequence]++] = token->token;
  return all->most && all->count[token->sequence] >= all->most;
}

/* extend() and nextOf() of FakeModel.h. */
static int32_t nextOf(const int32_t *prompt, size_t count, const int32_t *more, int64_t moreCount) {
  int64_t hash = 0, position = 0;
  for (size_t i = 0; i < count; ++i, ++position)
    hash = (hash * 31 + (position + 1) * (prompt[i] + 1)) % 1000003;
  for (int64_t i = 0; i < moreCount; ++i, ++position)
    hash = (hash * 31 + (position + 1) * (more[i] + 1)) % 1000003;
  return (int32_t)(hash % VOCABULARY);
}

static void generation(void) {
  hadal_module *module = openModel();
  const int32_t first[] = {5, 6, 7}, second[] = {8, 9};
  hadal_prompt prompts[] = {{first, 3}, {second, 2}};
  hadal_generate_options options = HADAL_GENERATE_OPTIONS_INIT;
  options.max_new_tokens = 12;
  options.ignore_eos = 1;
  struct tokens all = {0};
  EXPECT(hadal_generate(module, prompts, 2, &options, take, &all) == HADAL_OK);
  for (int s = 0; s < 2; ++s) {
    EXPECT(all.count[s] == 12);
    for (int64_t i = 0; i < all.count[s]; ++i)
      EXPECT(all.of[s][i] == nextOf(prompts[s].tokens, prompts[s].count, all.of[s], i));
  }
  struct tokens again = {0}; /* a second time, and ended by the callback */
  again.most = 5;
  EXPECT(hadal_generate(module, prompts, 2, &options, take, &again) == HADAL_OK);
  EXPECT(again.count[0] == 5 && !memcmp(again.of[0], all.of[0], 5 * sizeof(int32_t)));
  struct tokens stopped = {0};
  options.stop_tokens = &all.of[0][3];
  options.stop_token_count = 1;
  EXPECT(hadal_generate(module, prompts, 1, &options, take, &stopped) == HADAL_OK);
  EXPECT(stopped.count[0] <= 4 && stopped.of[0][stopped.count[0] - 1] == all.of[0][3]);

  hadal_generate_options bad = HADAL_GENERATE_OPTIONS_INIT;
  bad.top_p = 2;
  REFUSED(hadal_generate(module, prompts, 2, &bad, take, &all), HADAL_INVALID_ARGUMENT, "top_p");
  bad = (hadal_generate_options)HADAL_GENERATE_OPTIONS_INIT;
  bad.max_new_tokens = 0;
  REFUSED(hadal_generate(module, prompts, 2, &bad, take, &all), HADAL_INVALID_ARGUMENT,
          "max_new_tokens");
  bad = (hadal_generate_options)HADAL_GENERATE_OPTIONS_INIT;
  bad.stop_token_count = 1;
  REFUSED(hadal_generate(module, prompts, 2, &bad, take, &all), HADAL_INVALID_ARGUMENT, "NULL");
  const int32_t unknown[] = {5, 1000000};
  hadal_prompt wrong[] = {{first, 3}, {unknown, 2}}, empty = {NULL, 0}, none = {NULL, 2};
  REFUSED(hadal_generate(module, wrong, 2, NULL, take, &all), HADAL_INVALID_ARGUMENT,
          "prompt 1: token id 1000000 at position 1");
  REFUSED(hadal_generate(module, &empty, 1, NULL, take, &all), HADAL_INVALID_ARGUMENT, "prompt 0");
  REFUSED(hadal_generate(module, &none, 1, NULL, take, &all), HADAL_INVALID_ARGUMENT, "NULL");
  REFUSED(hadal_generate(module, prompts, 1, NULL, NULL, NULL), HADAL_INVALID_ARGUMENT, "NULL");
  EXPECT(hadal_generate(module, NULL, 0, NULL, take, &all) == HADAL_OK);
  hadal_close(module);
}

/* Several threads may encode with one tokenizer. */
static void *encoding(void *tokenizer) {
  for (int i = 0; i < 2000; ++i) {
    const char *words = "some words, and 12 numbers";
    int32_t ids[32] = {0};
    size_t count = 0;
    EXPECT(hadal_encode(tokenizer, words, ids, 32, &count) == HADAL_OK && count == strlen(words));
    for (size_t at = 0; at < count; ++at)
      EXPECT(ids[at] == words[at]);
  }
  return NULL;
}

static void text(void) {
  hadal_tokenizer *tokenizer = NULL;
  REFUSED(hadal_open_tokenizer(in("nowhere"), &tokenizer), HADAL_NOT_FOUND, "nowhere");
  REFUSED(hadal_open_tokenizer(NULL, &tokenizer), HADAL_INVALID_ARGUMENT, "got NULL");
  EXPECT(hadal_open_tokenizer(in("ckpt"), &tokenizer) == HADAL_OK);
  int32_t ids[8] = {0};
  char shown[8];
  size_t count = 0;
  EXPECT(hadal_encode(tokenizer, "hello", ids, 2, &count) == HADAL_OK && count == 5);
  EXPECT(ids[0] == 'h' && ids[1] == 'e' && ids[2] == 0);
  EXPECT(hadal_encode(tokenizer, "hello", ids, 8, &count) == HADAL_OK && ids[4] == 'o');
  EXPECT(hadal_decode(tokenizer, ids, 5, shown, sizeof shown, &count) == HADAL_OK && count == 5 &&
         !strcmp(shown, "hello"));
  EXPECT(hadal_decode(tokenizer, ids, 5, shown, 3, &count) == HADAL_OK && count == 5 &&
         !strcmp(shown, "he"));
  REFUSED(hadal_encode(tokenizer, NULL, ids, 8, &count), HADAL_INVALID_ARGUMENT, "a text");
  REFUSED(hadal_decode(tokenizer, NULL, 2, shown, 8, &count), HADAL_INVALID_ARGUMENT, "ids");
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, encoding, tokenizer) == 0);
  encoding(tokenizer);
  pthread_join(thread, NULL);
  hadal_free_tokenizer(tokenizer);
  hadal_free_tokenizer(NULL);
}

static void training(void) {
  hadal_module *module = NULL;
  hadal_call *call = NULL;
  const int32_t first[] = {5};
  hadal_prompt prompt = {first, 1};
  EXPECT(hadal_open(in("t.hadal"), NULL, &module) == HADAL_OK);
  REFUSED(hadal_prepare(module, "zero", &call), HADAL_INVALID_ARGUMENT, "hadal_load_weights");
  REFUSED(hadal_generate(module, &prompt, 1, NULL, take, NULL), HADAL_INVALID_ARGUMENT, "training");
  REFUSED(hadal_load_weights(module, in("ckpt")), HADAL_INVALID_FILE, "not in the model");
  EXPECT(hadal_load_weights(module, in("training/ckpt")) == HADAL_OK);
  EXPECT(hadal_prepare(module, "zero", &call) == HADAL_OK && hadal_run(call) == HADAL_OK);
  hadal_free_call(call);
  hadal_close(module);
}

/* Modules of two threads run side by side; a thread has its own last error. */
static void *other(void *unused) {
  (void)unused;
  EXPECT(!*hadal_last_error());
  generation();
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 2)
    return fprintf(stderr, "usage: ApiTest DIR\n"), 1;
  folder = argv[1];
  opening();
  weights();
  calls();
  text();
  training();
  pthread_t thread;
  EXPECT(pthread_create(&thread, NULL, other, NULL) == 0);
  generation();
  pthread_join(thread, NULL);
  return failures != 0;
}
