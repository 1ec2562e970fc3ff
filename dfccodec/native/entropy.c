/* Entropy coding of latents: SPEC.md 7.4 (rANS), 7.5 (motion vectors), 7.6 (contexts), 7.7 (motion compensation).

   The NumPy twins are entropy/rans.py, entropy/context_model.py, entropy/mv_coding.py and entropy/inter/. Both give
   the same bytes. All arithmetic is in integers, except for the costs of `PRICE`, which are exact in float32. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { PRECISION = 24, MIN_FREQUENCY = 256, INCREMENT = 32, INITIAL_STATE = 1 << 24 };
enum { BUCKETS = 28, MEAN_CONTEXT = 4 * BUCKETS, VECTOR_CONTEXT = MEAN_CONTEXT + 1, MEAN_LEVELS = 34 };
enum { MAX_ACTIVITY = (1 << 13) - 1, MAX_MEAN = (1 << 18) - 1, TWO_PHASE_GROUPS = 4, BAND_CELLS = 1 << 14 };
enum { CHOICE_CONTEXTS = 32, LOG_BITS = 12, MAX_GROUP = 32 };

/* ---- The coder of one pass ---------------------------------------------------------------------------------- */

static uint64_t pop(Coder *coder, uint32_t start, uint32_t frequency, uint32_t quantile) {
    uint64_t state = (coder->state >> PRECISION) * frequency + quantile - start;
    if (state < (UINT64_C(1) << 32) && coder->words_left)
        state = state << 32 | load_word(coder->words + 4 * --coder->words_left);
    return coder->state = state;
}

static uint32_t pop_raw(Coder *coder, int bits) {
    uint32_t quantile = (uint32_t)coder->state & ((1u << PRECISION) - 1);
    int low = PRECISION - bits;
    pop(coder, quantile >> low << low, 1u << low, quantile);
    return quantile >> low;
}

static int push(Coder *coder, uint32_t start, uint32_t frequency) {
    if (coder->tape_length == coder->tape_capacity) {
        size_t capacity = coder->tape_capacity ? 2 * coder->tape_capacity : 1 << 14;
        uint64_t *tape = realloc(coder->tape, capacity * sizeof *tape);
        if (!tape) return NO_MEMORY;
        coder->tape = tape, coder->tape_capacity = capacity;
    }
    coder->tape[coder->tape_length++] = (uint64_t)start << 32 | frequency;
    return OK;
}

static int push_raw(Coder *coder, uint32_t value, int bits) {
    return push(coder, value << (PRECISION - bits), 1u << (PRECISION - bits));
}

/* First code value of each symbol of a context; sums[SYMBOLS] is 2^24. */
static void cumulate(const int64_t *counts, uint32_t *sums) {
    int64_t total = 0;
    uint32_t frequency[SYMBOLS], rest = 1u << PRECISION;
    for (int i = 0; i < SYMBOLS; i++) total += counts[i];
    for (int i = 0; i < SYMBOLS; i++) {
        frequency[i] = (uint32_t)(counts[i] * ((1 << PRECISION) - SYMBOLS * MIN_FREQUENCY) / total) + MIN_FREQUENCY;
        rest -= frequency[i];
    }
    frequency[ESCAPE] += rest;
    sums[0] = 0;
    for (int i = 0; i < SYMBOLS; i++) sums[i + 1] = sums[i] + frequency[i];
}

static int find_symbol(const uint32_t *sums, uint32_t quantile) {
    int symbol = ESCAPE; /* 0 is the most probable residual: search from there */
    while (quantile < sums[symbol]) symbol--;
    while (quantile >= sums[symbol + 1]) symbol++;
    return symbol;
}

static int32_t clamp_symbol(int32_t quotient) {
    return (quotient < -ESCAPE ? -ESCAPE : quotient > ESCAPE ? ESCAPE : quotient) + ESCAPE;
}

static int floor_log2(uint32_t value) {
#ifdef __GNUC__
    return value ? 31 - __builtin_clz(value) : 0;
#endif
    int out = 0;
    while (value >>= 1) out++;
    return out;
}

int reserve_pass(Coder *coder, size_t n) {
    if (n <= coder->capacity) return OK;
    free(coder->order), free(coder->quotients), free(coder->bits);
    coder->order = malloc(n * sizeof *coder->order);
    coder->quotients = malloc(n * sizeof *coder->quotients);
    coder->bits = malloc(n);
    coder->capacity = coder->order && coder->quotients && coder->bits ? n : 0;
    return coder->capacity ? OK : NO_MEMORY;
}

void free_coder(Coder *coder) {
    free(coder->order), free(coder->quotients), free(coder->bits), free(coder->tape);
    free(coder->counts);
}

/* Stable sort by context: `order`, and the end of each context in it. */
static void sort_pass(Coder *coder, const uint8_t *contexts, size_t n, size_t ends[256]) {
    size_t next[256], sum = 0;
    memset(next, 0, sizeof next);
    for (size_t i = 0; i < n; i++) next[contexts[i]]++;
    for (int c = 0; c < 256; c++) {
        size_t count = next[c];
        next[c] = sum;
        ends[c] = sum += count;
    }
    for (size_t i = 0; i < n; i++) coder->order[next[contexts[i]]++] = (uint32_t)i;
}

