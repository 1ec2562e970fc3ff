/* The extension module `dfccodec.native._kernels`: checks the sizes of buffers and releases the GIL.

   Arguments are contiguous buffers of the types that native/__init__.py passes. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "mixing.h"
#include "motion.h"

enum { MAX_CONTEXTS = 256 };

static const char CAPSULE[] = "dfccodec.native.coder";

static void release(Py_buffer *views, int count) {
    for (int i = 0; i < count; i++)
        if (views[i].obj) PyBuffer_Release(views + i);
}

/* Whether a buffer has exactly `count` items of `size` bytes; otherwise sets an exception. */
static int has_size(const Py_buffer *view, size_t count, size_t size, const char *name) {
    if (view->buf && (size_t)view->len == count * size) return 1;
    PyErr_Format(PyExc_ValueError, "%s: buffer of %zd bytes, expected %zu items of %zu", name, view->len, count, size);
    return 0;
}

static PyObject *status_to_object(int status) {
    if (status == NO_MEMORY) return PyErr_NoMemory();
    return PyBool_FromLong(status == OK);
}

static int start_coder(Coder *coder, int mode, const Py_buffer *counts, const Py_buffer *data) {
    size_t contexts = (size_t)counts->len / (SYMBOLS * sizeof *coder->counts);
    memset(coder, 0, sizeof *coder);
    if (!contexts || contexts > MAX_CONTEXTS || !has_size(counts, contexts * SYMBOLS, sizeof *coder->counts, "counts")) return 0;
    coder->mode = mode, coder->contexts = (int)contexts;
    coder->counts = malloc(counts->len);
    if (!coder->counts) return PyErr_NoMemory(), 0;
    memcpy(coder->counts, counts->buf, counts->len);
    if (mode == DECODE) {
        coder->words = data->buf, coder->words_left = (size_t)data->len / 4;
        for (int i = 0; i < 2 && coder->words_left && coder->state < (UINT64_C(1) << 32); i++)
            coder->state = coder->state << 32 | load_word(coder->words + 4 * --coder->words_left);
    }
    return 1;
}

static PyObject *finish_coder(const Coder *coder) {
    uint8_t *words = NULL;
    size_t count = 0;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = flush(coder, &words, &count);
    Py_END_ALLOW_THREADS
    PyObject *out = status ? PyErr_NoMemory() : PyBytes_FromStringAndSize((const char *)words, (Py_ssize_t)(4 * count));
    free(words);
    return out;
}

PyDoc_STRVAR(latents_doc,
             "latents(mode, kept, tiles, rows, columns, channels, inter, values, data, mvs, first, lower, prices, logs, counts, weights, basis)\n\n"
             "Code the latents of a clip. mode 0 decodes `data` into `values`, and vectors\n"
             "into `mvs` unless that is empty, and returns whether it is valid; 1 returns the\n"
             "coded bytes. From kept frame `first` on, 2 writes the costs of `lower` and\n"
             "`lower` + 1 to `prices`, 3 their difference, 4 by how much the costs of `values`\n"
             "exceed those of 0, and returns True.");

static PyObject *latents(PyObject *self, PyObject *args) {
    enum { VALUES, DATA, MVS, LOWER, PRICES, LOGS, COUNTS, TABLE, BASIS, ALL };
    Py_buffer views[ALL] = {{0}};
    Latents in = {0};
    int tiles;
    Coder coder = {0};
    PyObject *out = NULL, *values, *mvs;
    (void)self;
    if (!PyArg_ParseTuple(args, "iiiiiipOy*Oiy*w*y*y*y*y*", &in.mode, &in.kept, &tiles, &in.rows, &in.columns, &in.channels,
                          &in.inter, &values, views + DATA, &mvs, &in.first, views + LOWER, views + PRICES, views + LOGS,
                          views + COUNTS, views + TABLE, views + BASIS))
        return NULL;
    if (PyObject_GetBuffer(values, views + VALUES, in.mode == DECODE ? PyBUF_WRITABLE : PyBUF_SIMPLE)) goto done;
    if (PyObject_GetBuffer(mvs, views + MVS, in.mode == DECODE ? PyBUF_WRITABLE : PyBUF_SIMPLE)) goto done;
    in.slope = in.mode == SLOPE, in.saving = in.mode == SAVING, in.mode = in.slope || in.saving ? PRICE : in.mode;
    if (in.kept < 1 || tiles < 1 || in.rows < 1 || in.columns < 1 || in.channels < 1 || in.channels > MAX_CHANNELS ||
        in.mode < DECODE || in.mode > PRICE || in.first < 0 || in.first >= in.kept || (in.inter && in.channels != LATENTS)) {
        PyErr_SetString(PyExc_ValueError, "sizes of latents");
        goto done;
    }
    in.cells = (size_t)tiles * in.rows * in.columns;
    size_t numbers = in.kept * in.cells * in.channels, priced = (in.kept - in.first) * in.cells * in.channels;
    if (!has_size(views + VALUES, numbers, sizeof *in.values, "values") || !has_size(views + LOGS, 4096, sizeof *in.logs, "logs") ||
        !has_size(views + TABLE, 2 * 2 * 2 * 2 * WEIGHTS, sizeof *in.weights, "weights") ||
        !has_size(views + BASIS, LATENTS * PATCH * PATCH * 3, 1, "basis") ||
        ((in.mode != DECODE || views[MVS].len) && in.inter && !has_size(views + MVS, in.kept * in.cells * 2, sizeof *in.mvs, "mvs")) ||
        (in.mode == PRICE && !in.saving && !has_size(views + LOWER, priced, sizeof *in.lower, "lower")) ||
        (in.mode == PRICE && !has_size(views + PRICES, (in.slope || in.saving ? 1 : 2) * priced, sizeof *in.prices, "prices")))
        goto done;
    if (!start_coder(&coder, in.mode, views + COUNTS, views + DATA)) goto done;
    if (coder.contexts < VECTOR_CONTEXT + (in.inter ? 32 + 16 : 0)) {
        PyErr_SetString(PyExc_ValueError, "too few contexts");
        goto done;
    }
    in.values = views[VALUES].buf, in.lower = views[LOWER].buf, in.prices = views[PRICES].buf, in.logs = views[LOGS].buf;
    in.weights = views[TABLE].buf, in.basis = views[BASIS].buf;
    in.mvs = in.mode != DECODE && in.inter ? views[MVS].buf : NULL;
    in.decoded = in.mode == DECODE && in.inter && views[MVS].len ? views[MVS].buf : NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = code_latents(&coder, &in);
    Py_END_ALLOW_THREADS
    out = status == OK && in.mode == ENCODE ? finish_coder(&coder) : status_to_object(status);
done:
    free_coder(&coder);
    release(views, ALL);
    return out;
}

