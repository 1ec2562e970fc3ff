/* Pictures for the motion search: levels of a pyramid. The NumPy twin is codec/motion/pyramid.py.

   Samples are computed in float32 without contraction, operation by operation as in the twin, then rounded. Lines are
   computed from the picture in one pass, so that everything but the result stays in the cache. */

#include "motion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STRIP = 4, CHANNELS = 2, SUM = 887, DIFFERENCE = 362 }; /* largest samples of the channels */

/* Lines of a strip, each (channels, columns), and lines that are used for a moment. */
typedef struct {
    int height, width; /* in complete blocks */
    float *lines[STRIP], *mean, *one, *other;
} Strip;

VECTORIZED static void read_bytes(const uint8_t *bytes, int n, float *out) {
    for (int i = 0; i < n; i++) out[i] = (float)bytes[i] / 255.0f;
}

VECTORIZED static void blend(float *a, const float *b, float fraction, int n) {
    for (int i = 0; i < n; i++) a[i] = a[i] + (b[i] - a[i]) * fraction;
}

/* Both channels of a line of RGB samples. */
VECTORIZED static void mix_colours(const float *restrict rgb, const float *scales, int n, float *restrict sum, float *restrict difference) {
    float first = scales[0], second = scales[1];
    for (int x = 0; x < n; x++) {
        float red = rgb[3 * x], green = rgb[3 * x + 1], blue = rgb[3 * x + 2];
        sum[x] = (red + green + blue) * first;
        difference[x] = (red - blue) * second;
    }
}

static const float *samples_of(const void *picture, int bytes, size_t at, int n, float *work) {
    if (!bytes) return (const float *)picture + at;
    read_bytes((const uint8_t *)picture + at, n, work);
    return work;
}

static void read_line(const Picture *in, const Strip *strip, int y, float *out) {
    size_t at = (size_t)(y < in->height ? y : in->height - 1) * in->width * 3;
    const float *rgb = samples_of(in->samples, in->bytes, at, 3 * in->width, strip->one);
    if (in->other) {
        if (rgb != strip->one) memcpy(strip->one, rgb, 3 * in->width * sizeof *rgb);
        blend(strip->one, samples_of(in->other, in->bytes, at, 3 * in->width, strip->other), in->fraction, 3 * in->width);
        rgb = strip->one;
    }
    mix_colours(rgb, in->scales, in->width, out, out + strip->width);
    for (int c = 0; c < CHANNELS; c++)
        for (int x = in->width; x < strip->width; x++) out[c * strip->width + x] = out[c * strip->width + in->width - 1];
}

/* Round a line of both channels. */
VECTORIZED static void round_line(const float *restrict line, int n, int16_t *restrict out) {
    const float *other = line + n;
    for (int x = 0; x < n; x++) out[2 * x] = (int16_t)rintf(line[x]), out[2 * x + 1] = (int16_t)rintf(other[x]);
}

/* Store a line with edge padding. */
static void store_line(const float *line, int n, int edge, int16_t *out) {
    round_line(line, n, out + 2 * edge);
    for (int x = 0; x < edge; x++) memcpy(out + 2 * x, out + 2 * edge, 4), memcpy(out + 2 * (edge + n + x), out + 2 * (edge + n - 1), 4);
}

/* Repeat the first and last lines above and below the picture. */
static void pad_lines(int16_t *out, int height, int width, int edge) {
    size_t line = (size_t)(width + 2 * edge) * CHANNELS;
    const int16_t *first = out + edge * line, *last = first + (size_t)(height - 1) * line;
    for (int y = 0; y < edge; y++) {
        memcpy(out + y * line, first, line * sizeof *out);
        memcpy(out + ((size_t)edge + height + y) * line, last, line * sizeof *out);
    }
}

static void store_full(const Picture *in, const Strip *strip, int y) {
    size_t line = (size_t)(strip->width + 2 * in->edge) * CHANNELS;
    for (int i = 0; i < STRIP; i++) store_line(strip->lines[i], strip->width, in->edge, in->full + ((size_t)in->edge + y + i) * line);
}

