/* A device that pushes frames to a source of kind "devices". It needs libzmq and nothing of stream_infomax.
 *
 *     cc -std=c99 -O2 -Wall -Wextra -Werror device.c -o device -lzmq -lm
 *     ./device ipc://runs/sound/source.devices microphone
 *     arecord -t raw -f FLOAT_LE -r 16000 | ./device -i - ipc://runs/sound/source.devices microphone
 *
 *   -i FILE    rows to send: float32, little-endian, one channel behind the other; - is standard input.
 *              Without it: a sine in noise, as fast as the clock goes.
 *   -r RATE    rows a second (16000)
 *   -n ROWS    rows of a frame (320)
 *   -c N       channels (1)
 *   -f FRAMES  stop after so many frames (never)
 *   -q FRAMES  frames to keep while nobody takes them (100); those beyond are dropped and counted
 *   -w         wait instead of dropping: for a file, which can wait
 *
 * It may be started before the source and outlives it: ZeroMQ connects again by itself. Ctrl-C ends the stream.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "messagepack.h"

struct settings {
    const char *address, *stream, *input;
    double rate;
    long rows, channels, frames, queue;
    int wait;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "device: %s: %s\n", what, why);
    exit(1);
}

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Sleep until `seconds` after `start`; a signal ends it early. */
static void sleep_until(struct timespec start, double seconds)
{
    double whole = floor(seconds);
    start.tv_sec += (time_t)whole;
    start.tv_nsec += (long)(1e9 * (seconds - whole));
    if (start.tv_nsec >= 1000000000L) {
        start.tv_sec++;
        start.tv_nsec -= 1000000000L;
    }
    while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL) == EINTR)
        ;
}

/* A name that no other process has: the source tells by it that a device was started again. */
static void draw_session(char text[17])
{
    unsigned char bytes[8];
    FILE *file = fopen("/dev/urandom", "rb");
    if (file == NULL || fread(bytes, sizeof bytes, 1, file) != 1)
        fail("/dev/urandom", "cannot be read");
    fclose(file);
    for (int i = 0; i < 8; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
}

/* A sine of a hundredth of the rate, in noise; a channel is a little behind the one before it. */
static void make_rows(float *rows, const struct settings *given, double first)
{
    for (long row = 0; row < given->rows; row++)
        for (long channel = 0; channel < given->channels; channel++) {
            double noise = (double)rand() / RAND_MAX - 0.5;
            double phase = 6.283185307179586 * (first + (double)(row - channel)) / 100.0;
            rows[row * given->channels + channel] = (float)(0.5 * sin(phase) + 0.1 * noise);
        }
}

/* Return how many rows could be read; fewer than asked for only at the end. */
static long read_rows(float *rows, const struct settings *given, FILE *file)
{
    size_t width = sizeof(float) * (size_t)given->channels;
    size_t size = width * (size_t)given->rows, got = 0;
    while (got < size && !stopped) {
        errno = 0;
        size_t n = fread((char *)rows + got, 1, size - got, file);
        if (n == 0 && errno != EINTR)
            break;
        clearerr(file);
        got += n;
    }
    if (got % width)
        fprintf(stderr, "device: the last %lu bytes are no whole row, and are left out\n", (unsigned long)(got % width));
    return (long)(got / width);
}

/* Payloads are little-endian; on such a machine this changes nothing. */
static void to_little_endian(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        unsigned char bytes[4] = {0};
        for (int k = 0; k < 4; k++)
            bytes[k] = (unsigned char)(bits >> 8 * k & 0xff);
        memcpy(values + i, bytes, sizeof bytes);
    }
}

struct header {
    const char *session;
    uint64_t count; /* of this device's frames, those that it dropped too: so the source knows of them */
    double time;    /* of the first row, in seconds */
    long rows;
    int end;
};

static size_t write_header(unsigned char *bytes, size_t size, const struct settings *given, const struct header *frame)
{
    struct mp_writer out = {bytes, size, 0, 0};
    mp_put_map(&out, 8);
    mp_put_text(&out, "version"), mp_put_uint(&out, 1);
    mp_put_text(&out, "stream"), mp_put_text(&out, given->stream);
    mp_put_text(&out, "session"), mp_put_text(&out, frame->session);
    mp_put_text(&out, "count"), mp_put_uint(&out, frame->count);
    mp_put_text(&out, "time"), mp_put_double(&out, frame->time);
    mp_put_text(&out, "rate"), mp_put_double(&out, given->rate);
    mp_put_text(&out, "end"), mp_put_bool(&out, frame->end);
    mp_put_text(&out, "arrays"), mp_put_list(&out, 1), mp_put_map(&out, 4);
    mp_put_text(&out, "name"), mp_put_text(&out, "source");
    mp_put_text(&out, "dtype"), mp_put_text(&out, "float32");
    mp_put_text(&out, "axes"), mp_put_list(&out, 2), mp_put_text(&out, "time"), mp_put_text(&out, "channel");
    mp_put_text(&out, "shape"), mp_put_list(&out, 2);
    mp_put_uint(&out, (uint64_t)frame->rows), mp_put_uint(&out, (uint64_t)given->channels);
    return out.full ? 0 : out.used;
}