/* Buffers of tables, from `views` on; only mode TRAIN writes to them. */
static int parse_tables(MixingTables *tables, Py_buffer *views, PyObject *const *objects, int mode, size_t contexts, size_t sets) {
    for (int i = 0; i < 4; i++)
        if (PyObject_GetBuffer(objects[i], views + i, i && mode == TRAIN ? PyBUF_WRITABLE : PyBUF_SIMPLE)) return 0;
    if (!has_size(views, 2 * 4096, 2, "squash") || !has_size(views + 1, contexts, 2, "probabilities") ||
        !has_size(views + 2, contexts, 1, "counts") || !has_size(views + 3, sets * MIXED, 4, "weights"))
        return 0;
    tables->squash = views[0].buf, tables->probabilities = views[1].buf, tables->counts = views[2].buf, tables->weights = views[3].buf;
    return 1;
}

static PyObject *mixed_result(int status, int mode, uint8_t *words, size_t count) {
    PyObject *out = status == OK && mode == ENCODE ? PyBytes_FromStringAndSize((const char *)words, (Py_ssize_t)(4 * count)) : status_to_object(status);
    free(words);
    return out;
}

PyDoc_STRVAR(mixing_doc,
             "mix_latents(mode, kept, rows, columns, intra, level, groups, values, data, profile, partners, linear,\n"
             "            tables, left)\n\n"
             "Code integers by context mixing. mode 0 decodes `data` into `values`, the words left after each frame into `left`,\n"
             "and returns whether it is valid; 1 returns the coded bytes; 2 only learns. `tables` are squash, probabilities,\n"
             "counts and weights; mode 2 changes the last three.");