static int decode_pass(Coder *coder, const uint8_t *contexts, const uint8_t *shifts, int32_t *residuals, size_t n) {
    size_t ends[256], first = 0;
    uint32_t sums[SYMBOLS + 1];
    int escapes = 0, top = 0;
    sort_pass(coder, contexts, n, ends);
    for (int c = 0; c < coder->contexts; c++)
        if (ends[c] > first) {
            cumulate(coder->counts + c * SYMBOLS, sums);
            for (; first < ends[c]; first++) {
                uint32_t quantile = (uint32_t)coder->state & ((1u << PRECISION) - 1);
                int symbol = find_symbol(sums, quantile);
                pop(coder, sums[symbol], sums[symbol + 1] - sums[symbol], quantile);
                residuals[coder->order[first]] = symbol - ESCAPE;
                escapes |= symbol == 0 || symbol == 2 * ESCAPE;
            }
        }
    for (size_t i = 0; i < n; i++) coder->counts[contexts[i] * SYMBOLS + residuals[i] + ESCAPE] += INCREMENT;
    if (shifts) {
        for (size_t i = 0; i < n; i++) top = shifts[i] > top ? shifts[i] : top;
        for (int bits = 1; bits <= top; bits++)
            for (size_t i = 0; i < n; i++)
                if (shifts[i] == bits) coder->quotients[i] = (int32_t)pop_raw(coder, bits) - (1 << bits >> 1);
    }
    if (escapes) {
        for (size_t i = 0; i < n; i++)
            coder->bits[i] = residuals[i] == ESCAPE || residuals[i] == -ESCAPE ? (uint8_t)pop_raw(coder, 4) : 255;
        for (int bits = 0; bits < 16; bits++)
            for (size_t i = 0; i < n; i++)
                if (coder->bits[i] == bits) {
                    int32_t excess = (bits ? (int32_t)pop_raw(coder, bits) : 0) + (1 << bits) - 1;
                    residuals[i] += residuals[i] < 0 ? -excess : excess;
                }
    }
    if (top)
        for (size_t i = 0; i < n; i++)
            if (shifts[i]) residuals[i] = residuals[i] * (1 << shifts[i]) + coder->quotients[i];
    /* The state of a valid stream is never below the initial state. */
    return coder->words_left || coder->state >= INITIAL_STATE ? OK : DAMAGED;
}

static int encode_pass(Coder *coder, const uint8_t *contexts, const uint8_t *shifts, const int32_t *residuals, size_t n) {
    size_t ends[256], first = 0;
    uint32_t sums[SYMBOLS + 1];
    int escapes = 0, top = 0, status = OK;
    for (size_t i = 0; i < n; i++) {
        int shift = shifts ? shifts[i] : 0;
        top = shift > top ? shift : top;
        coder->quotients[i] = (residuals[i] + (1 << shift >> 1)) >> shift;
        escapes |= coder->quotients[i] <= -ESCAPE || coder->quotients[i] >= ESCAPE;
    }
    if (coder->mode == ENCODE) {
        sort_pass(coder, contexts, n, ends);
        for (int c = 0; c < coder->contexts; c++)
            if (ends[c] > first) {
                cumulate(coder->counts + c * SYMBOLS, sums);
                for (; first < ends[c]; first++) {
                    int symbol = clamp_symbol(coder->quotients[coder->order[first]]);
                    status |= push(coder, sums[symbol], sums[symbol + 1] - sums[symbol]);
                }
            }
        for (int bits = 1; bits <= top; bits++)
            for (size_t i = 0; i < n; i++)
                if (shifts[i] == bits) {
                    int32_t low = residuals[i] + (1 << bits >> 1) - coder->quotients[i] * (1 << bits);
                    status |= push_raw(coder, (uint32_t)low, bits);
                }
        if (escapes) {
            for (size_t i = 0; i < n; i++) {
                int32_t excess = abs(coder->quotients[i]) - ESCAPE + 1;
                coder->bits[i] = excess > 0 ? (uint8_t)floor_log2((uint32_t)excess) : 255;
                if (excess > 0) status |= push_raw(coder, coder->bits[i], 4);
            }
            for (int bits = 1; bits < 16; bits++)
                for (size_t i = 0; i < n; i++)
                    if (coder->bits[i] == bits) {
                        int32_t excess = abs(coder->quotients[i]) - ESCAPE + 1;
                        status |= push_raw(coder, (uint32_t)(excess - (1 << bits)), bits);
                    }
        }
    }
    for (size_t i = 0; i < n; i++) coder->counts[contexts[i] * SYMBOLS + clamp_symbol(coder->quotients[i])] += INCREMENT;
    return status;
}

/* Code n residuals, in place. */
int code_pass(Coder *coder, const uint8_t *contexts, const uint8_t *shifts, int32_t *residuals, size_t n) {
    int status = reserve_pass(coder, n);
    if (status || !n) return status;
    if (coder->mode == DECODE) return decode_pass(coder, contexts, shifts, residuals, n);
    return encode_pass(coder, contexts, shifts, residuals, n);
}

/* Code the tape from its end. Returns the number of words, written to `words` from its end backwards; each symbol takes
   at most one word, the state two. */
size_t flush(const Coder *coder, uint8_t *words) {
    uint64_t state = INITIAL_STATE;
    size_t count = 0;
    for (size_t i = coder->tape_length; i--;) {
        uint32_t start = (uint32_t)(coder->tape[i] >> 32), frequency = (uint32_t)coder->tape[i];
        if (state >> (64 - PRECISION) >= frequency) {
            store_word(words + 4 * count++, (uint32_t)state);
            state >>= 32;
        }
        state = (state / frequency) << PRECISION | (state % frequency + start);
    }
    store_word(words + 4 * count++, (uint32_t)state);
    if (state >> 32) store_word(words + 4 * count++, (uint32_t)(state >> 32));
    return count;
}

/* ---- Motion vectors (SPEC.md 7.5) ---------------------------------------------------------------------------- */

static void order2(int32_t *a, int32_t *b) {
    if (*a > *b) {
        int32_t t = *a;
        *a = *b, *b = t;
    }
}

/* Median, and the difference between the fourth and the second of five numbers. */
static int32_t median5(const int16_t *five, int stride, int32_t *spread) {
    int32_t v[5];
    for (int i = 0; i < 5; i++) v[i] = five[i * stride];
    order2(v, v + 1), order2(v + 3, v + 4), order2(v + 2, v + 4), order2(v + 2, v + 3), order2(v, v + 3);
    order2(v, v + 2), order2(v + 1, v + 4), order2(v + 1, v + 3), order2(v + 1, v + 2);
    *spread += v[3] - v[1];
    return v[2];
}

