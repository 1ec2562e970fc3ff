/* Context mixing (SPEC.md 7.11): binary decisions, each predicted by seven contexts whose predictions are mixed by two sets of
   weights that learn. The rANS state of section 7.4.1 codes them, the last decision first. */

#include <stdlib.h>
#include <string.h>

#include "mixing.h"

enum { PRECISION = 24, CLIP = 2047, BYPASS = 31, MAX_WEIGHT = 1 << 20 };

static const uint64_t START = UINT64_C(1) << PRECISION;

static void append(Mixer *m, uint32_t item) {
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 1 << 16;
        uint32_t *tape = realloc(m->tape, capacity * sizeof *tape);
        if (!tape) {
            m->failed = 1, m->count = 0;
            return;
        }
        m->tape = tape, m->capacity = capacity;
    }
    m->tape[m->count++] = item;
}

static inline void refill(Mixer *m) {
    if (m->state < UINT64_C(1) << 32 && m->words_left) m->state = m->state << 32 | load_word(m->words + 4 * --m->words_left);
}

/* A decision with seven contexts and two sets of weights; `bit` is written unless decoding. */
int decide(Mixer *m, const int *contexts, int set_a, int set_b, int least, int bit) {
    int32_t *a = m->weights[set_a], *b = m->weights[m->sets_a + set_b], inputs[MIXED];
    int64_t sum_a = 0, sum_b = 0;
    for (int i = 0; i < MIXED; i++) {
        int c = contexts[i];
        inputs[i] = m->stretch[m->p[c] >> 4] * m->scales[m->n[c]] >> 8;
        sum_a += (int64_t)a[i] * inputs[i], sum_b += (int64_t)b[i] * inputs[i];
    }
    int x = clip_int(sum_a >> 16, -CLIP, CLIP), y = clip_int(sum_b >> 16, -CLIP, CLIP);
    const uint16_t *squash = (const uint16_t *)m->squash + CLIP + 1;
    uint32_t p = (uint32_t)clip_int(squash[(x + y) >> 1], least, 65536 - least);
    if (m->mode == DECODE) {
        uint32_t one = p << 8, zero = (uint32_t)START - one, low = (uint32_t)m->state & ((uint32_t)START - 1);
        bit = low >= zero;
        m->state = (m->state >> PRECISION) * (bit ? one : zero) + low - (bit ? zero : 0);
        refill(m);
    } else if (m->mode == ENCODE)
        append(m, p << 1 | (uint32_t)bit);
    int64_t error_a = 10 * ((bit << 16) - (int)squash[x]), error_b = 10 * ((bit << 16) - (int)squash[y]);
    for (int i = 0; i < MIXED; i++) {
        a[i] = clip_int(a[i] + ((inputs[i] * error_a + (1 << 17)) >> 18), -MAX_WEIGHT, MAX_WEIGHT);
        b[i] = clip_int(b[i] + ((inputs[i] * error_b + (1 << 17)) >> 18), -MAX_WEIGHT, MAX_WEIGHT);
        uint16_t *q = m->p + contexts[i];
        uint8_t *n = m->n + contexts[i];
        int moved = *q + (int)(((int64_t)((bit ? 65535 : 0) - *q) * m->rates[*n]) >> 16);
        *q = (uint16_t)clip_int(moved, LEAST, 65535 - LEAST), *n = (uint8_t)(*n + (*n < 255));
    }
    return bit;
}

uint32_t bypass(Mixer *m, int bits, uint32_t value) {
    if (!bits) return 0;
    if (m->mode != DECODE) {
        if (m->mode == ENCODE) append(m, UINT32_C(1) << BYPASS | (uint32_t)bits << 16 | value);
        return value;
    }
    int low = PRECISION - bits;
    uint32_t rest = (uint32_t)m->state & ((uint32_t)START - 1);
    value = rest >> low;
    m->state = (m->state >> PRECISION << low) + (rest & ((1u << low) - 1));
    refill(m);
    return value;
}

static int decide_node(Mixer *m, const int *first, int node, int set_a, int set_b, int bit) {
    int contexts[MIXED];
    for (int i = 0; i < MIXED; i++) contexts[i] = first[i] + node;
    return decide(m, contexts, set_a, set_b, LEAST, bit);
}

