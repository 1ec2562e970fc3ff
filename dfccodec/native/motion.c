/* Motion search and overlapped block motion compensation of dropped frames (SPEC.md 7.8).

   The NumPy twins are codec/motion/search.py and codec/motion/obmc.py. The search is in integers, the compensation in
   float32 without contraction, operation by operation as in the twin, so both give the same numbers. */

#include "motion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Squared errors of windows -------------------------------------------------------------------------------- */

enum { WIDEST = 16 };

/* The samples of a window: at `one`, or the mean of `one` and `two`, or interpolated linearly. */
typedef struct {
    const int16_t *one, *two;
    size_t stride;
    int phase;
} Window;

enum { WHOLE, HALF_RIGHT, HALF_DOWN, HALF_BOTH, MEAN };

/* Samples of a level at half pixels (0 to 2) from a position. */
static const int16_t *half_at(const Level *level, size_t at, int down, int right) {
    return level->samples + ((down & 1) * 2 + (right & 1)) * level->plane + at + ((size_t)(down >> 1) * level->width + (right >> 1)) * 2;
}

/* Quarter pixels are means of two samples at half pixels: the nearest two, on a diagonal those with one whole coordinate. */
static void quarter_at(const Level *level, size_t at, int down, int right, Window *out) {
    if (down & right & 1) {
        out->one = half_at(level, at, down == 3 ? 2 : 0, 1), out->two = half_at(level, at, 1, right == 3 ? 2 : 0);
    } else {
        out->one = half_at(level, at, down >> 1, right >> 1), out->two = half_at(level, at, (down + 1) >> 1, (right + 1) >> 1);
    }
    out->phase = (down | right) & 1 ? MEAN : WHOLE;
}

/* The window of a block in a level, displaced by a vector; outside of the picture, not farther than its padding goes. */
static Window window_at(const Level *level, int cell, const int32_t *vector) {
    int first = level->edge - (level->wide - level->block) / 2, limit = level->edge - level->wide, bits = level->subpel / 2;
    int y = cell / level->columns * level->block, x = cell % level->columns * level->block, down = 0, right = 0;
    if (vector) {
        y = clip_int(y + (vector[0] >> bits), -limit, (level->rows - 1) * level->block + limit - 1);
        x = clip_int(x + (vector[1] >> bits), -limit, (level->columns - 1) * level->block + limit - 1);
        down = vector[0] & (level->subpel - 1), right = vector[1] & (level->subpel - 1);
    }
    size_t at = ((size_t)(y + first) * level->width + x + first) * 2;
    Window out = {.stride = 2 * (size_t)level->width};
    if (level->subpel == 4)
        quarter_at(level, at, down, right, &out);
    else if (level->plane)
        out.one = out.two = half_at(level, at, down, right);
    else
        out.one = out.two = level->samples + at, out.phase = down * 2 + right;
    return out;
}

INLINE int sample_at(const int16_t *one, const int16_t *two, size_t stride, int phase) {
    if (phase == HALF_RIGHT) return (one[0] + one[2] + 1) >> 1;
    if (phase == HALF_DOWN) return (one[0] + one[stride] + 1) >> 1;
    if (phase == HALF_BOTH) return (one[0] + one[2] + one[stride] + one[stride + 2] + 2) >> 2;
    if (phase == MEAN) return (one[0] + two[0] + 1) >> 1;
    return one[0];
}

/* Weighted squared error of two lines of n samples: differences times weights fit 16 bits. */
INLINE int32_t line_error(const int16_t *a, const int16_t *one, const int16_t *two, size_t stride, int phase, int n, const int16_t *weights) {
    int32_t sum = 0;
    for (int x = 0; x < n; x++) {
        int16_t d = (int16_t)(a[x] - sample_at(one + x, two + x, stride, phase)), e = (int16_t)(d * weights[x]);
        sum += (int32_t)d * e;
    }
    return sum;
}