static PyObject *mix_latents(PyObject *self, PyObject *args) {
    enum { GROUPS_, VALUES, DATA, PROFILE, PARTNERS, LINEAR, LEFT_WORDS, TABLES, ALL = TABLES + 4 };
    Py_buffer views[ALL] = {{0}};
    Mixing in = {0};
    PyObject *out = NULL, *values, *tables[4];
    (void)self;
    if (!PyArg_ParseTuple(args, "iiiiiiy*Oy*y*y*y*(OOOO)w*", &in.mode, &in.kept, &in.rows, &in.columns, &in.intra, &in.level, views + GROUPS_,
                          &values, views + DATA, views + PROFILE, views + PARTNERS, views + LINEAR, tables, tables + 1, tables + 2, tables + 3,
                          views + LEFT_WORDS))
        return NULL;
    if (PyObject_GetBuffer(values, views + VALUES, in.mode == DECODE ? PyBUF_WRITABLE : PyBUF_SIMPLE)) goto done;
    if (in.kept < 1 || in.rows < 1 || in.columns < 1 || in.mode < DECODE || in.mode > TRAIN || in.level < 0 || in.level > 63) {
        PyErr_SetString(PyExc_ValueError, "sizes of integers");
        goto done;
    }
    if (!has_size(views + GROUPS_, GROUPS + 1, 4, "groups")) goto done;
    in.cells = (size_t)in.rows * in.columns, in.groups = views[GROUPS_].buf;
    int channels = in.groups[GROUPS], ordered = !in.groups[0] && channels <= MAX_MIXED;
    for (int i = 0; i < GROUPS; i++) ordered &= in.groups[i] < in.groups[i + 1];
    if (!ordered) {
        PyErr_SetString(PyExc_ValueError, "groups of channels");
        goto done;
    }
    if (!has_size(views + VALUES, in.kept * in.cells * channels, 2, "values") || !has_size(views + PROFILE, channels, 2, "profile") ||
        !has_size(views + PARTNERS, 2 * channels, 1, "partners") || !has_size(views + LINEAR, LINEAR_ROWS * LINEAR_WEIGHTS, 2, "linear") ||
        !has_size(views + LEFT_WORDS, (size_t)in.kept, 4, "left") ||
        !parse_tables(&in.tables, views + TABLES, tables, in.mode, latent_contexts(channels), latent_sets()))
        goto done;
    in.values = views[VALUES].buf, in.words = views[DATA].buf, in.word_count = (size_t)views[DATA].len / 4;
    in.profile = views[PROFILE].buf, in.partners = views[PARTNERS].buf, in.linear = views[LINEAR].buf, in.left = views[LEFT_WORDS].buf;
    uint8_t *words = NULL;
    size_t count = 0;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = code_mixed(&in, &words, &count);
    Py_END_ALLOW_THREADS
    out = mixed_result(status, in.mode, words, count);
done:
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(mix_motion_doc,
             "mix_motion(mode, rows, columns, dropped, past, future, data, blocks, tables)\n\n"
             "Code modes and vectors `blocks` (frames, rows * columns, 5) by context mixing; modes and tables as for mix_latents.");

static PyObject *mix_motion(PyObject *self, PyObject *args) {
    enum { DROPPED, PAST, FUTURE, DATA, BLOCKS, TABLES, ALL = TABLES + 4 };
    Py_buffer views[ALL] = {{0}};
    MixedMotion in = {0};
    PyObject *out = NULL, *blocks, *tables[4];
    (void)self;
    if (!PyArg_ParseTuple(args, "iiiy*y*y*y*O(OOOO)", &in.mode, &in.rows, &in.columns, views + DROPPED, views + PAST, views + FUTURE,
                          views + DATA, &blocks, tables, tables + 1, tables + 2, tables + 3))
        return NULL;
    if (PyObject_GetBuffer(blocks, views + BLOCKS, in.mode == DECODE ? PyBUF_WRITABLE : PyBUF_SIMPLE)) goto done;
    size_t frames = (size_t)views[DROPPED].len / 4;
    if (!frames || frames > 64 || in.rows < 1 || in.columns < 1 || in.mode < DECODE || in.mode > TRAIN) {
        PyErr_SetString(PyExc_ValueError, "sizes of motion");
        goto done;
    }
    if (!has_size(views + DROPPED, frames, 4, "dropped") || !has_size(views + PAST, frames, 4, "past") ||
        !has_size(views + FUTURE, frames, 4, "future") || !has_size(views + BLOCKS, frames * in.rows * in.columns * 5, 2, "blocks") ||
        !parse_tables(&in.tables, views + TABLES, tables, in.mode, motion_contexts(), motion_sets()))
        goto done;
    in.frames = (int)frames, in.dropped = views[DROPPED].buf, in.past = views[PAST].buf, in.future = views[FUTURE].buf;
    in.words = views[DATA].buf, in.word_count = (size_t)views[DATA].len / 4, in.blocks = views[BLOCKS].buf;
    for (size_t i = 0; in.mode != DECODE && i < frames * in.rows * in.columns; i++) {
        int side = in.blocks[5 * i], frame = (int)(i / ((size_t)in.rows * in.columns));
        if (side < 0 || side > 3 || (side & 1 && in.past[frame] < 0) || (side & 2 && in.future[frame] < 0)) {
            PyErr_SetString(PyExc_ValueError, "mode out of range");
            goto done;
        }
    }
    uint8_t *words = NULL;
    size_t count = 0;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = code_mixed_motion(&in, &words, &count);
    Py_END_ALLOW_THREADS
    out = mixed_result(status, in.mode, words, count);
done:
    release(views, ALL);
    return out;
}

static void free_capsule(PyObject *capsule) {
    Coder *coder = PyCapsule_GetPointer(capsule, CAPSULE);
    if (!coder) return;
    free((void *)coder->words);
    free_coder(coder);
    free(coder);
}

PyDoc_STRVAR(new_coder_doc, "new_coder(decode, counts, data)\n\nA rANS coder: its state, as a capsule.");

static PyObject *new_coder(PyObject *self, PyObject *args) {
    Py_buffer views[2] = {{0}};
    int decode;
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "py*y*", &decode, views, views + 1)) return NULL;
    Coder *coder = calloc(1, sizeof *coder);
    uint8_t *words = malloc(views[1].len + 1); /* a copy: the caller's buffer may go away */
    if (!coder || !words) {
        PyErr_NoMemory();
    } else {
        Py_buffer data = {.buf = words, .len = views[1].len};
        memcpy(words, views[1].buf, views[1].len);
        if (start_coder(coder, decode ? DECODE : ENCODE, views, &data)) {
            coder->words = words;
            out = PyCapsule_New(coder, CAPSULE, free_capsule);
        }
    }
    if (!out) {
        if (coder) free_coder(coder);
        free(coder), free(words);
    }
    release(views, 2);
    return out;
}

PyDoc_STRVAR(run_coder_doc, "run_coder(coder, contexts, residuals)\n\nCode a pass: residuals (n,) int32 in place. False: damaged.");

static PyObject *run_coder(PyObject *self, PyObject *args) {
    Py_buffer views[2] = {{0}};
    PyObject *capsule, *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy*w*", &capsule, views, views + 1)) return NULL;
    Coder *coder = PyCapsule_GetPointer(capsule, CAPSULE);
    size_t n = (size_t)views[0].len;
    const uint8_t *contexts = views[0].buf;
    if (coder && has_size(views + 1, n, sizeof(int32_t), "residuals")) {
        int status = OK;
        for (size_t i = 0; i < n && !status; i++) status = contexts[i] < coder->contexts ? OK : DAMAGED;
        if (status)
            PyErr_SetString(PyExc_ValueError, "context out of range");
        else {
            Py_BEGIN_ALLOW_THREADS
            status = code_pass(coder, contexts, NULL, views[1].buf, n);
            Py_END_ALLOW_THREADS
            out = status_to_object(status);
        }
    }
    release(views, 2);
    return out;
}

