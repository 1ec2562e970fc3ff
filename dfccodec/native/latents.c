/* Entropy coding of latents (SPEC.md 7.6). The NumPy twins are entropy/context_model.py and entropy/inter/coding.py.

   All arithmetic that decides on bytes is in integers, or in float64 where it is exact. Numbers of a frame are stored
   in coding order: by band, then channel group, then cell, then channel of the group. A pass reads and writes one piece
   of memory, and what was computed for a frame is where the next one needs it. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { MEAN_LEVELS = 34, MAX_ACTIVITY = (1 << 13) - 1, MAX_MEAN = (1 << 18) - 1 };
enum { TWO_PHASE_GROUPS = 4, BAND_CELLS = 1 << 14, MAX_GROUP = 32, PRECISION = 24, LOG_BITS = 12, INITIAL_STATE = 1 << 24 };
enum { PIECE = 1024 }; /* integers whose contexts are computed together: temporary arrays stay in the first cache */

typedef struct {
    size_t first, cells, even;
    int32_t *order;      /* (cells,) raster number of each cell relative to `first`, in coding order: even cells first */
    int32_t *place;      /* (cells,) the inverse */
    int32_t *neighbours; /* (odd cells, 4) positions in coding order; `even` if a neighbour does not exist */
    int32_t *count;      /* (odd cells,) number of neighbours, at least 1 */
} Band;

typedef struct {
    Coder *coder;
    const Latents *in;
    Band *bands;
    size_t band_count, band_height, largest;
    int64_t means[MAX_CHANNELS], totals[MAX_CHANNELS]; /* of the frame: means that the contexts use; sums of magnitudes */
    int group_count, starts[MAX_CHANNELS / 32 + 9];
    /* This and the previous kept frame in coding order: integers and their predictions, 0 for the first kept frame. */
    int16_t *values, *before, *prediction, *prediction_before, *spare;
    /* Sums of magnitudes of each cell and group, of integers (kind 0) and of prediction errors (kind 1), likewise:
       (kind, groups, cells) of each band. Of the previous frame, kind 0 is that of the prediction for this one. */
    int32_t *sums, *sums_before;
    /* Arrays of a band or pass. */
    int32_t *far_sum[2], *around[2]; /* (cells,); around: magnitudes (even cells + 1, channels) of the group's phase 0 */
    int16_t *guesses, *lower;
    int32_t *residuals;
    uint8_t *contexts, *shifts, *symbols, *upper;
    Reference reference;
    VectorField field;
    int16_t *vectors;
} Work;

typedef struct {
    int k, group, phase, first, n; /* kept frame; group, its first channel and size */
    size_t begin, end;             /* cells */
    int64_t near, far, own;        /* sums of means: of the previous group, of all earlier groups, of this group */
} Pass;

/* Call a function with the size of a group as a constant. */
#define BY_SIZE(call, n, ...) \
    do { \
        if (n == 2) call(2, __VA_ARGS__); \
        else if (n == 4) call(4, __VA_ARGS__); \
        else if (n == 6) call(6, __VA_ARGS__); \
        else if (n == 8) call(8, __VA_ARGS__); \
        else if (n == 12) call(12, __VA_ARGS__); \
        else if (n == 16) call(16, __VA_ARGS__); \
        else if (n == 32) call(32, __VA_ARGS__); \
        else call(n, __VA_ARGS__); \
    } while (0)

/* ---- Order of cells ----------------------------------------------------------------------------------------------- */

static int build_band(Band *band, size_t line, size_t height, int rows, int columns) {
    band->first = line * columns, band->cells = height * columns, band->even = 0;
    band->order = malloc(band->cells * sizeof *band->order), band->place = malloc(band->cells * sizeof *band->place);
    if (!band->order || !band->place) return NO_MEMORY;
    for (int parity = 0, n = 0; parity < 2; parity++) {
        for (size_t y = 0; y < height; y++)
            for (int x = (int)(((line + y) % rows) & 1) ^ parity; x < columns; x += 2) {
                int32_t i = (int32_t)(y * columns + x);
                band->order[n] = i, band->place[i] = n++;
            }
        if (!parity) band->even = n;
    }
    size_t odd = band->cells - band->even;
    band->neighbours = malloc((odd ? odd : 1) * 4 * sizeof *band->neighbours);
    band->count = malloc((odd ? odd : 1) * sizeof *band->count);
    if (!band->neighbours || !band->count) return NO_MEMORY;
    for (size_t i = 0; i < odd; i++) {
        size_t cell = band->order[band->even + i], y = cell / columns, x = cell % columns, row = (line + y) % rows;
        int exists[4] = {row > 0 && y > 0, x > 0, x + 1 < (size_t)columns, row + 1 < (size_t)rows && y + 1 < height};
        long step[4] = {-columns, -1, 1, columns};
        int count = 0;
        for (int side = 0; side < 4; side++) {
            band->neighbours[4 * i + side] = exists[side] ? band->place[(long)cell + step[side]] : (int32_t)band->even;
            count += exists[side];
        }
        band->count[i] = count ? count : 1;
    }
    return OK;
}

