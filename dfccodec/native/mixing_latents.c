/* Integers of coding 3 by context mixing (SPEC.md 7.11.3). */

#include <stdlib.h>
#include <string.h>

#include "mixing.h"

enum { HALF_OCTAVES = 24, LEAST_DEPTH = 128, DEPTHS = GROUPS + 1, NO_DEPTH = DEPTHS };
enum { GUESSED = 1 << 0 | 1 << 1 | 1 << 4, MAX_LEVEL = 33, MAX_MEAN = (1 << 18) - 1, MAX_RATIO = 1 << 16, MAX_AROUND = 4096 };

static const int DEPTH[MIXED] = {17, 81, 170, 81, 73, 81, 100};

/* Keys of each input, for the magnitude and for the sign of an integer. */
static void set_keys(int channels, int *coefficient, int *sign) {
    const int magnitudes[MIXED] = {channels * 25, channels * 24, 24 * 24, 24 * 8 * 4, channels * 8 * 4, 24 * 24, 24 * 7 * 4};
    const int signs[MIXED] = {channels * 9, 48, channels * 3, 24 * 48, 21 * 48, channels, GROUPS * 9};
    memcpy(coefficient, magnitudes, sizeof magnitudes), memcpy(sign, signs, sizeof signs);
}

/* Sets of weights: by node and group, then by scale; first those of coefficients, top bits, signs, depths. */
enum { SET_A_TOP = GROUPS * UNARY * 2, SET_A_SIGN = SET_A_TOP + 6, SET_A_DEPTH = SET_A_SIGN + 2 * GROUPS, SETS_A = SET_A_DEPTH + 2 * GROUPS };
enum { SET_B_TOP = 3 * 24 * 4, SET_B_SIGN = SET_B_TOP + 24, SET_B_DEPTH = SET_B_SIGN + 3, SETS_B = SET_B_DEPTH + DEPTHS };

size_t latent_contexts(int channels) {
    int coefficient[MIXED], sign[MIXED];
    size_t out = 0;
    set_keys(channels, coefficient, sign);
    for (int i = 0; i < MIXED; i++) out += (size_t)coefficient[i] * NODES + sign[i] + DEPTH[i] * GROUPS;
    return out;
}

size_t latent_sets(void) { return SETS_A + SETS_B; }

/* Two buckets an octave, 0 to 23. */
static inline int bucket_of(uint32_t x) {
    if (x < 4) return 0;
    int e = floor_log2(x), out = 2 * (e - 2) + (int)(x >> (e - 1) & 1) + 1;
    return out < HALF_OCTAVES ? out : HALF_OCTAVES - 1;
}


enum { LEFT = 1, RIGHT = 2, ABOVE = 4, BELOW = 8 };

typedef struct {
    int32_t *near, *far; /* of each cell, fading sums of 256 × magnitude over the channels before */
} Energy;

typedef struct {
    const Mixing *in;
    Mixer m;
    int coefficient[MIXED], sign[MIXED], depth[MIXED]; /* first context of each input */
    int channels, means[MAX_MIXED];
    int near_sum, far_sum; /* of the means, likewise */
    Energy size, change;
    uint8_t *edges, *depths, *last_depths;
    int32_t *active;
    size_t active_count;
} Frame;

static void set_means(Frame *f, int k, int level) {
    const Mixing *in = f->in;
    for (int c = 0; c < f->channels; c++) {
        if (!k) {
            int64_t scale = (int64_t)(2 + (level & 1)) << (level >> 1);
            f->means[c] = clip_int(in->profile[c] * scale >> 8, 2, MAX_MEAN);
            continue;
        }
        const int16_t *v = in->values + (k - 1) * in->cells * f->channels + c;
        int64_t sum = 0;
        for (size_t i = 0; i < in->cells; i++) sum += absolute(v[i * f->channels]);
        int mean = clip_int(256 * sum / (int64_t)in->cells, 2, MAX_MEAN);
        f->means[c] = k == 1 ? mean : (5 * f->means[c] + 3 * mean) >> 3;
    }
}

