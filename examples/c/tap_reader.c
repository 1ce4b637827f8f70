/* An observer of a service's tap. It needs libzmq and nothing of stream_infomax.
 *
 *     cc -std=c99 -O2 -Wall -Wextra -Werror tap_reader.c -o tap_reader -lzmq
 *     ./tap_reader ipc://runs/sound/learner.tap
 *
 * It prints a line for each frame until the service says that its log has ended: offset, stream, arrays, latency since
 * the source had the frame, frames missed so far (this observer was too slow for them).
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#include "messagepack.h"

#define MOST_ARRAYS 64
#define MOST_AXES 8
#define MOST_PARTS (MOST_ARRAYS + 3) /* topic, transport part, header, payloads */

struct array {
    struct mp_item name, dtype;
    int64_t shape[MOST_AXES];
    uint32_t n_axes;
};

struct frame {
    struct mp_item stream;
    int64_t version, offset;
    double sent, origin; /* seconds of the sender's wall clock; 0 where it is not known */
    struct array arrays[MOST_ARRAYS];
    uint32_t n_arrays;
};

static const struct {
    const char *name;
    uint64_t size;
} DTYPES[] = {{"float32", 4}, {"float64", 8}, {"int16", 2}, {"int32", 4}, {"int64", 8}, {"uint8", 1}, {"bool", 1}};

static struct mp_reader reader_of(zmq_msg_t *part)
{
    struct mp_reader in = {zmq_msg_data(part), zmq_msg_size(part), 0};
    return in;
}

/* Return the bytes that an array's payload has to have; a shape that is a lie gives a number that no payload has. */
static uint64_t size_of(const struct array *array)
{
    uint64_t size = 0;
    for (size_t i = 0; i < sizeof DTYPES / sizeof *DTYPES; i++)
        if (mp_is(array->dtype, DTYPES[i].name))
            size = DTYPES[i].size;
    if (size == 0)
        return UINT64_MAX;
    for (uint32_t i = 0; i < array->n_axes; i++) {
        uint64_t n = (uint64_t)array->shape[i];
        if (n != 0 && size > UINT64_MAX / n)
            return UINT64_MAX;
        size *= n;
    }
    return size;
}

static int read_shape(struct mp_reader *in, struct array *array)
{
    struct mp_item list = mp_next(in);
    if (list.kind != MP_LIST || list.n > MOST_AXES)
        return 0;
    array->n_axes = list.n;
    for (uint32_t i = 0; i < list.n; i++) {
        struct mp_item item = mp_next(in);
        if (item.kind != MP_INT || item.number < 0)
            return 0;
        array->shape[i] = item.number;
    }
    return 1;
}

static int read_arrays(struct mp_reader *in, struct frame *frame)
{
    struct mp_item list = mp_next(in);
    if (list.kind != MP_LIST || list.n > MOST_ARRAYS)
        return 0;
    frame->n_arrays = list.n;
    for (uint32_t i = 0; i < list.n; i++) {
        struct array *array = &frame->arrays[i];
        struct mp_item map = mp_next(in);
        if (map.kind != MP_MAP)
            return 0;
        for (uint32_t pair = 0; pair < map.n; pair++) {
            struct mp_item key = mp_next(in);
            if (mp_is(key, "name"))
                array->name = mp_next(in);
            else if (mp_is(key, "dtype"))
                array->dtype = mp_next(in);
            else if (!mp_is(key, "shape"))
                mp_skip(in);
            else if (!read_shape(in, array))
                return 0;
        }
        if (array->name.kind != MP_TEXT || array->dtype.kind != MP_TEXT)
            return 0;
    }
    return 1;
}

static int read_header(struct mp_reader in, struct frame *frame)
{
    struct mp_item map = mp_next(&in);
    for (uint32_t pair = 0; pair < map.n; pair++) {
        struct mp_item key = mp_next(&in);
        if (mp_is(key, "version"))
            frame->version = mp_next(&in).number;
        else if (mp_is(key, "stream"))
            frame->stream = mp_next(&in);
        else if (mp_is(key, "offset"))
            frame->offset = mp_next(&in).number;
        else if (!mp_is(key, "arrays"))
            mp_skip(&in);
        else if (!read_arrays(&in, frame))
            return 0;
    }
    return map.kind == MP_MAP && !in.bad && frame->version == 1 && frame->stream.kind == MP_TEXT;
}

static int read_transport(struct mp_reader in, struct frame *frame)
{
    struct mp_item map = mp_next(&in);
    for (uint32_t pair = 0; pair < map.n; pair++) {
        struct mp_item key = mp_next(&in);
        if (mp_is(key, "sent"))
            frame->sent = mp_next(&in).real;
        else if (mp_is(key, "origin"))
            frame->origin = mp_next(&in).real;
        else
            mp_skip(&in);
    }
    return map.kind == MP_MAP && !in.bad;
}