/* Place of a cell of a group within a band, and of the group's sums of a kind. */
static size_t place_of(const Band *band, int first, int n, size_t cell) { return first * band->cells + cell * n; }

static size_t sums_of(const Work *work, const Band *band, int kind, int group) {
    return 2 * band->first * work->group_count + (kind * (size_t)work->group_count + group) * band->cells;
}

INLINE void gather_group(int n, const int16_t *frame, const int32_t *order, size_t cells, int channels, int16_t *out) {
    for (size_t i = 0; i < cells; i++) memcpy(out + i * n, frame + (size_t)order[i] * channels, n * sizeof *out);
}

INLINE void scatter_group(int n, const int16_t *values, const int32_t *order, size_t cells, int channels, int16_t *frame) {
    for (size_t i = 0; i < cells; i++) memcpy(frame + (size_t)order[i] * channels, values + i * n, n * sizeof *frame);
}

/* Sort a band of a frame (cells, channels) from raster into coding order, and back. */
static void gather(const Work *work, const Band *band, const int16_t *frame, int16_t *out) {
    frame += band->first * work->in->channels;
    for (int g = 0; g < work->group_count; g++) {
        int first = work->starts[g], n = work->starts[g + 1] - first;
        BY_SIZE(gather_group, n, frame + first, band->order, band->cells, work->in->channels, out + first * band->cells);
    }
}

static void scatter(const Work *work, const Band *band, const int16_t *values, int16_t *frame) {
    frame += band->first * work->in->channels;
    for (int g = 0; g < work->group_count; g++) {
        int first = work->starts[g], n = work->starts[g + 1] - first;
        BY_SIZE(scatter_group, n, values + first * band->cells, band->order, band->cells, work->in->channels, frame + first);
    }
}

/* ---- Sums of magnitudes ------------------------------------------------------------------------------------------- */

INLINE void sum_cells(int n, const int16_t *values, const int16_t *prediction, size_t cells, int32_t *sums, int32_t *errors,
                      int32_t *totals) {
    for (size_t i = 0; i < cells; i++, values += n, prediction += n) {
        int32_t sum = 0, error = 0;
        for (int c = 0; c < n; c++) sum += abs(values[c]);
        for (int c = 0; c < n; c++) error += abs(values[c] - prediction[c]);
        for (int c = 0; c < n; c++) totals[c] += abs(values[c]);
        sums[i] = sum, errors[i] = error;
    }
}

/* Sums of the cells of a pass that is coded. */
VECTORIZED static void sum_pass(Work *work, const Band *band, const Pass *pass) {
    size_t at = place_of(band, pass->first, pass->n, pass->begin) + band->first * work->in->channels;
    int32_t totals[MAX_GROUP] = {0}, *sums[2];
    for (int kind = 0; kind < 2; kind++) sums[kind] = work->sums + sums_of(work, band, kind, pass->group) + pass->begin;
    BY_SIZE(sum_cells, pass->n, work->values + at, work->prediction + at, pass->end - pass->begin, sums[0], sums[1], totals);
    for (int c = 0; c < pass->n; c++) work->totals[pass->first + c] += totals[c];
}

/* Magnitudes of the even cells of a group, then of a cell that does not exist. */
VECTORIZED static void sum_phase(Work *work, const Band *band, const Pass *pass) {
    size_t at = place_of(band, pass->first, pass->n, 0) + band->first * work->in->channels, size = band->even * pass->n;
    const int16_t *values = work->values + at, *prediction = work->prediction + at;
    for (size_t i = 0; i < size; i++) {
        work->around[0][i] = abs(values[i]);
        work->around[1][i] = abs(values[i] - prediction[i]);
    }
    for (int kind = 0; kind < 2; kind++) {
        memset(work->around[kind] + size, 0, pass->n * sizeof **work->around);
        work->sums[sums_of(work, band, kind, pass->group) + band->even] = 0; /* until the odd cells are coded */
    }
}

/* ---- Contexts ----------------------------------------------------------------------------------------------------- */

/* out += floor(top · factor / bottom), or more than MAX_ACTIVITY if it is that. Products are below 2^53, so a quotient in
   double is off by one at most. */