/* A window's lines come from the middle outwards, where the weights are largest, until the error reaches the limit. */
INLINE int64_t lines_error(const int16_t *a, size_t a_stride, const Window *b, int phase, int wide, const int16_t *weights, int64_t limit) {
    int64_t total = 0;
    for (int y = wide / 2; y < wide && total < limit; y++) {
        size_t low = (size_t)y, high = (size_t)(wide - 1 - y), from = low * b->stride, to = high * b->stride;
        total += (int64_t)line_error(a + low * a_stride, b->one + from, b->two + from, b->stride, phase, 2 * wide, weights) * weights[2 * low];
        if (low != high)
            total += (int64_t)line_error(a + high * a_stride, b->one + to, b->two + to, b->stride, phase, 2 * wide, weights) * weights[2 * high];
    }
    return total;
}

/* Weighted squared error of a window from another one. A result of `limit` or more is only a lower bound. */
VECTORIZED static int64_t window_error(const int16_t *a, size_t a_stride, const Window *b, int wide, const int16_t *weights, int64_t limit) {
    if (wide == 16 && b->phase == WHOLE) return lines_error(a, a_stride, b, WHOLE, 16, weights, limit);
    if (wide == 16 && b->phase == HALF_RIGHT) return lines_error(a, a_stride, b, HALF_RIGHT, 16, weights, limit);
    if (wide == 16 && b->phase == HALF_DOWN) return lines_error(a, a_stride, b, HALF_DOWN, 16, weights, limit);
    if (wide == 16 && b->phase == HALF_BOTH) return lines_error(a, a_stride, b, HALF_BOTH, 16, weights, limit);
    if (wide == 16 && b->phase == MEAN) return lines_error(a, a_stride, b, MEAN, 16, weights, limit);
    if (wide == 8 && b->phase == WHOLE) return lines_error(a, a_stride, b, WHOLE, 8, weights, limit);
    return lines_error(a, a_stride, b, b->phase, wide, weights, limit);
}

/* Weighted squared error of a block at a vector. A result of `limit` or more is only a lower bound. */
int64_t block_error(const Level *now, const Level *then, int cell, const int32_t *vector, int64_t limit) {
    Window target = window_at(now, cell, NULL), source = window_at(then, cell, vector);
    return window_error(target.one, target.stride, &source, then->wide, then->weights, limit);
}

INLINE void add_samples(const Window *from, int phase, int wide, int16_t *restrict sums) {
    for (int y = 0; y < wide; y++)
        for (int x = 0; x < 2 * wide; x++) {
            size_t at = y * from->stride + x;
            sums[y * 2 * wide + x] = (int16_t)(sums[y * 2 * wide + x] + sample_at(from->one + at, from->two + at, from->stride, phase));
        }
}

/* Add the samples of a window, (wide, wide, 2). */
VECTORIZED static void add_window(const Window *from, int wide, int16_t *sums) {
    if (wide == 16 && from->phase == WHOLE) add_samples(from, WHOLE, 16, sums);
    else if (wide == 16 && from->phase == HALF_RIGHT) add_samples(from, HALF_RIGHT, 16, sums);
    else if (wide == 16 && from->phase == HALF_DOWN) add_samples(from, HALF_DOWN, 16, sums);
    else if (wide == 16 && from->phase == HALF_BOTH) add_samples(from, HALF_BOTH, 16, sums);
    else if (wide == 16) add_samples(from, MEAN, 16, sums);
    else add_samples(from, from->phase, wide, sums);
}

/* sums = (sums · (32 − weight) + other · weight) / 32 */
VECTORIZED static void weigh(int16_t *sums, const int16_t *other, int weight, int n) {
    for (int i = 0; i < n; i++) sums[i] = (int16_t)((sums[i] * (32 - weight) + other[i] * weight) >> 5);
}

