/* The rANS coder of passes (SPEC.md 7.4). The NumPy twin is entropy/rans.py.

   A pass is sorted by context, so that a context is a run of symbols with one table. Encoding goes from the last symbol
   to the first, so an encoder keeps the symbols, one byte each, and one table for each run, until `flush`. */

#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { PRECISION = 24, MIN_FREQUENCY = 256, INCREMENT = 32, INITIAL_STATE = 1 << 24 };
enum { PARTS = 4, MAX_BITS = 16, COUNTABLE = 1 << 28 };

/* Symbols coded at once, the least frequency of theirs (15/16: of less frequent ones, too many estimates are wrong), and
   bits after the point of an estimate. */
enum { BLOCK = 6, MIN_BLOCK_FREQUENCY = 15 << (PRECISION - 4), FRACTION = PRECISION - 1 };

/* Most symbols are ESCAPE, which stands for 0. */
static const uint8_t PLAIN[8] = {ESCAPE, ESCAPE, ESCAPE, ESCAPE, ESCAPE, ESCAPE, ESCAPE, ESCAPE};

static const uint32_t RAW = UINT32_MAX; /* table of a run of bypass-coded values */

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 Wide;
#endif

/* ---- Frequencies ------------------------------------------------------------------------------------------------ */

/* First code value of each symbol of a context; sums[SYMBOLS] is 2^24. */
VECTORIZED static void cumulate(const int64_t *counts, uint32_t *sums) {
    enum { SHARED = (1 << PRECISION) - SYMBOLS * MIN_FREQUENCY };
    int64_t total = 0;
    int32_t frequency[SYMBOLS], rest = 1 << PRECISION;
    for (int i = 0; i < SYMBOLS; i++) total += counts[i];
    if (total < COUNTABLE) { /* products are below 2^53, so a quotient in double is off by one at most */
        double all = (double)total, reciprocal = 1.0 / all;
        for (int i = 0; i < SYMBOLS; i++) {
            double product = (double)(int32_t)counts[i] * SHARED;
            int32_t quotient = (int32_t)(product * reciprocal);
            double remainder = product - quotient * all;
            frequency[i] = quotient + (remainder >= all) - (remainder < 0) + MIN_FREQUENCY;
        }
    } else
        for (int i = 0; i < SYMBOLS; i++) frequency[i] = (int32_t)(counts[i] * SHARED / total) + MIN_FREQUENCY;
    for (int i = 0; i < SYMBOLS; i++) rest -= frequency[i];
    frequency[ESCAPE] += rest;
    sums[0] = 0;
    for (int i = 0; i < SYMBOLS; i++) sums[i + 1] = sums[i] + (uint32_t)frequency[i];
}

void symbol_frequencies(const Coder *coder, int context, uint32_t *frequencies) {
    uint32_t sums[SYMBOLS + 1];
    cumulate(coder->counts + context * SYMBOLS, sums);
    for (int i = 0; i < SYMBOLS; i++) frequencies[i] = sums[i + 1] - sums[i];
}

/* Count a run of symbols. Eight ESCAPEs are seen at a glance. */
static void count_run(const uint8_t *run, size_t n, int64_t *counts) {
    uint32_t found[SYMBOLS] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        if (!memcmp(run + i, PLAIN, 8))
            found[ESCAPE] += 8;
        else
            for (int j = 0; j < 8; j++) found[run[i + j]]++;
    }
    for (; i < n; i++) found[run[i]]++;
    for (int s = 0; s < SYMBOLS; s++) counts[s] += (int64_t)INCREMENT * found[s];
}

/* Count the symbols of a pass in their contexts, without coding them. */
static void count_pass(Coder *coder, const uint8_t *contexts, const uint8_t *symbols, size_t n) {
    for (size_t i = 0; i < n; i++) coder->counts[contexts[i] * SYMBOLS + symbols[i]] += INCREMENT;
}

/* ---- Sorting ---------------------------------------------------------------------------------------------------- */

/* Places of the symbols of a pass in a stable sort by context. The pass has PARTS parts, so that the processor can work
   on several of them at once. */