/* Candidates of one vector: `five` are four neighbours and a fifth, (5, 2). Sets the median and both contexts. */
void mv_candidates(const int16_t *five, int adjacent, int offset, int16_t *median, uint8_t *context, uint8_t *size) {
    int32_t spread = 0;
    median[0] = (int16_t)median5(five, 2, &spread);
    median[1] = (int16_t)median5(five + 1, 2, &spread);
    int same = 0, octave = 0;
    for (int i = 0; i < 5; i++) same += five[2 * i] == median[0] && five[2 * i + 1] == median[1];
    if (!spread) same = same > 2 ? same - 2 : 0;
    while (octave < 7 && spread >= 1 << octave) octave++;
    int apart = octave < 3 ? octave : 3;
    *context = (uint8_t)(offset + (adjacent * 4 + apart) * 4 + same);
    *size = (uint8_t)(offset + CHOICE_CONTEXTS + 2 * octave);
}

typedef struct {
    int rows, columns;
    const int16_t *wanted;        /* vectors to encode (cells, 2), or NULL */
    int16_t *vectors, *previous;  /* (cells, 2) */
    int32_t *cells, *residuals;
    int16_t *known;               /* (cells, 5, 2) */
    uint8_t *contexts, *sizes;
} VectorField;

static int code_vector_phase(Coder *coder, VectorField *field, size_t n, const int16_t *medians) {
    size_t fresh = 0;
    int32_t *residuals = field->residuals;
    for (size_t i = 0; field->wanted && i < n; i++) {
        const int16_t *mv = field->wanted + 2 * field->cells[i], *known = field->known + 10 * i;
        residuals[i] = NEWMV;
        if (medians[2 * i] == mv[0] && medians[2 * i + 1] == mv[1]) residuals[i] = 0;
        for (int c = 0; residuals[i] == NEWMV && c < 4; c++)
            if (known[2 * c] == mv[0] && known[2 * c + 1] == mv[1]) {
                residuals[i] = c + 1;
                break;
            }
    }
    int status = code_pass(coder, field->contexts, NULL, residuals, n);
    if (status) return status;
    for (size_t i = 0; i < n; i++) {
        int16_t *mv = field->vectors + 2 * field->cells[i];
        if (residuals[i] < 0 || residuals[i] >= CHOICES) return DAMAGED;
        const int16_t *found = residuals[i] == 0 || residuals[i] == NEWMV ? medians + 2 * i
                                                                        : field->known + 10 * i + 2 * (residuals[i] - 1);
        mv[0] = found[0], mv[1] = found[1];
        if (residuals[i] == NEWMV) field->cells[fresh] = field->cells[i], field->contexts[fresh++] = field->sizes[i];
    }
    for (size_t i = 0; i < fresh; i++) {
        field->contexts[fresh + i] = (uint8_t)(field->contexts[i] + 1);
        for (int axis = 0; field->wanted && axis < 2; axis++) {
            size_t at = 2 * (size_t)field->cells[i] + axis;
            residuals[axis * fresh + i] = (int16_t)(field->wanted[at] - field->vectors[at]);
        }
    }
    status = code_pass(coder, field->contexts, NULL, residuals, 2 * fresh);
    for (size_t i = 0; i < fresh; i++)
        for (int axis = 0; axis < 2; axis++) {
            int16_t *at = field->vectors + 2 * (size_t)field->cells[i] + axis;
            *at = (int16_t)(*at + residuals[axis * fresh + i]);
        }
    return status;
}

/* Code the vectors of a tile, from a coarse grid to finer ones (SPEC.md 7.5.1). */
static int code_vectors(Coder *coder, VectorField *field) {
    static const int corners[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}}, sides[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
    int rows = field->rows, columns = field->columns, status = OK;
    size_t all = (size_t)rows * columns;
    int16_t *medians = malloc(all * 2 * sizeof *medians);
    if (!medians) return NO_MEMORY;
    memcpy(field->previous, field->vectors, all * 2 * sizeof *field->vectors);
    for (int step = 8, phase = 0; step && !status; phase++) {
        /* Phase 0 is the coarse grid; then by turns centres of its squares (odd phases) and of their edges. */
        int centre = phase & 1, half = phase ? step : 1;
        size_t n = 0;
        for (int y = 0; y < rows; y += phase ? half : 8)
            for (int x = 0; x < columns; x += phase ? half : 8) {
                int down = y / step & 1, right = x / step & 1, cell = y * columns + x;
                if (phase && (centre ? !(down && right) : down == right)) continue;
                int16_t *known = field->known + 10 * n;
                for (int i = 0; i < 5; i++) {
                    const int *move = centre ? corners[i & 3] : sides[i & 3];
                    int there = reflect(y, move[0] * step, rows) * columns + reflect(x, move[1] * step, columns);
                    const int16_t *mv = i == 4 || !phase ? field->previous + 2 * cell : field->vectors + 2 * there;
                    known[2 * i] = mv[0], known[2 * i + 1] = mv[1];
                }
                mv_candidates(known, !centre && phase && step == 1, VECTOR_CONTEXT, medians + 2 * n,
                              field->contexts + n, field->sizes + n);
                field->cells[n++] = cell;
            }
        if (n) status = code_vector_phase(coder, field, n, medians);
        if (!centre) step >>= 1;
    }
    free(medians);
    return status;
}

/* ---- Motion compensation of latents (SPEC.md 7.7.2) ----------------------------------------------------------- */

const int32_t TAPS[4][4] = {{0, 16, 0, 0}, {-1, 13, 5, -1}, {-1, 9, 9, -1}, {-1, 5, 13, -1}};

VECTORIZED static void add_row(int32_t *sums, const int8_t *row, int32_t factor) {
    for (int i = 0; i < PATCH * PATCH * 3; i++) sums[i] += factor * row[i];
}

/* Picture of a tile from its latents (cells, 96), with PADDING repeated pixels on each side. If `needed` (cells,) is given,
   only these cells are valid. */