INLINE void add_quotients(const int32_t *tops, int32_t weight, double bottom, size_t n, int32_t *out) {
    double factor = weight * 256, reciprocal = 1.0 / bottom;
    for (size_t i = 0; i < n; i++) {
        double top = tops[i] * factor, rough = top * reciprocal;
        int32_t quotient = (int32_t)(rough < 65536.0 ? rough : 65536.0);
        double rest = top - quotient * bottom;
        out[i] += quotient + (rest >= bottom) - (rest < 0);
    }
}

INLINE void spread(int n, const int32_t *cells, size_t count, int32_t *out) {
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < n; c++) out[i * n + c] = cells[i];
}

INLINE void sum_neighbours(int n, const int32_t *magnitudes, const int32_t *neighbours, size_t count, int32_t *out) {
    for (size_t i = 0; i < count; i++, neighbours += 4, out += n) {
        const int32_t *a = magnitudes + (size_t)neighbours[0] * n, *b = magnitudes + (size_t)neighbours[1] * n;
        const int32_t *c = magnitudes + (size_t)neighbours[2] * n, *d = magnitudes + (size_t)neighbours[3] * n;
        for (int i = 0; i < n; i++) out[i] = a[i] + b[i] + c[i] + d[i];
    }
}

/* Activities of `count` cells from cell `begin` on, and, in phase 1, magnitudes of their neighbours; by integer. */
VECTORIZED static void activities(const Work *work, const Band *band, const Pass *pass, int kind, const int32_t *w, size_t begin,
                                  size_t count, int32_t *activity, int32_t *beside) {
    int32_t cells[PIECE], sums[PIECE];
    for (size_t i = 0; i < count; i++) cells[i] = w[0];
    if (pass->group) {
        add_quotients(work->sums + sums_of(work, band, kind, pass->group - 1) + begin, w[1], (double)pass->near, count, cells);
        add_quotients(work->far_sum[kind] + begin, w[2], (double)pass->far, count, cells);
    }
    if (pass->k) add_quotients(work->sums_before + sums_of(work, band, kind, pass->group) + begin, w[3], (double)pass->own, count, cells);
    if (pass->phase) {
        const int32_t *near = band->neighbours + 4 * (begin - band->even), *known = band->count + begin - band->even;
        const int32_t *even = work->sums + sums_of(work, band, kind, pass->group);
        for (size_t i = 0; i < count; i++) sums[i] = even[near[4 * i]] + even[near[4 * i + 1]] + even[near[4 * i + 2]] + even[near[4 * i + 3]];
        for (size_t i = 0; i < count; i++) {
            double top = sums[i] * (w[4] * 256.0), bottom = (double)pass->own * known[i], rough = top / bottom;
            int32_t quotient = (int32_t)(rough < 65536.0 ? rough : 65536.0);
            double rest = top - quotient * bottom;
            cells[i] += quotient + (rest >= bottom) - (rest < 0);
        }
        BY_SIZE(sum_neighbours, pass->n, work->around[kind], near, count, beside);
    }
    for (size_t i = 0; i < count; i++) cells[i] = cells[i] < MAX_ACTIVITY ? cells[i] : MAX_ACTIVITY;
    BY_SIZE(spread, pass->n, cells, count, activity);
}

/* Arrays of a piece, by integer: activities, magnitudes of neighbours, means of the channels; scales and classes of
   contexts. Simple loops over arrays become vector instructions. */
typedef struct {
    int32_t activity[2][PIECE], beside[2][PIECE], means[PIECE], class[PIECE];
    union {
        float numbers[PIECE];
        int32_t bits[PIECE];
    } scale;
} Piece;

INLINE void first_scales(Piece *restrict piece, const int32_t *w, int phase, size_t n) {
    const int32_t beside = w[6], least = w[7];
    for (size_t i = 0; i < n; i++) {
        int32_t scale = (piece->activity[0][i] * piece->means[i] >> 8) + least;
        if (phase) scale += beside * piece->beside[0][i];
        piece->scale.numbers[i] = (float)(scale < MAX_MEAN ? scale : MAX_MEAN);
        piece->class[i] = 0;
    }
}

INLINE void later_scales(Piece *restrict piece, const int32_t *w, int phase, size_t n, const int16_t *restrict prediction,
                         const int16_t *restrict before, const int16_t *restrict prediction_before) {
    const int32_t *v = w + WEIGHTS;
    const int32_t own = w[5], beside = w[6], least = w[7], own_error = v[5], beside_error = v[6], least_error = v[7];
    for (size_t i = 0; i < n; i++) {
        int32_t mean = piece->means[i], change = before[i] - prediction_before[i];
        int32_t level = (piece->activity[0][i] * mean >> 8) + own * abs(prediction[i]) + least;
        int32_t error = (piece->activity[1][i] * mean >> 8) + own_error * abs(change) + least_error;
        if (phase) level += beside * piece->beside[0][i], error += beside_error * piece->beside[1][i];
        int32_t scale = error < level ? error : level;
        piece->scale.numbers[i] = (float)(scale < MAX_MEAN ? scale : MAX_MEAN);
        piece->class[i] = (error < level ? 2 * BUCKETS : 0) + (prediction[i] ? BUCKETS : 0);
    }
}