typedef struct {
    uint32_t next[PARTS][256], sizes[256]; /* of each context */
} Sort;

static void start_sort(Sort *sort, const uint8_t *contexts, size_t n, int count) {
    size_t part = n / PARTS;
    uint32_t sum = 0;
    memset(sort->next, 0, sizeof sort->next);
    for (size_t i = 0; i < part; i++)
        for (int p = 0; p < PARTS; p++) sort->next[p][contexts[p * part + i]]++;
    for (size_t i = PARTS * part; i < n; i++) sort->next[PARTS - 1][contexts[i]]++;
    for (int c = 0; c < count; c++) {
        uint32_t first = sum;
        for (int p = 0; p < PARTS; p++) {
            uint32_t size = sort->next[p][c];
            sort->next[p][c] = sum;
            sum += size;
        }
        sort->sizes[c] = sum - first;
    }
}

static void sort_symbols(Sort *sort, const uint8_t *contexts, const uint8_t *symbols, size_t n, uint8_t *sorted) {
    size_t part = n / PARTS;
    for (size_t i = 0; i < part; i++)
        for (int p = 0; p < PARTS; p++) sorted[sort->next[p][contexts[p * part + i]]++] = symbols[p * part + i];
    for (size_t i = PARTS * part; i < n; i++) sorted[sort->next[PARTS - 1][contexts[i]]++] = symbols[i];
}

static void unsort_symbols(Sort *sort, const uint8_t *contexts, const uint8_t *sorted, size_t n, uint8_t *symbols) {
    size_t part = n / PARTS;
    for (size_t i = 0; i < part; i++)
        for (int p = 0; p < PARTS; p++) symbols[p * part + i] = sorted[sort->next[p][contexts[p * part + i]]++];
    for (size_t i = PARTS * part; i < n; i++) symbols[i] = sorted[sort->next[PARTS - 1][contexts[i]]++];
}

/* Whether eight bytes are all 0 or all 255, as most numbers of bits are. */
static inline int without_bits(const uint8_t *bits) {
    uint64_t eight;
    memcpy(&eight, bits, sizeof eight);
    return eight + 1 <= 1;
}

/* List the places of numbers of bits from 1 to MAX_BITS, fewer bits first. Returns their number. */
static size_t list_by_bits(const uint8_t *bits, size_t n, uint32_t *list) {
    size_t next[MAX_BITS + 2] = {0};
    for (size_t i = 0; i < n; i++) {
        while (i + 8 < n && without_bits(bits + i)) i += 8;
        if (bits[i] && bits[i] <= MAX_BITS) next[bits[i] + 1]++;
    }
    for (int b = 1; b <= MAX_BITS; b++) next[b + 1] += next[b];
    for (size_t i = 0; i < n; i++) {
        while (i + 8 < n && without_bits(bits + i)) i += 8;
        if (bits[i] && bits[i] <= MAX_BITS) list[next[bits[i]]++] = (uint32_t)i;
    }
    return next[MAX_BITS];
}

/* ---- Memory ----------------------------------------------------------------------------------------------------- */

/* Make room for `wanted` items. */
static int grow(void *array, size_t *capacity, size_t wanted, size_t size) {
    if (wanted <= *capacity) return OK;
    size_t more = wanted > 2 * *capacity ? wanted : 2 * *capacity;
    void *old, *found;
    memcpy(&old, array, sizeof old);
    found = realloc(old, more * size);
    if (!found) return NO_MEMORY;
    memcpy(array, &found, sizeof found);
    *capacity = more;
    return OK;
}

int reserve_pass(Coder *coder, size_t n) {
    if (n <= coder->capacity) return OK;
    free(coder->symbols), free(coder->sorted), free(coder->bits), free(coder->numbers), free(coder->list);
    coder->symbols = malloc(n), coder->sorted = malloc(n), coder->bits = malloc(n);
    coder->numbers = malloc(n * sizeof *coder->numbers), coder->list = malloc(n * sizeof *coder->list);
    int done = coder->symbols && coder->sorted && coder->bits && coder->numbers && coder->list;
    coder->capacity = done ? n : 0;
    return done ? OK : NO_MEMORY;
}

