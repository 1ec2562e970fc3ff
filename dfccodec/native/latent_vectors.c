/* Motion vectors of latents (SPEC.md 7.5). The NumPy twins are entropy/mv_coding.py and entropy/inter/coding.py. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { CHOICE_CONTEXTS = 32 };

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
    uint32_t all[5];
    memcpy(all, five, sizeof all);
    if (all[0] == all[1] && all[0] == all[2] && all[0] == all[3] && all[0] == all[4]) { /* most often */
        memcpy(median, all, sizeof *all);
        *context = (uint8_t)(offset + adjacent * 16 + 3), *size = (uint8_t)(offset + CHOICE_CONTEXTS);
        return;
    }
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

static int code_phase(Coder *coder, VectorField *field, size_t n, int16_t *medians) {
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
int code_vectors(Coder *coder, VectorField *field) {
    static const int corners[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}}, sides[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
    int rows = field->rows, columns = field->columns, status = OK;
    int16_t *medians = field->medians;
    memcpy(field->previous, field->vectors, (size_t)rows * columns * 2 * sizeof *field->vectors);
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
        if (n) status = code_phase(coder, field, n, medians);
        if (!centre) step >>= 1;
    }
    return status;
}

int start_vectors(VectorField *field, int rows, int columns) {
    size_t cells = (size_t)rows * columns;
    *field = (VectorField){.rows = rows, .columns = columns};
    field->previous = malloc(cells * 2 * sizeof *field->previous), field->medians = malloc(cells * 2 * sizeof *field->medians);
    field->cells = malloc(cells * sizeof *field->cells), field->residuals = malloc(cells * 2 * sizeof *field->residuals);
    field->known = malloc(cells * 10 * sizeof *field->known);
    field->contexts = malloc(cells * 2), field->sizes = malloc(cells);
    return field->previous && field->medians && field->cells && field->residuals && field->known && field->contexts && field->sizes
               ? OK
               : NO_MEMORY;
}

void free_vectors(VectorField *field) {
    free(field->previous), free(field->medians), free(field->cells), free(field->residuals), free(field->known);
    free(field->contexts), free(field->sizes);
}
