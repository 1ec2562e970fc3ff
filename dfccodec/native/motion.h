/* Motion search and compensation of dropped frames. */

#ifndef DFC_MOTION_H
#define DFC_MOTION_H

#include "kernels.h"

typedef struct {
    const int16_t *samples; /* (height, width, 2) with edge padding; or (4, height, width, 2), by half pixels down and right */
    size_t plane;           /* numbers of a picture in `samples` if there are four, else 0 */
    const int16_t *weights; /* (wide, 2): of a row of the window, each twice */
    int subpel, height, width, edge, block, wide, rows, columns; /* subpel: units of a vector in a pixel, 1, 2 or 4 */
} Level;

typedef struct {
    const void *samples, *other; /* (height, width, 3) float32 in 0…1, or uint8 if `bytes`; other: NULL, or to be blended with */
    int bytes, height, width, edge;
    float fraction, scales[2], coarse_scale; /* of the blend; of the channels; of the channel at 1/4 resolution */
    int16_t *full, *half, *quarter;          /* as in pyramid.py, of complete blocks; half and quarter may be NULL */
    int subpel;                              /* whether full gets the samples between pixels too */
} Picture;

typedef struct {
    Level now_full, then_full, now_half, then_half;
    const int16_t *target, *places; /* padded pictures at 1/4 resolution */
    int target_stride, stride, span, rates, rows, columns, thorough;
    int centre[2];                  /* vector in the middle of the full search, at 1/4 resolution */
    const int32_t *coarse_rate;     /* (span, 32) */
    const int64_t *rate, *half_rate;
    int64_t least_error;
    const uint8_t *mask;
    const int32_t *known; /* vectors to try, or NULL */
} Search;

typedef struct {
    const Level *now, *past, *future; /* NULL for a reference that does not exist */
    size_t blocks;
    const int32_t *cells, *bits;      /* bits of symbols (contexts, 33) in 1/4096 */
    const int64_t *estimate;
    const int16_t *searched, *known;  /* (n, side, 2), (5, n, side, 2) */
    const uint8_t *order, *mode_contexts, *contexts, *sizes; /* (n, 4), (n,), (n, side), (n, side) */
    int64_t rd_lambda;                /* squared error in the unit of block errors per bit */
    int refinements, pair_refinements; /* maximum rounds in which a vector, or both of a pair, move */
} Choice;

typedef struct {
    const float *estimate, *past, *future; /* (height + 30, width + 30, 3); past or future may be NULL */
    float fraction;                        /* without estimate: position between past (0) and future (1) */
    const int16_t *blocks;                 /* (rows, columns, 5) */
    const float *weights;                  /* (4, 8, 8) */
    const float *taps;                     /* (phases, 8); without any, linear interpolation with two phases */
    int height, width, rows, columns, phases;
} Compensation;

typedef struct {
    int encoding, frames, rows, columns;
    size_t part;                            /* maximum number of blocks of a pass, unless a frame has more */
    const int32_t *dropped, *past, *future; /* (frames,) numbers of dropped frames and of their references; -1: none */
    int16_t *blocks;                        /* (frames, rows, columns, 5) */
} MotionField;

int code_motion(Coder *coder, const MotionField *in);
int64_t block_error(const Level *now, const Level *then, int cell, const int32_t *vector, int64_t limit);
void block_errors(const Level *now, const Level *past, const int32_t *past_vectors, const Level *future,
                  const int32_t *future_vectors, int weight, const int32_t *cells, size_t n, int64_t *out);
int build_pyramid(const Picture *in);
void choose_modes(const Choice *in, uint8_t *modes, int16_t *vectors);
int search_motion(const Search *in, int32_t *vectors);
/* Either output may be NULL: samples in 0…1, or bytes rounded half up. */
void compensate_frame(const Compensation *in, float *out, uint8_t *bytes);

#endif