int reserve_symbols(Coder *coder, size_t n) {
    return coder->mode == ENCODE ? grow(&coder->tape, &coder->tape_capacity, n, 1) : OK;
}

void free_coder(Coder *coder) {
    free(coder->symbols), free(coder->sorted), free(coder->bits), free(coder->numbers), free(coder->list);
    free(coder->tape), free(coder->runs), free(coder->tables), free(coder->raw), free(coder->counts);
}

/* ---- Decoding --------------------------------------------------------------------------------------------------- */

static inline uint64_t refill(Coder *coder, uint64_t state) {
    if (state < (UINT64_C(1) << 32) && coder->words_left) state = state << 32 | load_word(coder->words + 4 * --coder->words_left);
    return state;
}

static uint32_t pop_raw(Coder *coder, int bits) {
    uint32_t quantile = (uint32_t)coder->state & ((1u << PRECISION) - 1);
    int low = PRECISION - bits;
    coder->state = refill(coder, (coder->state >> PRECISION << low) + (quantile & ((1u << low) - 1)));
    return quantile >> low;
}

/* Decode n symbols of one context to `out`, which is filled with ESCAPE, and count them. */
static void decode_run(Coder *coder, int64_t *counts, uint8_t *out, size_t n) {
    uint32_t sums[SYMBOLS + 1];
    uint64_t state = coder->state;
    size_t others = 0;
    cumulate(counts, sums);
    uint32_t start = sums[ESCAPE], frequency = sums[ESCAPE + 1] - start;
    for (size_t i = 0; i < n; i++) {
        uint32_t quantile = (uint32_t)state & ((1u << PRECISION) - 1), rest = quantile - start;
        if (rest < frequency) /* predicted: the next symbol need not wait for this comparison */
            state = (state >> PRECISION) * frequency + rest;
        else {
            int symbol = ESCAPE;
            while (quantile < sums[symbol]) symbol--;
            while (quantile >= sums[symbol + 1]) symbol++;
            state = (state >> PRECISION) * (sums[symbol + 1] - sums[symbol]) + quantile - sums[symbol];
            out[i] = (uint8_t)symbol;
            counts[symbol] += INCREMENT;
            others++;
        }
        state = refill(coder, state);
    }
    counts[ESCAPE] += (int64_t)INCREMENT * (int64_t)(n - others);
    coder->state = state;
}

/* The state of a valid stream is never below the initial state. */
static int check_state(const Coder *coder) { return coder->words_left || coder->state >= INITIAL_STATE ? OK : DAMAGED; }

/* Symbols of a pass. Some may be escapes or need bypass-coded bits, see `decode_details`. */
int decode_symbols(Coder *coder, const uint8_t *contexts, uint8_t *symbols, size_t n) {
    Sort sort;
    uint8_t *run = coder->sorted;
    start_sort(&sort, contexts, n, coder->contexts);
    memset(run, ESCAPE, n);
    for (int c = 0; c < coder->contexts; run += sort.sizes[c++])
        if (sort.sizes[c]) decode_run(coder, coder->counts + c * SYMBOLS, run, sort.sizes[c]);
    unsort_symbols(&sort, contexts, coder->sorted, n, symbols);
    return check_state(coder);
}

/* Bypass-coded parts of the residuals of a pass, which are its symbols so far. */
int decode_details(Coder *coder, const uint8_t *shifts, int32_t *residuals, size_t n) {
    size_t count = shifts ? list_by_bits(shifts, n, coder->list) : 0;
    for (size_t j = 0; j < count; j++) {
        uint32_t i = coder->list[j];
        coder->numbers[i] = (int32_t)pop_raw(coder, shifts[i]) - (1 << shifts[i] >> 1);
    }
    for (size_t i = 0; i < n; i++)
        coder->bits[i] = residuals[i] == ESCAPE || residuals[i] == -ESCAPE ? (uint8_t)pop_raw(coder, 4) : 255;
    size_t large = list_by_bits(coder->bits, n, coder->list);
    for (size_t j = 0; j < large; j++) {
        uint32_t i = coder->list[j];
        int32_t excess = (int32_t)pop_raw(coder, coder->bits[i]) + (1 << coder->bits[i]) - 1;
        residuals[i] += residuals[i] < 0 ? -excess : excess;
    }
    for (size_t i = 0; count && i < n; i++)
        if (shifts[i]) residuals[i] = residuals[i] * (1 << shifts[i]) + coder->numbers[i];
    return check_state(coder);
}

