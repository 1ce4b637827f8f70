/* A device and an observer in one program: when was each frame pushed, and when did its features come out of the tap?
 * benchmarks/device_latency.py compiles and starts it.
 *
 *     device_latency DEVICES TAP FRAMES      a line for each frame that came out: its number and microseconds from the
 *                                            push to the source, to the tap, to here, and in all
 *     device_latency ADDRESS - FRAMES        the same without a pipeline between: what ZeroMQ and the machine take
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#include "../examples/c/messagepack.h"

#define RATE 16000.0
#define ROWS 320 /* 20 ms */

struct moment {
    double wall, monotonic;
};

struct frame {
    struct moment pushed, came;
    double origin, sent; /* as the transport part has them */
};

struct run {
    void *context;
    const char *devices, *tap;
    long frames;
    struct frame *all;
};

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static struct moment now(void)
{
    struct moment here = {seconds(CLOCK_REALTIME), seconds(CLOCK_MONOTONIC)};
    return here;
}

static void need(int fine, const char *what)
{
    if (!fine) {
        fprintf(stderr, "device_latency: %s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static double laplace(void)
{
    double u = ((double)rand() + 0.5) / ((double)RAND_MAX + 1.0) - 0.5;
    return u < 0 ? log(1.0 + 2.0 * u) : -log(1.0 - 2.0 * u);
}

/* Two resonances, struck at random: sparse and coloured, like sound. */
static void make_rows(float *rows)
{
    static double a[2], b[2];
    for (int row = 0; row < ROWS; row++) {
        double next_a = 1.6 * a[0] - 0.81 * a[1] + laplace(), next_b = -0.4 * b[0] - 0.64 * b[1] + laplace();
        a[1] = a[0], a[0] = next_a, b[1] = b[0], b[0] = next_b;
        rows[row] = (float)(0.01 * (next_a + next_b));
    }
}

static size_t write_header(unsigned char *bytes, size_t size, long count, double time, int end)
{
    struct mp_writer out = {bytes, size, 0, 0};
    mp_put_map(&out, 8);
    mp_put_text(&out, "version"), mp_put_uint(&out, 1);
    mp_put_text(&out, "stream"), mp_put_text(&out, "device");
    mp_put_text(&out, "session"), mp_put_text(&out, "latency");
    mp_put_text(&out, "count"), mp_put_uint(&out, (uint64_t)count);
    mp_put_text(&out, "time"), mp_put_double(&out, time);
    mp_put_text(&out, "rate"), mp_put_double(&out, RATE);
    mp_put_text(&out, "end"), mp_put_bool(&out, end);
    mp_put_text(&out, "arrays"), mp_put_list(&out, 1), mp_put_map(&out, 4);
    mp_put_text(&out, "name"), mp_put_text(&out, "source");
    mp_put_text(&out, "dtype"), mp_put_text(&out, "float32");
    mp_put_text(&out, "axes"), mp_put_list(&out, 2), mp_put_text(&out, "time"), mp_put_text(&out, "channel");
    mp_put_text(&out, "shape"), mp_put_list(&out, 2), mp_put_uint(&out, ROWS), mp_put_uint(&out, 1);
    return out.full ? 0 : out.used;
}

static void *push(void *argument)
{
    struct run *run = argument;
    void *socket = zmq_socket(run->context, ZMQ_PUSH);
    need(zmq_connect(socket, run->devices) == 0, run->devices);
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    double began = seconds(CLOCK_REALTIME);
    for (long i = 0; i < run->frames; i++) {
        float rows[ROWS];
        unsigned char header[512];
        make_rows(rows);
        size_t n = write_header(header, sizeof header, i, began + (double)i * ROWS / RATE, i + 1 == run->frames);
        due.tv_nsec += (long)(1e9 * ROWS / RATE);
        due.tv_sec += due.tv_nsec / 1000000000L;
        due.tv_nsec %= 1000000000L;
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
            ;
        run->all[i].pushed = now();
        need(zmq_send(socket, header, n, ZMQ_SNDMORE) >= 0 && zmq_send(socket, rows, sizeof rows, 0) >= 0, "zmq_send");
    }
    need(zmq_close(socket) == 0, "zmq_close");
    return NULL;
}

static double number_of(struct mp_reader in, const char *name)
{
    double found = -1.0;
    struct mp_item map = mp_next(&in);
    for (uint32_t pair = 0; pair < map.n && !in.bad; pair++) {
        struct mp_item key = mp_next(&in);
        if (mp_is(key, name))
            found = mp_next(&in).real;
        else
            mp_skip(&in);
    }
    return found;
}

static struct mp_reader reader_of(zmq_msg_t *part)
{
    struct mp_reader in = {zmq_msg_data(part), zmq_msg_size(part), 0};
    return in;
}

/* Receive what comes, and note when, until the last frame has come. */
static void observe(void *socket, struct run *run)
{
    for (long newest = -1; newest + 1 < run->frames;) {
        struct frame frame = {{0, 0}, {0, 0}, 0, 0};
        long number = -1;
        int more = 1;
        for (int i = 0; more; i++) {
            zmq_msg_t part;
            zmq_msg_init(&part);
            need(zmq_msg_recv(&part, socket, 0) >= 0, "zmq_recv");
            if (i == 0)
                frame.came = now();
            more = zmq_msg_more(&part);
            if (*run->tap == '-' && i == 0) {
                number = (long)number_of(reader_of(&part), "count");
            } else if (i == 1 && *run->tap != '-') {
                frame.origin = number_of(reader_of(&part), "origin");
                frame.sent = number_of(reader_of(&part), "sent");
                number = (long)number_of(reader_of(&part), "offset");
            }
            zmq_msg_close(&part);
        }
        if (number < 0 || number >= run->frames)
            continue;
        frame.pushed = run->all[number].pushed;
        run->all[number] = frame;
        newest = number;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4 || atol(argv[3]) < 1) {
        fprintf(stderr, "usage: device_latency DEVICES TAP FRAMES\n");
        return 2;
    }
    struct run run = {zmq_ctx_new(), argv[1], argv[2], atol(argv[3]), NULL};
    run.all = calloc((size_t)run.frames, sizeof *run.all);
    need(run.all != NULL, "memory");
    int alone = *run.tap == '-';
    void *socket = zmq_socket(run.context, alone ? ZMQ_PULL : ZMQ_SUB);
    if (alone) {
        need(zmq_bind(socket, run.devices) == 0, run.devices);
    } else {
        need(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "frame", 5) == 0, "subscribe");
        need(zmq_connect(socket, run.tap) == 0, run.tap);
    }
    pthread_t thread;
    need(pthread_create(&thread, NULL, push, &run) == 0, "a thread");
    observe(socket, &run);
    pthread_join(thread, NULL);
    for (long i = 0; i < run.frames; i++) {
        struct frame *one = &run.all[i];
        if (one->came.monotonic > 0)
            printf("%ld %.1f %.1f %.1f %.1f\n", i, alone ? 0.0 : 1e6 * (one->origin - one->pushed.wall),
                   alone ? 0.0 : 1e6 * (one->sent - one->origin), alone ? 0.0 : 1e6 * (one->came.wall - one->sent),
                   1e6 * (one->came.monotonic - one->pushed.monotonic));
    }
    zmq_close(socket);
    zmq_ctx_term(run.context);
    free(run.all);
    return 0;
}
