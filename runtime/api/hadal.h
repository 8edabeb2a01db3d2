/*===- hadal.h - modules of hadal from C ------------------------------------===
 *
 * Opens a module that hadal-compile made, binds a checkpoint's weights to it, runs its programs,
 * generates tokens, and reads what they wrote:
 *
 *     hadal_module *module = NULL;
 *     if (hadal_open("m.hadal", NULL, &module) || hadal_load_weights(module, "checkpoint"))
 *       fprintf(stderr, "%s\n", hadal_last_error());
 *
 * Errors. Functions that can fail return HADAL_OK or what kind of error it is, and then write none
 * of their results; hadal_last_error() has one line for a person. NULL where a handle, a name or a
 * result is wanted is HADAL_INVALID_ARGUMENT. No C++ exception leaves the library.
 *
 * Ownership. hadal_open, hadal_prepare and hadal_open_tokenizer make handles, which hadal_close,
 * hadal_free_call and hadal_free_tokenizer take back, in any order; these take NULL as well. Texts
 * and memory that a function hands out belong to its handle. What the caller hands in is copied,
 * but for tensors bound to a call: their memory must stay until the call has run for the last time.
 *
 * Threads. A module and its calls belong to one thread at a time; other modules may run at the same
 * time. A module uses threads of its own for its work. Functions that take a const handle may run
 * side by side.
 *
 * Versions. HADAL_API_VERSION grows when something is added; what is here keeps its meaning.
 * Structs of options begin with their size, so that a program that knows fewer of them still works.
 *
 *===----------------------------------------------------------------------===*/

#ifndef HADAL_H
#define HADAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HADAL_API_VERSION 2

typedef enum hadal_status {
  HADAL_OK = 0,
  HADAL_INVALID_FILE = 1,     /* malformed contents: module, safetensors, JSON */
  HADAL_INVALID_ARGUMENT = 2, /* something that does not fit */
  HADAL_NOT_FOUND = 3,        /* no such file, tensor, program, argument, register */
  HADAL_UNSUPPORTED = 4,      /* well-formed, but this library or this CPU cannot do it */
  HADAL_IO = 5,               /* the operating system said no */
  HADAL_OUT_OF_MEMORY = 6,
  HADAL_INTERNAL = 7 /* a fault of the library */
} hadal_status;

/* HADAL_API_VERSION of the library, and its release: "0.1.0". */
uint32_t hadal_api_version(void);
const char *hadal_version(void);

/* What this thread's last function that failed has to say; "" before. Valid until the next one. */
const char *hadal_last_error(void);

/*===- Modules --------------------------------------------------------------===*/

typedef struct hadal_module hadal_module;

typedef struct hadal_open_options {
  size_t size;        /* sizeof(hadal_open_options) */
  uint32_t threads;   /* 0: the machine's cores */
  int check_memory;   /* for debugging: as --check-memory of hadal-run */
  const char *device; /* "cpu", "cuda:0", "emulated"; NULL: what the module is for. Since 2 */
} hadal_open_options;
#define HADAL_OPEN_OPTIONS_INIT                                                                    \
  { sizeof(hadal_open_options), 0, 0, NULL }

/* Opens a module file and checks it; `options` may be NULL. HADAL_UNSUPPORTED for a module that
 * several ranks run, or one for another CPU or device; and where there is no driver. */
hadal_status hadal_open(const char *path, const hadal_open_options *options, hadal_module **module);

/* Takes the module back when the calls made from it are freed, too. */
void hadal_close(hadal_module *module);

/* Reads a checkpoint, a folder or a safetensors file: into packed weights, or of a training module
 * into its parameters. Once, before the first hadal_prepare or hadal_generate; a module without
 * parameters wants none. After an error another checkpoint may be tried. */
hadal_status hadal_load_weights(hadal_module *module, const char *checkpoint);

/* The programs of a module. `name` is valid as long as the module; NULL beyond the last one. */
size_t hadal_program_count(const hadal_module *module);
const char *hadal_program_name(const hadal_module *module, size_t index);

/* Sets a register that shapes the module's states ("cache_slots"); states begin as zeros and keep
 * what they hold when their outermost dimension grows. hadal_generate sets it itself. */
hadal_status hadal_set_state_register(hadal_module *module, const char *name, int64_t value);

/*===- Calls: a program with its registers and arguments --------------------===*/

typedef struct hadal_call hadal_call;

typedef enum hadal_element {
  HADAL_F32 = 0,
  HADAL_F64 = 1,
  HADAL_BF16 = 2,
  HADAL_F16 = 3,
  HADAL_F8_E4M3 = 4,
  HADAL_I8 = 5,
  HADAL_I32 = 6,
  HADAL_I64 = 7,
  HADAL_U8 = 8,
  HADAL_BOOL = 9,
  HADAL_I16 = 10,
  HADAL_F8_E5M2 = 11,
  HADAL_F8_E8M0 = 12
} hadal_element;

