/* Motion compensation of latents (SPEC.md 7.7.2). The NumPy twin is entropy/inter/motion_compensation.py. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { ROW = PATCH * 3, PIXELS = PATCH * ROW, WINDOW = PATCH + 3 };

const int32_t TAPS[4][4] = {{0, 16, 0, 0}, {-1, 13, 5, -1}, {-1, 9, 9, -1}, {-1, 5, 13, -1}};

/* ---- Transforms ------------------------------------------------------------------------------------------------- */

static int16_t *wide_basis(const int8_t *basis) {
    int16_t *out = malloc(LATENTS * PIXELS * sizeof *out);
    for (int i = 0; out && i < LATENTS * PIXELS; i++) out[i] = basis[i];
    return out;
}

INLINE void add_rows(int32_t *restrict sums, const int16_t *restrict a, const int16_t *restrict b, int16_t x, int16_t y) {
    for (int i = 0; i < PIXELS; i++) sums[i] += (int32_t)a[i] * x + (int32_t)b[i] * y;
}

/* Pixels (16, 16, 3) of a cell from its latents. */
VECTORIZED void reconstruct_cell(const int16_t *latents, const int16_t *basis, int32_t *out) {
    int32_t sums[PIXELS] = {0};
    int last = -1; /* a latent that waits for a second one */
    for (int c = 0; c < LATENTS; c++) {
        if (!latents[c]) continue;
        if (last >= 0) add_rows(sums, basis + last * PIXELS, basis + c * PIXELS, latents[last], latents[c]);
        last = last >= 0 ? -1 : c;
    }
    if (last >= 0) add_rows(sums, basis + last * PIXELS, basis, latents[last], 0);
    for (int i = 0; i < PIXELS; i++) {
        int32_t sample = (sums[i] + SAMPLE_DIVISOR / 2) >> 4;
        out[i] = sample > MAX_SAMPLE ? MAX_SAMPLE : sample < -MAX_SAMPLE ? -MAX_SAMPLE : sample;
    }
}

/* Latents of a block of pixels times 256. A sample has up to 30 bits, so products are of its low 15 bits and of the
   others: rows of the basis have a norm of 896, so their magnitudes sum to at most 24 900, and both sums fit 32 bits. */
VECTORIZED static void transform_block(const int32_t *block, const int16_t *basis, int16_t *out) {
    int16_t low[PIXELS], high[PIXELS];
    for (int i = 0; i < PIXELS; i++) low[i] = (int16_t)(block[i] & 0x7fff), high[i] = (int16_t)(block[i] >> 15);
    for (int c = 0; c < LATENTS; c += 4, basis += 4 * PIXELS) {
        int32_t small[4] = {0}, large[4] = {0};
        for (int i = 0; i < PIXELS; i++) {
            small[0] += (int32_t)low[i] * basis[i], large[0] += (int32_t)high[i] * basis[i];
            small[1] += (int32_t)low[i] * basis[PIXELS + i], large[1] += (int32_t)high[i] * basis[PIXELS + i];
            small[2] += (int32_t)low[i] * basis[2 * PIXELS + i], large[2] += (int32_t)high[i] * basis[2 * PIXELS + i];
            small[3] += (int32_t)low[i] * basis[3 * PIXELS + i], large[3] += (int32_t)high[i] * basis[3 * PIXELS + i];
        }
        for (int n = 0; n < 4; n++) {
            int64_t sum = (int64_t)large[n] * 32768 + small[n] + RESULT_SCALE / 2;
            int64_t rounded = sum >= 0 ? sum / RESULT_SCALE : -((-sum + RESULT_SCALE - 1) / RESULT_SCALE);
            out[c + n] = (int16_t)clip_int(rounded, -32768, 32767);
        }
    }
}

VECTORIZED static void filter_block(const int32_t *window, int stride, const int32_t *down, const int32_t *right, int32_t *block) {
    int32_t tall[PATCH][WINDOW * 3];
    for (int y = 0; y < PATCH; y++)
        for (int x = 0; x < WINDOW * 3; x++) {
            const int32_t *at = window + (size_t)y * stride + x;
            tall[y][x] = at[0] * down[0] + at[stride] * down[1] + at[2 * stride] * down[2] + at[3 * stride] * down[3];
        }
    for (int y = 0; y < PATCH; y++)
        for (int x = 0; x < ROW; x++)
            block[y * ROW + x] = tall[y][x] * right[0] + tall[y][x + 3] * right[1] + tall[y][x + 6] * right[2] + tall[y][x + 9] * right[3];
}