/* ---- Encoding --------------------------------------------------------------------------------------------------- */

int encode_symbols(Coder *coder, const uint8_t *contexts, const uint8_t *symbols, size_t n) {
    if (coder->mode == PRICE) return count_pass(coder, contexts, symbols, n), OK;
    Sort sort;
    if (grow(&coder->tape, &coder->tape_capacity, coder->tape_length + n, 1) ||
        grow(&coder->runs, &coder->run_capacity, coder->run_count + coder->contexts, sizeof *coder->runs) ||
        grow(&coder->tables, &coder->table_capacity, coder->table_count + coder->contexts, sizeof *coder->tables))
        return NO_MEMORY;
    uint8_t *run = coder->tape + coder->tape_length;
    start_sort(&sort, contexts, n, coder->contexts);
    sort_symbols(&sort, contexts, symbols, n, run);
    for (int c = 0; c < coder->contexts; run += sort.sizes[c++])
        if (sort.sizes[c]) {
            cumulate(coder->counts + c * SYMBOLS, coder->tables[coder->table_count]);
            coder->runs[coder->run_count++] = (Run){(uint32_t)coder->table_count++, sort.sizes[c]};
            count_run(run, sort.sizes[c], coder->counts + c * SYMBOLS);
        }
    coder->tape_length += n;
    return OK;
}

static int push_raw(Coder *coder, uint32_t value, int bits) {
    int next = coder->run_count && coder->runs[coder->run_count - 1].table == RAW;
    if (grow(&coder->raw, &coder->raw_capacity, coder->raw_count + 1, sizeof *coder->raw) ||
        (!next && grow(&coder->runs, &coder->run_capacity, coder->run_count + 1, sizeof *coder->runs)))
        return NO_MEMORY;
    if (!next) coder->runs[coder->run_count++] = (Run){RAW, 0};
    coder->runs[coder->run_count - 1].count++;
    coder->raw[coder->raw_count++] = value << 5 | (uint32_t)bits;
    return OK;
}

/* Numbers without their bypass-coded bits, and their symbols. Returns whether one is an escape. */
VECTORIZED static int find_numbers(const int32_t *restrict residuals, const uint8_t *restrict shifts, size_t n, int32_t *restrict numbers,
                                   uint8_t *restrict symbols) {
    int32_t escapes = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t shift = shifts ? shifts[i] : 0, number = (residuals[i] + (1 << shift >> 1)) >> shift;
        escapes |= (number <= -ESCAPE) | (number >= ESCAPE);
        numbers[i] = number, symbols[i] = (uint8_t)clamp_symbol(number);
    }
    return escapes;
}

static int encode_pass(Coder *coder, const uint8_t *contexts, const uint8_t *shifts, const int32_t *residuals, size_t n) {
    int escapes = find_numbers(residuals, shifts, n, coder->numbers, coder->symbols);
    int status = encode_symbols(coder, contexts, coder->symbols, n);
    if (status || coder->mode == PRICE) return status;
    size_t count = shifts ? list_by_bits(shifts, n, coder->list) : 0;
    for (size_t j = 0; j < count; j++) {
        uint32_t i = coder->list[j];
        int32_t low = residuals[i] + (1 << shifts[i] >> 1) - coder->numbers[i] * (1 << shifts[i]);
        status |= push_raw(coder, (uint32_t)low, shifts[i]);
    }
    if (!escapes) return status;
    for (size_t i = 0; i < n; i++) {
        int32_t excess = abs(coder->numbers[i]) - ESCAPE + 1;
        coder->bits[i] = excess > 0 ? (uint8_t)floor_log2((uint32_t)excess) : 255;
        if (excess > 0) status |= push_raw(coder, coder->bits[i], 4);
    }
    count = list_by_bits(coder->bits, n, coder->list);
    for (size_t j = 0; j < count; j++) {
        uint32_t i = coder->list[j];
        int32_t excess = abs(coder->numbers[i]) - ESCAPE + 1;
        status |= push_raw(coder, (uint32_t)(excess - (1 << coder->bits[i])), coder->bits[i]);
    }
    return status;
}