PyDoc_STRVAR(finish_doc, "finish(coder)\n\nThe coded bytes of an encoder; of a decoder, whether its stream is read to its end.");

static PyObject *finish(PyObject *self, PyObject *args) {
    PyObject *capsule;
    (void)self;
    if (!PyArg_ParseTuple(args, "O", &capsule)) return NULL;
    Coder *coder = PyCapsule_GetPointer(capsule, CAPSULE);
    if (!coder) return NULL;
    if (coder->mode == ENCODE) return finish_coder(coder);
    return PyBool_FromLong(!coder->words_left && coder->state == 1 << 24);
}

PyDoc_STRVAR(motion_doc,
             "motion(encoding, rows, columns, part, dropped, past, future, counts, data, blocks)\n\n"
             "Code modes and vectors (frames, rows, columns, 5) int16: the coded bytes, or whether `data` is valid.");

static PyObject *motion(PyObject *self, PyObject *args) {
    enum { DROPPED, PAST, FUTURE, COUNTS, DATA, BLOCKS, ALL };
    Py_buffer views[ALL] = {{0}};
    MotionField in = {0};
    int part;
    Coder coder = {0};
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "piiiy*y*y*y*y*w*", &in.encoding, &in.rows, &in.columns, &part, views + DROPPED, views + PAST, views + FUTURE,
                          views + COUNTS, views + DATA, views + BLOCKS))
        return NULL;
    in.frames = (int)(views[DROPPED].len / 4);
    in.part = (size_t)part;
    if (in.rows < 1 || in.columns < 1 || in.frames < 1 || part < 1) {
        PyErr_SetString(PyExc_ValueError, "sizes of a motion field");
        goto done;
    }
    if (!has_size(views + DROPPED, in.frames, 4, "dropped") || !has_size(views + PAST, in.frames, 4, "past") ||
        !has_size(views + FUTURE, in.frames, 4, "future") ||
        !has_size(views + BLOCKS, (size_t)in.frames * in.rows * in.columns * 5, 2, "blocks") ||
        !start_coder(&coder, in.encoding ? ENCODE : DECODE, views + COUNTS, views + DATA))
        goto done;
    if (coder.contexts < 12 + 32 + 16) {
        PyErr_SetString(PyExc_ValueError, "too few contexts");
        goto done;
    }
    in.dropped = views[DROPPED].buf, in.past = views[PAST].buf, in.future = views[FUTURE].buf, in.blocks = views[BLOCKS].buf;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = code_motion(&coder, &in);
    Py_END_ALLOW_THREADS
    if (!status && !in.encoding && (coder.words_left || coder.state != 1 << 24)) status = DAMAGED;
    out = status == OK && in.encoding ? finish_coder(&coder) : status_to_object(status);
done:
    free_coder(&coder);
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(candidates_doc,
             "candidates(neighbours, fifth, adjacent, offset, medians, contexts, sizes)\n\n"
             "Medians (n, 2) and contexts (n,) of n vectors from neighbours (4, n, 2) and a fifth candidate (n, 2), int16.");

static PyObject *candidates(PyObject *self, PyObject *args) {
    enum { NEAR, FIFTH, MEDIANS, CONTEXTS, SIZES, ALL };
    Py_buffer views[ALL] = {{0}};
    int adjacent, offset;
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*piw*w*w*", views + NEAR, views + FIFTH, &adjacent, &offset, views + MEDIANS, views + CONTEXTS,
                          views + SIZES))
        return NULL;
    size_t n = (size_t)views[SIZES].len;
    if (has_size(views + NEAR, 8 * n, 2, "neighbours") && has_size(views + FIFTH, 2 * n, 2, "fifth") &&
        has_size(views + MEDIANS, 2 * n, 2, "medians") && has_size(views + CONTEXTS, n, 1, "contexts")) {
        const int16_t *near = views[NEAR].buf, *fifth = views[FIFTH].buf;
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < n; i++) {
            int16_t five[10];
            for (int side = 0; side < 4; side++) memcpy(five + 2 * side, near + 2 * (side * n + i), 4);
            memcpy(five + 8, fifth + 2 * i, 4);
            mv_candidates(five, adjacent, offset, (int16_t *)views[MEDIANS].buf + 2 * i, (uint8_t *)views[CONTEXTS].buf + i,
                          (uint8_t *)views[SIZES].buf + i);
        }
        Py_END_ALLOW_THREADS
        out = Py_NewRef(Py_None);
    }
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(compensate_doc,
             "compensate_latents(tiles, rows, columns, values, vectors, basis, out)\n\n"
             "Motion-compensated latents (tiles, rows, columns, 96) int16 of a frame by vectors in quarter pixels.");