/* Weighted squared error of a block from the mean of two references, the second with a weight in 1 / 32. */
static int64_t mean_error(const Level *now, const Level *past, const int32_t *past_vector, const Level *future,
                          const int32_t *future_vector, int weight, int cell) {
    int16_t sums[2 * WIDEST * WIDEST] = {0}, second[2 * WIDEST * WIDEST];
    int wide = past->wide;
    Window target = window_at(now, cell, NULL), one = window_at(past, cell, past_vector), other = window_at(future, cell, future_vector);
    add_window(&one, wide, sums);
    if (weight == 16) {
        add_window(&other, wide, sums);
        for (int i = 0; i < 2 * wide * wide; i++) sums[i] = (int16_t)(sums[i] >> 1);
    } else {
        memset(second, 0, sizeof second);
        add_window(&other, wide, second);
        weigh(sums, second, weight, 2 * wide * wide);
    }
    Window mean = {.one = sums, .two = sums, .stride = 2 * (size_t)wide};
    return window_error(target.one, target.stride, &mean, wide, past->weights, INT64_MAX);
}

/* Errors of n blocks at vectors; with a second reference, of the mean of both, in which it has a weight in 1 / 32. */
void block_errors(const Level *now, const Level *past, const int32_t *past_vectors, const Level *future,
                  const int32_t *future_vectors, int weight, const int32_t *cells, size_t n, int64_t *out) {
    for (size_t i = 0; i < n; i++) {
        const int32_t *vector = past_vectors ? past_vectors + 2 * i : NULL;
        out[i] = future ? mean_error(now, past, vector, future, future_vectors + 2 * i, weight, cells[i])
                        : block_error(now, past, cells[i], vector, INT64_MAX);
    }
}

/* ---- Full search at 1/4 resolution ----------------------------------------------------------------------------- */

enum { SPAN = 32, COARSE_WINDOW = 4, COARSE_BLOCK = 2 };

/* Errors of one block at all vectors, (span, SPAN): unweighted windows, plus the rate of each vector. */
VECTORIZED static void coarse_errors(const int16_t *target, int target_stride, const int16_t *places, int stride, int span,
                                     const int32_t *rate, int32_t *out) {
    for (int down = 0; down < span; down++, out += SPAN, rate += SPAN) {
        int32_t sums[SPAN];
        memcpy(sums, rate, sizeof sums);
        for (int y = 0; y < COARSE_WINDOW; y++)
            for (int x = 0; x < COARSE_WINDOW; x++) {
                const int16_t *line = places + (size_t)(down + y) * stride + x;
                int32_t value = target[y * target_stride + x];
                for (int right = 0; right < SPAN; right++) {
                    int32_t d = line[right] - value;
                    sums[right] += d * d;
                }
            }
        memcpy(out, sums, sizeof sums);
    }
}

/* out = a + b + 2 c */
VECTORIZED static void add_sides(const int32_t *a, const int32_t *b, const int32_t *c, int n, int32_t *out) {
    for (int i = 0; i < n; i++) out[i] = a[i] + b[i] + 2 * c[i];
}

/* The first vector with the least error. */
static void least(const int32_t *errors, int span, const int *centre, int32_t *vector) {
    int32_t best = INT32_MAX;
    for (int down = 0; down < span; down++)
        for (int right = 0; right < span; right++)
            if (errors[down * SPAN + right] < best) {
                best = errors[down * SPAN + right];
                vector[0] = down - span / 2 + centre[0], vector[1] = right - span / 2 + centre[1];
            }
}

static void dilate(const uint8_t *mask, int rows, int columns, uint8_t *out) {
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            int found = 0;
            for (int i = y ? y - 1 : 0; i <= y + 1 && i < rows; i++)
                for (int j = x ? x - 1 : 0; j <= x + 1 && j < columns; j++) found |= mask[i * columns + j];
            out[y * columns + x] = (uint8_t)found;
        }
}

