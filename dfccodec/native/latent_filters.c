/* The zstd coding of latents: prediction errors, channel by channel, to integers with the channel last. */

#include <stdlib.h>

#include "kernels.h"

enum { NONE, PREVIOUS, LEFT, UP, BLOCK = 16 };

/* One channel of one kept frame. */
INLINE void undo_filter(const uint8_t *low, const uint8_t *high, int filter, const uint16_t *previous, int tiles, int rows,
                        int columns, uint16_t *out) {
    size_t cells = (size_t)tiles * rows * columns;
    for (size_t i = 0; i < cells; i++) {
        uint16_t folded = high ? (uint16_t)(low[i] | high[i] << 8) : low[i];
        out[i] = (uint16_t)((folded >> 1) ^ -(folded & 1));
    }
    if (filter == PREVIOUS && previous)
        for (size_t i = 0; i < cells; i++) out[i] = (uint16_t)(out[i] + previous[i]);
    if (filter == LEFT)
        for (size_t row = 0; row < (size_t)tiles * rows; row++)
            for (size_t i = row * columns + 1; i < (row + 1) * columns; i++) out[i] = (uint16_t)(out[i] + out[i - 1]);
    if (filter == UP)
        for (size_t tile = 0; tile < (size_t)tiles; tile++)
            for (size_t i = (tile * rows + 1) * columns; i < (tile + 1) * rows * columns; i++)
                out[i] = (uint16_t)(out[i] + out[i - columns]);
}

/* Channels are moved to the end in blocks whose rows of a cell fit a cache line. */
VECTORIZED int undo_filters(const uint8_t *raw, int planes, int kept, int tiles, int rows, int columns, int channels,
                            int16_t *values) {
    size_t cells = (size_t)tiles * rows * columns, pictures = (size_t)channels * kept;
    const uint8_t *low = raw + pictures, *high = planes == 2 ? low + pictures * cells : NULL;
    for (size_t i = 0; i < pictures; i++)
        if (raw[i] > UP) return DAMAGED;
    size_t block = channels < BLOCK ? channels : BLOCK;
    uint16_t *work = malloc((kept > 1 ? 2 : 1) * block * cells * sizeof *work); /* at most as large as `values` */
    if (!work) return NO_MEMORY;
    for (int first = 0; first < channels; first += BLOCK) {
        int count = channels - first < BLOCK ? channels - first : BLOCK;
        for (int k = 0; k < kept; k++) {
            uint16_t *now = work + (k & 1) * block * cells, *before = work + (~k & 1) * block * cells;
            for (int c = 0; c < count; c++) {
                size_t at = (size_t)(first + c) * kept + k;
                undo_filter(low + at * cells, high ? high + at * cells : NULL, raw[at], k ? before + c * cells : NULL, tiles,
                            rows, columns, now + c * cells);
            }
            int16_t *out = values + (size_t)k * cells * channels + first;
            for (size_t i = 0; i < cells; i++)
                for (int c = 0; c < count; c++) out[i * channels + c] = (int16_t)now[c * cells + i];
        }
    }
    free(work);
    return OK;
}
