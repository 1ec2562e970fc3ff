/* Modes and motion vectors by context mixing (SPEC.md 7.11.4), one block after another in the order of section 7.8.1. */

#include <stdlib.h>
#include <string.h>

#include "mixing.h"

enum { MODES = 4, NO_MODE = MODES, PHASES = 7, RANGES = 8 };
enum { MEDIAN = 0, NEW = 5, UNUSED = 6 }; /* choices; 1 to 4 are neighbours */
enum { MODE_NODES = 3, CHOICE_NODES = 6 };

static const int MODE[MIXED] = {125 * 5, 256 * 3, 125 * 25, 625, 8 * 8 * 25, 8 * 8 * 5, 125 * 12};
static const int CHOICE[MIXED] = {8 * 6 * 12, 15 * 24, 25 * 20, 8 * 25, 16 * 8 * 8, 10 * 8 * 5, 5 * 6 * 5 * 8};
static const int DIFFERENCE[MIXED] = {8 * 2 * 9, 8 * 8 * 2, 8 * 8 * 2, 16 * 2 * 8, 4 * 3 * 8, 16 * 2, 25 * 2 * 8};
static const int SIGN[MIXED] = {6, 3, 64, 3, 8, 4, 9};

enum { A_CHOICE = 45, A_LENGTH = A_CHOICE + 12, A_TOP = A_LENGTH + 2 * UNARY, A_SIGN = A_TOP + TOP_BITS, SETS_A = A_SIGN + 1 };
enum { B_CHOICE = 40 + 50, B_LENGTH = B_CHOICE + 48 + 40 + 20, B_TOP = B_LENGTH + 8 * UNARY, B_SIGN = B_TOP + 8, SETS_B = B_SIGN + 64 };

static const int NODE_COUNTS[4] = {MODE_NODES, CHOICE_NODES, NODES, 1};
static const int *const KEYS[4] = {MODE, CHOICE, DIFFERENCE, SIGN};

size_t motion_contexts(void) {
    size_t out = 0;
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < MIXED; i++) out += (size_t)KEYS[kind][i] * NODE_COUNTS[kind];
    return out;
}

size_t motion_sets(void) { return SETS_A + SETS_B; }

typedef struct {
    int16_t at[2];
} Vector;

typedef struct {
    const MixedMotion *in;
    Mixer m;
    int first[4][MIXED];
    size_t cells;
    uint8_t *modes, *choices; /* (frames, cells), (frames, cells, side) */
    Vector *vectors;          /* (frames, cells, side); of sides that are not used the medians */
} Work;

/* A block and what is known of it. */
typedef struct {
    int phase, nearness, later, references, distances[2];
    int neighbours[4], counts[MODES]; /* modes of the neighbours */
    int before, second;               /* modes in the previous frame and the one before that */
    size_t cells[4];                  /* of the neighbours, with frame */
    size_t at;
    Vector known[2][5], medians[2];
    int ranges[2], same[2];
} Block;

static int distance(const MixedMotion *in, int frame, int side) {
    int reference = side ? in->future[frame] : in->past[frame];
    return reference < 0 ? 0 : absolute(in->dropped[frame] - reference);
}

static int16_t turned(int16_t value, int now, int then) {
    int64_t top = 2 * (int64_t)value * now + then, bottom = 2 * (int64_t)then;
    int64_t out = top >= 0 ? top / bottom : -((-top + bottom - 1) / bottom);
    return (int16_t)(out < -32768 ? -32768 : out > 32767 ? 32767 : out);
}

static int equal(Vector a, Vector b) { return a.at[0] == b.at[0] && a.at[1] == b.at[1]; }

static void set_median(Block *b, int side) {
    int spread = 0;
    for (int axis = 0; axis < 2; axis++) {
        int sorted[5];
        for (int i = 0; i < 5; i++) {
            int value = b->known[side][i].at[axis], j = i;
            for (; j && sorted[j - 1] > value; j--) sorted[j] = sorted[j - 1];
            sorted[j] = value;
        }
        b->medians[side].at[axis] = (int16_t)sorted[2], spread += sorted[3] - sorted[1];
    }
    b->ranges[side] = least_of(bit_length((uint32_t)spread), RANGES - 1), b->same[side] = 0;
    for (int i = 0; i < 5; i++) b->same[side] += equal(b->known[side][i], b->medians[side]);
}

