/* Modes and motion vectors of dropped frames (SPEC.md 7.8). The NumPy twins are codec/motion/payload.py and
   codec/motion/context_model.py. */

#include "motion.h"

#include <stdlib.h>
#include <string.h>

enum { VOTES = 6, MODES = 4, FIRST_VECTOR_CONTEXT = 2 * VOTES };

typedef struct {
    Coder *coder;
    const MotionField *in;
    size_t cells, capacity; /* of a frame; of a pass */
    int32_t *phase_cells;
    uint8_t *modes;         /* (frames, cells) */
    int16_t *vectors;       /* (frames, cells, side, 2) */
    uint8_t *order, *contexts, *sizes, *chosen;
    int16_t *known;         /* (blocks, side, 5, 2): four neighbours and a fifth vector */
    int16_t *medians;       /* (blocks, side, 2) */
    int32_t *residuals;
    uint32_t *used;         /* blocks · 2 + side of the vectors that are coded */
} Payload;

static int distance(const MotionField *in, int frame, int side) {
    int reference = side ? in->future[frame] : in->past[frame];
    return reference < 0 ? 0 : abs(in->dropped[frame] - reference);
}

/* A vector of the preceding dropped frame, scaled by the distances to the reference. */
static int16_t scaled(int16_t value, int now, int then) {
    if (!value) return 0;
    int64_t top = 2 * (int64_t)value * now + then, bottom = 2 * (int64_t)then;
    int64_t out = top >= 0 ? top / bottom : -((-top + bottom - 1) / bottom);
    return (int16_t)(out < -32768 ? -32768 : out > 32767 ? 32767 : out);
}

/* Contexts and candidates of block i of a pass. */
static void prepare_block(Payload *work, size_t i, int frame, int cell, int has_before, const int (*moves)[2], int step, int adjacent) {
    const MotionField *in = work->in;
    int16_t before[2][2] = {{0}}, *known = work->known + i * 20;
    int votes[MODES] = {0}, most = 0, y = cell / in->columns, x = cell % in->columns, mode = 0;
    if (has_before) {
        size_t at = (size_t)(frame - 1) * work->cells + cell;
        mode = work->modes[at];
        votes[mode] = 1;
        for (int side = 0; side < 2; side++) {
            int now = distance(in, frame, side), then = distance(in, frame - 1, side);
            for (int axis = 0; axis < 2; axis++)
                before[side][axis] = scaled(work->vectors[4 * at + 2 * side + axis], now, then > 1 ? then : 1);
        }
    }
    for (int n = 0; n < 4; n++) {
        size_t there = (size_t)frame * work->cells;
        if (moves) there += reflect(y, moves[n][0] * step, in->rows) * in->columns + reflect(x, moves[n][1] * step, in->columns);
        votes[moves ? work->modes[there] : mode] += 2;
        for (int side = 0; side < 2; side++)
            memcpy(known + 10 * side + 2 * n, moves ? work->vectors + 4 * there + 2 * side : before[side], 4);
    }
    for (int side = 0; side < 2; side++) memcpy(known + 10 * side + 8, moves && !has_before ? known + 10 * side : before[side], 4);
    for (int m = 0; m < MODES; m++) {
        int rank = 0; /* modes with more votes, or as many and a smaller number */
        for (int other = 0; other < MODES; other++) rank += votes[other] > votes[m] || (votes[other] == votes[m] && other < m);
        work->order[4 * i + rank] = (uint8_t)m;
        most = votes[m] > most ? votes[m] : most;
    }
    work->contexts[i] = (uint8_t)(adjacent * VOTES + (most > 10 - VOTES ? most - (10 - VOTES) : 0));
}

