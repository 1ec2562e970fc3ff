/* Motion estimation between kept frames, on latents. The NumPy twin is entropy/inter/motion_estimation.py. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { SCALE = 4, RANGE = 8, BIT = 1024, NEW_BITS = 10 * BIT, SHARED_BITS = BIT + BIT / 2, SIDE = PATCH + 3 };

typedef struct {
    int rows, columns, stride, lines; /* cells; pixels of a padded picture */
    const int16_t *old, *now;         /* latents (cells, 96) */
    const int16_t *basis;
    const int32_t *table;             /* bits of an integer by its magnitude, (65536,) */
    int32_t *samples, *before, *after, *small_before, *small_after; /* pictures: padded RGB, padded grey, at 1/4 size */
    int32_t *zero, *intra, *bits, *cost;
    int16_t *vectors, *offered;
} Estimation;

static void sum_colours(const int32_t *samples, size_t pixels, int32_t *grey) {
    for (size_t i = 0; i < pixels; i++) grey[i] = samples[3 * i] + samples[3 * i + 1] + samples[3 * i + 2];
}

/* Sums of SCALE × SCALE pixels. */
static void downscale(const Estimation *in, const int32_t *grey, int32_t *out) {
    int height = in->rows * PATCH / SCALE, width = in->columns * PATCH / SCALE;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int32_t sum = 0;
            for (int i = 0; i < SCALE; i++)
                for (int j = 0; j < SCALE; j++) sum += grey[(size_t)(PADDING + SCALE * y + i) * in->stride + PADDING + SCALE * x + j];
            out[y * width + x] = sum;
        }
}

/* The n-th of 0, -1, 1, -2, 2 …: short vectors first. */
static int outward(int n) { return n & 1 ? -(n + 1) / 2 : n / 2; }

/* Full search at 1/4 size; the vector is in quarter pixels. */
static void coarse_vector(const Estimation *in, int cell, int32_t *vector) {
    enum { BLOCK = PATCH / SCALE };
    int height = in->rows * BLOCK, width = in->columns * BLOCK, y = cell / in->columns * BLOCK, x = cell % in->columns * BLOCK;
    int32_t best = INT32_MAX;
    for (int a = 0; a <= 2 * RANGE; a++)
        for (int b = 0; b <= 2 * RANGE; b++) {
            int down = outward(a), right = outward(b);
            int32_t error = 0;
            for (int i = 0; i < BLOCK; i++) {
                const int32_t *line = in->small_before + (size_t)clip_int(y + i + down, 0, height - 1) * width;
                const int32_t *target = in->small_after + (size_t)(y + i) * width + x;
                for (int j = 0; j < BLOCK; j++) error += abs(line[clip_int(x + j + right, 0, width - 1)] - target[j]);
            }
            if (error < best) best = error, vector[0] = 4 * SCALE * down, vector[1] = 4 * SCALE * right;
        }
}

/* Sum of absolute differences of a cell at a vector in quarter pixels, times 256. */
VECTORIZED static int64_t cell_error(const Estimation *in, int cell, int down, int right) {
    int top = clip_int(cell / in->columns * PATCH + PADDING - 1 + (down >> 2), 0, in->lines - SIDE);
    int left = clip_int(cell % in->columns * PATCH + PADDING - 1 + (right >> 2), 0, in->stride - SIDE);
    const int32_t *source = in->before + (size_t)top * in->stride + left, *t = TAPS[down & 3], *u = TAPS[right & 3];
    const int32_t *target = in->after + (size_t)(cell / in->columns * PATCH + PADDING) * in->stride + cell % in->columns * PATCH + PADDING;
    int64_t error = 0;
    for (int y = 0; y < PATCH; y++, source += in->stride, target += in->stride) {
        int32_t tall[SIDE];
        if (!((down | right) & 3)) {
            for (int x = 0; x < PATCH; x++) error += (int64_t)abs(source[in->stride + 1 + x] - target[x]) * 256;
            continue;
        }
        for (int x = 0; x < SIDE; x++)
            tall[x] = source[x] * t[0] + source[in->stride + x] * t[1] + source[2 * in->stride + x] * t[2] + source[3 * in->stride + x] * t[3];
        for (int x = 0; x < PATCH; x++)
            error += abs(tall[x] * u[0] + tall[x + 1] * u[1] + tall[x + 2] * u[2] + tall[x + 3] * u[3] - target[x] * 256);
    }
    return error;
}

/* Refine a vector to quarter pixels: moves in order of their length. */
static void refine_vector(const Estimation *in, int cell, int32_t *vector) {
    static const int stages[3][2] = {{4, 3}, {2, 1}, {1, 1}};
    for (int stage = 0; stage < 3; stage++) {
        int step = stages[stage][0], reach = stages[stage][1];
        int32_t start[2] = {vector[0], vector[1]};
        int64_t best = INT64_MAX;
        for (int length = 0; length <= 2 * reach; length++)
            for (int i = -reach; i <= reach; i++)
                for (int j = -reach; j <= reach; j++) {
                    if (abs(i) + abs(j) != length) continue;
                    int64_t error = cell_error(in, cell, start[0] + i * step, start[1] + j * step);
                    if (error < best) best = error, vector[0] = start[0] + i * step, vector[1] = start[1] + j * step;
                }
    }
}