#define HADAL_MAX_RANK 8

/* A dense row-major tensor, outermost dimension first. */
typedef struct hadal_tensor {
  hadal_element element;
  uint32_t rank;
  int64_t shape[HADAL_MAX_RANK];
  void *data; /* NULL only where it has no elements */
} hadal_tensor;

typedef struct hadal_argument {
  const char *name; /* valid as long as the call */
  hadal_element element;
  uint32_t rank;
  int is_output;
} hadal_argument;

/* Makes a program ready, with nothing bound. `program` with or without its "@". */
hadal_status hadal_prepare(hadal_module *module, const char *program, hadal_call **call);
void hadal_free_call(hadal_call *call);

/* The arguments of the program, in order. */
size_t hadal_argument_count(const hadal_call *call);
hadal_status hadal_get_argument(const hadal_call *call, size_t index, hadal_argument *argument);

/* Registers are the program's sizes: 0 until they are set. A register named "ARGUMENT.D", as a
 * function has for each dynamic dimension, is set by hadal_bind of that argument. */
hadal_status hadal_set_register(hadal_call *call, const char *name, int64_t value);

/* Binds an input, which is only read, or an output to memory of the caller's. Element type and
 * rank are checked here, the shape by hadal_run. */
hadal_status hadal_bind(hadal_call *call, const char *name, const hadal_tensor *tensor);

/* Runs the program; returns when its outputs are written. Any number of times. */
hadal_status hadal_run(hadal_call *call);

/* An output of the last hadal_run: as bound, or in memory of the call's that is valid until the
 * next one. */
hadal_status hadal_output(const hadal_call *call, const char *name, hadal_tensor *tensor);

/*===- Generation: a --mode=generate module ---------------------------------===*/

typedef struct hadal_generate_options {
  size_t size; /* sizeof(hadal_generate_options) */
  int64_t max_new_tokens;
  float temperature; /* 0: always the likeliest token */
  int32_t top_k;     /* 0: of all tokens */
  float top_p;
  float min_p;
  float repetition_penalty;
  int ignore_eos;
  uint64_t seed;              /* sequence i draws with seed + i */
  const int32_t *stop_tokens; /* these end a sequence, too */
  size_t stop_token_count;
} hadal_generate_options;
#define HADAL_GENERATE_OPTIONS_INIT                                                                \
  { sizeof(hadal_generate_options), 128, 0, 0, 1, 0, 1, 0, 0, NULL, 0 }

typedef struct hadal_prompt {
  const int32_t *tokens;
  size_t count; /* at least 1 */
} hadal_prompt;

/* A new token of a sequence. */
typedef struct hadal_token {
  size_t sequence; /* the prompt's index */
  int64_t index;   /* 0 for the first new token */
  int32_t token;
  int is_end;          /* an end-of-sequence or stop token */
  const float *logits; /* what it was chosen from; valid during the call */
  size_t vocabulary;   /* of so many */
} hadal_token;

/* Called for each token, on the thread of hadal_generate; not 0 ends the sequence there. It must
 * call no function on the module. */
typedef int (*hadal_token_callback)(void *context, const hadal_token *token);

/* Continues the prompts until each has ended; tokens of a sequence come in order, those of several
 * in turn. They do not depend on what runs beside them. `options` may be NULL. */
hadal_status hadal_generate(hadal_module *module, const hadal_prompt *prompts, size_t prompt_count,
                            const hadal_generate_options *options, hadal_token_callback take,
                            void *context);

/*===- Text -----------------------------------------------------------------===*/

typedef struct hadal_tokenizer hadal_tokenizer;

/* tokenizer.json of a checkpoint's folder. */
hadal_status hadal_open_tokenizer(const char *folder, hadal_tokenizer **tokenizer);
void hadal_free_tokenizer(hadal_tokenizer *tokenizer);

/* The ids of a prompt, with what the tokenizer puts around one. `count` gets how many there are;
 * the first `capacity` of them are written to `ids`, which may be NULL if that is 0. */
hadal_status hadal_encode(const hadal_tokenizer *tokenizer, const char *text, int32_t *ids,
                          size_t capacity, size_t *count);

/* The text of some ids, without special tokens. `length` gets its bytes; the first `capacity - 1`
 * of them and a 0 are written to `text`, which may be NULL if `capacity` is 0. */
hadal_status hadal_decode(const hadal_tokenizer *tokenizer, const int32_t *ids, size_t count,
                          char *text, size_t capacity, size_t *length);

#ifdef __cplusplus
}
#endif

#endif /* HADAL_H */