static void code_depths(Frame *f, const int16_t *values, int later) {
    Mixer *m = &f->m;
    int columns = f->in->columns;
    for (size_t i = 0; i < f->in->cells; i++) {
        int edges = f->edges[i], depth = 0;
        if (m->mode != DECODE) {
            int c = f->channels;
            while (c && !values[i * f->channels + c - 1]) c--;
            while (depth < GROUPS && f->in->groups[depth] < c) depth++;
        }
        const uint8_t *d = f->depths + i;
        int above = edges & ABOVE ? d[-columns] : edges & LEFT ? d[-1] : 4, left = edges & LEFT ? d[-1] : above;
        int above_left = (edges & (ABOVE | LEFT)) == (ABOVE | LEFT) ? d[-columns - 1] : above;
        int above_right = (edges & (ABOVE | RIGHT)) == (ABOVE | RIGHT) ? d[1 - columns] : above;
        int second_left = i % columns > 1 ? d[-2] : left, second_above = i >= 2 * (size_t)columns ? d[-2 * columns] : above;
        int before = f->last_depths[i], next = f->last_depths[i + 1 < f->in->cells ? i + 1 : i];
        int keys[MIXED] = {left + above, left * 9 + above, before * 17 + left + above, above_right * 9 + above,
                           left + above + above_left + above_right + 40 * later, second_left * 9 + second_above, before * 10 + next};
        int found = 0, contexts[MIXED];
        do {
            for (int j = 0; j < MIXED; j++) contexts[j] = f->depth[j] + keys[j] * GROUPS + found;
        } while (decide(m, contexts, SET_A_DEPTH + 2 * found + later, SET_B_DEPTH + left, LEAST_DEPTH, depth > found) && ++found < GROUPS);
        f->depths[i] = (uint8_t)found;
    }
}

/* Weighted sum over the cells left, above, above left and above right, which are known in this channel too. */
typedef struct {
    int left, above, above_left, above_right;
} Around;

static inline Around around_of(const int16_t *v, int channels, int edges, int columns) {
    Around out = {0};
    if (edges & LEFT) out.left = v[-channels];
    if (!(edges & ABOVE)) return out;
    out.above = v[-columns * channels];
    if (edges & LEFT) out.above_left = v[-(columns + 1) * channels];
    if (edges & RIGHT) out.above_right = v[(1 - columns) * channels];
    return out;
}

static inline int weigh(Around a) {
    return 5 * (absolute(a.left) + absolute(a.above)) + 3 * (absolute(a.above_left) + absolute(a.above_right));
}

static inline int predict(const int16_t *weights, const int16_t *cell, int c, int channels, Around a, int edges, int columns) {
    const int16_t *sides[LINEAR_CELLS] = {cell, edges & LEFT ? cell - channels : cell, edges & ABOVE ? cell - columns * channels : cell,
                                          edges & RIGHT ? cell + channels : cell, edges & BELOW ? cell + columns * channels : cell};
    int sum = 0, known = least_of(c, LINEAR_CHANNELS);
    for (int s = 0; s < LINEAR_CELLS; s++)
        for (int j = 0; j < known; j++) sum += weights[s * LINEAR_CHANNELS + j] * sides[s][j];
    int left = edges & LEFT ? a.left : a.above, above = edges & ABOVE ? a.above : left;
    int above_left = !(edges & ABOVE) ? left : edges & LEFT ? a.above_left : above;
    int above_right = !(edges & ABOVE) ? left : edges & RIGHT ? a.above_right : above;
    weights += LINEAR_CELLS * LINEAR_CHANNELS;
    return sum + weights[0] * left + weights[1] * above + weights[2] * above_left + weights[3] * above_right;
}