/* Bits of a cell with a prediction (96,), or without prediction if that is cheaper. */
static int32_t bits_with(const Estimation *in, int cell, const int16_t *prediction) {
    const int16_t *now = in->now + (size_t)cell * LATENTS;
    int32_t sum = 0;
    for (int c = 0; c < LATENTS; c++) sum += in->table[abs(now[c] - prediction[c])];
    return sum < in->intra[cell] ? sum : in->intra[cell];
}

static int32_t compensated_bits(const Estimation *in, int cell, const int16_t *vector) {
    int16_t prediction[LATENTS];
    compensate_cell(in->samples, in->rows, in->columns, cell, vector, in->basis, prediction);
    return bits_with(in, cell, prediction);
}

static int same(const int16_t *a, const int16_t *b) { return a[0] == b[0] && a[1] == b[1]; }

static int shares_vector(const Estimation *in, int cell) {
    for (int side = 0; side < 4; side++) {
        int there = neighbour_of(in->rows, in->columns, cell, side);
        if (there != cell && same(in->vectors + 2 * there, in->vectors + 2 * cell)) return 1;
    }
    return 0;
}

static void choose_vectors(const Estimation *in) {
    int cells = in->rows * in->columns;
    for (int side = 0; side < 4; side++) {
        for (int i = 0; i < cells; i++) { /* decide on all cells before any changes */
            const int16_t *own = in->vectors + 2 * i, *other = in->vectors + 2 * neighbour_of(in->rows, in->columns, i, side);
            in->cost[i] = INT32_MAX;
            if (same(own, other) || !(other[0] || other[1])) continue;
            int32_t cost = compensated_bits(in, i, other);
            if (cost + SHARED_BITS < in->bits[i] + (shares_vector(in, i) ? SHARED_BITS : NEW_BITS)) {
                in->cost[i] = cost;
                memcpy(in->offered + 2 * i, other, 2 * sizeof *other);
            }
        }
        for (int i = 0; i < cells; i++)
            if (in->cost[i] != INT32_MAX) {
                in->bits[i] = in->cost[i];
                memcpy(in->vectors + 2 * i, in->offered + 2 * i, 2 * sizeof *in->vectors);
            }
    }
    for (int i = 0; i < cells; i++) in->cost[i] = !shares_vector(in, i) && in->zero[i] + SHARED_BITS < in->bits[i] + NEW_BITS;
    for (int i = 0; i < cells; i++)
        if (in->cost[i]) in->vectors[2 * i] = in->vectors[2 * i + 1] = 0;
}

static void estimate(const Estimation *in) {
    static const int16_t none[LATENTS];
    int cells = in->rows * in->columns, ready = 0;
    for (int i = 0; i < cells; i++) {
        in->intra[i] = INT32_MAX;
        in->intra[i] = bits_with(in, i, none);
        in->bits[i] = in->zero[i] = bits_with(in, i, in->old + (size_t)i * LATENTS);
    }
    for (int i = 0; i < cells; i++) {
        if (in->zero[i] + SHARED_BITS <= NEW_BITS) continue; /* a new vector costs more than it can save */
        if (!ready) {
            reconstruct_tile(in->now, in->rows, in->columns, in->basis, in->samples);
            sum_colours(in->samples, (size_t)in->lines * in->stride, in->after);
            reconstruct_tile(in->old, in->rows, in->columns, in->basis, in->samples);
            sum_colours(in->samples, (size_t)in->lines * in->stride, in->before);
            downscale(in, in->before, in->small_before), downscale(in, in->after, in->small_after);
            ready = 1;
        }
        int32_t found[2] = {0, 0};
        coarse_vector(in, i, found);
        refine_vector(in, i, found);
        int16_t vector[2] = {(int16_t)found[0], (int16_t)found[1]};
        int32_t moved = compensated_bits(in, i, vector);
        if (moved + NEW_BITS < in->zero[i] + SHARED_BITS) {
            in->bits[i] = moved;
            memcpy(in->vectors + 2 * i, vector, sizeof vector);
        }
    }
    if (ready) choose_vectors(in);
}

/* Motion vectors (cells, 2) of a tile in quarter pixels, from the previous kept frame. */
int estimate_tile(const int16_t *old, const int16_t *now, int rows, int columns, const int8_t *basis, const int32_t *table,
                  int16_t *vectors) {
    Estimation in = {.rows = rows, .columns = columns, .old = old, .now = now, .table = table, .vectors = vectors};
    in.lines = rows * PATCH + 2 * PADDING, in.stride = columns * PATCH + 2 * PADDING;
    size_t cells = (size_t)rows * columns, pixels = (size_t)in.lines * in.stride, small = cells * PATCH / SCALE * PATCH / SCALE;
    memset(vectors, 0, 2 * cells * sizeof *vectors);
    if (!memcmp(old, now, cells * LATENTS * sizeof *old)) return OK;
    int32_t *work = malloc((5 * pixels + 2 * small + 4 * cells) * sizeof *work + 2 * cells * sizeof *in.offered);
    int16_t *wide = wide_basis(basis);
    if (!work || !wide) return free(work), free(wide), NO_MEMORY;
    in.basis = wide;
    in.samples = work, in.before = in.samples + 3 * pixels, in.after = in.before + pixels;
    in.small_before = in.after + pixels, in.small_after = in.small_before + small;
    in.zero = in.small_after + small, in.intra = in.zero + cells, in.bits = in.intra + cells, in.cost = in.bits + cells;
    in.offered = (int16_t *)(in.cost + cells);
    estimate(&in);
    free(work), free(wide);
    return OK;
}