/* Code the vectors of the blocks that use them: first all into the past, then all into the future. */
static int code_pass_vectors(Payload *work, size_t n, const int *list, size_t per, int adjacent) {
    const MotionField *in = work->in;
    int32_t *residuals = work->residuals;
    size_t count = 0, fresh = 0;
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < n; i++) {
            int16_t *median = work->medians + 4 * i + 2 * side;
            uint8_t context, size;
            mv_candidates(work->known + 20 * i + 10 * side, adjacent, FIRST_VECTOR_CONTEXT, median, &context, &size);
            if (!(work->chosen[i] >> side & 1)) continue;
            work->contexts[count] = context, work->sizes[count] = size, residuals[count] = NEWMV;
            work->used[count++] = (uint32_t)(2 * i + side);
        }
    for (size_t v = 0; in->encoding && v < count; v++) {
        size_t i = work->used[v] >> 1, side = work->used[v] & 1;
        const int16_t *mv = in->blocks + ((size_t)list[i / per] * work->cells + work->phase_cells[i % per]) * 5 + 1 + 2 * side;
        const int16_t *median = work->medians + 2 * work->used[v], *known = work->known + 10 * work->used[v];
        if (!memcmp(median, mv, 4)) residuals[v] = 0;
        for (int c = 0; residuals[v] == NEWMV && c < 4; c++)
            if (!memcmp(known + 2 * c, mv, 4)) residuals[v] = c + 1;
    }
    int status = code_pass(work->coder, work->contexts, NULL, residuals, count);
    for (size_t v = 0; v < count && !status; v++) {
        if (residuals[v] < 0 || residuals[v] >= CHOICES) return DAMAGED;
        if (residuals[v] > 0 && residuals[v] < NEWMV)
            memcpy(work->medians + 2 * work->used[v], work->known + 10 * work->used[v] + 2 * (residuals[v] - 1), 4);
        if (residuals[v] == NEWMV) work->used[fresh] = work->used[v], work->contexts[fresh++] = work->sizes[v];
    }
    for (size_t v = 0; v < fresh; v++) {
        size_t i = work->used[v] >> 1, side = work->used[v] & 1;
        work->contexts[fresh + v] = (uint8_t)(work->contexts[v] + 1);
        const int16_t *mv = in->blocks + ((size_t)list[i / per] * work->cells + work->phase_cells[i % per]) * 5 + 1 + 2 * side;
        for (int axis = 0; in->encoding && axis < 2; axis++)
            residuals[axis * fresh + v] = (int16_t)(mv[axis] - work->medians[2 * work->used[v] + axis]);
    }
    if (!status) status = code_pass(work->coder, work->contexts, NULL, residuals, 2 * fresh);
    for (size_t v = 0; v < fresh && !status; v++)
        for (int axis = 0; axis < 2; axis++) {
            int16_t *at = work->medians + 2 * work->used[v] + axis;
            *at = (int16_t)(*at + residuals[axis * fresh + v]);
        }
    return status;
}

/* Code one phase of the `frames` dropped frames in `list`. */
static int code_motion_pass(Payload *work, const int *list, int frames, size_t per, int has_before, const int (*moves)[2], int step) {
    const MotionField *in = work->in;
    size_t n = per * frames;
    int adjacent = step == 1 && moves && !(moves[0][0] && moves[0][1]);
    for (size_t i = 0, f = 0; f < (size_t)frames; f++)
        for (size_t c = 0; c < per; c++, i++) prepare_block(work, i, list[f], work->phase_cells[c], has_before, moves, step, adjacent);
    for (size_t i = 0; in->encoding && i < n; i++) {
        int mode = in->blocks[((size_t)list[i / per] * work->cells + work->phase_cells[i % per]) * 5];
        work->residuals[i] = 0;
        while (work->residuals[i] < MODES - 1 && work->order[4 * i + work->residuals[i]] != mode) work->residuals[i]++;
    }
    int status = code_pass(work->coder, work->contexts, NULL, work->residuals, n);
    for (size_t i = 0; i < n && !status; i++) {
        int frame = list[i / per];
        if (work->residuals[i] < 0 || work->residuals[i] >= MODES) return DAMAGED;
        work->chosen[i] = work->order[4 * i + work->residuals[i]];
        if ((work->chosen[i] & 1 && in->past[frame] < 0) || (work->chosen[i] & 2 && in->future[frame] < 0)) status = DAMAGED;
    }
    if (!status) status = code_pass_vectors(work, n, list, per, adjacent);
    for (size_t i = 0; i < n && !status; i++) {
        size_t at = (size_t)list[i / per] * work->cells + work->phase_cells[i % per];
        work->modes[at] = work->chosen[i];
        memcpy(work->vectors + 4 * at, work->medians + 4 * i, 4 * sizeof *work->vectors);
    }
    return status;
}

