/* The load: as many connections as asked, each sending one request after the other, and reading replies critically.

     load port=PORT connections=N requests=N seconds=S stamps=N end=TEXT ramp_ms=MS limit_ms=MS per_source=N < REQUEST

   It sends the bytes of standard input. No new request begins once `requests` have, or after `seconds`; begun ones are
   read to their end, or given up after `limit_ms`. The connections begin evenly over `ramp_ms`. With `per_source` they
   come from 127.0.0.2, 127.0.0.3 ..., so many from each.

   A reply counts only if its status is 200, its end by HTTP's own count has come, it holds exactly `stamps` stamps
   (~MICROSECONDS~, see upstream.c) and `end` stands in its last bytes. What is found goes to standard output as JSON. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 65536, HEAD_BYTES = 8192, TAIL_BYTES = 512, DIGITS = 16, EVENTS = 512, SWEEP_US = 20000, MOST_REQUEST = 65536 };

enum phase { OFF, BROKEN, CONNECTING, SENDING, HEAD, SIZED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

struct conn {
    int fd, place;
    enum phase phase;
    bool closing, first_seen;
    size_t sent;
    int64_t asked_us;        /* when the request went out */
    uint64_t left, line;     /* bytes of the body or chunk to come; length of the line that is being read */
    int stamps, stamp_have;  /* seen so far; characters of a stamp that has begun */
    uint64_t stamp_value;
    size_t head_have, tail_have;
    char head[HEAD_BYTES], tail[TAIL_BYTES];
};

struct samples {
    uint32_t *values;
    size_t count, room;
};

static int port, connections, stamps_wanted, per_source;
static long requests;
static double seconds;
static int64_t ramp_us, limit_us;
static const char *end_text = "";

static char request[MOST_REQUEST];
static size_t request_size;
static struct conn *conns;
static int poller, begun, live, live_most;
static long issued, done, failed, stamps_seen;
static int64_t now, start_us, last_us;
static struct samples first, total, delay;
static char fault_text[128];

static int64_t clock_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void add(struct samples *s, int64_t us) {
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 4096;
        s->values = realloc(s->values, s->room * sizeof *s->values);
        if (!s->values) exit(1);
    }
    s->values[s->count++] = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static void end_connection(struct conn *c, enum phase next) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->phase = next;
}

static void fail(struct conn *c, const char *why) {
    if (!fault_text[0]) {
        snprintf(fault_text, sizeof fault_text, "%s", why);
        fprintf(stderr, "load: %s\n%.*s\n%.*s\n", why, (int)c->head_have, c->head, (int)c->tail_have, c->tail);
    }
    failed++;
    live--;
    last_us = now;
    end_connection(c, BROKEN);
}

static void send_request(struct conn *c) {
    ssize_t n = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) {
        fail(c, "the request could not be sent");
        return;
    }
    c->sent += n;
    if (c->sent == request_size) c->phase = HEAD;
}