static int ask(Work *w, int kind, const int *keys, int node, int set_a, int set_b, int bit) {
    int contexts[MIXED];
    for (int i = 0; i < MIXED; i++) contexts[i] = w->first[kind][i] + keys[i] * NODE_COUNTS[kind] + node;
    return decide(&w->m, contexts, set_a, set_b, LEAST, bit);
}

static int code_mode(Work *w, const Block *b, int frame, int cell, int mode) {
    static const int sides[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
    const MixedMotion *in = w->in;
    int around[MODES] = {0}, near = b->nearness, y = cell / in->columns, x = cell % in->columns;
    for (int i = 0; b->later && i < 4; i++) {
        size_t there = (size_t)reflect(y, sides[i][0], in->rows) * in->columns + reflect(x, sides[i][1], in->columns);
        around[w->modes[(size_t)(frame - 1) * w->cells + there]]++;
    }
    const int *n = b->neighbours, *count = b->counts;
    int all = (count[0] * 5 + count[3]) * 5 + count[1], before = b->before;
    int keys[MIXED] = {all * 5 + before,
                       (((n[0] * 4 + n[1]) * 4 + n[2]) * 4 + n[3]) * 3 + near,
                       (all * 5 + before) * 5 + b->second,
                       (before * 5 + around[0]) * 25 + around[3] * 5 + around[1],
                       ((b->ranges[0] * 8 + b->ranges[1]) * 5 + count[0]) * 5 + before,
                       (least_of(b->distances[0], 7) * 8 + least_of(b->distances[1], 7)) * 5 + count[0],
                       (all * 3 + near) * 4 + b->references};
    int set = near * 5 + before;
    if (!ask(w, 0, keys, 0, set, count[0] * 8 + b->phase, mode != 0)) return 0;
    if (b->references != 3) return b->references;
    if (!ask(w, 0, keys, 1, 15 + set, 40 + count[3] * 5 + count[0], mode != 3)) return 3;
    return 1 + ask(w, 0, keys, 2, 30 + set, 65 + count[1] * 5 + count[2], mode != 1);
}

/* A number of a new vector, as its difference to the median. */
static int code_difference(Work *w, const Block *b, int side, int axis, int mode, int fresh, int was, int other, int wanted) {
    int median = b->medians[side].at[axis], low = median, high = median, range = b->ranges[side];
    for (int i = 0; i < 5; i++) {
        int value = b->known[side][i].at[axis];
        low = value < low ? value : low, high = value > high ? value : high;
    }
    int up = least_of(bit_length((uint32_t)(high - median)), 7), down = least_of(bit_length((uint32_t)(median - low)), 7);
    int keys[MIXED] = {(range * 2 + axis) * 9 + least_of(bit_length((uint32_t)absolute(other)), 8),
                       (least_of(bit_length((uint32_t)absolute(median)), 7) * 8 + range) * 2 + axis,
                       (up * 8 + down) * 2 + axis,
                       (least_of(b->distances[side], 15) * 2 + axis) * 8 + range,
                       (mode * 3 + b->nearness) * 8 + range,
                       least_of(absolute(other), 15) * 2 + axis,
                       ((fresh * 5 + was) * 2 + axis) * 8 + range};
    int tilt = sign_of(up - down) + 1, ahead = sign_of(other) + 1;
    int sign_keys[MIXED] = {ahead * 2 + axis, tilt, up * 8 + down, sign_of(median) + 1, range, side * 2 + axis, tilt * 3 + ahead};
    NumberSets sets = {A_LENGTH + axis, 2, B_LENGTH + range, 8, UNARY - 1, A_TOP, B_TOP + range, A_SIGN, B_SIGN + up * 8 + down};
    int first[MIXED], signs[MIXED], difference = (int16_t)(wanted - median);
    for (int i = 0; i < MIXED; i++) first[i] = w->first[2][i] + keys[i] * NODES, signs[i] = w->first[3][i] + sign_keys[i];
    int length = code_length(&w->m, first, &sets, difference);
    return (int16_t)(median + (length ? code_sign_and_digits(&w->m, first, signs, &sets, length, difference) : 0));
}

static void code_vector(Work *w, const Block *b, int side, int mode, Vector *vector) {
    const Vector *known = b->known[side], wanted = *vector;
    int fresh = 0, medians = 0, uses = 0, distinct = 0, candidates[4], range = b->ranges[side], same = b->same[side];
    for (int i = 0; i < 4; i++) {
        int choice = b->phase ? w->choices[2 * b->cells[i] + side] : UNUSED, is_new = !equal(known[i], b->medians[side]);
        fresh += choice == NEW, medians += choice == MEDIAN, uses += b->neighbours[i] >> side & 1;
        for (int j = 0; j < i; j++) is_new &= !equal(known[i], known[j]);
        if (is_new) candidates[distinct++] = i;
    }
    int before_uses = b->before == NO_MODE ? 2 : b->before >> side & 1, was = 3;
    if (b->later) {
        int choice = w->choices[2 * (b->at - w->cells) + side];
        was = !before_uses ? 4 : choice == MEDIAN ? 0 : choice == NEW ? 2 : 1;
    }
    int other = 0, both = mode == 3, equal_before = equal(known[4], b->medians[side]);
    if (side && both) other = w->choices[2 * b->at] == MEDIAN ? 1 : w->choices[2 * b->at] == NEW ? 3 : 2;
    int length = absolute(b->medians[side].at[0]) + absolute(b->medians[side].at[1]);
    int keys[MIXED] = {((range * 6 + same) * 3 + b->nearness) * 4 + other,
                       ((uses * 3 + before_uses) * 6 + same) * 4 + other,
                       ((fresh * 5 + medians) * 5 + was) * 4 + mode,
                       (range * 5 + fresh) * 5 + was,
                       ((least_of(b->distances[side], 15) * 8 + range) * 2 + equal_before) * 4 + mode,
                       (least_of(bit_length((uint32_t)length), 9) * 8 + range) * 5 + distinct,
                       ((was * 6 + same) * 5 + uses) * 8 + range};
    uint8_t *choice = w->choices + 2 * b->at + side;
    *choice = MEDIAN, *vector = b->medians[side];
    if (!ask(w, 1, keys, 0, A_CHOICE + 2 * both + side, B_CHOICE + same * 8 + range, !equal(wanted, b->medians[side]))) return;
    int which = 0;
    while (which < distinct && !equal(known[candidates[which]], wanted)) which++;
    int found = 0;
    if (!distinct || ask(w, 1, keys, 1, A_CHOICE + 4 + 2 * both + side, B_CHOICE + 48 + distinct * 8 + range, which == distinct)) {
        *choice = NEW;
        int down = code_difference(w, b, side, 0, mode, fresh, was, 0, wanted.at[0]);
        int right = code_difference(w, b, side, 1, mode, fresh, was, (int16_t)(down - b->medians[side].at[0]), wanted.at[1]);
        vector->at[0] = (int16_t)down, vector->at[1] = (int16_t)right;
        return;
    }
    while (found < distinct - 1 && !ask(w, 1, keys, 2 + candidates[found], A_CHOICE + 8 + candidates[found],
                                        B_CHOICE + 88 + candidates[found] * 5 + distinct, which == found))
        found++;
    *choice = (uint8_t)(1 + candidates[found]), *vector = known[candidates[found]];
}

static void code_block(Work *w, int frame, int cell, int phase, int step, int layer, const int (*moves)[2], int adjacent) {
    const MixedMotion *in = w->in;
    size_t at = (size_t)frame * w->cells + cell;
    Block b = {.phase = phase, .nearness = adjacent ? 2 : step == 1, .later = layer > 0, .at = at, .before = NO_MODE, .second = NO_MODE};
    b.references = (in->past[frame] >= 0) + 2 * (in->future[frame] >= 0);
    Vector before[2] = {{{0}}};
    if (b.later) b.before = w->modes[at - w->cells];
    if (layer > 1) b.second = w->modes[at - 2 * w->cells];
    for (int side = 0; side < 2; side++) {
        b.distances[side] = distance(in, frame, side);
        int then = b.later ? distance(in, frame - 1, side) : 0;
        for (int axis = 0; b.later && axis < 2; axis++)
            before[side].at[axis] = turned(w->vectors[2 * (at - w->cells) + side].at[axis], b.distances[side], then > 1 ? then : 1);
    }
    for (int i = 0; i < 4; i++) {
        b.neighbours[i] = b.later ? b.before : 0;
        if (phase) {
            int y = cell / in->columns, x = cell % in->columns;
            b.cells[i] = (size_t)frame * w->cells + (size_t)reflect(y, moves[i][0] * step, in->rows) * in->columns + reflect(x, moves[i][1] * step, in->columns);
            b.neighbours[i] = w->modes[b.cells[i]];
        }
        b.counts[b.neighbours[i]]++;
        for (int side = 0; side < 2; side++) b.known[side][i] = phase ? w->vectors[2 * b.cells[i] + side] : before[side];
    }
    for (int side = 0; side < 2; side++) {
        b.known[side][4] = phase && !b.later ? b.known[side][0] : before[side];
        set_median(&b, side);
    }
    int16_t *block = in->blocks + 5 * at;
    int mode = code_mode(w, &b, frame, cell, block[0]);
    for (int side = 0; side < 2; side++) {
        Vector vector = {{block[1 + 2 * side], block[2 + 2 * side]}};
        if (mode >> side & 1)
            code_vector(w, &b, side, mode, &vector);
        else
            vector = b.medians[side];
        w->vectors[2 * at + side] = vector;
        if (w->m.mode == DECODE && mode >> side & 1) block[1 + 2 * side] = vector.at[0], block[2 + 2 * side] = vector.at[1];
    }
    w->modes[at] = (uint8_t)mode;
    if (w->m.mode == DECODE) block[0] = (int16_t)mode;
}

static void code_frames(Work *w, const int *layers, int layer) {
    static const int corners[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}}, sides[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
    const MixedMotion *in = w->in;
    for (int step = 8, phase = 0; step; phase++) {
        int centre = phase & 1, adjacent = step == 1 && phase && !centre;
        for (int frame = 0; frame < in->frames; frame++) {
            if (layers[frame] != layer) continue;
            for (int y = 0; y < in->rows; y += step)
                for (int x = 0; x < in->columns; x += step) {
                    int down = y / step & 1, right = x / step & 1;
                    if (!phase || (centre ? down && right : down != right))
                        code_block(w, frame, y * in->columns + x, phase, step, layer, centre ? corners : sides, adjacent);
                }
        }
        if (!centre) step >>= 1;
    }
}

int code_mixed_motion(const MixedMotion *in, uint8_t **words, size_t *count) {
    Work w = {.in = in, .cells = (size_t)in->rows * in->columns};
    size_t all = w.cells * in->frames;
    int at = 0, deepest = 0, status = start_mixer(&w.m, in->mode, &in->tables, motion_contexts(), SETS_A, SETS_B, in->words, in->word_count);
    int *layers = malloc(in->frames * sizeof *layers);
    w.modes = calloc(all, 1), w.choices = malloc(2 * all), w.vectors = calloc(2 * all, sizeof *w.vectors);
    if (status || !layers || !w.modes || !w.choices || !w.vectors) {
        status = NO_MEMORY;
        goto done;
    }
    memset(w.choices, UNUSED, 2 * all);
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < MIXED; i++) w.first[kind][i] = at, at += KEYS[kind][i] * NODE_COUNTS[kind];
    for (int i = 0; i < in->frames; i++) {
        layers[i] = i && in->dropped[i] - in->dropped[i - 1] == 1 ? layers[i - 1] + 1 : 0;
        deepest = layers[i] > deepest ? layers[i] : deepest;
    }
    for (int layer = 0; layer <= deepest && !status; layer++) {
        code_frames(&w, layers, layer);
        if (is_lost(&w.m)) status = DAMAGED;
    }
    if (!status) status = finish_mixer(&w.m, words, count);
done:
    free_mixer(&w.m);
    free(layers), free(w.modes), free(w.choices), free(w.vectors);
    return status;
}