VECTORIZED static void halve_line(const float *restrict a, const float *restrict b, int n, float *restrict out) {
    for (int x = 0; x < n; x++) out[x] = ((a[2 * x] + b[2 * x]) + (a[2 * x + 1] + b[2 * x + 1])) * 0.25f;
}

static void store_half(const Picture *in, const Strip *strip, int y) {
    int edge = in->edge / 2, width = strip->width / 2;
    for (int i = 0; i < STRIP; i += 2) {
        halve_line(strip->lines[i], strip->lines[i + 1], CHANNELS * width, strip->mean);
        store_line(strip->mean, width, edge, in->half + ((size_t)edge + (y + i) / 2) * (width + 2 * edge) * CHANNELS);
    }
}

VECTORIZED static void quarter_line(const float *restrict a, const float *restrict b, const float *restrict c, const float *restrict d,
                                    int n, float scale, int16_t *restrict out) {
    for (int x = 0; x < n; x++) {
        float sums[4];
        for (int i = 0; i < 4; i++) sums[i] = a[4 * x + i] + b[4 * x + i] + c[4 * x + i] + d[4 * x + i];
        out[x] = (int16_t)rintf((sums[0] + sums[1] + sums[2] + sums[3]) * 0.0625f * scale);
    }
}

/* Samples between pixels (SPEC.md 7.8.2), limited to the range of the channels, so that differences times weights fit 16 bits. */
INLINE int16_t six_tap(const int16_t *at, size_t step, int channel) {
    int a = at[-2 * (long)step] + at[3 * step], b = at[-(long)step] + at[2 * step], c = at[0] + at[step];
    int sample = (a - 5 * b + 20 * c + 16) >> 5, low = channel ? -DIFFERENCE : 0, high = channel ? DIFFERENCE : SUM;
    return (int16_t)(sample < low ? low : sample > high ? high : sample);
}

/* The samples half a step after those of a picture of n numbers. At both ends they are equal to those. */
VECTORIZED static void interpolate(const int16_t *restrict from, size_t n, size_t step, int16_t *restrict out) {
    memcpy(out, from, 2 * step * sizeof *out);
    for (size_t i = 2 * step; i + 3 * step < n; i += 2)
        for (int c = 0; c < CHANNELS; c++) out[i + c] = six_tap(from + i + c, step, c);
    memcpy(out + n - 3 * step, from + n - 3 * step, 3 * step * sizeof *out);
}

/* After the samples of a padded picture, store those half a pixel to the right, below, and both. */
static void store_subpel(int16_t *full, size_t height, size_t width) {
    size_t line = CHANNELS * width, plane = height * line;
    for (size_t y = 0; y < height; y++) interpolate(full + y * line, line, CHANNELS, full + plane + y * line);
    for (int right = 0; right < 2; right++) interpolate(full + right * plane, plane, line, full + (2 + right) * plane);
}

int build_pyramid(const Picture *in) {
    Strip strip = {.height = (in->height + 7) / 8 * 8, .width = (in->width + 7) / 8 * 8};
    size_t line = CHANNELS * (size_t)strip.width, rgb = 3 * (size_t)strip.width;
    float *work = malloc(((STRIP + 1) * line + 2 * rgb) * sizeof *work);
    if (!work) return NO_MEMORY;
    for (int i = 0; i < STRIP; i++) strip.lines[i] = work + i * line;
    strip.mean = work + STRIP * line, strip.one = strip.mean + line, strip.other = strip.one + rgb;
    for (int y = 0; y < strip.height; y += STRIP) {
        for (int i = 0; i < STRIP; i++) read_line(in, &strip, y + i, strip.lines[i]);
        store_full(in, &strip, y);
        if (in->half) store_half(in, &strip, y);
        if (in->quarter)
            quarter_line(strip.lines[0], strip.lines[1], strip.lines[2], strip.lines[3], strip.width / 4, in->coarse_scale,
                         in->quarter + (size_t)(y / STRIP) * (strip.width / 4));
    }
    pad_lines(in->full, strip.height, strip.width, in->edge);
    if (in->subpel) store_subpel(in->full, (size_t)strip.height + 2 * in->edge, (size_t)strip.width + 2 * in->edge);
    if (in->half) pad_lines(in->half, strip.height / 2, strip.width / 2, in->edge / 2);
    free(work);
    return OK;
}