static PyObject *compensate_latents(PyObject *self, PyObject *args) {
    enum { VALUES, VECTORS, BASIS, OUT, ALL };
    Py_buffer views[ALL] = {{0}};
    int tiles, rows, columns, status = OK;
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "iiiy*y*y*w*", &tiles, &rows, &columns, views + VALUES, views + VECTORS, views + BASIS, views + OUT))
        return NULL;
    size_t cells = (size_t)rows * columns;
    if (tiles > 0 && rows > 0 && columns > 0 && has_size(views + VALUES, tiles * cells * LATENTS, 2, "values") &&
        has_size(views + VECTORS, tiles * cells * 2, 2, "vectors") && has_size(views + OUT, tiles * cells * LATENTS, 2, "out") &&
        has_size(views + BASIS, LATENTS * PATCH * PATCH * 3, 1, "basis")) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t tile = 0; tile < (size_t)tiles && !status; tile++)
            status = compensate_tile((const int16_t *)views[VALUES].buf + tile * cells * LATENTS,
                                     (const int16_t *)views[VECTORS].buf + tile * cells * 2, rows, columns, views[BASIS].buf,
                                     (int16_t *)views[OUT].buf + tile * cells * LATENTS);
        Py_END_ALLOW_THREADS
        out = status_to_object(status);
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "sizes of latents");
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(filters_doc,
             "undo_filters(planes, kept, tiles, rows, columns, channels, raw, values)\n\n"
             "Decompressed bytes of the zstd coding to latents (kept, tiles, rows, columns, channels) int16; False if a filter is\n"
             "unknown.");

static PyObject *undo_all_filters(PyObject *self, PyObject *args) {
    enum { RAW, VALUES, ALL };
    Py_buffer views[ALL] = {{0}};
    int planes, kept, tiles, rows, columns, channels, status = OK;
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "iiiiiiy*w*", &planes, &kept, &tiles, &rows, &columns, &channels, views + RAW, views + VALUES))
        return NULL;
    size_t cells = (size_t)tiles * rows * columns, pictures = (size_t)channels * kept;
    if ((planes == 1 || planes == 2) && kept > 0 && tiles > 0 && rows > 0 && columns > 0 && channels > 0 &&
        has_size(views + RAW, pictures * (1 + planes * cells), 1, "raw") &&
        has_size(views + VALUES, pictures * cells, 2, "values")) {
        Py_BEGIN_ALLOW_THREADS
        status = undo_filters(views[RAW].buf, planes, kept, tiles, rows, columns, channels, views[VALUES].buf);
        Py_END_ALLOW_THREADS
        out = status_to_object(status);
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "sizes of latents");
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(estimate_doc,
             "estimate_latents(rows, columns, old, now, basis, table, out)\n\n"
             "Motion vectors (rows, columns, 2) int16 of the latents of a tile from those of the previous kept frame.");

static PyObject *estimate_latents(PyObject *self, PyObject *args) {
    enum { OLD, NOW, BASIS, TABLE, OUT, ALL };
    Py_buffer views[ALL] = {{0}};
    int rows, columns, status = OK;
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "iiy*y*y*y*w*", &rows, &columns, views + OLD, views + NOW, views + BASIS, views + TABLE, views + OUT))
        return NULL;
    size_t cells = (size_t)rows * columns;
    if (rows > 0 && columns > 0 && has_size(views + OLD, cells * LATENTS, 2, "old") && has_size(views + NOW, cells * LATENTS, 2, "now") &&
        has_size(views + BASIS, LATENTS * PATCH * PATCH * 3, 1, "basis") && has_size(views + TABLE, 1 << 16, 4, "table") &&
        has_size(views + OUT, cells * 2, 2, "out")) {
        Py_BEGIN_ALLOW_THREADS
        status = estimate_tile(views[OLD].buf, views[NOW].buf, rows, columns, views[BASIS].buf, views[TABLE].buf, views[OUT].buf);
        Py_END_ALLOW_THREADS
        out = status_to_object(status);
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "sizes of latents");
    release(views, ALL);
    return out;
}

/* Parse a level: (samples, weights, subpel, height, width, edge, block, wide, rows, columns). */
static int parse_level(PyObject *object, Level *level, Py_buffer *views) {
    if (!PyArg_ParseTuple(object, "y*y*iiiiiiii", views, views + 1, &level->subpel, &level->height, &level->width, &level->edge,
                          &level->block, &level->wide, &level->rows, &level->columns))
        return 0;
    level->samples = views[0].buf, level->weights = views[1].buf;
    if ((level->subpel != 1 && level->subpel != 2 && level->subpel != 4) || level->wide < 1 || level->wide > 16 || level->block < 1 ||
        level->block > level->wide || level->edge < level->wide || level->rows < 1 || level->columns < 1 ||
        level->height != level->rows * level->block + 2 * level->edge ||
        level->width != level->columns * level->block + 2 * level->edge) {
        PyErr_SetString(PyExc_ValueError, "sizes of a level");
        return 0;
    }
    size_t plane = (size_t)level->height * level->width * 2;
    level->plane = level->subpel == 4 || (level->subpel == 2 && (size_t)views->len == 8 * plane) ? plane : 0;
    return has_size(views, level->plane ? 4 * plane : plane, 2, "samples") &&
           has_size(views + 1, 2 * (size_t)level->wide, 2, "weights");
}

static int same_grid(const Level *a, const Level *b) {
    if (a->rows == b->rows && a->columns == b->columns && a->wide == b->wide && a->block == b->block) return 1;
    PyErr_SetString(PyExc_ValueError, "levels of different sizes");
    return 0;
}

PyDoc_STRVAR(errors_doc,
             "errors(now, past, past_vectors, future, future_vectors, weight, cells, out)\n\n"
             "Weighted squared errors (n,) int64 of blocks; `future` may be None, empty vectors stand for zero vectors. `weight` is\n"
             "that of `future` in the mean of both, in 1 / 32.");