static int coarse_search(const Search *in, const uint8_t *mask, int32_t *alone, int32_t *smooth) {
    int rows = in->rows, columns = in->columns, span = in->span;
    size_t cells = (size_t)rows * columns, size = (size_t)span * SPAN;
    uint8_t *near = malloc(2 * cells), *wanted = near + cells;
    int32_t *errors = malloc(3 * columns * size * sizeof *errors), *tall = malloc(columns * size * sizeof *tall);
    int32_t *sum = malloc(size * sizeof *sum);
    int status = near && errors && tall && sum ? OK : NO_MEMORY, done = 0;
    if (!status) {
        memset(alone, 0, 2 * cells * sizeof *alone), memset(smooth, 0, 2 * cells * sizeof *smooth);
        dilate(mask, rows, columns, near), dilate(near, rows, columns, wanted);
    }
    for (int row = 0; row < rows && !status; row++) {
        for (; done < rows && done <= row + 1; done++)
            for (int x = 0; x < columns; x++)
                if (wanted[done * columns + x])
                    coarse_errors(in->target + ((size_t)done * in->target_stride + x) * COARSE_BLOCK, in->target_stride,
                                  in->places + ((size_t)done * in->stride + x) * COARSE_BLOCK, in->stride, span, in->coarse_rate,
                                  errors + ((size_t)(done % 3) * columns + x) * size);
        const int32_t *here = errors + (size_t)(row % 3) * columns * size;
        const int32_t *above = row ? errors + (size_t)((row - 1) % 3) * columns * size : here;
        const int32_t *below = row + 1 < rows ? errors + (size_t)((row + 1) % 3) * columns * size : here;
        for (int x = 0; x < columns; x++) {
            int used = near[row * columns + x] || (x && near[row * columns + x - 1]) || (x + 1 < columns && near[row * columns + x + 1]);
            if (used) add_sides(above + x * size, below + x * size, here + x * size, (int)size, tall + x * size);
        }
        for (int x = 0; x < columns; x++) {
            size_t cell = (size_t)row * columns + x;
            if (mask[cell]) least(here + x * size, span, in->centre, alone + 2 * cell);
            if (!near[cell]) continue;
            add_sides(tall + (x ? x - 1 : 0) * size, tall + (x + 1 < columns ? x + 1 : x) * size, tall + x * size, (int)size, sum);
            least(sum, span, in->centre, smooth + 2 * cell);
        }
    }
    free(near), free(errors), free(tall), free(sum);
    return status;
}

/* ---- Refinement ------------------------------------------------------------------------------------------------- */

typedef struct {
    const Level *now, *then;
    const int64_t *rate; /* cost of a difference of a vector component by its magnitude */
    int rates, rows, columns;
    const int32_t *cells;
    size_t n;
    int32_t *vectors, *prediction, *offered; /* of all blocks; of the searched blocks */
    int64_t *error, *cost;
} Field;

static int64_t rate_of(const Field *field, size_t i, const int32_t *vector) {
    int64_t sum = 0;
    for (int axis = 0; axis < 2; axis++) {
        int size = abs(vector[axis] - field->prediction[2 * i + axis]);
        sum += field->rate[size < field->rates ? size : field->rates - 1];
    }
    return sum;
}

static void predict_vectors(Field *field) {
    for (size_t i = 0; i < field->n; i++)
        for (int axis = 0; axis < 2; axis++) {
            int32_t v[3];
            for (int side = 0; side < 3; side++) v[side] = field->vectors[2 * neighbour_of(field->rows, field->columns, field->cells[i], side) + axis];
            int32_t low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];
            field->prediction[2 * i + axis] = v[2] < low ? low : v[2] > high ? high : v[2];
        }
    for (size_t i = 0; i < field->n; i++)
        field->cost[i] = field->error[i] + rate_of(field, i, field->vectors + 2 * field->cells[i]);
}

static void start_field(Field *field) {
    for (size_t i = 0; i < field->n; i++)
        field->error[i] = block_error(field->now, field->then, field->cells[i], field->vectors + 2 * field->cells[i], INT64_MAX);
    predict_vectors(field);
}