void reconstruct_tile(const int16_t *values, int rows, int columns, const int8_t *basis, const uint8_t *needed, int32_t *samples) {
    int stride = (columns * PATCH + 2 * PADDING) * 3, height = rows * PATCH;
    int32_t sums[PATCH * PATCH * 3];
    for (int cell = 0; cell < rows * columns; cell++) {
        const int16_t *latents = values + (size_t)cell * LATENTS;
        if (needed && !needed[cell]) continue;
        memset(sums, 0, sizeof sums);
        for (int c = 0; c < LATENTS; c++)
            if (latents[c]) add_row(sums, basis + c * PATCH * PATCH * 3, latents[c]);
        for (int y = 0; y < PATCH; y++) {
            size_t line = (size_t)(cell / columns * PATCH + y + PADDING) * stride;
            int32_t *out = samples + line + (size_t)(cell % columns * PATCH + PADDING) * 3;
            for (int x = 0; x < PATCH * 3; x++) {
                int32_t sample = (sums[y * PATCH * 3 + x] + SAMPLE_DIVISOR / 2) >> 4;
                out[x] = sample > MAX_SAMPLE ? MAX_SAMPLE : sample < -MAX_SAMPLE ? -MAX_SAMPLE : sample;
            }
        }
    }
    for (int y = PADDING; y < height + PADDING; y++) {
        int32_t *line = samples + (size_t)y * stride, *last = line + stride - PADDING * 3 - 3;
        for (int x = 0; x < PADDING; x++) {
            memcpy(line + 3 * x, line + 3 * PADDING, 3 * sizeof *line);
            memcpy(last + 3 * (x + 1), last, 3 * sizeof *line);
        }
    }
    int32_t *top = samples + (size_t)PADDING * stride, *bottom = samples + (size_t)(height + PADDING - 1) * stride;
    for (int y = 0; y < PADDING; y++) {
        memcpy(samples + (size_t)y * stride, top, stride * sizeof *samples);
        memcpy(bottom + (size_t)(y + 1) * stride, bottom, stride * sizeof *samples);
    }
}

VECTORIZED static int32_t short_product(const int32_t *block, const int8_t *row) {
    int32_t sum = 0;
    for (int i = 0; i < PATCH * PATCH * 3; i++) sum += block[i] * row[i];
    return sum;
}

VECTORIZED static int64_t long_product(const int32_t *block, const int8_t *row) {
    int64_t sum = 0;
    for (int i = 0; i < PATCH * PATCH * 3; i++) sum += (int64_t)block[i] * row[i];
    return sum;
}

VECTORIZED static void filter_block(const int32_t *window, int stride, const int32_t *down, const int32_t *right, int32_t *block) {
    int32_t tall[PATCH][(PATCH + 3) * 3];
    for (int y = 0; y < PATCH; y++)
        for (int x = 0; x < (PATCH + 3) * 3; x++) {
            const int32_t *at = window + (size_t)y * stride + x;
            tall[y][x] = at[0] * down[0] + at[stride] * down[1] + at[2 * stride] * down[2] + at[3 * stride] * down[3];
        }
    for (int y = 0; y < PATCH; y++)
        for (int x = 0; x < PATCH * 3; x++)
            block[y * PATCH * 3 + x] = tall[y][x] * right[0] + tall[y][x + 3] * right[1] + tall[y][x + 6] * right[2] +
                                       tall[y][x + 9] * right[3];
}

/* Top left of the window that a vector needs, in the padded picture: first pixel of 19, down and right. */
static void window_corner(int rows, int columns, int cell, const int16_t *vector, int *top, int *left) {
    *top = clip_int(cell / columns * PATCH + (vector[0] >> 2) + PADDING - 1, 0, rows * PATCH + 2 * PADDING - PATCH - 3);
    *left = clip_int(cell % columns * PATCH + (vector[1] >> 2) + PADDING - 1, 0, columns * PATCH + 2 * PADDING - PATCH - 3);
}

/* Mark the cells that a window touches. */
static void mark_cells(int rows, int columns, int top, int left, uint8_t *needed) {
    int y0 = clip_int(top - PADDING, 0, rows * PATCH - 1) / PATCH, x0 = clip_int(left - PADDING, 0, columns * PATCH - 1) / PATCH;
    int y1 = clip_int(top - PADDING + PATCH + 2, 0, rows * PATCH - 1) / PATCH;
    int x1 = clip_int(left - PADDING + PATCH + 2, 0, columns * PATCH - 1) / PATCH;
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) needed[y * columns + x] = 1;
}

/* Motion-compensated latents of one cell. */
void compensate_cell(const int32_t *samples, int rows, int columns, int cell, const int16_t *vector, const int8_t *basis,
                     int16_t *out) {
    int width = columns * PATCH + 2 * PADDING, top, left;
    window_corner(rows, columns, cell, vector, &top, &left);
    int32_t block[PATCH * PATCH * 3], largest = 0;
    filter_block(samples + ((size_t)top * width + left) * 3, width * 3, TAPS[vector[0] & 3], TAPS[vector[1] & 3], block);
    for (int i = 0; i < PATCH * PATCH * 3; i++) largest = abs(block[i]) > largest ? abs(block[i]) : largest;
    for (int c = 0; c < LATENTS; c++) {
        const int8_t *row = basis + c * PATCH * PATCH * 3;
        /* Rows have a norm of 896, so their magnitudes sum to at most 24 900: below this limit a sum fits 32 bits. */
        int64_t sum = largest < 1 << 16 ? short_product(block, row) : long_product(block, row);
        sum += RESULT_SCALE / 2;
        int64_t rounded = sum >= 0 ? sum / RESULT_SCALE : -((-sum + RESULT_SCALE - 1) / RESULT_SCALE);
        out[c] = (int16_t)clip_int(rounded, -32768, 32767);
    }
}

int compensate_tile(const int16_t *values, const int16_t *vectors, int rows, int columns, const int8_t *basis, int16_t *out) {
    size_t cells = (size_t)rows * columns, moving = 0;
    memcpy(out, values, cells * LATENTS * sizeof *out);
    for (size_t i = 0; i < cells; i++) moving += vectors[2 * i] || vectors[2 * i + 1];
    if (!moving) return OK;
    uint8_t *needed = calloc(cells, 1);
    int32_t *samples = calloc(3 * (size_t)(rows * PATCH + 2 * PADDING) * (columns * PATCH + 2 * PADDING), sizeof *samples);
    int status = needed && samples ? OK : NO_MEMORY;
    for (size_t i = 0; !status && i < cells; i++)
        if (vectors[2 * i] || vectors[2 * i + 1]) {
            int top, left;
            window_corner(rows, columns, (int)i, vectors + 2 * i, &top, &left);
            mark_cells(rows, columns, top, left, needed);
        }
    if (!status) reconstruct_tile(values, rows, columns, basis, needed, samples);
    for (size_t i = 0; !status && i < cells; i++)
        if (vectors[2 * i] || vectors[2 * i + 1])
            compensate_cell(samples, rows, columns, (int)i, vectors + 2 * i, basis, out + i * LATENTS);
    free(needed), free(samples);
    return status;
}