/* Code n residuals, in place. */
int code_pass(Coder *coder, const uint8_t *contexts, const uint8_t *shifts, int32_t *residuals, size_t n) {
    int status = reserve_pass(coder, n);
    if (status || !n) return status;
    if (coder->mode != DECODE) return encode_pass(coder, contexts, shifts, residuals, n);
    decode_symbols(coder, contexts, coder->symbols, n);
    for (size_t i = 0; i < n; i++) residuals[i] = coder->symbols[i] - ESCAPE;
    return decode_details(coder, shifts, residuals, n);
}

/* A symbol, and division by its frequency f as a multiplication with a factor of 64 bits (Granlund and Montgomery 1994,
   "Division by invariant integers using multiplication"). The state is below f · 2^40, below 2^64 for the largest f, for
   which the factor rounded up, or rounded down and with one factor more, is always exact. */
typedef struct {
    uint64_t limit, factor, more; /* from `limit` on a word must be written before; factor 0: not computed */
    uint32_t start, frequency, complement;
    int shift;
} Divisor;

static void set_divisor(Divisor *out, uint32_t start, uint32_t frequency) {
    int octave = floor_log2(frequency - 1) + 1;
    uint64_t power = UINT64_C(1) << 63, part = power % frequency << octave, rest = part % frequency;
    *out = (Divisor){.limit = (uint64_t)frequency << (64 - PRECISION), .start = start, .frequency = frequency};
    out->complement = (1u << PRECISION) - frequency, out->shift = octave - 1;
    out->factor = (power / frequency << octave) + part / frequency;
    if (rest && frequency - rest <= 1u << 23) out->factor++;
    else if (rest) out->more = out->factor;
}

static inline uint64_t add_symbol(uint64_t state, const Divisor *by) {
#ifdef __SIZEOF_INT128__
    uint64_t quotient = (uint64_t)(((Wide)state * by->factor + by->more) >> 64) >> by->shift;
#else
    uint64_t quotient = state / by->frequency;
#endif
    return state + by->start + quotient * by->complement;
}

typedef struct {
    uint8_t *words; /* in the order of writing: from the last to the first */
    size_t count, capacity;
} Output;

static int write_word(Output *out, uint32_t word) {
    if (grow(&out->words, &out->capacity, 4 * (out->count + 1), 1)) return NO_MEMORY;
    store_word(out->words + 4 * out->count++, word);
    return OK;
}

/* BLOCK symbols ESCAPE of one context at once. One by one, each would wait for the quotient of the state before it. Here
   all quotients are estimated from one state, as state j is about state · rho^j + drift j with rho = 2^24 / frequency.
   The estimates decide on no bytes: unless all are exact, the symbols are coded one by one. */
typedef struct {
    uint64_t below, factors[BLOCK]; /* a state below it stays below the limit; 0: no blocks */
    uint64_t drifts[BLOCK], start, complement;
    int64_t last; /* the largest remainder */
} Block;

static void set_block(Block *out, uint32_t start, uint32_t frequency) {
    *out = (Block){.start = start, .complement = (1u << PRECISION) - frequency, .last = (int64_t)frequency - 1};
#ifdef __SIZEOF_INT128__
    const double all = 1 << PRECISION, f = frequency, rho = all / f;
    double power = 1, drift = 0;
    if (frequency < MIN_BLOCK_FREQUENCY) return;
    for (int j = 0; j < BLOCK; j++) {
        out->factors[j] = (uint64_t)(power / f * ((UINT64_C(1) << 63) * (double)(1 << PRECISION))); /* below 2^64 */
        out->drifts[j] = (uint64_t)(int64_t)(drift / f * (1 << FRACTION));
        power *= rho, drift = drift * rho + start - (all - f) / 2; /* a quotient loses 1/2 on average */
    }
    out->below = (uint64_t)((f - BLOCK - 1) * (double)(UINT64_C(1) << (64 - PRECISION)) / power);
#endif
}