/* Try the offered vectors, one for each searched block; better ones are taken. */
static void try_offered(Field *field) {
    for (size_t i = 0; i < field->n; i++) {
        int32_t *best = field->vectors + 2 * field->cells[i], *vector = field->offered + 2 * i;
        if (vector[0] == best[0] && vector[1] == best[1]) continue;
        int64_t rate = rate_of(field, i, vector), limit = field->cost[i] - rate;
        if (limit <= 0) continue;
        int64_t error = block_error(field->now, field->then, field->cells[i], vector, limit);
        if (error >= limit) continue;
        best[0] = vector[0], best[1] = vector[1];
        field->error[i] = error, field->cost[i] = error + rate;
    }
}

/* Offer vectors of all blocks, times `scale`; NULL offers zero vectors. */
static void offer(Field *field, const int32_t *vectors, int scale) {
    for (size_t i = 0; i < field->n; i++)
        for (int axis = 0; axis < 2; axis++)
            field->offered[2 * i + axis] = vectors ? vectors[2 * field->cells[i] + axis] * scale : 0;
    try_offered(field);
}

static void search_around(Field *field, int square, int scale) {
    static const int moves[8][2] = {{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 1}, {1, -1}, {1, 0}, {1, 1}};
    int32_t *centre = field->offered + 2 * field->n;
    for (size_t i = 0; i < field->n; i++) memcpy(centre + 2 * i, field->vectors + 2 * field->cells[i], 2 * sizeof *centre);
    for (int number = 0; number < 8; number++) {
        if (!square && moves[number][0] && moves[number][1]) continue;
        for (size_t i = 0; i < 2 * field->n; i++) field->offered[i] = centre[i] + moves[number][i & 1] * scale;
        try_offered(field);
    }
}

static void spread_vectors(Field *field) {
    predict_vectors(field);
    for (int side = 0; side < 4; side++) {
        for (size_t i = 0; i < field->n; i++)
            memcpy(field->offered + 2 * i, field->vectors + 2 * neighbour_of(field->rows, field->columns, field->cells[i], side), 2 * sizeof *field->offered);
        try_offered(field);
    }
}

static void refine_field(Field *field, const Search *in, const int32_t *alone) {
    int subpel = in->then_full.subpel;
    size_t all = (size_t)in->rows * in->columns;
    field->now = &in->now_half, field->then = &in->then_half, field->rate = in->half_rate;
    for (size_t i = 0; i < 2 * all; i++) field->vectors[i] *= 2;
    start_field(field);
    offer(field, alone, 2);
    offer(field, NULL, 1);
    if (in->known) {
        for (size_t i = 0; i < field->n; i++)
            for (int axis = 0; axis < 2; axis++) field->offered[2 * i + axis] = (in->known[2 * field->cells[i] + axis] + subpel) >> (subpel == 4 ? 3 : 2);
        try_offered(field);
    }
    search_around(field, in->thorough, 1);
    spread_vectors(field);
    field->now = &in->now_full, field->then = &in->then_full, field->rate = in->rate;
    for (size_t i = 0; i < 2 * all; i++) field->vectors[i] *= 2 * subpel;
    start_field(field);
    if (in->known) offer(field, in->known, 1);
    offer(field, NULL, 1);
    if (in->thorough) spread_vectors(field);
    search_around(field, 1, subpel);
    if (subpel == 4) search_around(field, in->thorough, 2);
    search_around(field, in->thorough, 1);
}

