/* A store that discards everything: it responds to multipart clients and drops the bodies.

   sink [--digests FILE | --record FILE] [--objects FILE] [--port N] [--delay MS] [--rate BYTES_PER_S] [--cert FILE --key FILE]

   Listens on 127.0.0.1 and prints its port. FILE contains the digests that a real store would compute:
       PART-NUMBER MD5 CRC64 [CRC64NVME]    0 is every part without a line
       put MD5 CRC64 [CRC64NVME]            the whole object, sent in one request
       object SIZE ETAG CRC64 [CRC64NVME]   the object after Complete
   A request that asks for CRC-64/NVME, as S3 defines it, is answered with the last column, which is in base64.
   --record FILE computes them instead, and writes a line KEY SIZE ETAG for every complete object.
   --objects FILE: see list.h. --rate limits each connection, as many routers and stores do. --delay adds the time of
   a round trip to each response. At SIGTERM it prints the number of connections, the largest number of bodies received
   at once, the bytes of content of all PUT requests, and the number of lists and HEAD requests of --objects.

   Built with -DTLS -lssl -lcrypto it supports https (with --cert and --key) and --record. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
static SSL_CTX *tls;
#endif

enum { HEAD_MAX = 65536, BLOCK = 1 << 20, PARTS_MAX = 10001, NARROW_BUFFER = 128 << 10 };

struct digest { char md5[48], crc64[24], nvme[16]; };
static struct digest parts[PARTS_MAX], whole, object;
static const struct digest initiated; /* empty */
static long long object_size;
static double rate;
static long delay_ms;
static atomic_int connections, receiving, max_receiving;
static atomic_llong content;
static atomic_bool is_there;
static FILE *record;

struct connection {
    int socket;
    bool asks_nvme; /* the request being answered */
    size_t start, end; /* the unread bytes of buffer */
    char buffer[HEAD_MAX];
    char *block;
#ifdef TLS
    SSL *ssl;
    EVP_MD_CTX *md5; /* of the body being received, with --record */
#endif
};