static void code_integer(Frame *f, int16_t *values, const int16_t *previous, int c, int group, size_t i) {
    const Mixing *in = f->in;
    Mixer *m = &f->m;
    int channels = f->channels;
    int16_t *v = values + i * channels + c;
    int edges = f->edges[i], columns = in->columns, later = previous != NULL, mean = f->means[c], past = 0, guess = 0, predicted = 0;
    int weight = (edges & LEFT ? 5 : 0) + (edges & ABOVE ? 5 : 0) + ((edges & (LEFT | ABOVE)) == (LEFT | ABOVE) ? 3 : 0) +
                 ((edges & (RIGHT | ABOVE)) == (RIGHT | ABOVE) ? 3 : 0);
    Around near = around_of(v, channels, edges, columns);
    int around = weigh(near), is_static = 0;
    const Energy *energy = &f->size;
    if (previous) {
        const int16_t *p = previous + i * channels + c;
        Around old = around_of(p, channels, edges, columns);
        Around moved = {near.left - old.left, near.above - old.above, near.above_left - old.above_left, near.above_right - old.above_right};
        int changed = weigh(moved);
        int64_t size = 4 * (int64_t)f->size.near[i] + f->size.far[i] + 64 * (int64_t)around;
        int64_t change = 4 * (int64_t)f->change.near[i] + f->change.far[i] + 64 * (int64_t)changed;
        past = *p, is_static = 8 * change < 5 * size;
        if (is_static) energy = &f->change, around = changed, near = moved, guess = past;
    }
    if (!is_static && c < LINEAR_ROWS) {
        predicted = predict(in->linear + c * LINEAR_WEIGHTS, v - c, c, channels, near, edges, columns);
        if (in->intra && c < 8 && GUESSED >> c & 1) guess = (predicted + 128) >> 8, predicted -= guess * 256;
    }
    int near_ratio = 256, far_ratio = 256, side_ratio = 256;
    if (c) {
        const int32_t *e = energy->near + i;
        int64_t sides = 0, count = 0;
        if (edges & LEFT) sides += e[-1], count++;
        if (edges & RIGHT) sides += e[1], count++;
        if (edges & ABOVE) sides += e[-columns], count++;
        if (edges & BELOW) sides += e[columns], count++;
        near_ratio = clip_int(256 * (int64_t)*e / f->near_sum, 0, MAX_RATIO);
        far_ratio = clip_int(256 * (int64_t)energy->far[i] / f->far_sum, 0, MAX_RATIO);
        if (count) side_ratio = clip_int(256 * sides / (count * f->near_sum), 0, MAX_RATIO);
    }
    int around_ratio = weight ? clip_int(65536 * (int64_t)around / ((int64_t)weight * mean), 0, MAX_AROUND) : least_of(side_ratio, MAX_AROUND);
    int all = (140 * near_ratio + 64 * far_ratio + 26 * side_ratio + 26 * around_ratio) >> 8;
#define SCALE(ratio) bucket_of((uint32_t)((int64_t)(ratio) * mean >> 8))
    int scale = SCALE(all), below = least_of(f->depths[i] - group - 1, 3), linear = bucket_of((uint32_t)absolute(predicted));
    int beside = weight ? 16 * around / weight : 0;
    beside = beside < 1 ? 0 : beside < 4 ? 1 : beside < 8 ? 2 : beside < 12 ? 3 : beside < 20 ? 4 : beside < 40 ? 5 : beside < 80 ? 6 : 7;
    int pair[2];
    for (int j = 0; j < 2; j++) {
        int at = in->partners[2 * c + j], x = 0;
        if (at < c) x = absolute(v[at - c] - (is_static ? previous[i * channels + at] : 0));
        pair[j] = x < 4 ? x : x < 8 ? 3 : 4;
    }
    int keys[MIXED] = {c * 25 + pair[0] * 5 + pair[1],
                       c * 24 + scale,
                       SCALE(near_ratio) * 24 + SCALE(far_ratio),
                       (SCALE((around_ratio + near_ratio) >> 1) * 8 + beside) * 4 + below,
                       (c * 8 + beside) * 4 + below,
                       linear * 24 + scale,
                       (scale * 7 + (!later ? 0 : is_static ? 6 : 1 + least_of(absolute(past), 4))) * 4 + below};
#undef SCALE
    int first[MIXED], contexts[MIXED], residual = m->mode == DECODE ? 0 : (int16_t)(*v - guess);
    int old = sign_of(past) + 1;
    NumberSets sets = {group * UNARY * 2 + later, 2, scale * 4 + below, 24 * 4, 2, SET_A_TOP, SET_B_TOP + scale,
                       SET_A_SIGN + 2 * group + later, SET_B_SIGN + old};
    for (int j = 0; j < MIXED; j++) first[j] = f->coefficient[j] + keys[j] * NODES;
    int length = code_length(m, first, &sets, residual);
    if (length) {
        int tilt = linear * 2 + (predicted > 0), signs = (sign_of(near.left) + 1) * 3 + sign_of(near.above) + 1;
        int sign_keys[MIXED] = {c * 9 + signs, tilt, c * 3 + old, scale * 48 + tilt, least_of(c, 20) * 48 + tilt, c, group * 9 + signs};
        for (int j = 0; j < MIXED; j++) contexts[j] = f->sign[j] + sign_keys[j];
        residual = code_sign_and_digits(m, first, contexts, &sets, length, residual);
    }
    if (m->mode == DECODE) *v = (int16_t)(guess + residual);
}

