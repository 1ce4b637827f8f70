/* As much of MessagePack as frames need: a writer and a reader of a header. C99, no allocation; what does not fit into
 * the writer's buffer, and what is cut off or nested too deep under the reader, sets a mark and does no harm. */
#ifndef MESSAGEPACK_H
#define MESSAGEPACK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* --- writing ----------------------------------------------------------------------------------------------------- */

struct mp_writer {
    unsigned char *bytes;
    size_t size, used;
    int full; /* something did not fit: what was written is of no use */
};

static inline void mp_put(struct mp_writer *out, const void *bytes, size_t n)
{
    if (n > out->size - out->used) {
        out->full = 1;
        return;
    }
    memcpy(out->bytes + out->used, bytes, n);
    out->used += n;
}

/* A byte that says what comes, and a number behind it in `n` bytes, the highest first. */
static inline void mp_put_number(struct mp_writer *out, unsigned char head, uint64_t number, int n)
{
    unsigned char bytes[9];
    bytes[0] = head;
    for (int i = n; i > 0; i--, number >>= 8)
        bytes[i] = (unsigned char)(number & 0xff);
    mp_put(out, bytes, (size_t)n + 1);
}

static inline void mp_put_map(struct mp_writer *out, uint32_t pairs) { mp_put_number(out, 0xdf, pairs, 4); }
static inline void mp_put_list(struct mp_writer *out, uint32_t items) { mp_put_number(out, 0xdd, items, 4); }
static inline void mp_put_uint(struct mp_writer *out, uint64_t number) { mp_put_number(out, 0xcf, number, 8); }
static inline void mp_put_bool(struct mp_writer *out, int yes) { mp_put_number(out, yes ? 0xc3 : 0xc2, 0, 0); }

static inline void mp_put_double(struct mp_writer *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    mp_put_number(out, 0xcb, bits, 8);
}