static PyObject *errors(PyObject *self, PyObject *args) {
    enum { PAST_VECTORS, FUTURE_VECTORS, CELLS, OUT, LEVELS, ALL = LEVELS + 6 };
    Py_buffer views[ALL] = {{0}};
    PyObject *objects[3], *out = NULL;
    Level levels[3];
    int weight;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOy*Oy*iy*w*", objects, objects + 1, views + PAST_VECTORS, objects + 2, views + FUTURE_VECTORS,
                          &weight, views + CELLS, views + OUT))
        return NULL;
    int two = objects[2] != Py_None;
    size_t n = (size_t)views[CELLS].len / 4;
    for (int i = 0; i < 2 + two; i++)
        if (!parse_level(objects[i], levels + i, views + LEVELS + 2 * i) || !same_grid(levels, levels + i)) goto done;
    if (!has_size(views + CELLS, n, 4, "cells") || !has_size(views + OUT, n, 8, "out") ||
        (views[PAST_VECTORS].len && !has_size(views + PAST_VECTORS, 2 * n, 4, "past_vectors")) ||
        (two && !has_size(views + FUTURE_VECTORS, 2 * n, 4, "future_vectors")))
        goto done;
    if (weight < 0 || weight > 32) {
        PyErr_SetString(PyExc_ValueError, "weight of a reference");
        goto done;
    }
    const int32_t *cells = views[CELLS].buf;
    for (size_t i = 0; i < n; i++)
        if (cells[i] < 0 || cells[i] >= levels->rows * levels->columns) {
            PyErr_SetString(PyExc_ValueError, "block out of range");
            goto done;
        }
    Py_BEGIN_ALLOW_THREADS
    block_errors(levels, levels + 1, views[PAST_VECTORS].len ? views[PAST_VECTORS].buf : NULL, two ? levels + 2 : NULL,
                 views[FUTURE_VECTORS].buf, weight, cells, n, views[OUT].buf);
    Py_END_ALLOW_THREADS
    out = Py_NewRef(Py_None);
done:
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(search_doc,
             "search(now_full, then_full, now_half, then_half, target, target_stride, places, stride, span, coarse_rate, rate,\n"
             "       half_rate, least_error, thorough, centre_down, centre_right, mask, known, vectors)\n\n"
             "Motion vectors (rows, columns, 2) int32 of the blocks in `mask`; `known` are vectors to try, or empty.");

static PyObject *search(PyObject *self, PyObject *args) {
    enum { TARGET, PLACES, COARSE_RATE, RATE, HALF_RATE, MASK, KNOWN, VECTORS, LEVELS, ALL = LEVELS + 8 };
    Py_buffer views[ALL] = {{0}};
    PyObject *objects[4], *out = NULL;
    Search in = {0};
    long long least;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOy*iy*iiy*y*y*Lpiiy*y*w*", objects, objects + 1, objects + 2, objects + 3, views + TARGET,
                          &in.target_stride, views + PLACES, &in.stride, &in.span, views + COARSE_RATE, views + RATE,
                          views + HALF_RATE, &least, &in.thorough, in.centre, in.centre + 1, views + MASK, views + KNOWN, views + VECTORS))
        return NULL;
    Level *levels[] = {&in.now_full, &in.then_full, &in.now_half, &in.then_half};
    for (int i = 0; i < 4; i++)
        if (!parse_level(objects[i], levels[i], views + LEVELS + 2 * i) || !same_grid(levels[i & 2], levels[i])) goto done;
    in.rows = in.now_full.rows, in.columns = in.now_full.columns, in.least_error = least;
    in.rates = (int)(views[RATE].len / 8);
    size_t all = (size_t)in.rows * in.columns, lines = 2 * (size_t)in.rows + 2;
    if (in.now_half.rows != in.rows || in.now_half.columns != in.columns || in.span < 1 || in.span > 32 || in.rates < 1 ||
        in.target_stride < 2 * in.columns + 2 || in.stride < 2 * in.columns + 2 + 32) {
        PyErr_SetString(PyExc_ValueError, "sizes of a search");
        goto done;
    }
    if (!has_size(views + TARGET, lines * in.target_stride, 2, "target") ||
        !has_size(views + PLACES, (lines + in.span - 1) * in.stride, 2, "places") ||
        !has_size(views + COARSE_RATE, (size_t)in.span * 32, 4, "coarse_rate") || !has_size(views + RATE, in.rates, 8, "rate") ||
        !has_size(views + HALF_RATE, in.rates, 8, "half_rate") || !has_size(views + MASK, all, 1, "mask") ||
        (views[KNOWN].len && !has_size(views + KNOWN, 2 * all, 4, "known")) || !has_size(views + VECTORS, 2 * all, 4, "vectors"))
        goto done;
    in.target = views[TARGET].buf, in.places = views[PLACES].buf, in.coarse_rate = views[COARSE_RATE].buf;
    in.rate = views[RATE].buf, in.half_rate = views[HALF_RATE].buf, in.mask = views[MASK].buf;
    in.known = views[KNOWN].len ? views[KNOWN].buf : NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = search_motion(&in, views[VECTORS].buf);
    Py_END_ALLOW_THREADS
    out = status_to_object(status);