/* Motion vectors (rows, columns, 2) of the blocks in `in->mask`, in units of `in->then_full.subpel`. */
int search_motion(const Search *in, int32_t *vectors) {
    size_t all = (size_t)in->rows * in->columns, n = 0;
    uint8_t *mask = calloc(all, 1);
    int32_t *cells = malloc(all * sizeof *cells), *alone = malloc(2 * all * sizeof *alone), zero[2] = {0, 0};
    int status = mask && cells && alone ? OK : NO_MEMORY;
    for (size_t i = 0; !status && i < all; i++)
        if (in->mask[i] && block_error(&in->now_full, &in->then_full, (int)i, zero, INT64_MAX) > in->least_error)
            mask[i] = 1, cells[n++] = (int32_t)i;
    Field field = {.rates = in->rates, .rows = in->rows, .columns = in->columns, .cells = cells, .n = n, .vectors = vectors};
    memset(vectors, 0, 2 * all * sizeof *vectors);
    if (n && !status) {
        field.prediction = malloc(2 * n * sizeof *field.prediction);
        field.offered = malloc(4 * n * sizeof *field.offered);
        field.error = malloc(n * sizeof *field.error), field.cost = malloc(n * sizeof *field.cost);
        status = field.prediction && field.offered && field.error && field.cost ? OK : NO_MEMORY;
        if (!status) status = coarse_search(in, mask, alone, vectors);
        if (!status) refine_field(&field, in, alone);
    }
    free(mask), free(cells), free(alone), free(field.prediction), free(field.offered), free(field.error), free(field.cost);
    return status;
}

/* ---- Overlapped block motion compensation ------------------------------------------------------------------------ */

enum { BLOCK = 8, MARGIN = BLOCK + 7, ROW = BLOCK * 3, LENGTH = 8, BEFORE = 3, WIDE_ROW = ROW + 3 * (LENGTH - 1) };

/* A square of BLOCK pixels of a padded picture, linearly interpolated at a vector in half pixels. */
VECTORIZED static void interpolate(const float *source, int stride, int down, int right, float *out) {
    float tall[BLOCK][ROW + 3];
    for (int y = 0; y < BLOCK; y++) {
        const float *line = source + (size_t)y * stride;
        if (down)
            for (int x = 0; x < ROW + 3; x++) tall[y][x] = line[x] + (line[stride + x] - line[x]) * 0.5f;
        else
            memcpy(tall[y], line, sizeof tall[y]);
    }
    for (int y = 0; y < BLOCK; y++)
        if (right)
            for (int x = 0; x < ROW; x++) out[y * ROW + x] = tall[y][x] + (tall[y][x + 3] - tall[y][x]) * 0.5f;
        else
            memcpy(out + y * ROW, tall[y], ROW * sizeof *out);
}

INLINE float filtered(const float *at, long step, const float *taps) {
    float sum = at[-BEFORE * step] * taps[0];
    for (int i = 1; i < LENGTH; i++) sum += at[(i - BEFORE) * step] * taps[i];
    return sum;
}

/* The same with a filter of eight taps; NULL for no movement. */
VECTORIZED static void interpolate_filtered(const float *source, int stride, const float *down, const float *right, float *out) {
    float tall[BLOCK][WIDE_ROW];
    for (int y = 0; y < BLOCK; y++) {
        const float *line = source + (long)y * stride - 3 * BEFORE;
        if (down)
            for (int x = 0; x < WIDE_ROW; x++) tall[y][x] = filtered(line + x, stride, down);
        else
            memcpy(tall[y], line, sizeof tall[y]);
    }
    for (int y = 0; y < BLOCK; y++)
        if (right)
            for (int x = 0; x < ROW; x++) out[y * ROW + x] = filtered(tall[y] + 3 * BEFORE + x, 3, right);
        else
            memcpy(out + y * ROW, tall[y] + 3 * BEFORE, ROW * sizeof *out);
}