static int send_part(void *socket, const void *bytes, size_t n, int flags)
{
    while (zmq_send(socket, bytes, n, flags) < 0) {
        if (zmq_errno() == EAGAIN)
            return 0;
        if (zmq_errno() != EINTR)
            fail("zmq_send", zmq_strerror(zmq_errno()));
        if (stopped && (flags & ZMQ_SNDMORE)) /* a frame that was begun is not given up */
            return 0;
    }
    return 1;
}

/* Return whether ZeroMQ took the frame: all of its parts, or none. */
static int push(void *socket, const struct settings *given, const struct header *frame, const float *rows)
{
    unsigned char header[2048]; /* with room for the longest name that is accepted */
    size_t n = write_header(header, sizeof header, given, frame);
    size_t size = sizeof(float) * (size_t)(frame->rows * given->channels);
    int now = given->wait ? 0 : ZMQ_DONTWAIT;
    /* Where whoever took the header goes before the rows are there, ZeroMQ takes the header back. */
    return send_part(socket, header, n, ZMQ_SNDMORE | now) && send_part(socket, rows, size, now);
}

static void run(void *socket, const struct settings *given)
{
    char session[17];
    struct timespec start;
    FILE *file = NULL;
    float *rows = calloc((size_t)(given->rows * given->channels), sizeof *rows);
    unsigned long long sent_rows = 0, dropped = 0;
    if (rows == NULL)
        fail("rows of a frame", "no memory for so many");
    if (given->input != NULL && (file = strcmp(given->input, "-") ? fopen(given->input, "rb") : stdin) == NULL)
        fail(given->input, strerror(errno));
    draw_session(session);
    clock_gettime(CLOCK_MONOTONIC, &start);
    double began = wall_clock();
    struct header frame = {session, 0, began, given->rows, 0};
    while (!frame.end) {
        frame.time = began + (double)sent_rows / given->rate;
        if (file != NULL) {
            frame.rows = read_rows(rows, given, file);
        } else { /* a sensor has a frame when its last row is there */
            make_rows(rows, given, (double)sent_rows);
            to_little_endian(rows, (size_t)(given->rows * given->channels));
            sleep_until(start, (double)(sent_rows + (unsigned long long)given->rows) / given->rate);
        }
        sent_rows += (unsigned long long)frame.rows;
        frame.end = stopped || frame.rows < given->rows || (given->frames && (long)frame.count + 1 == given->frames);
        dropped += !push(socket, given, &frame, rows);
        frame.count++;
    }
    printf("%llu frames, %llu rows, %llu frames dropped\n", (unsigned long long)frame.count, sent_rows, dropped);
    if (file != NULL && file != stdin)
        fclose(file);
    free(rows);
}

static double number(char option, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (*text == '\0' || *end != '\0' || !(value >= least && value <= most)) {
        fprintf(stderr, "device: -%c %s: accepted is a number from %g to %g\n", option, text, least, most);
        exit(2);
    }
    return value;
}

static struct settings settings_from(int argc, char **argv)
{
    struct settings given = {NULL, NULL, NULL, 16000.0, 320, 1, 0, 100, 0};
    for (int option; (option = getopt(argc, argv, "i:r:n:c:f:q:w")) != -1;)
        switch (option) {
        case 'i': given.input = optarg; break;
        case 'r': given.rate = number('r', optarg, 1e-3, 1e9); break;
        case 'n': given.rows = (long)number('n', optarg, 1, 1 << 20); break;
        case 'c': given.channels = (long)number('c', optarg, 1, 64); break;
        case 'f': given.frames = (long)number('f', optarg, 1, 1e15); break;
        case 'q': given.queue = (long)number('q', optarg, 1, 1 << 20); break;
        case 'w': given.wait = 1; break;
        default: exit(2);
        }
    if (argc - optind != 2) {
        fprintf(stderr, "usage: device [-i FILE] [-r RATE] [-n ROWS] [-c CHANNELS] [-f FRAMES] [-q FRAMES] [-w] "
                        "ADDRESS STREAM\n");
        exit(2);
    }
    given.address = argv[optind];
    given.stream = argv[optind + 1];
    if (*given.stream == '\0' || strlen(given.stream) > 1024) {
        fprintf(stderr, "device: STREAM: accepted is a name of 1 to 1024 bytes\n");
        exit(2);
    }
    return given;
}

int main(int argc, char **argv)
{
    struct settings given = settings_from(argc, argv);
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND}; /* a second one ends at once */
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUSH);
    int queue = (int)given.queue, linger = 2000; /* milliseconds for the last frames to leave */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_connect(socket, given.address) != 0)
        fail(given.address, zmq_strerror(zmq_errno()));
    run(socket, &given);
    zmq_close(socket);
    while (zmq_ctx_term(context) != 0 && zmq_errno() == EINTR)
        ;
    return 0;
}
