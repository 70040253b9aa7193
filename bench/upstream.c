/* A fake provider in OpenAI's chat format, cheap enough not to be what is measured: one thread, one send a chunk.

     upstream port=PORT models=NAME,NAME,... [cert=FILE key=FILE]

   The name of the model says how a streamed reply comes; one that is not streamed is whole, about 1 KB.

     flat-N        N chunks, as fast as the connection takes them
     paced-N-MS    N chunks, one each MS milliseconds

   Every chunk, and a whole reply, holds one stamp in its text: ~MICROSECONDS~, sixteen digits of CLOCK_MONOTONIC at
   the moment of sending. Stamps survive a translation, so whoever reads the reply counts chunks and their delay by them.
   With -DWITH_TLS and OpenSSL it can serve in TLS. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

enum { IN_BYTES = 16384, OUT_BYTES = 4096, NAME_BYTES = 64, EVENTS = 512, SLOTS = 4096 };

struct conn {
    int fd;
    struct ssl_st *tls; /* NULL where it is plain */
    size_t have, sent, held; /* bytes of the request here; of `out`: sent, and held in all */
    bool replying, whole, usage, headed;
    int left, every_ms;   /* chunks still to come, and their distance */
    int64_t due_ms;       /* when the next one leaves */
    struct conn *next, **slot; /* among those who wait for the same millisecond */
    char model[NAME_BYTES], in[IN_BYTES], out[OUT_BYTES];
};

static struct conn *wheel[SLOTS];
static int waiting;
static int64_t turned_ms;
static int poller, port;
static const char *models = "", *cert = "", *key = "";
static char listing[8192];

static const char PROSE[] =
    "A lighthouse keeper counts ships as others count sheep, and writes each of them down before the fog takes it away. "
    "Every evening the lamp is wound up by hand, the lens is wiped with a soft cloth, and the log gets one more line: wind, "
    "sea, and who passed. Nobody has ever asked for the log, and yet it is never late, because a ship that is written down "
    "is a ship that was seen, and to be seen is what a coast is for.";

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

#ifdef WITH_TLS
static SSL_CTX *context;

static bool set_up_tls(void) {
    context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

static void begin_tls(struct conn *c) {
    if (!context) return;
    c->tls = SSL_new(context);
    if (!c->tls || !SSL_set_fd(c->tls, c->fd)) exit(1);
    SSL_set_accept_state(c->tls);
}

/* What OpenSSL tells, in the words of send and recv. */
static ssize_t moved(struct conn *c, int result) {
    if (result > 0) return result;
    int error = SSL_get_error(c->tls, result);
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

static ssize_t put(struct conn *c, const char *data, size_t size) {
    return c->tls ? moved(c, SSL_write(c->tls, data, size)) : send(c->fd, data, size, MSG_NOSIGNAL);
}

static ssize_t get(struct conn *c, char *data, size_t room) {
    return c->tls ? moved(c, SSL_read(c->tls, data, room)) : recv(c->fd, data, room, 0);
}

static void end_tls(struct conn *c) {
    SSL_free(c->tls);
}
#else
static bool set_up_tls(void) {
    return false;
}

static void begin_tls(struct conn *c) {
    (void)c;
}

static ssize_t put(struct conn *c, const char *data, size_t size) {
    return send(c->fd, data, size, MSG_NOSIGNAL);
}

static ssize_t get(struct conn *c, char *data, size_t room) {
    return recv(c->fd, data, room, 0);
}

static void end_tls(struct conn *c) {
    (void)c;
}
#endif

static void unslot(struct conn *c) {
    if (!c->slot) return;
    *c->slot = c->next;
    if (c->next) c->next->slot = c->slot;
    c->slot = NULL;
    waiting--;
}

static void slot(struct conn *c) {
    struct conn **head = &wheel[c->due_ms % SLOTS];
    c->next = *head;
    if (c->next) c->next->slot = &c->next;
    *head = c;
    c->slot = head;
    waiting++;
}

static void drop(struct conn *c) {
    unslot(c);
    end_tls(c);
    close(c->fd);
    free(c);
}

/* One piece of a chunked body. */
static size_t framed(char *out, const char *piece, int length) {
    int head = sprintf(out, "%x\r\n", length);
    memcpy(out + head, piece, length);
    memcpy(out + head + length, "\r\n", 2);
    return head + length + 2;
}

#define CHUNK "data: {\"id\":\"chatcmpl-9f2c51e07ab34d68\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
    "\"model\":\"%s\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_5b1c8e02\","

static void put_head(struct conn *c) {
    char piece[1024];
    int length = sprintf(piece, CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":null}]%s}\n\n", c->model, c->usage ? ",\"usage\":null" : "");
    c->held = sprintf(c->out, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
        "transfer-encoding: chunked\r\n\r\n");
    c->held += framed(c->out + c->held, piece, length);
}

static void put_chunk(struct conn *c) {
    char piece[1024];
    int length = sprintf(piece, CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" ~%016lld~ ship\"},"
        "\"logprobs\":null,\"finish_reason\":null}]%s}\n\n", c->model, (long long)now_us(), c->usage ? ",\"usage\":null" : "");
    c->held = framed(c->out, piece, length);
}

static void put_end(struct conn *c) {
    char piece[2048];
    int length = sprintf(piece, CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]%s}\n\n",
        c->model, c->usage ? ",\"usage\":null" : "");
    if (c->usage)
        length += sprintf(piece + length, CHUNK "\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":200,"
            "\"total_tokens\":320}}\n\n", c->model);
    length += sprintf(piece + length, "data: [DONE]\n\n");
    c->held = framed(c->out, piece, length);
    c->held += sprintf(c->out + c->held, "0\r\n\r\n");
}

