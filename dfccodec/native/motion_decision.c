/* Mode decision of dropped frames (SPEC.md 7.8): the modes and vectors of blocks with the least D + λR.

   The NumPy twin is codec/motion/mode_decision.py. All costs are integers. */

#include "motion.h"

#include <stdlib.h>
#include <string.h>

enum { BIT = 4096, MOVES = 4 };
static const int8_t CROSS[MOVES][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};

/* λR of some bits, which are in 1 / BIT. */
static int64_t rate_cost(const Choice *in, int64_t bits) { return in->rd_lambda * bits / BIT; }

static int64_t difference_bits(const Choice *in, int context, int32_t difference) {
    int32_t size = abs(difference), symbol = difference < -ESCAPE ? -ESCAPE : difference > ESCAPE ? ESCAPE : difference;
    int64_t bits = in->bits[context * SYMBOLS + ESCAPE + symbol];
    if (size >= ESCAPE) {
        int octave = 0;
        for (int32_t more = size - ESCAPE + 1; more > 1; more >>= 1) octave++;
        bits += (int64_t)(4 + octave) * BIT;
    }
    return bits;
}

static const int16_t *candidate(const Choice *in, size_t i, int side, int number) {
    return number < NEWMV ? in->known + ((number * in->blocks + i) * 2 + side) * 2 : in->searched + (2 * i + side) * 2;
}

/* Bits of a vector of a block: of the first candidate that equals it, or of a new vector. */
static int64_t vector_bits(const Choice *in, size_t i, int side, const int16_t *vector) {
    const int32_t *table = in->bits + in->contexts[2 * i + side] * SYMBOLS + ESCAPE;
    const int16_t *median = candidate(in, i, side, 0);
    for (int c = 0; c < NEWMV; c++)
        if (!memcmp(candidate(in, i, side, c), vector, 2 * sizeof *vector)) return table[c];
    int64_t bits = table[NEWMV];
    for (int axis = 0; axis < 2; axis++) bits += difference_bits(in, in->sizes[2 * i + side] + axis, vector[axis] - median[axis]);
    return bits;
}

typedef struct {
    int16_t vector[2];
    int64_t bits, cost; /* cost: without the mode */
} Found;

/* Take a vector if it is better. */
static void offer(const Choice *in, size_t i, int side, const int16_t *vector, Found *best) {
    int64_t bits = vector_bits(in, i, side, vector), cost = rate_cost(in, bits);
    if (cost >= best->cost) return;
    int32_t at[2] = {vector[0], vector[1]};
    cost += block_error(in->now, side ? in->future : in->past, in->cells[i], at, best->cost - cost);
    if (cost < best->cost) best->cost = cost, best->bits = bits, memcpy(best->vector, vector, sizeof best->vector);
}

static void moved(const int16_t *centre, int number, int16_t *out) {
    for (int axis = 0; axis < 2; axis++) out[axis] = (int16_t)(centre[axis] + CROSS[number][axis]);
}

/* The best vector of one block into one reference: the best candidate, moved as long as that helps. */
static Found best_vector(const Choice *in, size_t i, int side) {
    Found best = {.cost = INT64_MAX};
    for (int c = 0; c < CHOICES; c++) {
        int again = 0;
        const int16_t *vector = candidate(in, i, side, c);
        for (int other = 0; other < c; other++) again |= !memcmp(candidate(in, i, side, other), vector, sizeof best.vector);
        if (!again) offer(in, i, side, vector, &best);
    }
    for (int round = 0; round < in->refinements; round++) {
        int16_t centre[2] = {best.vector[0], best.vector[1]}, vector[2];
        for (int number = 0; number < MOVES; number++) {
            moved(centre, number, vector);
            offer(in, i, side, vector, &best);
        }
        if (!memcmp(centre, best.vector, sizeof centre)) break;
    }
    return best;
}

typedef struct {
    Found side[2]; /* their cost is not used */
    int64_t mode_bits, cost;
} Pair;

static void measure_pair(const Choice *in, size_t i, Pair *pair) {
    int32_t cell = in->cells[i], past[2], future[2];
    for (int axis = 0; axis < 2; axis++) past[axis] = pair->side[0].vector[axis], future[axis] = pair->side[1].vector[axis];
    block_errors(in->now, in->past, past, in->future, future, 16, &cell, 1, &pair->cost);
    pair->cost += rate_cost(in, pair->mode_bits + pair->side[0].bits + pair->side[1].bits);
}

/* Take a vector of a pair if it is better. */
static void offer_to_pair(const Choice *in, size_t i, int side, const int16_t *vector, Pair *best) {
    Pair now = *best;
    memcpy(now.side[side].vector, vector, sizeof now.side[side].vector);
    now.side[side].bits = vector_bits(in, i, side, vector);
    if (rate_cost(in, now.mode_bits + now.side[0].bits + now.side[1].bits) >= best->cost) return;
    measure_pair(in, i, &now);
    if (now.cost < best->cost) *best = now;
}

/* Move the vectors of a pair in turn, as long as that helps: the best pair need not be that of the best vectors. */
static void refine_pair(const Choice *in, size_t i, Pair *best) {
    for (int round = 0; round < in->pair_refinements; round++) {
        int64_t before = best->cost;
        for (int side = 0; side < 2; side++) {
            int16_t centre[2] = {best->side[side].vector[0], best->side[side].vector[1]}, vector[2];
            for (int number = 0; number < MOVES; number++) {
                moved(centre, number, vector);
                offer_to_pair(in, i, side, vector, best);
            }
            for (int c = 0; c < NEWMV && !round; c++) offer_to_pair(in, i, side, candidate(in, i, side, c), best);
        }
        if (best->cost == before) break;
    }
}

/* Modes (n,) and vectors (n, 2, 2) of the blocks of one frame with the least D + λR. */
void choose_modes(const Choice *in, uint8_t *modes, int16_t *vectors) {
    for (size_t i = 0; i < in->blocks; i++) {
        int64_t cost[4] = {in->estimate[i], INT64_MAX, INT64_MAX, INT64_MAX}, mode_bits[4];
        Pair pair = {.cost = INT64_MAX};
        for (int rank = 0; rank < 4; rank++)
            mode_bits[in->order[4 * i + rank]] = in->bits[in->mode_contexts[i] * SYMBOLS + ESCAPE + rank];
        cost[0] += rate_cost(in, mode_bits[0]);
        for (int side = 0; side < 2; side++) {
            memcpy(pair.side[side].vector, candidate(in, i, side, 0), sizeof pair.side[side].vector);
            if (!(side ? in->future : in->past)) continue;
            pair.side[side] = best_vector(in, i, side);
            cost[1 + side] = pair.side[side].cost + rate_cost(in, mode_bits[1 + side]);
        }
        modes[i] = 0;
        for (int mode = 1; mode < 3; mode++)
            if (cost[mode] < cost[modes[i]]) modes[i] = (uint8_t)mode;
        int64_t least = cost[modes[i]];
        for (int side = 0; side < 2; side++) memcpy(vectors + 4 * i + 2 * side, pair.side[side].vector, 2 * sizeof *vectors);
        if (!in->past || !in->future) continue;
        pair.mode_bits = mode_bits[3];
        measure_pair(in, i, &pair);
        if (pair.cost < least + least / 4) refine_pair(in, i, &pair); /* others will not become the best */
        if (pair.cost >= least) continue;
        modes[i] = 3;
        for (int side = 0; side < 2; side++) memcpy(vectors + 4 * i + 2 * side, pair.side[side].vector, 2 * sizeof *vectors);
    }
}