/* ---- Latents (SPEC.md 7.6) ------------------------------------------------------------------------------------ */

typedef struct {
    size_t first, cells, even;
    int32_t *order;      /* (cells,) raster number relative to `first`, in coding order: even cells first */
    int32_t *neighbours; /* (odd cells, 4) positions in coding order; `cells` if a neighbour does not exist */
    int32_t *count;      /* (odd cells,) number of neighbours, at least 1 */
} Band;

typedef struct {
    Coder *coder;
    const Latents *in;
    Band *bands;
    size_t band_count, largest;
    int64_t means[MAX_CHANNELS];
    int group_count, starts[MAX_CHANNELS / 32 + 9];
    /* Work arrays of one band. Numbers are (groups, cells, channels); activities are (2, cells). */
    int32_t *values, *prediction, *size, *change; /* size: magnitude of the prediction */
    int32_t *near_sum, *far_sum, *past_sum;
    int32_t *residuals, *guesses, zeros[MAX_GROUP];
    uint8_t *contexts, *shifts;
    int16_t *predicted, *earlier; /* (cells, C): predictions of this and of the previous kept frame, raster order */
} Work;

static int build_band(Band *band, size_t line, size_t height, int rows, int columns) {
    band->first = line * columns, band->cells = height * columns, band->even = 0;
    band->order = malloc(band->cells * sizeof *band->order);
    int32_t *place = malloc(band->cells * sizeof *place);
    for (int parity = 0, n = 0; band->order && place && parity < 2; parity++) {
        for (size_t i = 0; i < band->cells; i++)
            if ((int)(((line + i / columns) % rows + i % columns) & 1) == parity) band->order[n] = (int32_t)i, place[i] = n++;
        if (!parity) band->even = n;
    }
    size_t odd = band->cells - band->even;
    band->neighbours = malloc((odd ? odd : 1) * 4 * sizeof *band->neighbours);
    band->count = malloc((odd ? odd : 1) * sizeof *band->count);
    if (!band->order || !place || !band->neighbours || !band->count) {
        free(place);
        return NO_MEMORY;
    }
    for (size_t i = 0; i < odd; i++) {
        size_t cell = band->order[band->even + i], y = cell / columns, x = cell % columns, row = (line + y) % rows;
        int exists[4] = {row > 0 && y > 0, x > 0, x + 1 < (size_t)columns, row + 1 < (size_t)rows && y + 1 < height};
        long step[4] = {-columns, -1, 1, columns};
        int count = 0;
        for (int side = 0; side < 4; side++) {
            band->neighbours[4 * i + side] = exists[side] ? place[(long)cell + step[side]] : (int32_t)band->cells;
            count += exists[side];
        }
        band->count[i] = count ? count : 1;
    }
    free(place);
    return OK;
}

/* Numbers are stored by group, then cell, then channel: a pass reads and writes one piece of memory. */
static size_t place_of(const Band *band, int first, int n, size_t cell) { return first * band->cells + cell * n; }

VECTORIZED static void gather(const Work *work, const Band *band, const int16_t *frame, int32_t *out) {
    for (int g = 0; g < work->group_count; g++) {
        int first = work->starts[g], n = work->starts[g + 1] - first;
        for (size_t i = 0; i < band->cells; i++, out += n) {
            const int16_t *cell = frame + (band->first + band->order[i]) * work->in->channels + first;
            for (int c = 0; c < n; c++) out[c] = cell[c];
        }
    }
}

static void scatter(const Work *work, const Band *band, const int32_t *values, int16_t *frame) {
    for (int g = 0; g < work->group_count; g++) {
        int first = work->starts[g], n = work->starts[g + 1] - first;
        for (size_t i = 0; i < band->cells; i++, values += n) {
            int16_t *cell = frame + (band->first + band->order[i]) * work->in->channels + first;
            for (int c = 0; c < n; c++) cell[c] = (int16_t)values[c];
        }
    }
}

/* Cost in bits of a frequency, from a table of log2: exact in float32. */
static float bits_of(const Latents *in, uint32_t frequency) {
    int octave = floor_log2(frequency);
    uint32_t part = octave >= LOG_BITS ? frequency >> (octave - LOG_BITS) : frequency << (LOG_BITS - octave);
    return (float)(PRECISION - octave) - in->logs[part & ((1 << LOG_BITS) - 1)];
}

/* Costs of two adjacent integers at each place of a pass. */
static void price_pass(Work *work, const Band *band, int k, int first, int last, size_t begin, size_t end) {
    const Latents *in = work->in;
    size_t total = in->kept * in->cells * in->channels, n = 0;
    float table[256][SYMBOLS];
    uint8_t known[256] = {0};
    for (size_t i = begin; i < end; i++)
        for (int c = first; c < last; c++, n++) {
            size_t at = (k * in->cells + band->first + band->order[i]) * in->channels + c;
            int context = work->contexts[n], shift = work->shifts[n];
            if (!known[context]) {
                uint32_t sums[SYMBOLS + 1];
                cumulate(work->coder->counts + context * SYMBOLS, sums);
                for (int s = 0; s < SYMBOLS; s++) table[context][s] = bits_of(in, sums[s + 1] - sums[s]);
                known[context] = 1;
            }
            for (int more = 0; more < 2; more++) {
                int32_t residual = in->lower[at] + more - work->guesses[n];
                if (k && work->prediction[place_of(band, first, last - first, i) + c - first] < 0) residual = -residual;
                int32_t quotient = (residual + (1 << shift >> 1)) >> shift, excess = abs(quotient) - ESCAPE + 1;
                int escape = excess > 0 ? 4 + floor_log2((uint32_t)excess) : 0;
                in->prices[more * total + at] = table[context][clamp_symbol(quotient)] + (float)(shift + escape);
            }
        }
}

