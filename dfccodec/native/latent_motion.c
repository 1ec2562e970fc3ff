/* Motion estimation between kept frames, on latents. The NumPy twin is entropy/inter/motion_estimation.py. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { SCALE = 4, RANGE = 8, BIT = 1024, NEW_BITS = 10 * BIT, SHARED_BITS = BIT + BIT / 2 };
enum { PIXELS = PATCH * PATCH, SMALL = PATCH / SCALE, MOVES = 2 * RANGE + 1, REACH = 4, AREA = PATCH + 2 * REACH + 3 };

typedef struct {
    int rows, columns;
    const int16_t *old, *now; /* latents (cells, 96) */
    const int32_t *table;     /* bits of an integer by its magnitude, (65536,) */
    Reference reference;      /* the old frame */
    int32_t *grey, *small;    /* of its cells, if `known`: (cells, 256), and at 1/4 size (cells, 16) */
    uint8_t *known;
    int32_t *zero, *intra, *bits, *cost;
    int16_t *vectors, *offered;
} Estimation;

/* Grey pixels (16, 16) of a cell, and sums of SCALE × SCALE of them. */
static void grey_cell(const int16_t *latents, const int16_t *basis, int32_t *grey, int32_t *small) {
    int32_t pixels[3 * PIXELS];
    reconstruct_cell(latents, basis, pixels);
    for (int i = 0; i < PIXELS; i++) grey[i] = pixels[3 * i] + pixels[3 * i + 1] + pixels[3 * i + 2];
    memset(small, 0, SMALL * SMALL * sizeof *small);
    for (int y = 0; y < PATCH; y++)
        for (int x = 0; x < PATCH; x++) small[y / SCALE * SMALL + x / SCALE] += grey[y * PATCH + x];
}

/* Copy an area of size × size pixels from cells of side × side pixels; beyond the edges pixels repeat. */
static void copy_area(const Estimation *in, const int32_t *cells, int side, int top, int left, int size, int32_t *out) {
    for (int y = 0; y < size; y++) {
        int line = clip_int(top + y, 0, in->rows * side - 1);
        for (int x = 0; x < size;) {
            int column = left + x, inside = clip_int(column, 0, in->columns * side - 1), count = 1;
            int cell = line / side * in->columns + inside / side;
            if (inside == column) count = side - inside % side < size - x ? side - inside % side : size - x;
            memcpy(out + y * size + x, cells + ((size_t)cell * side + line % side) * side + inside % side, count * sizeof *out);
            x += count;
        }
    }
}

/* Reconstruct the cells of the old frame in which a cell is searched. */
static void prepare_cells(const Estimation *in, int cell) {
    enum { NEAR = (RANGE * SCALE + REACH + PATCH) / PATCH };
    int y = cell / in->columns, x = cell % in->columns;
    for (int i = y > NEAR ? y - NEAR : 0; i <= y + NEAR && i < in->rows; i++)
        for (int j = x > NEAR ? x - NEAR : 0; j <= x + NEAR && j < in->columns; j++) {
            size_t at = (size_t)i * in->columns + j;
            if (in->known[at]) continue;
            grey_cell(in->old + at * LATENTS, in->reference.basis, in->grey + at * PIXELS, in->small + at * SMALL * SMALL);
            in->known[at] = 1;
        }
}

/* The n-th of 0, -1, 1, -2, 2 …: short vectors first. */
static int outward(int n) { return n & 1 ? -(n + 1) / 2 : n / 2; }

/* Sums of absolute differences of all moves. */
VECTORIZED static void coarse_errors(const int32_t *restrict area, const int32_t *restrict target, int32_t *restrict errors) {
    enum { SIDE = SMALL + 2 * RANGE };
    for (int a = 0; a < MOVES; a++) {
        int32_t sums[MOVES] = {0};
        for (int i = 0; i < SMALL; i++)
            for (int j = 0; j < SMALL; j++)
                for (int b = 0; b < MOVES; b++) sums[b] += abs(area[(a + i) * SIDE + j + b] - target[i * SMALL + j]);
        memcpy(errors + a * MOVES, sums, sizeof sums);
    }
}

/* Full search at 1/4 size; the vector is in quarter pixels. */
static void coarse_vector(const Estimation *in, int cell, const int32_t *target, int32_t *vector) {
    enum { SIDE = SMALL + 2 * RANGE };
    int32_t area[SIDE * SIDE], errors[MOVES * MOVES], best = INT32_MAX;
    copy_area(in, in->small, SMALL, cell / in->columns * SMALL - RANGE, cell % in->columns * SMALL - RANGE, SIDE, area);
    coarse_errors(area, target, errors);
    for (int a = 0; a < MOVES; a++)
        for (int b = 0; b < MOVES; b++) {
            int down = outward(a), right = outward(b);
            int32_t error = errors[(down + RANGE) * MOVES + right + RANGE];
            if (error < best) best = error, vector[0] = 4 * SCALE * down, vector[1] = 4 * SCALE * right;
        }
}

/* Sum of absolute differences of a cell from an area at a vector in quarter pixels, times 256; the area begins REACH + 1
   pixels before the cell. */