/* Contexts and numbers of bypass-coded bits. A float32 holds floor(log2) and the two bits after it. */
INLINE int contexts_of(const Piece *restrict piece, size_t n, uint8_t *restrict contexts, uint8_t *restrict shifts) {
    int32_t large = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t bits = piece->scale.bits[i], shift = (bits >> 23) - 127 - 9, bucket = (bits >> 21) - 4 * (127 + 3);
        bucket = bucket < BUCKETS ? bucket : BUCKETS - 4 + (bucket & 3);
        shift = shift > 0 ? shift : 0, bucket = bucket > 0 ? bucket : 0;
        contexts[i] = (uint8_t)(bucket + piece->class[i]);
        shifts[i] = (uint8_t)shift, large |= shift;
    }
    return large;
}

/* Contexts and numbers of bypass-coded bits of a pass. Returns whether there are such bits. */
VECTORIZED static int find_contexts(const Work *work, const Band *band, const Pass *pass) {
    const int32_t *w = work->in->weights + (((pass->group > 0) * 2 + (pass->k > 0)) * 2 + pass->phase) * 2 * WEIGHTS;
    size_t most = PIECE / pass->n, at = place_of(band, pass->first, pass->n, pass->begin) + band->first * work->in->channels;
    uint8_t *contexts = work->contexts, *shifts = work->shifts;
    int large = 0;
    Piece piece;
    for (size_t i = 0; i < most; i++)
        for (int c = 0; c < pass->n; c++) piece.means[i * pass->n + c] = (int32_t)work->means[pass->first + c];
    for (size_t begin = pass->begin; begin < pass->end; begin += most) {
        size_t count = pass->end - begin < most ? pass->end - begin : most, n = count * pass->n;
        for (int kind = 0; kind < 1 + (pass->k > 0); kind++)
            activities(work, band, pass, kind, w + kind * WEIGHTS, begin, count, piece.activity[kind], piece.beside[kind]);
        const int16_t *prediction = work->prediction + at, *before = work->before + at, *earlier = work->prediction_before + at;
        if (!pass->k && pass->phase)
            first_scales(&piece, w, 1, n);
        else if (!pass->k)
            first_scales(&piece, w, 0, n);
        else if (pass->phase)
            later_scales(&piece, w, 1, n, prediction, before, earlier);
        else
            later_scales(&piece, w, 0, n, prediction, before, earlier);
        large |= contexts_of(&piece, n, contexts, shifts);
        at += n, contexts += n, shifts += n;
    }
    return large;
}

/* ---- Residuals ---------------------------------------------------------------------------------------------------- */

/* Guesses of the first group's odd cells: the mean of the neighbours, rounded half up. */
static void guess_from_neighbours(Work *work, const Band *band, const Pass *pass) {
    const int16_t *values = work->values + place_of(band, pass->first, pass->n, 0) + band->first * work->in->channels;
    int16_t *out = work->guesses;
    for (size_t i = pass->begin; i < pass->end; i++) {
        const int32_t *near = band->neighbours + 4 * (i - band->even);
        int32_t bottom = 2 * band->count[i - band->even];
        for (int c = 0; c < pass->n; c++) {
            int32_t sum = 0;
            for (int side = 0; side < 4; side++)
                if (near[side] < (int32_t)band->even) sum += values[(size_t)near[side] * pass->n + c];
            int32_t top = 2 * sum + bottom / 2;
            *out++ = (int16_t)(top >= 0 ? top / bottom : -((-top + bottom - 1) / bottom));
        }
    }
}

/* A static integer's guess is its prediction, as the context says; another's is 0, or that of its neighbours. */
INLINE int16_t guess_of(uint8_t context, int16_t prediction, int16_t guess) { return context >= 2 * BUCKETS ? prediction : guess; }

/* Negate a residual if the prediction is negative. */
INLINE int16_t signed_like(int16_t prediction, int residual) {
    int16_t sign = (int16_t)-(prediction < 0);
    return (int16_t)(((int16_t)residual ^ sign) - sign);
}