/* The length in bits, 0 to 16, of a number (section 7.11.1); `first` are the contexts of node 0. */
int code_length(Mixer *m, const int *first, const NumberSets *sets, int wanted) {
    int bits = bit_length((uint32_t)absolute(wanted)), length = 0;
    while (length < 16) {
        int node = least_of(length, UNARY - 1), set_b = sets->b + sets->b_step * least_of(length, sets->b_most);
        if (!decide_node(m, first, node, sets->a + sets->a_step * node, set_b, bits > length)) break;
        length++;
    }
    return length;
}

/* The number itself, if its length is not 0. */
int code_sign_and_digits(Mixer *m, const int *first, const int *signs, const NumberSets *sets, int length, int wanted) {
    int positive = decide(m, signs, sets->sign_a, sets->sign_b, LEAST, wanted > 0);
    uint32_t magnitude = (uint32_t)absolute(wanted), found = 1;
    if (length > 1) {
        int node = least_of(length, 7) - 2, rest = length - 2;
        found = 2 + (uint32_t)decide_node(m, first, UNARY + node, sets->top_a + node, sets->top_b, (int)(magnitude >> rest & 1));
        found = found << rest | bypass(m, rest, magnitude & ((1u << rest) - 1));
    }
    return (int16_t)(positive ? (int)found : -(int)found);
}

/* Code the tape from its end. Returns words, to be freed. */
static int write_tape(const Mixer *m, uint8_t **words, size_t *count) {
    uint8_t *out = malloc(2 * m->count + 16); /* a decision takes 11 bits at most, a bypass 15 */
    if (!out) return NO_MEMORY;
    size_t n = 0;
    uint64_t x = START;
    for (size_t i = m->count; i--;) {
        uint32_t item = m->tape[i], f, left;
        if (item >> BYPASS) {
            int low = PRECISION - (int)(item >> 16 & 31);
            f = 1u << low, left = (item & 0xffff) << low;
        } else {
            uint32_t one = item >> 1 << 8, zero = (uint32_t)START - one;
            f = item & 1 ? one : zero, left = item & 1 ? zero : 0;
        }
        if (x >> 40 >= f) store_word(out + 4 * n++, (uint32_t)x), x >>= 32;
        uint64_t quotient = x / f;
        x = (quotient << PRECISION) + left + (x - quotient * f);
    }
    store_word(out + 4 * n++, (uint32_t)x);
    if (x >> 32) store_word(out + 4 * n++, (uint32_t)(x >> 32));
    *words = out, *count = n;
    return OK;
}

/* Begin with `tables`, which only mode TRAIN changes. */
int start_mixer(Mixer *m, int mode, const MixingTables *tables, size_t contexts, size_t sets_a, size_t sets_b, const uint8_t *words, size_t count) {
    memset(m, 0, sizeof *m);
    m->mode = mode, m->sets_a = sets_a, m->squash = (const uint16_t *)tables->squash, m->stretch = tables->squash + 4096;
    m->p = tables->probabilities, m->n = tables->counts, m->weights = (int32_t(*)[MIXED])tables->weights;
    for (int n = 0; n < 256; n++) {
        m->rates[n] = 655360 / (10 * n + 16);
        m->scales[n] = (int16_t)(n == 0 ? 0 : n >= 30 ? 256 : 256 * (2 * n + 3) / 63);
    }
    if (mode == TRAIN) return OK;
    size_t weights = (sets_a + sets_b) * sizeof *m->weights;
    m->own = malloc(weights + contexts * (sizeof *m->p + 1));
    if (!m->own) return NO_MEMORY;
    m->weights = memcpy(m->own, tables->weights, weights);
    m->p = memcpy((uint8_t *)m->own + weights, tables->probabilities, contexts * sizeof *m->p);
    m->n = memcpy((uint8_t *)(m->p + contexts), tables->counts, contexts);
    m->words = words, m->words_left = count;
    for (int i = 0; mode == DECODE && i < 2; i++) refill(m);
    return OK;
}

/* Whether the decoder is certainly out of step; whether the stream has ended as it should. */
int is_lost(const Mixer *m) { return m->mode == DECODE && !m->words_left && m->state < START; }

int finish_mixer(const Mixer *m, uint8_t **words, size_t *count) {
    if (m->failed) return NO_MEMORY;
    if (m->mode == DECODE) return m->words_left || m->state != START ? DAMAGED : OK;
    return m->mode == ENCODE ? write_tape(m, words, count) : OK;
}

void free_mixer(Mixer *m) { free(m->own), free(m->tape); }