static inline void mp_put_text(struct mp_writer *out, const char *text)
{
    size_t n = strlen(text);
    mp_put_number(out, 0xdb, (uint32_t)n, 4);
    mp_put(out, text, n);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

enum mp_kind { MP_BAD, MP_NIL, MP_BOOL, MP_INT, MP_DOUBLE, MP_TEXT, MP_BINARY, MP_LIST, MP_MAP, MP_OTHER };

struct mp_item {
    enum mp_kind kind;
    int64_t number;   /* of MP_BOOL and MP_INT; larger ones are MP_OTHER */
    double real;      /* of MP_DOUBLE and MP_INT */
    const char *text; /* of MP_TEXT and MP_BINARY: `n` bytes without a zero behind them */
    uint32_t n;       /* bytes, items of a list, pairs of a map */
};

struct mp_reader {
    const unsigned char *at;
    size_t left;
    int bad; /* cut off, or no MessagePack: every further item is MP_BAD */
};

static inline struct mp_item mp_fail(struct mp_reader *in)
{
    struct mp_item bad = {MP_BAD, 0, 0.0, "", 0};
    in->bad = 1;
    in->left = 0;
    return bad;
}

static inline uint64_t mp_take_number(struct mp_reader *in, int n)
{
    uint64_t number = 0;
    if ((size_t)n > in->left) {
        mp_fail(in);
        return 0;
    }
    for (int i = 0; i < n; i++)
        number = number << 8 | in->at[i];
    in->at += n;
    in->left -= (size_t)n;
    return number;
}

static inline struct mp_item mp_bytes(struct mp_reader *in, enum mp_kind kind, uint64_t n)
{
    struct mp_item item = {kind, 0, 0.0, (const char *)in->at, (uint32_t)n};
    if (in->bad || n > in->left)
        return mp_fail(in);
    in->at += n;
    in->left -= (size_t)n;
    return item;
}

static inline struct mp_item mp_whole(int64_t number)
{
    struct mp_item item = {MP_INT, number, (double)number, "", 0};
    return item;
}

/* The items of a list or map follow it; each takes a byte at least, so a count beyond what is left is a lie. */
static inline struct mp_item mp_many(struct mp_reader *in, enum mp_kind kind, uint64_t n)
{
    struct mp_item item = {kind, 0, 0.0, "", (uint32_t)n};
    return in->bad || n * (kind == MP_MAP ? 2 : 1) > in->left ? mp_fail(in) : item;
}

static inline struct mp_item mp_real(uint64_t bits, int n)
{
    struct mp_item item = {MP_DOUBLE, 0, 0.0, "", 0};
    if (n == 4) {
        uint32_t half = (uint32_t)bits;
        float single;
        memcpy(&single, &half, sizeof single);
        item.real = (double)single;
    } else {
        memcpy(&item.real, &bits, sizeof item.real);
    }
    return item;
}

static inline struct mp_item mp_integer(struct mp_reader *in, unsigned char head)
{
    int n = 1 << (head & 3); /* 0xcc … 0xcf without a sign, 0xd0 … 0xd3 with one */
    uint64_t bits = mp_take_number(in, n);
    struct mp_item large = {MP_OTHER, 0, 0.0, "", 0};
    if (head < 0xd0)
        return bits > INT64_MAX ? large : mp_whole((int64_t)bits);
    if (n < 8 && bits >> (8 * n - 1))
        bits |= UINT64_MAX << (8 * n);
    return mp_whole(bits > INT64_MAX ? -(int64_t)(UINT64_MAX - bits) - 1 : (int64_t)bits);
}

/* The next item; of a list or map only its head. */
static inline struct mp_item mp_next(struct mp_reader *in)
{
    unsigned char head = (unsigned char)mp_take_number(in, 1);
    struct mp_item item = {MP_NIL, 0, 0.0, "", 0};
    if (in->bad)
        return mp_fail(in);
    if (head < 0x80)
        return mp_whole(head);
    if (head < 0x90)
        return mp_many(in, MP_MAP, head & 0x0fu);
    if (head < 0xa0)
        return mp_many(in, MP_LIST, head & 0x0fu);
    if (head < 0xc0)
        return mp_bytes(in, MP_TEXT, head & 0x1fu);
    if (head >= 0xe0)
        return mp_whole((int)head - 256);
    switch (head) {
    case 0xc0: break;
    case 0xc2: case 0xc3: item = mp_whole(head & 1); item.kind = MP_BOOL; break;
    case 0xc4: case 0xc5: case 0xc6: item = mp_bytes(in, MP_BINARY, mp_take_number(in, 1 << (head - 0xc4))); break;
    case 0xc7: case 0xc8: case 0xc9: item = mp_bytes(in, MP_OTHER, mp_take_number(in, 1 << (head - 0xc7)) + 1); break;
    case 0xca: item = mp_real(mp_take_number(in, 4), 4); break;
    case 0xcb: item = mp_real(mp_take_number(in, 8), 8); break;
    case 0xcc: case 0xcd: case 0xce: case 0xcf:
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: item = mp_integer(in, head); break;
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: item = mp_bytes(in, MP_OTHER, (1u << (head - 0xd4)) + 1); break;
    case 0xd9: case 0xda: case 0xdb: item = mp_bytes(in, MP_TEXT, mp_take_number(in, 1 << (head - 0xd9))); break;
    case 0xdc: case 0xdd: item = mp_many(in, MP_LIST, mp_take_number(in, 2 << (head - 0xdc))); break;
    case 0xde: case 0xdf: item = mp_many(in, MP_MAP, mp_take_number(in, 2 << (head - 0xde))); break;
    default: return mp_fail(in);
    }
    return in->bad ? mp_fail(in) : item;
}

/* Pass over the next item and all that is in it. It counts what is left instead of calling itself: nesting costs
 * nothing. */
static inline void mp_skip(struct mp_reader *in)
{
    for (uint64_t left = 1; left > 0 && !in->bad; left--) {
        struct mp_item item = mp_next(in);
        if (item.kind == MP_LIST || item.kind == MP_MAP)
            left += (uint64_t)item.n * (item.kind == MP_MAP ? 2 : 1);
    }
}

static inline int mp_is(struct mp_item item, const char *text)
{
    return item.kind == MP_TEXT && item.n == strlen(text) && memcmp(item.text, text, item.n) == 0;
}

#endif