static int code_phases(Payload *work, const int *list, int frames, int has_before) {
    static const int corners[4][2] = {{-1, -1}, {-1, 1}, {1, -1}, {1, 1}}, sides[4][2] = {{-1, 0}, {0, -1}, {0, 1}, {1, 0}};
    const MotionField *in = work->in;
    int status = OK;
    for (int step = 8, phase = 0; step && !status; phase++) {
        int centre = phase & 1;
        size_t per = 0;
        for (int y = 0; y < in->rows; y += step)
            for (int x = 0; x < in->columns; x += step) {
                int down = y / step & 1, right = x / step & 1;
                if (!phase || (centre ? down && right : down != right)) work->phase_cells[per++] = y * in->columns + x;
            }
        if (per) status = code_motion_pass(work, list, frames, per, has_before, !phase ? NULL : centre ? corners : sides, step);
        if (!centre) step >>= 1;
    }
    return status;
}

static int code_layers(Payload *work) {
    const MotionField *in = work->in;
    int status = OK, most = work->cells < in->part ? (int)(in->part / work->cells) : 1, deepest = 0;
    int *depth = malloc(in->frames * sizeof *depth), *list = malloc(in->frames * sizeof *list);
    if (!depth || !list) status = NO_MEMORY;
    for (int i = 0; i < in->frames && !status; i++) {
        depth[i] = i && in->dropped[i] - in->dropped[i - 1] == 1 ? depth[i - 1] + 1 : 0;
        deepest = depth[i] > deepest ? depth[i] : deepest;
    }
    for (int level = 0; level <= deepest && !status; level++)
        for (int i = 0, n = 0; i <= in->frames && !status; i++) {
            if (n && (i == in->frames || n == most)) status = code_phases(work, list, n, level > 0), n = 0;
            if (i < in->frames && depth[i] == level) list[n++] = i;
        }
    free(depth), free(list);
    return status;
}

int code_motion(Coder *coder, const MotionField *in) {
    Payload work = {.coder = coder, .in = in, .cells = (size_t)in->rows * in->columns};
    size_t all = work.cells * in->frames, part = work.cells > in->part ? work.cells : in->part;
    work.capacity = all < part ? all : part;
    work.phase_cells = malloc(work.cells * sizeof *work.phase_cells);
    work.modes = calloc(all, 1), work.vectors = calloc(4 * all, sizeof *work.vectors);
    work.order = malloc(4 * work.capacity), work.chosen = malloc(work.capacity);
    work.contexts = malloc(4 * work.capacity), work.sizes = malloc(2 * work.capacity);
    work.known = malloc(20 * work.capacity * sizeof *work.known), work.medians = malloc(4 * work.capacity * sizeof *work.medians);
    work.residuals = malloc(4 * work.capacity * sizeof *work.residuals), work.used = malloc(2 * work.capacity * sizeof *work.used);
    int status = work.phase_cells && work.modes && work.vectors && work.order && work.chosen && work.contexts && work.sizes &&
                         work.known && work.medians && work.residuals && work.used
                     ? code_layers(&work)
                     : NO_MEMORY;
    for (size_t i = 0; i < all && !status && !in->encoding; i++) {
        int16_t *block = in->blocks + 5 * i;
        block[0] = work.modes[i];
        for (int n = 0; n < 4; n++) block[1 + n] = work.modes[i] >> (n >> 1) & 1 ? work.vectors[4 * i + n] : 0;
    }
    free(work.phase_cells), free(work.modes), free(work.vectors), free(work.order), free(work.chosen), free(work.contexts);
    free(work.sizes), free(work.known), free(work.medians), free(work.residuals), free(work.used);
    return status;
}