static void from_reference(const Compensation *in, const float *source, int y, int x, const int16_t *vector, float *out) {
    if (!source) { /* as the twin: a missing reference is black */
        memset(out, 0, BLOCK * ROW * sizeof *out);
        return;
    }
    int bits = in->phases / 2, down = vector[0] & (in->phases - 1), right = vector[1] & (in->phases - 1);
    y = clip_int(y + (vector[0] >> bits), BEFORE - MARGIN, in->height + BEFORE) + MARGIN; /* farther out all samples are equal */
    x = clip_int(x + (vector[1] >> bits), BEFORE - MARGIN, in->width + BEFORE) + MARGIN;
    int stride = (in->width + 2 * MARGIN) * 3;
    source += (size_t)y * stride + 3 * x;
    if (in->taps && (down || right))
        interpolate_filtered(source, stride, down ? in->taps + LENGTH * down : NULL, right ? in->taps + LENGTH * right : NULL, out);
    else
        interpolate(source, stride, down, right, out);
}

static void predict_square(const Compensation *in, int y, int x, const int16_t *block, float *out) {
    static const int16_t still[2] = {0, 0};
    int mode = block[0];
    if (!mode) {
        const float *first = in->estimate ? in->estimate : in->past ? in->past : in->future;
        int both = !in->estimate && in->past && in->future;
        from_reference(in, first, y, x, both ? block + 1 : still, out); /* with direct vectors */
        if (both) {
            float other[BLOCK * ROW];
            from_reference(in, in->future, y, x, block + 3, other);
            for (int i = 0; i < BLOCK * ROW; i++) out[i] = out[i] + (other[i] - out[i]) * in->fraction;
        }
    }
    if (mode & 1) from_reference(in, in->past, y, x, block + 1, out);
    if (mode == 2) from_reference(in, in->future, y, x, block + 3, out);
    if (mode == 3) {
        float other[BLOCK * ROW];
        from_reference(in, in->future, y, x, block + 3, other);
        for (int i = 0; i < BLOCK * ROW; i++) out[i] = (out[i] + other[i]) * 0.5f;
    }
}

/* Filters go beyond 0 and 1. */
static void round_row(const float *row, int count, uint8_t *bytes) {
    for (int i = 0; i < count; i++) {
        float scaled = row[i] * 255.0f + 0.5f;
        bytes[i] = (uint8_t)(scaled < 0.0f ? 0.0f : scaled > 255.0f ? 255.0f : scaled);
    }
}

/* A dropped frame (height, width, 3) from padded pictures and its blocks (rows, columns, 5). */
void compensate_frame(const Compensation *in, float *out, uint8_t *bytes) {
    int rows = in->rows, columns = in->columns;
    for (int i = 0; i <= rows; i++)
        for (int j = 0; j <= columns; j++) {
            const int16_t *four[4];
            float square[BLOCK * ROW], part[BLOCK * ROW];
            int agreed = 1, y = i * BLOCK - BLOCK / 2, x = j * BLOCK - BLOCK / 2;
            for (int n = 0; n < 4; n++) {
                int row = clip_int(i - 1 + (n >> 1), 0, rows - 1), column = clip_int(j - 1 + (n & 1), 0, columns - 1);
                four[n] = in->blocks + ((size_t)row * columns + column) * 5;
                agreed &= !memcmp(four[n], four[0], 5 * sizeof **four);
            }
            if (agreed)
                predict_square(in, y, x, four[0], square);
            else
                for (int n = 0; n < 4; n++) {
                    const float *weights = in->weights + n * BLOCK * BLOCK;
                    predict_square(in, y, x, four[n], part);
                    for (int p = 0; p < BLOCK * ROW; p++)
                        square[p] = n ? square[p] + part[p] * weights[p / 3] : part[p] * weights[p / 3];
                }
            int left = x < 0 ? -x : 0, right = x + BLOCK > in->width ? in->width - x : BLOCK;
            for (int line = y < 0 ? -y : 0; line < BLOCK && y + line < in->height && left < right; line++) {
                size_t at = ((size_t)(y + line) * in->width + x + left) * 3;
                const float *row = square + line * ROW + 3 * left;
                if (out) memcpy(out + at, row, 3 * (right - left) * sizeof *out);
                if (bytes) round_row(row, 3 * (right - left), bytes + at);
            }
        }
}