done:
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(pyramid_doc,
             "pyramid(picture, other, fraction, height, width, edge, scales, coarse_scale, full, half, quarter)\n\n"
             "Levels of a picture (height, width, 3) float32 or uint8, blended with another one of the same type if there is\n"
             "one: full and half (height, width, 2) and quarter (height, width), all int16. A full level (4, height, width, 2) gets\n"
             "the samples between pixels too.");

static PyObject *pyramid(PyObject *self, PyObject *args) {
    enum { PICTURE, OTHER, SCALES, FULL, HALF, QUARTER, ALL };
    Py_buffer views[ALL] = {{0}};
    Picture in = {0};
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*fiiiy*fw*w*w*", views + PICTURE, views + OTHER, &in.fraction, &in.height, &in.width, &in.edge,
                          views + SCALES, &in.coarse_scale, views + FULL, views + HALF, views + QUARTER))
        return NULL;
    if (in.height < 1 || in.width < 1 || in.height > 1 << 20 || in.width > 1 << 20 || in.edge < 0 || in.edge % 2) {
        PyErr_SetString(PyExc_ValueError, "sizes of a pyramid");
        goto done;
    }
    size_t samples = (size_t)in.height * in.width * 3, height = (in.height + 7) / 8 * 8, width = (in.width + 7) / 8 * 8;
    in.bytes = (size_t)views[PICTURE].len == samples;
    size_t full = 2 * (height + 2 * in.edge) * (width + 2 * in.edge);
    in.subpel = in.edge >= 4 && (size_t)views[FULL].len == 8 * full;
    if (!has_size(views + PICTURE, samples, in.bytes ? 1 : 4, "picture") || !has_size(views + SCALES, 2, 4, "scales") ||
        (views[OTHER].len && !has_size(views + OTHER, samples, in.bytes ? 1 : 4, "other")) ||
        !has_size(views + FULL, in.subpel ? 4 * full : full, 2, "full") ||
        (views[HALF].len && !has_size(views + HALF, 2 * (height / 2 + in.edge) * (width / 2 + in.edge), 2, "half")) ||
        (views[QUARTER].len && !has_size(views + QUARTER, height / 4 * (width / 4), 2, "quarter")))
        goto done;
    in.samples = views[PICTURE].buf, in.other = views[OTHER].len ? views[OTHER].buf : NULL;
    in.full = views[FULL].buf, in.half = views[HALF].len ? views[HALF].buf : NULL;
    in.quarter = views[QUARTER].len ? views[QUARTER].buf : NULL;
    memcpy(in.scales, views[SCALES].buf, sizeof in.scales);
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = build_pyramid(&in);
    Py_END_ALLOW_THREADS
    out = status_to_object(status);
done:
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(choose_doc,
             "choose(now, past, future, cells, estimate, searched, order, mode_contexts, known, contexts, sizes, bits,\n"
             "       rd_lambda, refinements, pair_refinements, modes, vectors)\n\n"
             "Modes (n,) and vectors (n, 2, 2) of the blocks of one frame with the least cost; references may be None.");

static PyObject *choose(PyObject *self, PyObject *args) {
    enum { CELLS, ESTIMATE, SEARCHED, ORDER, MODE_CONTEXTS, KNOWN, CONTEXTS, SIZES, BITS, MODES, VECTORS, LEVELS, ALL = LEVELS + 6 };
    Py_buffer views[ALL] = {{0}};
    PyObject *objects[3], *out = NULL;
    Level levels[3];
    Choice in = {0};
    long long rd_lambda;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOy*y*y*y*y*y*y*y*y*Liiw*w*", objects, objects + 1, objects + 2, views + CELLS, views + ESTIMATE,
                          views + SEARCHED, views + ORDER, views + MODE_CONTEXTS, views + KNOWN, views + CONTEXTS, views + SIZES,
                          views + BITS, &rd_lambda, &in.refinements, &in.pair_refinements, views + MODES, views + VECTORS))
        return NULL;
    for (int i = 0; i < 3; i++)
        if (objects[i] != Py_None &&
            (!parse_level(objects[i], levels + i, views + LEVELS + 2 * i) || (i && !same_grid(levels, levels + i))))
            goto done;
    size_t n = in.blocks = (size_t)views[MODES].len, contexts = (size_t)views[BITS].len / (4 * SYMBOLS);
    if (objects[0] == Py_None || contexts > MAX_CONTEXTS + 1 || !has_size(views + CELLS, n, 4, "cells") ||
        !has_size(views + ESTIMATE, n, 8, "estimate") || !has_size(views + SEARCHED, 4 * n, 2, "searched") ||
        !has_size(views + ORDER, 4 * n, 1, "order") || !has_size(views + MODE_CONTEXTS, n, 1, "mode_contexts") ||
        !has_size(views + KNOWN, 20 * n, 2, "known") || !has_size(views + CONTEXTS, 2 * n, 1, "contexts") ||
        !has_size(views + SIZES, 2 * n, 1, "sizes") || !has_size(views + BITS, contexts * SYMBOLS, 4, "bits") ||
        !has_size(views + VECTORS, 4 * n, 2, "vectors"))
        goto done;
    const int32_t *cells = in.cells = views[CELLS].buf;
    const uint8_t *order = in.order = views[ORDER].buf, *modes = in.mode_contexts = views[MODE_CONTEXTS].buf;
    in.contexts = views[CONTEXTS].buf, in.sizes = views[SIZES].buf;
    for (size_t i = 0; i < n; i++) {
        int bad = cells[i] < 0 || cells[i] >= levels->rows * levels->columns || modes[i] >= contexts;
        for (int m = 0; m < 4; m++) bad |= order[4 * i + m] > 3;
        for (int side = 0; side < 2; side++) bad |= in.contexts[2 * i + side] >= contexts || in.sizes[2 * i + side] + 1u >= contexts;
        if (bad) {
            PyErr_SetString(PyExc_ValueError, "block, mode or context out of range");
            goto done;
        }
    }
    in.now = levels, in.past = objects[1] != Py_None ? levels + 1 : NULL, in.future = objects[2] != Py_None ? levels + 2 : NULL;
    in.estimate = views[ESTIMATE].buf, in.searched = views[SEARCHED].buf, in.known = views[KNOWN].buf, in.bits = views[BITS].buf;
    in.rd_lambda = rd_lambda;
    Py_BEGIN_ALLOW_THREADS
    choose_modes(&in, views[MODES].buf, views[VECTORS].buf);
    Py_END_ALLOW_THREADS
    out = Py_NewRef(Py_None);