/* Return whether the parts behind the topic are a frame, with a payload of the right length for each array. */
static int read_frame(zmq_msg_t *parts, int n, struct frame *frame)
{
    memset(frame, 0, sizeof *frame);
    if (n < 3 || !read_transport(reader_of(&parts[1]), frame) || !read_header(reader_of(&parts[2]), frame))
        return 0;
    if ((uint32_t)n != 3 + frame->n_arrays)
        return 0;
    for (uint32_t i = 0; i < frame->n_arrays; i++)
        if (size_of(&frame->arrays[i]) != zmq_msg_size(&parts[3 + i]))
            return 0;
    return 1;
}

/* Return whether a status says that the log has ended, -1 for what is no status; and the newest offset in it. */
static int has_ended(struct mp_reader in, int64_t *newest)
{
    int64_t finished = 0;
    struct mp_item map = mp_next(&in);
    for (uint32_t pair = 0; pair < map.n; pair++) {
        struct mp_item key = mp_next(&in);
        if (mp_is(key, "finished"))
            finished = mp_next(&in).number;
        else if (mp_is(key, "newest"))
            *newest = mp_next(&in).number;
        else
            mp_skip(&in);
    }
    return map.kind == MP_MAP && !in.bad ? finished != 0 : -1;
}

/* Print a name from outside: what is not plain ASCII, and could be obeyed by a terminal, comes out as a question mark. */
static void print_name(struct mp_item name)
{
    for (uint32_t i = 0; i < name.n; i++)
        putchar(name.text[i] < 0x20 || name.text[i] > 0x7e ? '?' : name.text[i]);
}

static void print_frame(const struct frame *frame, int64_t missed)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("%lld ", (long long)frame->offset);
    print_name(frame->stream);
    for (uint32_t i = 0; i < frame->n_arrays; i++) {
        const struct array *array = &frame->arrays[i];
        printf("  ");
        print_name(array->name);
        for (uint32_t axis = 0; axis < array->n_axes; axis++)
            printf("%c%lld", axis ? 'x' : ' ', (long long)array->shape[axis]);
        printf(" ");
        print_name(array->dtype);
    }
    if (frame->origin > 0)
        printf("  latency %.3f ms", 1e3 * ((double)now.tv_sec + 1e-9 * (double)now.tv_nsec - frame->origin));
    printf("  missed %lld\n", (long long)missed);
    fflush(stdout);
}

/* Receive the parts of a message; what is beyond those that a frame can have is taken and left out. */
static int receive(void *socket, zmq_msg_t *parts, int most)
{
    int n = 0, more = 1;
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, socket, 0) < 0) {
            fprintf(stderr, "tap_reader: %s\n", zmq_strerror(zmq_errno()));
            exit(1);
        }
        more = zmq_msg_more(&part);
        if (n < most)
            zmq_msg_move(&parts[n], &part);
        zmq_msg_close(&part);
        n++;
    }
    return n;
}

static void observe(void *socket)
{
    static struct frame frame;
    zmq_msg_t parts[MOST_PARTS];
    int64_t newest = -1, missed = 0, refused = 0;
    int begun = 0, ended = 0; /* whether a frame has come; whether the log has ended */
    for (int i = 0; i < MOST_PARTS; i++)
        zmq_msg_init(&parts[i]);
    while (ended != 1) {
        int n = receive(socket, parts, MOST_PARTS);
        int64_t last = -1;
        if (n == 2 && zmq_msg_size(&parts[0]) == 6 && memcmp(zmq_msg_data(&parts[0]), "status", 6) == 0) {
            ended = has_ended(reader_of(&parts[1]), &last);
            if (ended == 1 && begun && last > newest) /* the frames came before it */
                missed += last - newest;
            refused += ended < 0;
        } else if (n <= MOST_PARTS && read_frame(parts, n, &frame)) {
            if (begun && frame.offset > newest + 1)
                missed += frame.offset - newest - 1;
            if (!begun || frame.offset > newest) /* after a restart of the service an offset can come twice */
                newest = frame.offset;
            begun = 1;
            print_frame(&frame, missed);
        } else {
            refused++;
        }
    }
    printf("ended at %lld, missed %lld, refused %lld\n", (long long)newest, (long long)missed, (long long)refused);
    for (int i = 0; i < MOST_PARTS; i++)
        zmq_msg_close(&parts[i]);
}

int main(int argc, char **argv)
{
    void *context, *socket;
    if (argc != 2) {
        fprintf(stderr, "usage: tap_reader ADDRESS\n");
        return 2;
    }
    context = zmq_ctx_new();
    socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "frame", 5);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "status", 6);
    if (zmq_connect(socket, argv[1]) != 0) {
        fprintf(stderr, "tap_reader: %s: %s\n", argv[1], zmq_strerror(zmq_errno()));
        return 1;
    }
    observe(socket);
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