static void connect_up(struct conn *c) {
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->phase = CONNECTING;
    if (c->fd < 0) {
        fail(c, "no more sockets");
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (per_source) {
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + c->place / per_source);
        if (bind(c->fd, (struct sockaddr *)&from, sizeof from)) {
            fail(c, "the source address could not be taken");
            return;
        }
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail(c, "connecting failed");
}

/* The next request of a connection that has none, if there is to be one. */
static void begin(struct conn *c) {
    if (issued >= requests || now - start_us > seconds * 1e6) {
        end_connection(c, OFF);
        return;
    }
    issued++;
    if (++live > live_most) live_most = live;
    c->asked_us = now;
    c->sent = c->head_have = c->tail_have = 0;
    c->stamps = c->stamp_have = 0;
    c->first_seen = c->closing = false;
    if (c->fd < 0) {
        connect_up(c);
    } else {
        c->phase = SENDING;
        send_request(c);
    }
}

static void finish(struct conn *c) {
    if (c->stamps != stamps_wanted) {
        char why[96];
        snprintf(why, sizeof why, "a reply had %d stamps, not %d", c->stamps, stamps_wanted);
        fail(c, why);
        return;
    }
    if (end_text[0] && !memmem(c->tail, c->tail_have, end_text, strlen(end_text))) {
        fail(c, "a reply had not the end it should have");
        return;
    }
    done++;
    live--;
    last_us = now;
    add(&total, now - c->asked_us);
    if (c->closing) end_connection(c, OFF);
    begin(c);
}

/* Count the stamps in a piece of the body. */
static void scan(struct conn *c, const char *at, const char *end) {
    while (at < end) {
        if (!c->stamp_have) {
            at = memchr(at, '~', end - at);
            if (!at) return;
            at++;
            c->stamp_have = 1;
            c->stamp_value = 0;
        } else if (c->stamp_have <= DIGITS && *at >= '0' && *at <= '9') {
            c->stamp_value = c->stamp_value * 10 + (*at++ - '0');
            c->stamp_have++;
        } else {
            bool whole = c->stamp_have == DIGITS + 1 && *at == '~';
            c->stamp_have = 0; /* if it is another ~, it is looked at again as a beginning */
            if (!whole) continue;
            at++;
            c->stamps++;
            stamps_seen++;
            add(&delay, now - (int64_t)c->stamp_value);
            if (!c->first_seen) add(&first, now - c->asked_us);
            c->first_seen = true;
        }
    }
}

static void body(struct conn *c, const char *data, size_t size) {
    scan(c, data, data + size);
    if (size >= TAIL_BYTES) {
        memcpy(c->tail, data + size - TAIL_BYTES, TAIL_BYTES);
        c->tail_have = TAIL_BYTES;
        return;
    }
    size_t keep = TAIL_BYTES - size < c->tail_have ? TAIL_BYTES - size : c->tail_have;
    memmove(c->tail, c->tail + c->tail_have - keep, keep);
    memcpy(c->tail + keep, data, size);
    c->tail_have = keep + size;
}

static const char *header(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    if (!at) return NULL;
    at += strlen(name);
    while (*at == ' ') at++;
    return at;
}

/* Take in what belongs to the head; where the rest begins, or NULL if the connection is no more. */
static const char *head(struct conn *c, const char *at, const char *end) {
    size_t before = c->head_have, take = end - at;
    if (take > HEAD_BYTES - 1 - before) take = HEAD_BYTES - 1 - before;
    memcpy(c->head + before, at, take);
    c->head_have += take;
    c->head[c->head_have] = 0;
    char *blank = strstr(c->head, "\r\n\r\n");
    if (!blank) {
        if (c->head_have < HEAD_BYTES - 1) return end;
        fail(c, "the head of a reply does not end");
        return NULL;
    }
    size_t used = blank + 4 - c->head - before;
    c->head_have = blank + 2 - c->head;
    c->head[c->head_have] = 0;
    if (strncmp(c->head, "HTTP/1.1 200", 12)) {
        char why[64];
        body(c, at + used, end - at - used);
        snprintf(why, sizeof why, "a reply began with %.12s", c->head);
        fail(c, why);
        return NULL;
    }
    const char *length = header(c->head, "\r\ncontent-length:"), *coding = header(c->head, "\r\ntransfer-encoding:");
    const char *keeping = header(c->head, "\r\nconnection:");
    c->closing = keeping && !strncasecmp(keeping, "close", 5);
    c->left = length ? strtoull(length, NULL, 10) : 0;
    c->line = 0;
    if (!length && !coding) {
        fail(c, "a reply does not say how long it is");
        return NULL;
    }
    c->phase = coding ? CHUNK_SIZE : SIZED;
    return at + used;
}

static int hex(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 32;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Take in one part of a reply, as the phase says; where the rest begins, or NULL if there is nothing more to read. */
static const char *part(struct conn *c, const char *at, const char *end) {
    if (c->phase == HEAD) {
        at = head(c, at, end);
        if (!at || c->phase != SIZED || c->left) return at;
        finish(c);
        return NULL;
    }
    if (c->phase == SIZED || c->phase == CHUNK_DATA) {
        size_t size = (uint64_t)(end - at) < c->left ? (size_t)(end - at) : c->left;
        body(c, at, size);
        c->left -= size;
        if (c->left) return end;
        if (c->phase == CHUNK_DATA) {
            c->phase = CHUNK_END;
            return at + size;
        }
        finish(c);
        return NULL;
    }
    char character = *at++;
    if (character != '\n') {
        c->line += character != '\r';
        int digit = hex(character);
        if (c->phase == CHUNK_SIZE && digit >= 0) c->left = c->left * 16 + digit;
    } else if (c->phase == CHUNK_END) {
        c->phase = CHUNK_SIZE;
        c->left = c->line = 0;
    } else if (c->phase == CHUNK_SIZE) {
        c->phase = c->left ? CHUNK_DATA : TRAILER;
        c->line = 0;
    } else if (c->line) {
        c->line = 0;
    } else {
        finish(c);
        return NULL;
    }
    return at;
}

/* Read all there is. After a short read there is nothing, unless the end was announced together with the bytes. */
static void receive(struct conn *c, bool ending) {
    static char data[READ_BYTES];
    while (c->phase >= HEAD) {
        ssize_t n = recv(c->fd, data, READ_BYTES, 0);
        if (n < 0 && errno == EAGAIN) return;
        now = clock_us();
        if (n <= 0) {
            fail(c, "the connection ended before the reply did");
            return;
        }
        const char *at = data, *end = data + n;
        while (at && at < end) at = part(c, at, end);
        if (n < READ_BYTES && !ending) return;
    }
}

static void happen(struct conn *c, bool ending) {
    if (c->phase == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            fail(c, "connecting failed");
            return;
        }
        c->phase = SENDING;
    }
    if (c->phase == SENDING) send_request(c);
    receive(c, ending);
}

/* Begin the connections whose time has come, and again those that broke; give up what takes too long. */
static void sweep(void) {
    for (int i = 0; i < begun; i++) {
        struct conn *c = &conns[i];
        if (c->phase >= CONNECTING && now - c->asked_us > limit_us) fail(c, "a reply took too long");
        else if (c->phase == BROKEN) begin(c);
    }
}

static void ramp(void) {
    while (begun < connections && now - start_us >= ramp_us * begun / connections) begin(&conns[begun++]);
}

static void run(void) {
    struct epoll_event events[EVENTS];
    int64_t swept = start_us = now = clock_us();
    ramp();
    while (live || ((begun < connections || failed) && issued < requests && now - start_us < seconds * 1e6)) {
        int ready = epoll_wait(poller, events, EVENTS, begun < connections ? 1 : SWEEP_US / 1000);
        now = clock_us();
        for (int i = 0; i < ready; i++) happen(events[i].data.ptr, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        now = clock_us();
        ramp();
        if (now - swept > SWEEP_US) {
            sweep();
            swept = now;
        }
    }
}

static int ascending(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Milliseconds below or at which `share` of the samples lie. */
static double percentile(const struct samples *s, double share) {
    if (!s->count) return 0;
    size_t rank = (size_t)(share * s->count + 0.999999);
    return s->values[rank ? rank - 1 : 0] / 1000.0;
}

static void show(const char *name, struct samples *s) {
    if (s->count) qsort(s->values, s->count, sizeof *s->values, ascending);
    printf("\"%s_p50_ms\": %.3f, \"%s_p99_ms\": %.3f, ", name, percentile(s, 0.5), name, percentile(s, 0.99));
}

static void report(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu_s = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("{\"done\": %ld, \"failed\": %ld, \"stamps\": %ld, \"open_most\": %d, ", done, failed, stamps_seen, live_most);
    printf("\"wall_s\": %.6f, \"cpu_s\": %.6f, ", (last_us - start_us) / 1e6, cpu_s);
    show("total", &total);
    show("first", &first);
    show("delay", &delay);
    printf("\"fault\": \"%s\"}\n", fault_text);
}

static bool set(const char *given) {
    const char *value = strchr(given, '=');
    if (!value) return false;
    size_t size = ++value - given;
    if (!strncmp(given, "port=", size)) port = atoi(value);
    else if (!strncmp(given, "connections=", size)) connections = atoi(value);
    else if (!strncmp(given, "requests=", size)) requests = atol(value);
    else if (!strncmp(given, "seconds=", size)) seconds = atof(value);
    else if (!strncmp(given, "stamps=", size)) stamps_wanted = atoi(value);
    else if (!strncmp(given, "end=", size)) end_text = value;
    else if (!strncmp(given, "ramp_ms=", size)) ramp_us = atol(value) * 1000;
    else if (!strncmp(given, "limit_ms=", size)) limit_us = atol(value) * 1000;
    else if (!strncmp(given, "per_source=", size)) per_source = atoi(value);
    else return false;
    return true;
}

int main(int count, char **given) {
    for (int i = 1; i < count; i++) {
        if (!set(given[i])) {
            fprintf(stderr, "load: what is %s?\n", given[i]);
            return 2;
        }
    }
    request_size = fread(request, 1, sizeof request, stdin);
    conns = calloc(connections, sizeof *conns);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || poller < 0 || !request_size || connections < 1) {
        fprintf(stderr, "load: nothing to do\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < connections; i++) {
        conns[i].fd = -1;
        conns[i].place = i;
    }
    run();
    report();
    return 0;
}
