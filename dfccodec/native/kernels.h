/* Declarations shared by the kernels. */

#ifndef DFC_KERNELS_H
#define DFC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Vector instructions beyond the baseline are chosen at run time. All of these functions compute in integers, or in
   float32 without contraction, so every clone gives the same result. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && !defined(NO_CLONES)
#define VECTORIZED __attribute__((target_clones("avx2", "default")))
#else
#define VECTORIZED
#endif

/* For functions that become fast when their callers know an argument. */
#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

enum { OK = 0, DAMAGED = 1, NO_MEMORY = 2 };
enum { DECODE, ENCODE, PRICE, SLOPE, SAVING };
enum { MAX_CHANNELS = 4096, WEIGHTS = 8, LATENTS = 96, PATCH = 16, PADDING = 20 };
enum { SAMPLE_DIVISOR = 16, MAX_SAMPLE = (1 << 20) - 1, RESULT_SCALE = 896 * (896 / 16) * 256 };

/* Symbols −ESCAPE … ESCAPE; choices of a motion vector: the median, four neighbours, a new one. */
enum { ESCAPE = 16, SYMBOLS = 2 * ESCAPE + 1, CHOICES = 6, NEWMV = CHOICES - 1 };

/* Contexts: 4 classes of buckets of scales, one for the means of channels, then those of vectors. */
enum { BUCKETS = 28, MEAN_CONTEXT = 4 * BUCKETS, VECTOR_CONTEXT = MEAN_CONTEXT + 1 };

typedef struct {
    uint32_t table, count;
} Run;

typedef struct {
    int mode, contexts;
    int64_t *counts; /* (contexts, 33) */
    const uint8_t *words;
    size_t words_left;
    uint64_t state;
    uint8_t *tape; /* symbols to encode, sorted by context within each pass */
    Run *runs;     /* symbols with one table, or bypass-coded values, in coding order */
    uint32_t (*tables)[SYMBOLS + 1], *raw;
    size_t tape_length, tape_capacity, run_count, run_capacity, table_count, table_capacity, raw_count, raw_capacity;
    uint8_t *symbols, *sorted, *bits; /* work arrays of a pass */
    int32_t *numbers;
    uint32_t *list;
    size_t capacity;
} Coder;

typedef struct {
    int mode, kept, rows, columns, channels, inter;
    size_t cells;           /* of all tiles */
    int16_t *values;        /* (kept, cells, channels) in raster order; written only to decode */
    const int16_t *mvs;     /* (kept, cells, 2); NULL to decode or without inter coding */
    int16_t *decoded;       /* likewise, for the vectors that are decoded; NULL if nobody wants them */
    int first;              /* the first kept frame that is priced; n = kept − first */
    const int16_t *lower;   /* (n, cells, channels), of PRICE */
    float *prices;          /* (2, n, cells, channels), or (n, cells, channels) if `slope` or `saving`: the differences */
    int slope, saving;      /* `saving`: of `values` and 0 instead of `lower` + 1 and `lower` */
    const float *logs;      /* (4096,) log2(1 + i / 4096) */
    const int32_t *weights; /* (first group?, inter?, phase, kind, 8) */
    const int8_t *basis;    /* (96, 768) */
} Latents;

typedef struct {
    int rows, columns;
    const int16_t *wanted;                  /* vectors to encode (cells, 2), or NULL */
    int16_t *vectors, *previous, *medians;  /* (cells, 2) */
    int32_t *cells, *residuals;
    int16_t *known;                         /* (cells, 5, 2) */
    uint8_t *contexts, *sizes;
} VectorField;

/* A frame of a tile from which others are predicted. */
typedef struct {
    int rows, columns;
    const int16_t *values; /* (cells, 96) */
    int16_t *basis;        /* (96, 768) */
    int32_t *samples;      /* (cells, 16, 16, 3), valid if `known` */
    uint8_t *known;
} Reference;

static inline int clip_int(int64_t value, int low, int high) { return value < low ? low : value > high ? high : (int)value; }

/* Position of a neighbour at a distance: if it is outside, that on the other side; if that is too, the position itself. */
static inline int reflect(int at, int move, int size) {
    if (at + move >= 0 && at + move < size) return at + move;
    return at - move >= 0 && at - move < size ? at - move : at;
}

/* The left, right, upper or lower (side 0 to 3) neighbour of a cell; at an edge the cell itself. */
static inline int neighbour_of(int rows, int columns, int cell, int side) {
    int y = cell / columns, x = cell % columns;
    if (side == 0) return x ? cell - 1 : cell;
    if (side == 1) return x + 1 < columns ? cell + 1 : cell;
    if (side == 2) return y ? cell - columns : cell;
    return y + 1 < rows ? cell + columns : cell;
}

static inline int32_t clamp_symbol(int32_t quotient) {
    return (quotient < -ESCAPE ? -ESCAPE : quotient > ESCAPE ? ESCAPE : quotient) + ESCAPE;
}

static inline int floor_log2(uint32_t value) {
#ifdef __GNUC__
    return value ? 31 - __builtin_clz(value) : 0;
#endif
    int out = 0;
    while (value >>= 1) out++;
    return out;
}

static inline uint32_t load_word(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void store_word(uint8_t *at, uint32_t word) {
    at[0] = (uint8_t)word, at[1] = (uint8_t)(word >> 8), at[2] = (uint8_t)(word >> 16), at[3] = (uint8_t)(word >> 24);
}

extern const int32_t TAPS[4][4];

int reserve_symbols(Coder *coder, size_t n);
int reserve_pass(Coder *coder, size_t n);
int code_pass(Coder *coder, const uint8_t *contexts, const uint8_t *shifts, int32_t *residuals, size_t n);
int encode_symbols(Coder *coder, const uint8_t *contexts, const uint8_t *symbols, size_t n);
int decode_symbols(Coder *coder, const uint8_t *contexts, uint8_t *symbols, size_t n);
int decode_details(Coder *coder, const uint8_t *shifts, int32_t *residuals, size_t n);
void symbol_frequencies(const Coder *coder, int context, uint32_t *frequencies);
int flush(const Coder *coder, uint8_t **words, size_t *count);
void free_coder(Coder *coder);
int start_vectors(VectorField *field, int rows, int columns);
void free_vectors(VectorField *field);
int code_vectors(Coder *coder, VectorField *field);
int start_reference(Reference *reference, int rows, int columns, const int8_t *basis);
void free_reference(Reference *reference);
void set_reference(Reference *reference, const int16_t *values);
void compensate_from(Reference *reference, int cell, const int16_t *vector, int16_t *out);
void reconstruct_cell(const int16_t *latents, const int16_t *basis, int32_t *out);
void mv_candidates(const int16_t *five, int adjacent, int offset, int16_t *median, uint8_t *context, uint8_t *size);
int code_latents(Coder *coder, const Latents *in);
int compensate_tile(const int16_t *values, const int16_t *vectors, int rows, int columns, const int8_t *basis, int16_t *out);
int estimate_tile(const int16_t *old, const int16_t *now, int rows, int columns, const int8_t *basis, const int32_t *table,
                  int16_t *vectors);
int undo_filters(const uint8_t *raw, int planes, int kept, int tiles, int rows, int columns, int channels, int16_t *values);

#endif