VECTORIZED static int64_t cell_error(const int32_t *area, const int32_t *target, int down, int right) {
    const int32_t *source = area + ((down >> 2) + REACH) * AREA + (right >> 2) + REACH, *t = TAPS[down & 3], *u = TAPS[right & 3];
    int64_t error = 0;
    for (int y = 0; y < PATCH; y++, source += AREA, target += PATCH) {
        int32_t tall[PATCH + 3];
        if (!((down | right) & 3)) {
            for (int x = 0; x < PATCH; x++) error += (int64_t)abs(source[AREA + 1 + x] - target[x]) * 256;
            continue;
        }
        for (int x = 0; x < PATCH + 3; x++)
            tall[x] = source[x] * t[0] + source[AREA + x] * t[1] + source[2 * AREA + x] * t[2] + source[3 * AREA + x] * t[3];
        for (int x = 0; x < PATCH; x++)
            error += abs(tall[x] * u[0] + tall[x + 1] * u[1] + tall[x + 2] * u[2] + tall[x + 3] * u[3] - target[x] * 256);
    }
    return error;
}

/* Refine a vector to quarter pixels: moves in order of their length. */
static void refine_vector(const Estimation *in, int cell, const int32_t *target, int32_t *vector) {
    static const int stages[3][2] = {{4, 3}, {2, 1}, {1, 1}};
    int32_t area[AREA * AREA], found[2] = {0, 0}; /* the change of the vector */
    copy_area(in, in->grey, PATCH, cell / in->columns * PATCH + vector[0] / 4 - REACH - 1,
              cell % in->columns * PATCH + vector[1] / 4 - REACH - 1, AREA, area);
    for (int stage = 0; stage < 3; stage++) {
        int step = stages[stage][0], reach = stages[stage][1];
        int32_t start[2] = {found[0], found[1]};
        int64_t best = INT64_MAX;
        for (int length = 0; length <= 2 * reach; length++)
            for (int i = -reach; i <= reach; i++)
                for (int j = -reach; j <= reach; j++) {
                    if (abs(i) + abs(j) != length) continue;
                    int64_t error = cell_error(area, target, start[0] + i * step, start[1] + j * step);
                    if (error < best) best = error, found[0] = start[0] + i * step, found[1] = start[1] + j * step;
                }
    }
    vector[0] += found[0], vector[1] += found[1];
}

/* Bits of a cell with a prediction (96,), or without prediction if that is cheaper. */
static int32_t bits_with(const Estimation *in, int cell, const int16_t *prediction) {
    const int16_t *now = in->now + (size_t)cell * LATENTS;
    int32_t sum = 0;
    for (int c = 0; c < LATENTS; c++) sum += in->table[abs(now[c] - prediction[c])];
    return sum < in->intra[cell] ? sum : in->intra[cell];
}

static int32_t compensated_bits(Estimation *in, int cell, const int16_t *vector) {
    int16_t prediction[LATENTS];
    compensate_from(&in->reference, cell, vector, prediction);
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

static void choose_vectors(Estimation *in) {
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

static void estimate(Estimation *in) {
    static const int16_t none[LATENTS];
    int cells = in->rows * in->columns, moving = 0;
    for (int i = 0; i < cells; i++) {
        in->intra[i] = INT32_MAX;
        in->intra[i] = bits_with(in, i, none);
        in->bits[i] = in->zero[i] = bits_with(in, i, in->old + (size_t)i * LATENTS);
    }
    for (int i = 0; i < cells; i++) {
        int32_t target[PIXELS], small[SMALL * SMALL], found[2] = {0, 0};
        if (in->zero[i] + SHARED_BITS <= NEW_BITS) continue; /* a new vector costs more than it can save */
        grey_cell(in->now + (size_t)i * LATENTS, in->reference.basis, target, small);
        prepare_cells(in, i);
        coarse_vector(in, i, small, found);
        refine_vector(in, i, target, found);
        int16_t vector[2] = {(int16_t)found[0], (int16_t)found[1]};
        int32_t moved = compensated_bits(in, i, vector);
        moving = 1;
        if (moved + NEW_BITS < in->zero[i] + SHARED_BITS) {
            in->bits[i] = moved;
            memcpy(in->vectors + 2 * i, vector, sizeof vector);
        }
    }
    if (moving) choose_vectors(in);
}

/* Motion vectors (cells, 2) of a tile in quarter pixels, from the previous kept frame. */
int estimate_tile(const int16_t *old, const int16_t *now, int rows, int columns, const int8_t *basis, const int32_t *table,
                  int16_t *vectors) {
    Estimation in = {.rows = rows, .columns = columns, .old = old, .now = now, .table = table, .vectors = vectors};
    size_t cells = (size_t)rows * columns;
    memset(vectors, 0, 2 * cells * sizeof *vectors);
    if (!memcmp(old, now, cells * LATENTS * sizeof *old)) return OK;
    int status = start_reference(&in.reference, rows, columns, basis);
    in.grey = malloc(cells * PIXELS * sizeof *in.grey), in.small = malloc(cells * SMALL * SMALL * sizeof *in.small);
    in.known = calloc(cells, 1), in.zero = malloc(4 * cells * sizeof *in.zero), in.offered = malloc(2 * cells * sizeof *in.offered);
    if (!in.grey || !in.small || !in.known || !in.zero || !in.offered) status = NO_MEMORY;
    if (!status) {
        in.intra = in.zero + cells, in.bits = in.intra + cells, in.cost = in.bits + cells;
        set_reference(&in.reference, old);
        estimate(&in);
    }
    free_reference(&in.reference);
    free(in.grey), free(in.small), free(in.known), free(in.zero), free(in.offered);
    return status;
}