static inline int add_block(uint64_t *state, const Block *by) {
#ifdef __SIZEOF_INT128__
    uint64_t quotients[BLOCK], sums[BLOCK]; /* of what is added to the state */
    int64_t wrong = 0;
    for (int j = 0; j < BLOCK; j++) {
        quotients[j] = ((uint64_t)((Wide)*state * by->factors[j] >> 64) + by->drifts[j]) >> FRACTION;
        sums[j] = quotients[j] * by->complement + by->start;
    }
    for (int j = 1; j < BLOCK; j += 2) sums[j] += sums[j - 1]; /* in pairs: the next block waits for the last sum */
    for (int j = 2; j < BLOCK; j++) sums[j] += sums[j - 1 - j % 2];
    for (int j = 0; j < BLOCK; j++) {
        int64_t rest = (int64_t)(*state + sums[j] - (quotients[j] << PRECISION) - by->start);
        wrong |= rest | (by->last - rest);
    }
    if (wrong < 0) return 0;
    *state += sums[BLOCK - 1];
    return 1;
#else
    (void)state, (void)by;
    return 0;
#endif
}

static int flush_run(const uint32_t *sums, const uint8_t *run, size_t n, uint64_t *to, Output *out) {
    Divisor divisors[SYMBOLS];
    Block block;
    uint64_t state = *to;
    for (int s = 0; s < SYMBOLS; s++) divisors[s].factor = 0;
    set_block(&block, sums[ESCAPE], sums[ESCAPE + 1] - sums[ESCAPE]);
    for (size_t i = n; i > 0;) {
        if (state < block.below && i >= BLOCK && !memcmp(run + i - BLOCK, PLAIN, BLOCK) && add_block(&state, &block)) {
            i -= BLOCK;
            continue;
        }
        int symbol = run[--i];
        Divisor *by = divisors + symbol;
        if (!by->factor) set_divisor(by, sums[symbol], sums[symbol + 1] - sums[symbol]);
        if (state >= by->limit) {
            if (write_word(out, (uint32_t)state)) return NO_MEMORY;
            state >>= 32;
        }
        state = add_symbol(state, by);
    }
    *to = state;
    return OK;
}

static int flush_raw(const uint32_t *raw, size_t n, uint64_t *to, Output *out) {
    uint64_t state = *to;
    for (size_t i = n; i--;) {
        int low = PRECISION - (int)(raw[i] & 31);
        if (state >> (64 - PRECISION) >> low) {
            if (write_word(out, (uint32_t)state)) return NO_MEMORY;
            state >>= 32;
        }
        state = state >> low << PRECISION | (raw[i] >> 5 << low) | (state & ((1u << low) - 1));
    }
    *to = state;
    return OK;
}

/* Code all symbols from the last to the first. Returns words in the order of a stream, to be freed. */
int flush(const Coder *coder, uint8_t **words, size_t *count) {
    Output out = {0};
    uint64_t state = INITIAL_STATE;
    size_t symbols = coder->tape_length, raw = coder->raw_count;
    int status = OK;
    for (size_t i = coder->run_count; i-- && !status;) {
        const Run *run = coder->runs + i;
        if (run->table == RAW)
            status = flush_raw(coder->raw + (raw -= run->count), run->count, &state, &out);
        else
            status = flush_run(coder->tables[run->table], coder->tape + (symbols -= run->count), run->count, &state, &out);
    }
    if (!status) status = write_word(&out, (uint32_t)state);
    if (!status && state >> 32) status = write_word(&out, (uint32_t)(state >> 32));
    *words = out.words, *count = out.count;
    return status;
}