typedef struct {
    int64_t near, far, own; /* sums of means: of the previous group, of all earlier groups, of this group */
} GroupMeans;

/* Expected magnitudes (1/256) of the residuals of one cell and group by one kind. */
static inline void scales_of(const int32_t *means, const int32_t *own, const int32_t *beside, const int32_t *w, int32_t activity,
                             int n, int32_t *out) {
    for (int c = 0; c < n; c++) out[c] = (activity * means[c] >> 8) + w[5] * own[c] + w[6] * beside[c] + w[7];
}

/* Buckets of the context and numbers of bypass-coded bits. A float32 holds floor(log2) and the two bits after it. */
static inline void buckets_of(const int32_t *scales, int n, uint8_t *contexts, uint8_t *shifts) {
    for (int c = 0; c < n; c++) {
        union {
            float number;
            int32_t bits;
        } scale = {.number = (float)(scales[c] < MAX_MEAN ? scales[c] : MAX_MEAN)};
        int32_t bucket = (scale.bits >> 21) - 4 * (127 + 3), shift = (scale.bits >> 23) - 127 - 9;
        contexts[c] = (uint8_t)(bucket < 0 ? 0 : bucket < BUCKETS ? bucket : BUCKETS - 4 + (bucket & 3));
        shifts[c] = (uint8_t)(shift > 0 ? shift : 0);
    }
}

/* Magnitudes of the neighbours of an odd cell: sums by channel in `beside`, their sum as the result. */
static inline int32_t sum_neighbours(const Work *work, const Band *band, const int32_t *near, int cells, int kind, int first, int n, int32_t *beside) {
    int32_t sum = 0;
    memset(beside, 0, n * sizeof *beside);
    for (int side = 0; side < 4; side++)
        if (near[side] < cells) {
            size_t at = place_of(band, first, n, near[side]);
            const int32_t *values = work->values + at, *prediction = work->prediction + at;
            for (int c = 0; c < n; c++) beside[c] += abs(values[c] - (kind ? prediction[c] : 0));
        }
    for (int c = 0; c < n; c++) sum += beside[c];
    return sum;
}

/* Mean of the neighbours of an odd cell, rounded half up. */
static inline void neighbour_means(const Work *work, const Band *band, const int32_t *near, int cells, int count, int first, int n, int32_t *out) {
    for (int c = 0; c < n; c++) {
        int32_t sum = 0, bottom = 2 * count;
        for (int side = 0; side < 4; side++)
            if (near[side] < cells) sum += work->values[place_of(band, first, n, near[side]) + c];
        int32_t top = 2 * sum + count;
        out[c] = top >= 0 ? top / bottom : -((-top + bottom - 1) / bottom);
    }
}

/* floor(a / b) for 0 <= a < 2^53, with the reciprocal of b: several times faster than a division of 64 bits. */
static inline int64_t quotient_of(int64_t a, int64_t b, double reciprocal) {
    int64_t q = (int64_t)((double)a * reciprocal), rest = a - q * b;
    return rest < 0 ? q - 1 : rest >= b ? q + 1 : q;
}

VECTORIZED static int prepare_pass(Work *work, const Band *band, int k, int group, int phase, const GroupMeans *sums, size_t begin,
                                   size_t end) {
    const Latents *in = work->in;
    int first = work->starts[group], n = work->starts[group + 1] - first, large = 0, cells = (int)band->cells;
    const int32_t *weights = in->weights + (((group > 0) * 2 + (k > 0)) * 2 + phase) * 2 * WEIGHTS;
    uint8_t *contexts = work->contexts, *shifts = work->shifts;
    int32_t *guesses = work->guesses, means[MAX_GROUP];
    double per_near = 1.0 / (double)sums->near, per_far = 1.0 / (double)sums->far, per_own = 1.0 / (double)sums->own;
    for (int c = 0; c < n; c++) means[c] = (int32_t)work->means[first + c];
    for (size_t i = begin; i < end; i++, contexts += n, shifts += n, guesses += n) {
        int32_t beside[MAX_GROUP] = {0}, scale[2][MAX_GROUP];
        const int32_t *near = band->neighbours + 4 * (i - band->even);
        const int32_t *prediction = work->prediction + place_of(band, first, n, i);
        int count = phase ? band->count[i - band->even] : 1;
        for (int kind = 0; kind < (k ? 2 : 1); kind++) {
            const int32_t *w = weights + kind * WEIGHTS;
            int64_t activity = w[0];
            if (w[1]) activity += quotient_of((int64_t)w[1] * 256 * work->near_sum[kind * cells + i], sums->near, per_near);
            if (w[2]) activity += quotient_of((int64_t)w[2] * 256 * work->far_sum[kind * cells + i], sums->far, per_far);
            if (k) {
                int64_t past = work->past_sum[(kind * work->group_count + group) * cells + i];
                activity += quotient_of((int64_t)w[3] * 256 * past, sums->own, per_own);
            }
            if (phase) {
                int64_t around = sum_neighbours(work, band, near, cells, kind, first, n, beside);
                activity += quotient_of((int64_t)w[4] * 256 * around, sums->own * count, 1.0 / (double)(sums->own * count));
            }
            const int32_t *own = k ? (kind ? work->change : work->size) + place_of(band, first, n, i) : work->zeros;
            scales_of(means, own, beside, w, (int32_t)(activity < MAX_ACTIVITY ? activity : MAX_ACTIVITY), n, scale[kind]);
        }
        if (phase && !group)
            neighbour_means(work, band, near, cells, count, first, n, guesses);
        else
            memset(guesses, 0, n * sizeof *guesses);
        int32_t fixed[MAX_GROUP] = {0};
        for (int c = 0; k && c < n; c++) {
            int32_t is_static = scale[1][c] < scale[0][c];
            scale[0][c] = is_static ? scale[1][c] : scale[0][c];
            guesses[c] = is_static ? prediction[c] : guesses[c];
            fixed[c] = 2 * BUCKETS * is_static + BUCKETS * (prediction[c] != 0);
        }
        buckets_of(scale[0], n, contexts, shifts);
        for (int c = 0; c < n; c++) contexts[c] = (uint8_t)(contexts[c] + fixed[c]), large |= shifts[c];
    }
    return large;
}

