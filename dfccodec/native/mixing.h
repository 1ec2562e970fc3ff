/* Context mixing of the integers and the motion of coding 3. */

#ifndef DFC_MIXING_H
#define DFC_MIXING_H

#include "kernels.h"

enum { MIXED = 7, GROUPS = 8, MAX_MIXED = 192, TRAIN = PRICE, LEAST = 32 };
enum { UNARY = 12, TOP_BITS = 6, NODES = UNARY + TOP_BITS }; /* decisions about the magnitude of a number */
enum { LINEAR_CELLS = 5, LINEAR_CHANNELS = 16, LINEAR_WEIGHTS = LINEAR_CELLS * LINEAR_CHANNELS + 4, LINEAR_ROWS = 40 };

typedef struct {
    const int16_t *squash;   /* (2, 4096), squash (unsigned) and stretch */
    uint16_t *probabilities; /* (contexts,), written only in mode TRAIN, as the next two */
    uint8_t *counts;         /* (contexts,) */
    int32_t *weights;        /* (sets, 7) */
} MixingTables;

typedef struct {
    int mode;
    uint16_t *p; /* probability of 1 of each context */
    uint8_t *n;  /* decisions it has seen */
    int32_t (*weights)[MIXED];
    size_t sets_a;
    void *own;
    const uint16_t *squash;
    const int16_t *stretch;
    int16_t scales[256];
    int32_t rates[256];
    uint32_t *tape; /* decisions to encode */
    size_t count, capacity;
    const uint8_t *words;
    size_t words_left;
    uint64_t state;
    int failed;
} Mixer;

typedef struct {
    int mode, kept, rows, columns, intra, level;
    size_t cells;
    const int32_t *groups;    /* (9,) first channel of each group, then the number of channels */
    int16_t *values;          /* (kept, cells, channels); written only to decode */
    const uint8_t *words;
    size_t word_count;
    const uint16_t *profile;  /* (channels,) */
    const uint8_t *partners;  /* (channels, 2) */
    const int16_t *linear;    /* (40, 84) */
    MixingTables tables;
    int32_t *left;            /* (kept,) to decode: words left after each frame */
} Mixing;

typedef struct {
    int mode, frames, rows, columns;
    const int32_t *dropped, *past, *future; /* (frames,) */
    int16_t *blocks;                        /* (frames, rows · columns, 5); written only to decode */
    const uint8_t *words;
    size_t word_count;
    MixingTables tables;
} MixedMotion;

static inline int bit_length(uint32_t x) { return x ? floor_log2(x) + 1 : 0; }
static inline int sign_of(int x) { return (x > 0) - (x < 0); }
static inline int absolute(int x) { return x < 0 ? -x : x; }
static inline int least_of(int a, int b) { return a < b ? a : b; }

/* Where a number finds its weights: a set of A is `a` + `a_step` × node, one of B `b` + `b_step` × min(length, `b_most`). */
typedef struct {
    int a, a_step, b, b_step, b_most, top_a, top_b, sign_a, sign_b;
} NumberSets;

int start_mixer(Mixer *m, int mode, const MixingTables *tables, size_t contexts, size_t sets_a, size_t sets_b, const uint8_t *words, size_t count);
int decide(Mixer *m, const int *contexts, int set_a, int set_b, int least, int bit);
uint32_t bypass(Mixer *m, int bits, uint32_t value);
int code_length(Mixer *m, const int *first, const NumberSets *sets, int wanted);
int code_sign_and_digits(Mixer *m, const int *first, const int *signs, const NumberSets *sets, int length, int wanted);
int is_lost(const Mixer *m);
int finish_mixer(const Mixer *m, uint8_t **words, size_t *count);
void free_mixer(Mixer *m);

size_t latent_contexts(int channels);
size_t latent_sets(void);
int code_mixed(const Mixing *in, uint8_t **words, size_t *count);
size_t motion_contexts(void);
size_t motion_sets(void);
int code_mixed_motion(const MixedMotion *in, uint8_t **words, size_t *count);

#endif