/* Latents at a vector from the window of 19 × 19 pixels that it needs. */
static void compensate_window(const int32_t *window, int stride, const int16_t *vector, const int16_t *basis, int16_t *out) {
    int32_t block[PIXELS];
    filter_block(window, stride, TAPS[vector[0] & 3], TAPS[vector[1] & 3], block);
    transform_block(block, basis, out);
}

/* Top left of that window, in a picture with PADDING pixels on each side. */
static void window_corner(int rows, int columns, int cell, const int16_t *vector, int *top, int *left) {
    *top = clip_int(cell / columns * PATCH + (vector[0] >> 2) + PADDING - 1, 0, rows * PATCH + 2 * PADDING - WINDOW);
    *left = clip_int(cell % columns * PATCH + (vector[1] >> 2) + PADDING - 1, 0, columns * PATCH + 2 * PADDING - WINDOW);
}

/* ---- Cells of a frame, which are reconstructed when they are needed ------------------------------------------------ */

int start_reference(Reference *reference, int rows, int columns, const int8_t *basis) {
    size_t cells = (size_t)rows * columns;
    *reference = (Reference){.rows = rows, .columns = columns};
    reference->basis = wide_basis(basis);
    reference->samples = malloc(cells * PIXELS * sizeof *reference->samples);
    reference->known = malloc(cells);
    return reference->basis && reference->samples && reference->known ? OK : NO_MEMORY;
}

void free_reference(Reference *reference) { free(reference->basis), free(reference->samples), free(reference->known); }

/* Set the latents (cells, 96) of the tile. */
void set_reference(Reference *reference, const int16_t *values) {
    reference->values = values;
    memset(reference->known, 0, (size_t)reference->rows * reference->columns);
}

/* Pixels of a cell of the reference frame. */
static const int32_t *samples_of(Reference *reference, int cell) {
    int32_t *out = reference->samples + (size_t)cell * PIXELS;
    if (!reference->known[cell]) reconstruct_cell(reference->values + (size_t)cell * LATENTS, reference->basis, out);
    reference->known[cell] = 1;
    return out;
}

/* Motion-compensated latents of a cell. */
void compensate_from(Reference *reference, int cell, const int16_t *vector, int16_t *out) {
    int32_t window[WINDOW * WINDOW * 3];
    int height = reference->rows * PATCH, width = reference->columns * PATCH, top, left;
    window_corner(reference->rows, reference->columns, cell, vector, &top, &left);
    for (int y = 0; y < WINDOW; y++) {
        int line = clip_int(top - PADDING + y, 0, height - 1), row = line / PATCH * reference->columns;
        for (int x = 0; x < WINDOW;) { /* pixels of one cell at a time */
            int column = left - PADDING + x, inside = clip_int(column, 0, width - 1), count = 1;
            const int32_t *from = samples_of(reference, row + inside / PATCH) + line % PATCH * ROW + inside % PATCH * 3;
            if (inside == column) count = PATCH - inside % PATCH;
            if (count > WINDOW - x) count = WINDOW - x;
            memcpy(window + (y * WINDOW + x) * 3, from, 3 * count * sizeof *window);
            x += count;
        }
    }
    compensate_window(window, WINDOW * 3, vector, reference->basis, out);
}

int compensate_tile(const int16_t *values, const int16_t *vectors, int rows, int columns, const int8_t *basis, int16_t *out) {
    size_t cells = (size_t)rows * columns, moving = 0;
    Reference reference;
    memcpy(out, values, cells * LATENTS * sizeof *out);
    for (size_t i = 0; i < cells; i++) moving += vectors[2 * i] || vectors[2 * i + 1];
    if (!moving) return OK;
    int status = start_reference(&reference, rows, columns, basis);
    if (!status) set_reference(&reference, values);
    for (size_t i = 0; i < cells && !status; i++)
        if (vectors[2 * i] || vectors[2 * i + 1]) compensate_from(&reference, (int)i, vectors + 2 * i, out + i * LATENTS);
    free_reference(&reference);
    return status;
}