static int code_latent_pass(Work *work, const Band *band, int k, int group, int phase, GroupMeans sums, size_t begin, size_t end) {
    const Latents *in = work->in;
    int first = work->starts[group], last = work->starts[group + 1], encoding = in->mode != DECODE;
    int large = prepare_pass(work, band, k, group, phase, &sums, begin, end);
    size_t n = (end - begin) * (last - first), start = place_of(band, first, last - first, begin);
    int32_t *values = work->values + start;
    const int32_t *prediction = work->prediction + start; /* all zero for the first kept frame */
    for (size_t i = 0; encoding && i < n; i++) {
        int32_t residual = values[i] - work->guesses[i];
        work->residuals[i] = (int16_t)(prediction[i] < 0 ? -residual : residual);
    }
    if (in->mode == PRICE) price_pass(work, band, k, first, last, begin, end);
    int status = code_pass(work->coder, work->contexts, large ? work->shifts : NULL, work->residuals, n);
    for (size_t i = 0; !encoding && !status && i < n; i++)
        values[i] = (int16_t)(work->guesses[i] + (prediction[i] < 0 ? -work->residuals[i] : work->residuals[i]));
    return status;
}

/* Sums of magnitudes of a coded group: by cell, and with weights that halve from group to group. */
VECTORIZED static void sum_group(Work *work, size_t cells, int kinds, int first, int n) {
    for (int kind = 0; kind < kinds; kind++)
        for (size_t i = 0; i < cells; i++) {
            const int32_t *values = work->values + first * cells + i * n, *prediction = work->prediction + first * cells + i * n;
            int32_t sum = 0;
            for (int c = 0; c < n; c++) sum += abs(values[c] - (kind ? prediction[c] : 0));
            work->near_sum[kind * cells + i] = sum;
            work->far_sum[kind * cells + i] = (work->far_sum[kind * cells + i] >> 1) + sum;
        }
}

/* Magnitudes of the prediction and of the change in the previous kept frame, and their sums over groups. `change` holds
   that frame, `size` its prediction if it has one. */
VECTORIZED static void sum_reference(Work *work, const Band *band, int predicted) {
    for (int g = 0; g < work->group_count; g++) {
        int first = work->starts[g], n = work->starts[g + 1] - first;
        for (size_t i = 0; i < band->cells; i++) {
            size_t at = first * band->cells + i * n;
            int32_t size = 0, change = 0;
            for (int c = 0; c < n; c++) {
                change += work->change[at + c] = abs(work->change[at + c] - (predicted ? work->size[at + c] : 0));
                size += work->size[at + c] = abs(work->prediction[at + c]);
            }
            work->past_sum[g * band->cells + i] = size;
            work->past_sum[(work->group_count + g) * band->cells + i] = change;
        }
    }
}

static int code_band(Work *work, const Band *band, int k) {
    const Latents *in = work->in;
    size_t cells = band->cells, frame = in->cells * in->channels;
    GroupMeans sums = {1, 1, 0};
    int status = OK;
    memset(work->near_sum, 0, 2 * cells * sizeof *work->near_sum);
    memset(work->far_sum, 0, 2 * cells * sizeof *work->far_sum);
    if (in->mode != DECODE) gather(work, band, in->values + k * frame, work->values);
    if (k) {
        gather(work, band, work->predicted, work->prediction);
        gather(work, band, in->values + (k - 1) * frame, work->change);
        if (k > 1) gather(work, band, work->earlier, work->size);
        sum_reference(work, band, k > 1);
    }
    for (int g = 0; g < work->group_count && !status; g++) {
        int two = g < TWO_PHASE_GROUPS;
        sums.own = 0;
        for (int c = work->starts[g]; c < work->starts[g + 1]; c++) sums.own += work->means[c];
        if (!two || band->even) status = code_latent_pass(work, band, k, g, 0, sums, 0, two ? band->even : cells);
        if (two && band->even < cells && !status) status = code_latent_pass(work, band, k, g, 1, sums, band->even, cells);
        sum_group(work, cells, k ? 2 : 1, work->starts[g], work->starts[g + 1] - work->starts[g]);
        sums.near = sums.own;
        sums.far = (g ? sums.far >> 1 : 0) + sums.own;
    }
    if (in->mode == DECODE && !status) scatter(work, band, work->values, in->values + k * frame);
    return status;
}

VECTORIZED static void mean_of(const Latents *in, int k, int64_t *means) {
    int32_t part[MAX_CHANNELS];
    memset(means, 0, in->channels * sizeof *means);
    for (size_t first = 0; first < in->cells; first += BAND_CELLS) { /* a part fits 32 bits */
        size_t end = in->cells - first < BAND_CELLS ? in->cells : first + BAND_CELLS;
        memset(part, 0, in->channels * sizeof *part);
        for (size_t i = first; i < end; i++) {
            const int16_t *cell = in->values + (k * in->cells + i) * in->channels;
            for (int c = 0; c < in->channels; c++) part[c] += abs(cell[c]);
        }
        for (int c = 0; c < in->channels; c++) means[c] += part[c];
    }
    for (int c = 0; c < in->channels; c++) {
        int64_t mean = means[c] * 256 / (int64_t)in->cells;
        means[c] = mean < 2 ? 2 : mean > MAX_MEAN ? MAX_MEAN : mean;
    }
}

static int64_t mean_level(int number) { return (int64_t)(2 + (number & 1)) << (number >> 1); }

static int code_means(Work *work) {
    const Latents *in = work->in;
    int before = 0;
    memset(work->contexts, MEAN_CONTEXT, in->channels);
    if (in->mode != DECODE) mean_of(in, 0, work->means);
    for (int c = 0; in->mode != DECODE && c < in->channels; c++) {
        int best = 0;
        for (int i = 1; i < MEAN_LEVELS; i++)
            if (llabs(mean_level(i) - work->means[c]) < llabs(mean_level(best) - work->means[c])) best = i;
        work->residuals[c] = best - before, before = best;
    }
    int status = code_pass(work->coder, work->contexts, NULL, work->residuals, in->channels);
    before = 0;
    for (int c = 0; !status && c < in->channels; c++) {
        before += work->residuals[c]; /* at most 65 551 each: no overflow within MAX_CHANNELS */
        if (before < 0 || before >= MEAN_LEVELS) return DAMAGED;
        work->means[c] = mean_level(before);
    }
    return status;
}