static void put_json(struct conn *c, const char *body, int length) {
    c->held = sprintf(c->out, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n", length);
    memcpy(c->out + c->held, body, length);
    c->held += length;
}

static void put_whole(struct conn *c) {
    char body[2048];
    int length = sprintf(body, "{\"id\":\"chatcmpl-9f2c51e07ab34d68\",\"object\":\"chat.completion\",\"created\":1700000000,"
        "\"model\":\"%s\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"~%016lld~ %s\",\"refusal\":null,"
        "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":95,"
        "\"total_tokens\":215,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":"
        "{\"reasoning_tokens\":0,\"audio_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_5b1c8e02\"}",
        c->model, (long long)now_us(), PROSE);
    put_json(c, body, length);
}

/* The next bytes of the reply into `out`; false if none is due yet. */
static bool put_next(struct conn *c) {
    if (c->whole) {
        put_whole(c);
        c->replying = false;
    } else if (!c->headed) {
        put_head(c);
        c->headed = true;
        c->due_ms = (now_us() + 999) / 1000 + c->every_ms; /* never early: the load measures from its own side */
    } else if (c->left == 0) {
        put_end(c);
        c->replying = false;
    } else {
        if (c->every_ms && c->due_ms > now_us() / 1000) {
            if (!c->slot) slot(c);
            return false;
        }
        put_chunk(c);
        c->left--;
        c->due_ms += c->every_ms;
    }
    return true;
}

/* The value of a text field of the request's JSON, which is not unescaped. */
static void field(const char *body, const char *name, char *value) {
    const char *at = strstr(body, name);
    value[0] = 0;
    if (!at) return;
    at += strlen(name);
    while (*at == ' ' || *at == ':') at++;
    if (*at++ != '"') return;
    size_t length = strcspn(at, "\"");
    if (length >= NAME_BYTES) length = NAME_BYTES - 1;
    memcpy(value, at, length);
    value[length] = 0;
}

static bool is_true(const char *body, const char *name) {
    const char *at = strstr(body, name);
    if (!at) return false;
    at += strlen(name);
    while (*at == ' ' || *at == ':') at++;
    return !strncmp(at, "true", 4);
}

static void begin(struct conn *c, const char *body) {
    field(body, "\"model\"", c->model);
    c->left = 10;
    c->every_ms = 0;
    if (sscanf(c->model, "paced-%d-%d", &c->left, &c->every_ms) != 2) sscanf(c->model, "flat-%d", &c->left);
    if (c->every_ms >= SLOTS) c->every_ms = SLOTS - 1;
    c->whole = !is_true(body, "\"stream\"");
    c->usage = is_true(body, "\"include_usage\"");
    c->replying = true;
    c->headed = false;
}

/* Take one request out of `in`: 1 if there was one, 0 if it is not complete, -1 if it is none of ours. */
static int take(struct conn *c) {
    c->in[c->have] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) return c->have >= IN_BYTES - 1 ? -1 : 0;
    *end = 0;
    char *line = strcasestr(c->in, "\r\ncontent-length:");
    size_t length = line ? strtoul(line + 17, NULL, 10) : 0;
    size_t head = end + 4 - c->in;
    *end = '\r';
    if (head + length >= IN_BYTES) return -1;
    if (c->have < head + length) return 0;
    char after = c->in[head + length];
    c->in[head + length] = 0;
    if (!strncmp(c->in, "GET ", 4)) put_json(c, listing, strlen(listing));
    else begin(c, c->in + head);
    c->in[head + length] = after;
    c->have -= head + length;
    memmove(c->in, c->in + head + length, c->have);
    return 1;
}