struct request {
    char method[8], target[8192];
    long long length, decoded, content; /* decoded: content size of an aws-chunked body, otherwise -1 */
    bool chunked, wants_continue;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static ssize_t receive(struct connection *c, void *into, size_t size) {
#ifdef TLS
    if (c->ssl) return SSL_read(c->ssl, into, (int)size);
#endif
    ssize_t got;
    do got = recv(c->socket, into, size, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

static bool send_all(struct connection *c, const char *text, size_t size) {
#ifdef TLS
    if (c->ssl) return SSL_write(c->ssl, text, (int)size) == (int)size;
#endif
    while (size) {
        ssize_t sent = send(c->socket, text, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool fill(struct connection *c) {
    if (c->start) memmove(c->buffer, c->buffer + c->start, c->end - c->start);
    c->end -= c->start;
    c->start = 0;
    if (c->end >= HEAD_MAX - 1) return false;
    ssize_t got = receive(c, c->buffer + c->end, HEAD_MAX - 1 - c->end);
    if (got <= 0) return false;
    c->end += (size_t)got;
    return true;
}

/* Returns the text up to END, valid until the next read, or NULL if the connection was closed. */
static char *next_text(struct connection *c, const char *end) {
    for (;;) {
        char *found = memmem(c->buffer + c->start, c->end - c->start, end, strlen(end));
        if (found) {
            char *text = c->buffer + c->start;
            c->start = (size_t)(found - c->buffer) + strlen(end);
            *found = 0;
            return text;
        }
        if (!fill(c)) return NULL;
    }
}

/* Discards SIZE bytes, no faster than --rate allows. */
static bool discard(struct connection *c, long long size) {
    size_t held = c->end - c->start;
    if ((long long)held > size) held = (size_t)size;
#ifdef TLS
    if (record) EVP_DigestUpdate(c->md5, c->buffer + c->start, held);
#endif
    c->start += held;
    size -= (long long)held;
    double started = now(), passed = (double)held;
    while (size > 0) {
        size_t wanted = rate ? NARROW_BUFFER : BLOCK;
        if ((long long)wanted > size) wanted = (size_t)size;
        ssize_t got;
#ifdef TLS
        if (c->ssl || record) got = receive(c, c->block, wanted);
        else
#endif
        do got = recv(c->socket, c->block, wanted, MSG_TRUNC); /* the kernel discards it without a copy */
        while (got < 0 && errno == EINTR);
        if (got <= 0) return false;
#ifdef TLS
        if (record) EVP_DigestUpdate(c->md5, c->block, (size_t)got);
#endif
        size -= got;
        passed += (double)got;
        double ahead = rate ? started + passed / rate - now() : 0;
        if (ahead > 0) usleep((useconds_t)(ahead * 1e6));
    }
    return true;
}

static bool discard_chunks(struct connection *c, long long *received) {
    for (;;) {
        char *line = next_text(c, "\r\n");
        if (!line) return false;
        long long size = strtoll(line, NULL, 16);
        if (!size) break;
        if (!discard(c, size) || !next_text(c, "\r\n")) return false;
        *received += size;
    }
    char *line;
    while ((line = next_text(c, "\r\n")) && *line) {}
    return line != NULL;
}

static bool read_head(struct connection *c, struct request *r) {
    char *head = next_text(c, "\r\n\r\n");
    memset(r, 0, sizeof *r);
    r->decoded = -1;
    c->asks_nvme = head && (strcasestr(head, "\r\nx-amz-checksum-crc64nvme:") || strcasestr(head, "\r\nx-amz-checksum-mode:") ||
                            strcasestr(head, "\r\nx-amz-checksum-algorithm: CRC64NVME"));
    if (!head || sscanf(head, "%7s %8191s", r->method, r->target) != 2) return false;
    for (char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) r->length = atoll(line + 15);
        if (!strncasecmp(line, "x-amz-decoded-content-length:", 29)) r->decoded = atoll(line + 29);
        if (!strncasecmp(line, "transfer-encoding:", 18)) r->chunked = strcasestr(line, "chunked") != NULL;
        if (!strncasecmp(line, "expect:", 7)) r->wants_continue = true;
    }
    return true;
}

static bool take_body(struct connection *c, struct request *r) {
    int at_once = atomic_fetch_add(&receiving, 1) + 1, seen = atomic_load(&max_receiving);
    while (at_once > seen && !atomic_compare_exchange_weak(&max_receiving, &seen, at_once)) {}
    bool whole_body = r->chunked ? discard_chunks(c, &r->content) : discard(c, r->content = r->length);
    if (r->decoded >= 0) r->content = r->decoded;
    if (whole_body && !strcmp(r->method, "PUT")) atomic_fetch_add(&content, r->content);
    atomic_fetch_sub(&receiving, 1);
    return whole_body;
}

static bool respond(struct connection *c, int status, const struct digest *d, const char *body, const char *method) {
    static const char *ids = "x-obs-request-id: 1\r\nx-amz-request-id: 1\r\nx-oss-request-id: 1\r\n";
    char text[4096], date[64], digests[512] = "", crc64[192] = "", nvme[160] = "";
    time_t seconds = time(NULL);
    struct tm when;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &when));
    if (c->asks_nvme && d && d->nvme[0])
        snprintf(nvme, sizeof nvme, "x-amz-checksum-crc64nvme: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", d->nvme);
    if (d == &initiated && c->asks_nvme && object.nvme[0])
        strcpy(digests, "x-amz-checksum-algorithm: CRC64NVME\r\nx-amz-checksum-type: FULL_OBJECT\r\n");
    if (d && d->crc64[0])
        snprintf(crc64, sizeof crc64, "x-oss-hash-crc64ecma: %s\r\nx-amz-checksum-crc64ecma: %s\r\nx-obs-checksum-crc64ecma: %s\r\n",
                 d->crc64, d->crc64, d->crc64);
    if (d && d->md5[0]) snprintf(digests, sizeof digests, "ETag: \"%s\"\r\n%s%s", d->md5, crc64, nvme);
    bool is_head = !strcmp(method, "HEAD");
    long long length = is_head && d == &object ? object_size : (long long)strlen(body);
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: sink\r\n%s%sContent-Type: application/xml\r\n"
                        "Last-Modified: %s\r\nContent-Length: %lld\r\n\r\n%s",
                        status, status < 300 ? "OK" : "Not Found", date, ids, digests, date, length,
                        is_head ? "" : body);
    return send_all(c, text, (size_t)size);
}

#include "list.h"
#ifdef TLS
#include "objects.h"
#endif

static bool serve(struct connection *c, const struct request *r) {
    char text[1024];
    const char *query = strchr(r->target, '?'), *number = query ? strstr(query, "partNumber=") : NULL;
    const char *key = strchr(r->target + 1, '/');
    bool is_bucket = !key || !key[1] || key[1] == '?';
    if (listed && !is_bucket && !strcmp(r->method, "HEAD")) return respond_listed(c, key + 1, query);
    if (listed && is_bucket && !strcmp(r->method, "GET") && query && !strstr(query, "location") && !strstr(query, "uploads"))
        return respond_list(c, query);
#ifdef TLS
    if (record && !is_bucket && !strcmp(r->method, "PUT")) return record_put(c, r, key + 1, query, number);
    if (record && !is_bucket && !strcmp(r->method, "POST")) return record_post(c, r, key + 1, query);
    if (record && !is_bucket && !strcmp(r->method, "HEAD")) return record_head(c, key + 1, query);
#endif
    if (!strcmp(r->method, "PUT") && number) {
        int n = atoi(number + 11);
        bool known = n > 0 && n < PARTS_MAX && parts[n].md5[0];
        return respond(c, 200, known ? &parts[n] : &parts[0], "", r->method);
    }
    if (!strcmp(r->method, "PUT")) {
        atomic_store(&is_there, !is_bucket);
        return respond(c, 200, is_bucket ? NULL : &whole, "", r->method);
    }
    if (!strcmp(r->method, "POST") && query && !strstr(query, "uploadId="))
        return respond(c, 200, &initiated,
                      "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>key</Key>"
                      "<UploadId>1</UploadId></InitiateMultipartUploadResult>", r->method);
    if (!strcmp(r->method, "POST")) {
        atomic_store(&is_there, true);
        char checksum[128] = "";
        if (c->asks_nvme && object.nvme[0])
            snprintf(checksum, sizeof checksum,
                     "<ChecksumCRC64NVME>%s</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>", object.nvme);
        snprintf(text, sizeof text,
                 "<CompleteMultipartUploadResult><Location>sink</Location><Bucket>bucket</Bucket><Key>key</Key>"
                 "<ETag>\"%s\"</ETag>%s</CompleteMultipartUploadResult>", object.md5, checksum);
        return respond(c, 200, &object, text, r->method);
    }
    if (!strcmp(r->method, "DELETE")) return respond(c, 204, NULL, "", r->method);
    if (is_bucket && query && strstr(query, "location"))
        return respond(c, 200, NULL, "<LocationConstraint>us-east-1</LocationConstraint>", r->method);
    if (is_bucket && query && strstr(query, "uploads"))
        return respond(c, 200, NULL,
                      "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
                      r->method);
    if (is_bucket)
        return respond(c, 200, NULL, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
                      r->method);
    if (query && strstr(query, "uploadId="))
        return respond(c, 200, NULL, "<ListPartsResult><IsTruncated>false</IsTruncated>"
                      "<NextPartNumberMarker>0</NextPartNumberMarker></ListPartsResult>", r->method);
    if (atomic_load(&is_there)) return respond(c, 200, &object, "", r->method);
    return respond(c, 404, NULL, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", r->method);
}

static void *serve_connection(void *given) {
    struct connection *c = given;
    struct request r;
    bool is_open = true;
#ifdef TLS
    c->md5 = EVP_MD_CTX_new();
    if (tls) {
        c->ssl = SSL_new(tls);
        SSL_set_fd(c->ssl, c->socket);
        is_open = SSL_accept(c->ssl) == 1;
    }
#endif
    while (is_open && read_head(c, &r)) {
        if (r.wants_continue && !send_all(c, "HTTP/1.1 100 Continue\r\n\r\n", 25)) break;
#ifdef TLS
        if (record) EVP_DigestInit_ex(c->md5, EVP_md5(), NULL);
#endif
        if (r.length || r.chunked) is_open = take_body(c, &r);
        if (delay_ms) usleep((useconds_t)delay_ms * 1000);
        is_open = is_open && serve(c, &r);
    }
#ifdef TLS
    if (c->ssl) SSL_free(c->ssl);
    EVP_MD_CTX_free(c->md5);
#endif
    close(c->socket);
    free(c->block);
    free(c);
    return NULL;
}

static void report(int number) {
    (void)number;
    char text[128];
    int size = snprintf(text, sizeof text, "connections %d at-once %d content %lld lists %d heads %d\n",
                        atomic_load(&connections), atomic_load(&max_receiving), atomic_load(&content),
                        atomic_load(&list_count), atomic_load(&head_count));
    if (record) fclose(record);
    if (write(1, text, (size_t)size) < 0) _exit(1);
    _exit(0);
}

static void read_digests(const char *path) {
    FILE *file = fopen(path, "r");
    char line[256], name[16];
    if (!file) exit((perror(path), 2));
    while (fgets(line, sizeof line, file)) {
        struct digest d = {0};
        if (sscanf(line, "object %lld %47s %23s %15s", &object_size, d.md5, d.crc64, d.nvme) >= 3) object = d;
        else if (sscanf(line, "put %47s %23s %15s", d.md5, d.crc64, d.nvme) >= 2) whole = d;
        else if (sscanf(line, "%15s %47s %23s %15s", name, d.md5, d.crc64, d.nvme) >= 3 && atoi(name) < PARTS_MAX)
            parts[atoi(name)] = d;
    }
    fclose(file);
}

static void use_certificate(const char *chain, const char *key) {
#ifdef TLS
    tls = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, chain) == 1 && SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) == 1)
        return;
    fprintf(stderr, "sink: %s and %s are not a certificate and its key\n", chain, key);
#else
    fprintf(stderr, "sink: built without TLS, so %s and %s cannot be used\n", chain, key);
#endif
    exit(2);
}