/* Code the vectors of a kept frame and predict it from the previous one. */
static int predict(Work *work, VectorField *field, int16_t *vectors, int k) {
    const Latents *in = work->in;
    const int16_t *before = in->values + (size_t)(k - 1) * in->cells * in->channels;
    size_t cells = (size_t)in->rows * in->columns;
    int status = OK;
    if (!in->inter) memcpy(work->predicted, before, in->cells * in->channels * sizeof *before);
    for (size_t first = 0; in->inter && first < in->cells && !status; first += cells) {
        field->vectors = vectors + 2 * first;
        field->wanted = in->mvs ? in->mvs + 2 * (k * in->cells + first) : NULL;
        status = code_vectors(work->coder, field);
    }
    for (size_t first = 0; in->inter && first < in->cells && !status; first += cells)
        status = compensate_tile(before + first * LATENTS, vectors + 2 * first, in->rows, in->columns, in->basis,
                                 work->predicted + first * LATENTS);
    return status;
}

static int code_frames(Work *work, VectorField *field, int16_t *vectors) {
    const Latents *in = work->in;
    int64_t means[MAX_CHANNELS];
    int status = code_means(work);
    for (int k = 0; k < in->kept && !status; k++) {
        int16_t *swap = work->earlier;
        work->earlier = work->predicted, work->predicted = swap;
        if (k) status = predict(work, field, vectors, k);
        for (size_t b = 0; b < work->band_count && !status; b++) status = code_band(work, work->bands + b, k);
        if (status) break;
        mean_of(in, k, means);
        for (int c = 0; c < in->channels; c++) work->means[c] = k ? (5 * work->means[c] + 3 * means[c]) >> 3 : means[c];
    }
    if (!status && in->mode == DECODE && (work->coder->words_left || work->coder->state != INITIAL_STATE)) status = DAMAGED;
    return status;
}

static int prepare(Work *work) {
    const Latents *in = work->in;
    static const int edges[] = {0, 2, 6, 12, 20, 32, 48};
    for (size_t i = 0; i < sizeof edges / sizeof *edges && edges[i] < in->channels; i++) work->starts[work->group_count++] = edges[i];
    for (int start = 64; start < in->channels; start += 32) work->starts[work->group_count++] = start;
    work->starts[work->group_count] = in->channels;
    size_t lines = in->cells / in->columns, height = BAND_CELLS / in->columns > 1 ? BAND_CELLS / in->columns : 1;
    work->bands = calloc((lines + height - 1) / height, sizeof *work->bands);
    if (!work->bands) return NO_MEMORY;
    for (size_t line = 0; line < lines; line += height) {
        Band *band = work->bands + work->band_count++;
        if (build_band(band, line, lines - line < height ? lines - line : height, in->rows, in->columns)) return NO_MEMORY;
        if (band->cells > work->largest) work->largest = band->cells;
    }
    return OK;
}

int code_latents(Coder *coder, const Latents *in) {
    Work work = {.coder = coder, .in = in};
    int status = prepare(&work);
    size_t cells = in->cells, tile = (size_t)in->rows * in->columns, part = work.largest * MAX_GROUP;
    size_t most = part > (size_t)in->channels ? part : (size_t)in->channels; /* of residuals in a pass */
    work.values = calloc(work.largest * in->channels, sizeof *work.values);
    work.prediction = calloc(work.largest * in->channels, sizeof *work.prediction);
    work.size = calloc(work.largest * in->channels, sizeof *work.size);
    work.change = calloc(work.largest * in->channels, sizeof *work.change);
    work.near_sum = calloc(work.largest * 2, sizeof *work.near_sum);
    work.far_sum = calloc(work.largest * 2, sizeof *work.far_sum);
    work.past_sum = calloc(work.largest * 2 * (work.group_count + 1), sizeof *work.past_sum);
    work.residuals = calloc(most, sizeof *work.residuals);
    work.guesses = calloc(most, sizeof *work.guesses);
    work.contexts = calloc(most, 1);
    work.shifts = calloc(most, 1);
    int16_t *predicted = calloc(cells * in->channels, sizeof *predicted), *earlier = calloc(cells * in->channels, sizeof *earlier);
    work.predicted = predicted, work.earlier = earlier;
    VectorField field = {.rows = in->rows, .columns = in->columns};
    int16_t *vectors = calloc(cells * 2, sizeof *vectors);
    field.previous = calloc(tile * 2, sizeof *field.previous);
    field.cells = calloc(tile, sizeof *field.cells);
    field.residuals = calloc(tile * 2, sizeof *field.residuals);
    field.known = calloc(tile * 10, sizeof *field.known);
    field.contexts = calloc(tile * 2, 1);
    field.sizes = calloc(tile, 1);
    if (!work.values || !work.prediction || !work.size || !work.change || !work.near_sum || !work.far_sum || !work.past_sum || !work.residuals ||
        !work.guesses || !work.contexts || !work.shifts || !predicted || !earlier || !vectors || !field.previous ||
        !field.cells || !field.residuals || !field.known || !field.contexts || !field.sizes)
        status = NO_MEMORY;
    if (!status) status = code_frames(&work, &field, vectors);
    free(field.previous), free(field.cells), free(field.residuals), free(field.known), free(field.contexts), free(field.sizes);
    free(vectors), free(predicted), free(earlier);
    free(work.values), free(work.prediction), free(work.size), free(work.change), free(work.near_sum), free(work.far_sum), free(work.past_sum);
    free(work.residuals), free(work.guesses), free(work.contexts), free(work.shifts);
    for (size_t b = 0; b < work.band_count; b++)
        free(work.bands[b].order), free(work.bands[b].neighbours), free(work.bands[b].count);
    free(work.bands);
    return status;
}