/* Symbols of a pass without bypass-coded low bits. Returns whether one is an escape. */
VECTORIZED static int find_symbols(const int16_t *values, const int16_t *prediction, const int16_t *guesses, const uint8_t *contexts,
                                   size_t n, uint8_t *symbols) {
    int16_t escapes = 0;
    for (size_t i = 0; i < n; i++) {
        int16_t residual = signed_like(prediction[i], values[i] - guess_of(contexts[i], prediction[i], guesses ? guesses[i] : 0));
        int16_t symbol = residual < -ESCAPE ? -ESCAPE : residual > ESCAPE ? ESCAPE : residual;
        escapes |= (int16_t)(symbol == ESCAPE) | (int16_t)(symbol == -ESCAPE);
        symbols[i] = (uint8_t)(symbol + ESCAPE);
    }
    return escapes;
}

VECTORIZED static void find_residuals(const int16_t *values, const int16_t *prediction, const int16_t *guesses, const uint8_t *contexts,
                                      size_t n, int32_t *residuals) {
    for (size_t i = 0; i < n; i++)
        residuals[i] = signed_like(prediction[i], values[i] - guess_of(contexts[i], prediction[i], guesses ? guesses[i] : 0));
}

VECTORIZED static int values_of_symbols(const uint8_t *symbols, const int16_t *prediction, const int16_t *guesses,
                                        const uint8_t *contexts, size_t n, int16_t *values) {
    uint8_t escapes = 0;
    for (size_t i = 0; i < n; i++) {
        escapes |= (uint8_t)(symbols[i] == 0) | (uint8_t)(symbols[i] == 2 * ESCAPE);
        values[i] = (int16_t)(guess_of(contexts[i], prediction[i], guesses ? guesses[i] : 0) + signed_like(prediction[i], symbols[i] - ESCAPE));
    }
    return escapes;
}

VECTORIZED static void values_of_residuals(const int32_t *residuals, const int16_t *prediction, const int16_t *guesses,
                                           const uint8_t *contexts, size_t n, int16_t *values) {
    for (size_t i = 0; i < n; i++)
        values[i] = (int16_t)(guess_of(contexts[i], prediction[i], guesses ? guesses[i] : 0) + signed_like(prediction[i], residuals[i]));
}

/* ---- Costs -------------------------------------------------------------------------------------------------------- */

/* Cost in bits of a frequency, from a table of log2: exact in float32. */
static float bits_of(const Latents *in, uint32_t frequency) {
    int octave = floor_log2(frequency);
    uint32_t part = octave >= LOG_BITS ? frequency >> (octave - LOG_BITS) : frequency << (LOG_BITS - octave);
    return (float)(PRECISION - octave) - in->logs[part & ((1 << LOG_BITS) - 1)];
}

/* Cost of a residual. */
static float cost_of(const float *table, int32_t residual, int shift) {
    int32_t quotient = (residual + (1 << shift >> 1)) >> shift, excess = abs(quotient) - ESCAPE + 1;
    return table[clamp_symbol(quotient)] + (float)(shift + (excess > 0 ? 4 + floor_log2((uint32_t)excess) : 0));
}

/* Symbols of `lower` and of `lower` + 1, or of 0, if none is an escape. Returns whether one is. */
VECTORIZED static int find_two_symbols(const int16_t *restrict lower, const int16_t *restrict prediction, const int16_t *guesses,
                                       const uint8_t *restrict contexts, size_t n, int zero, uint8_t *restrict symbols, uint8_t *restrict upper) {
    int32_t escapes = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t sign = prediction[i] < 0 ? -1 : 1, guess = guess_of(contexts[i], prediction[i], guesses ? guesses[i] : 0);
        int32_t low = (lower[i] - guess) * sign + ESCAPE, high = zero ? ESCAPE - guess * sign : low + sign;
        escapes |= (low < 1) | (low >= 2 * ESCAPE) | (high < 1) | (high >= 2 * ESCAPE);
        symbols[i] = (uint8_t)low, upper[i] = (uint8_t)high;
    }
    return escapes;
}