VECTORIZED static void add_energy(Energy *energy, const int16_t *values, const int16_t *previous, size_t cells, size_t channels) {
    for (size_t i = 0; i < cells; i++) {
        int x = 256 * absolute(values[i * channels] - (previous ? previous[i * channels] : 0));
        energy->near[i] = (energy->near[i] * 7 >> 3) + x;
        energy->far[i] = (int32_t)((int64_t)energy->far[i] * 31 >> 5) + x;
    }
}

static void code_frame(Frame *f, int k) {
    const Mixing *in = f->in;
    size_t cells = in->cells;
    int16_t *values = in->values + k * cells * f->channels;
    const int16_t *previous = k ? values - cells * f->channels : NULL;
    code_depths(f, values, k > 0);
    memset(f->size.near, 0, 4 * cells * sizeof(int32_t));
    f->near_sum = f->far_sum = 0, f->active_count = cells;
    for (size_t i = 0; i < cells; i++) f->active[i] = (int32_t)i;
    for (int c = 0, group = 0; c < f->channels; c++) {
        if (c == in->groups[group + 1]) group++;
        if (c == in->groups[group]) {
            size_t n = 0;
            for (size_t j = 0; j < f->active_count; j++)
                if (f->depths[f->active[j]] > group) f->active[n++] = f->active[j];
            f->active_count = n;
            if (!n) break; /* depths are nested: nothing follows */
        }
        for (size_t j = 0; j < f->active_count; j++) code_integer(f, values, previous, c, group, (size_t)f->active[j]);
        add_energy(&f->size, values + c, NULL, cells, (size_t)f->channels);
        if (previous) add_energy(&f->change, values + c, previous + c, cells, (size_t)f->channels);
        f->near_sum = (f->near_sum * 7 >> 3) + f->means[c], f->far_sum = (f->far_sum * 31 >> 5) + f->means[c];
    }
    memcpy(f->last_depths, f->depths, cells);
}

static void set_offsets(Frame *f) {
    int at = 0, coefficient[MIXED], sign[MIXED];
    set_keys(f->channels, coefficient, sign);
    for (int i = 0; i < MIXED; i++) f->coefficient[i] = at, at += coefficient[i] * NODES;
    for (int i = 0; i < MIXED; i++) f->sign[i] = at, at += sign[i];
    for (int i = 0; i < MIXED; i++) f->depth[i] = at, at += DEPTH[i] * GROUPS;
}

int code_mixed(const Mixing *in, uint8_t **words, size_t *count) {
    size_t cells = in->cells;
    Frame f = {.in = in, .channels = in->groups[GROUPS]};
    Mixer *m = &f.m;
    int status = start_mixer(m, in->mode, &in->tables, latent_contexts(f.channels), SETS_A, SETS_B, in->words, in->word_count);
    int32_t *energies = malloc(4 * cells * sizeof *energies);
    f.size.near = energies;
    f.edges = malloc(3 * cells), f.active = malloc(cells * sizeof *f.active);
    if (status || !energies || !f.edges || !f.active) {
        status = NO_MEMORY;
        goto done;
    }
    f.size.far = energies + cells, f.change.near = energies + 2 * cells, f.change.far = energies + 3 * cells;
    f.depths = f.edges + cells, f.last_depths = f.edges + 2 * cells;
    memset(f.last_depths, NO_DEPTH, cells);
    set_offsets(&f);
    for (size_t i = 0; i < cells; i++) {
        size_t x = i % in->columns, y = i / in->columns;
        f.edges[i] = (uint8_t)((x ? LEFT : 0) | (x + 1 < (size_t)in->columns ? RIGHT : 0) | (y ? ABOVE : 0) | (y + 1 < (size_t)in->rows ? BELOW : 0));
    }
    int level = (int)bypass(m, 6, (uint32_t)in->level);
    if (level > MAX_LEVEL) status = DAMAGED;
    for (int k = 0; k < in->kept && !status; k++) {
        set_means(&f, k, level);
        code_frame(&f, k);
        if (m->mode == DECODE) in->left[k] = (int32_t)m->words_left;
        if (is_lost(m)) status = DAMAGED;
    }
    if (!status) status = finish_mixer(m, words, count);
done:
    free_mixer(m);
    free(energies), free(f.edges), free(f.active);
    return status;
}