int main(int count, char **words) {
    const char *chain = NULL;
    int port = 0;
    for (int i = 1; i + 1 < count; i += 2) {
        if (!strcmp(words[i], "--digests")) read_digests(words[i + 1]);
#ifdef TLS
        else if (!strcmp(words[i], "--record")) record = fopen(words[i + 1], "w");
#endif
        else if (!strcmp(words[i], "--objects")) read_objects(words[i + 1]);
        else if (!strcmp(words[i], "--delay")) delay_ms = atol(words[i + 1]);
        else if (!strcmp(words[i], "--port")) port = atoi(words[i + 1]);
        else if (!strcmp(words[i], "--rate")) rate = atof(words[i + 1]);
        else if (!strcmp(words[i], "--cert")) chain = words[i + 1];
        else if (!strcmp(words[i], "--key")) use_certificate(chain, words[i + 1]);
        else return fprintf(stderr, "sink: unknown option %s\n", words[i]), 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, report);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, narrow = NARROW_BUFFER;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    address.sin_port = htons((uint16_t)port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (rate) setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &narrow, sizeof narrow);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 256)) return perror("sink"), 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int socket = accept(listener, NULL, NULL);
        if (socket < 0) continue;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (!c || !(c->block = malloc(BLOCK))) return 1;
        c->socket = socket;
        atomic_fetch_add(&connections, 1);
        if (pthread_create(&thread, NULL, serve_connection, c)) return 1;
        pthread_detach(thread);
    }
}