/* Costs of two adjacent integers at each place of a pass, or the difference of both, or that of the integer and 0. */
static void price_pass(Work *work, const Band *band, const Pass *pass, const int16_t *guesses, int large) {
    const Latents *in = work->in;
    if (pass->k < in->first) return;
    size_t total = (in->kept - in->first) * in->cells * in->channels, place = place_of(band, pass->first, pass->n, pass->begin), i = 0;
    size_t n = (pass->end - pass->begin) * pass->n;
    const int16_t *prediction = work->prediction + band->first * in->channels + place;
    const int16_t *lower = in->saving ? work->values + band->first * in->channels + place : work->lower + place;
    float tables[4 * BUCKETS][SYMBOLS];
    uint8_t known[4 * BUCKETS] = {0};
    for (size_t j = 0; j < n; j++) {
        int context = work->contexts[j];
        if (known[context]) continue;
        uint32_t frequencies[SYMBOLS];
        symbol_frequencies(work->coder, context, frequencies);
        for (int s = 0; s < SYMBOLS; s++) tables[context][s] = bits_of(in, frequencies[s]);
        known[context] = 1;
    }
    int plain = !large && !find_two_symbols(lower, prediction, guesses, work->contexts, n, in->saving, work->symbols, work->upper);
    for (size_t cell = pass->begin; cell < pass->end; cell++) {
        float *out = in->prices + ((pass->k - in->first) * in->cells + band->first + band->order[cell]) * in->channels + pass->first;
        for (int c = 0; plain && c < pass->n; c++) {
            const float *table = tables[work->contexts[i + c]];
            float low = table[work->symbols[i + c]], high = table[work->upper[i + c]];
            out[c] = in->slope ? high - low : in->saving ? low - high : low;
            if (!in->slope && !in->saving) out[total + c] = high;
        }
        i += plain ? pass->n : 0;
        for (int c = 0; !plain && c < pass->n; c++, i++) {
            const float *table = tables[work->contexts[i]];
            int guess = guess_of(work->contexts[i], prediction[i], guesses ? guesses[i] : 0), sign = prediction[i] < 0 ? -1 : 1;
            int32_t residual = (lower[i] - guess) * sign, other = in->saving ? -guess * sign : residual + sign;
            float low = cost_of(table, residual, work->shifts[i]), high = cost_of(table, other, work->shifts[i]);
            out[c] = in->slope ? high - low : in->saving ? low - high : low;
            if (!in->slope && !in->saving) out[total + c] = high;
        }
    }
}

/* ---- Passes ------------------------------------------------------------------------------------------------------- */

static int code_latent_pass(Work *work, const Band *band, const Pass *pass) {
    size_t n = (pass->end - pass->begin) * pass->n;
    size_t at = place_of(band, pass->first, pass->n, pass->begin) + band->first * work->in->channels;
    const int16_t *prediction = work->prediction + at, *guesses = pass->phase && !pass->group ? work->guesses : NULL;
    int16_t *values = work->values + at;
    int large = find_contexts(work, band, pass), status = reserve_pass(work->coder, n);
    const uint8_t *contexts = work->contexts, *shifts = large ? work->shifts : NULL;
    if (status) return status;
    if (guesses) guess_from_neighbours(work, band, pass);
    if (work->in->mode == PRICE) price_pass(work, band, pass, guesses, large);
    if (work->in->mode != DECODE) {
        if (!large && !find_symbols(values, prediction, guesses, contexts, n, work->symbols))
            return encode_symbols(work->coder, contexts, work->symbols, n);
        find_residuals(values, prediction, guesses, contexts, n, work->residuals);
        return code_pass(work->coder, contexts, shifts, work->residuals, n);
    }
    status = decode_symbols(work->coder, contexts, work->symbols, n);
    if (status || (!values_of_symbols(work->symbols, prediction, guesses, contexts, n, values) && !large)) return status;
    for (size_t i = 0; i < n; i++) work->residuals[i] = work->symbols[i] - ESCAPE;
    status = decode_details(work->coder, shifts, work->residuals, n);
    values_of_residuals(work->residuals, prediction, guesses, contexts, n, values);
    return status;
}

static int code_band(Work *work, const Band *band, int k) {
    const Latents *in = work->in;
    size_t cells = band->cells, frame = in->cells * in->channels, base = band->first * in->channels;
    Pass pass = {.k = k, .near = 1, .far = 1};
    int status = OK;
    if (in->mode != DECODE) gather(work, band, in->values + k * frame, work->values + base);
    if (in->mode == PRICE && !in->saving && k >= in->first) gather(work, band, in->lower + (k - in->first) * frame, work->lower);
    for (int kind = 0; kind < 2; kind++) memset(work->far_sum[kind], 0, cells * sizeof **work->far_sum);
    for (int g = 0; g < work->group_count && !status; g++) {
        size_t even = g < TWO_PHASE_GROUPS ? band->even : cells;
        pass.group = g, pass.first = work->starts[g], pass.n = work->starts[g + 1] - pass.first, pass.own = 0;
        for (int c = 0; c < pass.n; c++) pass.own += work->means[pass.first + c];
        for (pass.phase = 0; pass.phase < 2 && !status; pass.phase++) {
            pass.begin = pass.phase ? even : 0, pass.end = pass.phase ? cells : even;
            if (pass.begin == pass.end) continue;
            if (pass.phase) sum_phase(work, band, &pass);
            status = code_latent_pass(work, band, &pass);
            sum_pass(work, band, &pass);
        }
        for (int kind = 0; kind < 2; kind++) {
            const int32_t *sums = work->sums + sums_of(work, band, kind, g);
            for (size_t i = 0; i < cells; i++) work->far_sum[kind][i] = (work->far_sum[kind][i] >> 1) + sums[i];
        }
        pass.near = pass.own, pass.far = (g ? pass.far >> 1 : 0) + pass.own;
    }
    if (in->mode == DECODE && !status) scatter(work, band, work->values + base, in->values + k * frame);
    return status;
}