/* Go on until there is nothing to do, or the kernel's buffer is full, or nothing is due. */
static void work(struct conn *c) {
    for (;;) {
        if (c->sent < c->held) {
            ssize_t n = put(c, c->out + c->sent, c->held - c->sent);
            if (n <= 0) {
                if (n == 0 || errno != EAGAIN) drop(c);
                return;
            }
            c->sent += n;
            continue;
        }
        c->sent = c->held = 0;
        if (c->replying) {
            if (!put_next(c)) return;
            continue;
        }
        int taken = c->have ? take(c) : 0;
        if (taken < 0) drop(c);
        if (taken <= 0) return;
    }
}

/* Read all there is; false if the peer has gone and `c` with it. After a short read there is nothing, unless the end was
   announced together with the bytes. */
static bool fill(struct conn *c, bool ending) {
    while (c->have < IN_BYTES - 1) {
        size_t room = IN_BYTES - 1 - c->have;
        ssize_t n = get(c, c->in + c->have, room);
        if (n < 0 && errno == EAGAIN) return true;
        if (n <= 0) {
            drop(c);
            return false;
        }
        c->have += n;
        if (!c->tls && !ending && (size_t)n < room) return true;
    }
    return true;
}

static void turn_wheel(void) {
    int64_t now = now_us() / 1000;
    if (now - turned_ms > SLOTS) turned_ms = now - SLOTS;
    while (turned_ms <= now) {
        struct conn **head = &wheel[turned_ms % SLOTS];
        while (*head) {
            struct conn *c = *head;
            unslot(c);
            work(c);
        }
        turned_ms++;
    }
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = malloc(sizeof *c);
        if (!c) exit(1);
        memset(c, 0, offsetof(struct conn, in));
        c->fd = fd;
        begin_tls(c);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listening(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("upstream");
        exit(1);
    }
    return fd;
}

static void list_models(void) {
    char *at = listing + sprintf(listing, "{\"object\":\"list\",\"data\":[");
    for (const char *name = models, *comma = ""; *name; comma = ",") {
        int length = strcspn(name, ",");
        if (at - listing + length > (long)sizeof listing - 256) exit(2);
        at += sprintf(at, "%s{\"id\":\"%.*s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"bench\"}", comma, length, name);
        name += length + (name[length] == ',');
    }
    sprintf(at, "]}");
}

static bool set(const char *given) {
    if (!strncmp(given, "port=", 5)) port = atoi(given + 5);
    else if (!strncmp(given, "models=", 7)) models = given + 7;
    else if (!strncmp(given, "cert=", 5)) cert = given + 5;
    else if (!strncmp(given, "key=", 4)) key = given + 4;
    else return false;
    return true;
}

int main(int count, char **given) {
    for (int i = 1; i < count; i++) {
        if (!set(given[i])) {
            fprintf(stderr, "upstream: what is %s?\n", given[i]);
            return 2;
        }
    }
    if (*cert && !set_up_tls()) {
        fprintf(stderr, "upstream: no TLS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    list_models();
    int listener = listening();
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    turned_ms = now_us() / 1000;
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, waiting ? 1 : -1);
        for (int i = 0; i < ready; i++) {
            struct conn *c = events[i].data.ptr;
            bool ending = events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
            if (!c) welcome(listener);
            else if (!(ending || events[i].events & EPOLLIN) || fill(c, ending)) work(c);
        }
        turn_wheel();
    }
}