done:
    release(views, ALL);
    return out;
}

PyDoc_STRVAR(frame_doc,
             "compensate(height, width, rows, columns, estimate, past, future, fraction, blocks, weights, out, rounded, taps)\n\n"
             "A dropped frame (height, width, 3) from pictures padded by 13 pixels; a reference that does not exist is empty. If\n"
             "`estimate` is empty, it is the blend of the references at `fraction`. `out` is float32, or uint8 if `rounded`.");

static PyObject *compensate(PyObject *self, PyObject *args) {
    enum { ESTIMATE, PAST, FUTURE, BLOCKS, TABLE, OUT, FILTER, ALL };
    Py_buffer views[ALL] = {{0}};
    Compensation in = {0};
    const float **pictures[] = {&in.estimate, &in.past, &in.future};
    int rounded;
    PyObject *out = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "iiiiy*y*y*fy*y*w*py*", &in.height, &in.width, &in.rows, &in.columns, views + ESTIMATE, views + PAST,
                          views + FUTURE, &in.fraction, views + BLOCKS, views + TABLE, views + OUT, &rounded, views + FILTER))
        return NULL;
    if (in.height < 1 || in.width < 1 || in.rows != (in.height + 7) / 8 || in.columns != (in.width + 7) / 8 ||
        !(views[ESTIMATE].len || views[PAST].len || views[FUTURE].len)) {
        PyErr_SetString(PyExc_ValueError, "sizes of a picture");
        goto done;
    }
    size_t padded = (size_t)(in.height + 30) * (in.width + 30) * 3, blocks = (size_t)in.rows * in.columns;
    for (int i = ESTIMATE; i <= FUTURE; i++) {
        if (!views[i].len) continue;
        if (!has_size(views + i, padded, 4, "picture")) goto done;
        *pictures[i] = views[i].buf;
    }
    if (!has_size(views + BLOCKS, blocks * 5, 2, "blocks") || !has_size(views + TABLE, 4 * 64, 4, "weights") ||
        !has_size(views + OUT, (size_t)in.height * in.width * 3, rounded ? 1 : 4, "out"))
        goto done;
    in.taps = views[FILTER].len ? views[FILTER].buf : NULL, in.phases = in.taps ? (int)(views[FILTER].len / 32) : 2;
    if ((in.phases != 2 && in.phases != 4) || (in.taps && !has_size(views + FILTER, 8 * (size_t)in.phases, 4, "taps"))) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "sizes of a filter");
        goto done;
    }
    in.blocks = views[BLOCKS].buf, in.weights = views[TABLE].buf;
    Py_BEGIN_ALLOW_THREADS
    compensate_frame(&in, rounded ? NULL : views[OUT].buf, rounded ? views[OUT].buf : NULL);
    Py_END_ALLOW_THREADS
    out = Py_NewRef(Py_None);
done:
    release(views, ALL);
    return out;
}

static PyMethodDef methods[] = {
    {"latents", latents, METH_VARARGS, latents_doc},
    {"mix_latents", mix_latents, METH_VARARGS, mixing_doc},
    {"mix_motion", mix_motion, METH_VARARGS, mix_motion_doc},
    {"new_coder", new_coder, METH_VARARGS, new_coder_doc},
    {"run_coder", run_coder, METH_VARARGS, run_coder_doc},
    {"finish", finish, METH_VARARGS, finish_doc},
    {"motion", motion, METH_VARARGS, motion_doc},
    {"candidates", candidates, METH_VARARGS, candidates_doc},
    {"compensate_latents", compensate_latents, METH_VARARGS, compensate_doc},
    {"estimate_latents", estimate_latents, METH_VARARGS, estimate_doc},
    {"undo_filters", undo_all_filters, METH_VARARGS, filters_doc},
    {"errors", errors, METH_VARARGS, errors_doc},
    {"search", search, METH_VARARGS, search_doc},
    {"pyramid", pyramid, METH_VARARGS, pyramid_doc},
    {"choose", choose, METH_VARARGS, choose_doc},
    {"compensate", compensate, METH_VARARGS, frame_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", "Hot loops of dfccodec in C.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void);
PyMODINIT_FUNC PyInit__kernels(void) {
    PyObject *out = PyModule_Create(&module);
    if (out && PyModule_AddIntConstant(out, "VERSION", 14)) Py_CLEAR(out);
    return out;
}