/* ---- Means of channels -------------------------------------------------------------------------------------------- */

static int64_t mean_of(const Latents *in, int64_t total) {
    int64_t mean = total * 256 / (int64_t)in->cells;
    return mean < 2 ? 2 : mean > MAX_MEAN ? MAX_MEAN : mean;
}

VECTORIZED static void sum_channels(const Latents *in, int64_t *totals) {
    int32_t part[MAX_CHANNELS];
    memset(totals, 0, in->channels * sizeof *totals);
    for (size_t first = 0; first < in->cells; first += BAND_CELLS) { /* a part fits 32 bits */
        size_t end = in->cells - first < BAND_CELLS ? in->cells : first + BAND_CELLS;
        memset(part, 0, in->channels * sizeof *part);
        for (size_t i = first; i < end; i++) {
            const int16_t *cell = in->values + i * in->channels;
            for (int c = 0; c < in->channels; c++) part[c] += abs(cell[c]);
        }
        for (int c = 0; c < in->channels; c++) totals[c] += part[c];
    }
}

static int64_t mean_level(int number) { return (int64_t)(2 + (number & 1)) << (number >> 1); }

static int code_means(Work *work) {
    const Latents *in = work->in;
    uint8_t contexts[MAX_CHANNELS];
    int32_t residuals[MAX_CHANNELS];
    int before = 0;
    memset(contexts, MEAN_CONTEXT, in->channels);
    if (in->mode != DECODE) sum_channels(in, work->totals);
    for (int c = 0; in->mode != DECODE && c < in->channels; c++) {
        int64_t mean = mean_of(in, work->totals[c]);
        int best = 0;
        for (int i = 1; i < MEAN_LEVELS; i++)
            if (llabs(mean_level(i) - mean) < llabs(mean_level(best) - mean)) best = i;
        residuals[c] = best - before, before = best;
    }
    int status = code_pass(work->coder, contexts, NULL, residuals, in->channels);
    before = 0;
    for (int c = 0; !status && c < in->channels; c++) {
        before += residuals[c]; /* at most 65 551 each: no overflow within MAX_CHANNELS */
        if (before < 0 || before >= MEAN_LEVELS) return DAMAGED;
        work->means[c] = mean_level(before);
    }
    return status;
}

static void update_means(Work *work, int k) {
    for (int c = 0; c < work->in->channels; c++) {
        int64_t mean = mean_of(work->in, work->totals[c]);
        work->means[c] = k ? (5 * work->means[c] + 3 * mean) >> 3 : mean;
    }
}

/* ---- Frames ------------------------------------------------------------------------------------------------------- */

/* Set the prediction of a cell, in raster order within all tiles, and the sums of its magnitudes. */
static void set_prediction(Work *work, size_t cell, const int16_t *latents) {
    const Band *band = work->bands + cell / work->in->columns / work->band_height;
    size_t at = band->place[cell - band->first], base = band->first * work->in->channels;
    for (int g = 0; g < work->group_count; g++) {
        int first = work->starts[g], n = work->starts[g + 1] - first;
        int32_t sum = 0;
        for (int c = first; c < first + n; c++) sum += abs(latents[c]);
        memcpy(work->prediction + base + place_of(band, first, n, at), latents + first, n * sizeof *latents);
        work->sums_before[sums_of(work, band, 0, g) + at] = sum;
    }
}

/* Code the vectors of a kept frame and predict it from the previous one. */
static int predict(Work *work, int k) {
    const Latents *in = work->in;
    size_t cells = (size_t)in->rows * in->columns, size = in->cells * in->channels;
    const int16_t *frame = in->values + (k - 1) * size;
    int16_t found[LATENTS];
    int status = OK;
    if (!in->inter) return OK;
    memcpy(work->prediction, work->before, size * sizeof *work->before);
    for (size_t first = 0; first < in->cells && !status; first += cells) {
        work->field.vectors = work->vectors + 2 * first;
        work->field.wanted = in->mvs ? in->mvs + 2 * (k * in->cells + first) : NULL;
        status = code_vectors(work->coder, &work->field);
    }
    if (in->decoded) memcpy(in->decoded + 2 * k * in->cells, work->vectors, 2 * in->cells * sizeof *in->decoded);
    for (size_t first = 0; first < in->cells && !status; first += cells) {
        set_reference(&work->reference, frame + first * LATENTS);
        for (size_t i = 0; i < cells; i++) {
            const int16_t *vector = work->vectors + 2 * (first + i);
            if (!vector[0] && !vector[1]) continue;
            compensate_from(&work->reference, (int)i, vector, found);
            set_prediction(work, first + i, found);
        }
    }
    return status;
}

static void swap(void *a, void *b) {
    void *x, *y;
    memcpy(&x, a, sizeof x), memcpy(&y, b, sizeof y);
    memcpy(a, &y, sizeof y), memcpy(b, &x, sizeof x);
}

/* Make the frame that was coded the one before. Without motion, its integers are the prediction of the next. */
static void next_frame(Work *work) {
    swap(&work->sums, &work->sums_before);
    if (work->in->inter)
        swap(&work->values, &work->before), swap(&work->prediction, &work->prediction_before);
    else {
        int16_t *unused = work->spare;
        work->spare = work->prediction_before = work->before;
        work->before = work->prediction = work->values;
        work->values = unused;
    }
}

static int code_frames(Work *work) {
    const Latents *in = work->in;
    int status = code_means(work);
    for (int k = 0; k < in->kept && !status; k++) {
        if (k) next_frame(work);
        memset(work->totals, 0, in->channels * sizeof *work->totals);
        if (k) status = predict(work, k);
        for (size_t b = 0; b < work->band_count && !status; b++) status = code_band(work, work->bands + b, k);
        update_means(work, k);
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
    work->band_height = height;
    work->bands = calloc((lines + height - 1) / height, sizeof *work->bands);
    if (!work->bands) return NO_MEMORY;
    for (size_t line = 0; line < lines; line += height) {
        Band *band = work->bands + work->band_count++;
        if (build_band(band, line, lines - line < height ? lines - line : height, in->rows, in->columns)) return NO_MEMORY;
        if (band->cells > work->largest) work->largest = band->cells;
    }
    return OK;
}

/* Memory of the work arrays, one after another in one block; without a block, count only. The first `zeros` bytes must be 0:
   they are the frames before the first one, and its vectors. */
static size_t divide_memory(Work *work, char *block, size_t *zeros) {
    const Latents *in = work->in;
    size_t numbers = in->cells * in->channels, sums = 2 * in->cells * work->group_count, part = work->largest * MAX_GROUP, used = 0;
    size_t halves = work->largest * 8, cells = work->largest;
    struct {
        void *pointer;
        size_t bytes;
    } arrays[] = {
        {&work->before, 2 * numbers}, {&work->prediction, in->inter ? 2 * numbers : 0},
        {&work->prediction_before, in->inter ? 2 * numbers : 0}, {&work->vectors, in->inter ? 4 * in->cells : 0},
        {&work->values, 2 * numbers}, {&work->spare, in->inter ? 0 : 2 * numbers}, {&work->sums, 4 * sums}, {&work->sums_before, 4 * sums},
        {work->far_sum, 4 * cells}, {work->far_sum + 1, 4 * cells}, {work->around, 4 * (halves + 8)}, {work->around + 1, 4 * (halves + 8)},
        {&work->guesses, 2 * halves}, {&work->lower, in->mode == PRICE ? 2 * cells * in->channels : 0}, {&work->residuals, 4 * part},
        {&work->contexts, part}, {&work->shifts, part}, {&work->symbols, part}, {&work->upper, in->mode == PRICE ? part : 0},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        char *at = block + used;
        if (block) memcpy(arrays[i].pointer, &at, sizeof at);
        used += (arrays[i].bytes + 63) / 64 * 64;
        if (i == 3) *zeros = used;
    }
    if (!in->inter) work->prediction = work->prediction_before = work->before;
    return used;
}

int code_latents(Coder *coder, const Latents *in) {
    Work work = {.coder = coder, .in = in};
    int status = prepare(&work);
    size_t zeros;
    char *block = status ? NULL : malloc(divide_memory(&work, NULL, &zeros));
    if (!block) status = NO_MEMORY;
    if (!status) divide_memory(&work, block, &zeros), memset(block, 0, zeros);
    if (!status && in->inter) status = start_vectors(&work.field, in->rows, in->columns);
    if (!status && in->inter) status = start_reference(&work.reference, in->rows, in->columns, in->basis);
    if (!status) status = reserve_symbols(coder, in->kept * in->cells * in->channels);
    if (!status) status = code_frames(&work);
    free_vectors(&work.field), free_reference(&work.reference);
    for (size_t b = 0; b < work.band_count; b++)
        free(work.bands[b].order), free(work.bands[b].place), free(work.bands[b].neighbours), free(work.bands[b].count);
    free(work.bands), free(block);
    return status;
}
