/* Objects with the ETags of a real store: the MD5 of the content, or the MD5 of the MD5s of the parts. */

enum { UPLOADS_MAX = 4096, MD5_SIZE = 16 };

static struct upload { unsigned char md5s[PARTS_MAX][MD5_SIZE]; int count; long long size; } *uploads[UPLOADS_MAX];
static atomic_int upload_count;

static void write_hex(char *text, const unsigned char *md5) {
    for (int i = 0; i < MD5_SIZE; i++) sprintf(text + 2 * i, "%02x", md5[i]);
}

/* The objects by key, for HEAD requests. They are never removed, because a sink runs for one upload. */
enum { OBJECTS_MAX = 1 << 20, KEY_MAX = 1100 };
static struct object { char *key; long long size; char etag[48]; } objects[OBJECTS_MAX];
static pthread_mutex_t objects_lock = PTHREAD_MUTEX_INITIALIZER;

static struct object *find_object(const char *key) {
    unsigned long slot = 5381;
    for (const char *c = key; *c; c++) slot = slot * 33 + (unsigned char)*c;
    for (slot %= OBJECTS_MAX; objects[slot].key && strcmp(objects[slot].key, key); slot = (slot + 1) % OBJECTS_MAX) {}
    return &objects[slot];
}

static const char *bare_key(char *into, const char *key, const char *query) {
    snprintf(into, KEY_MAX, "%.*s", query ? (int)(query - key) : (int)strlen(key), key);
    return into;
}

static void record_object(const char *key, const char *query, long long size, const char *etag) {
    char bare[KEY_MAX];
    bare_key(bare, key, query);
    pthread_mutex_lock(&objects_lock);
    struct object *found = find_object(bare);
    if (!found->key) found->key = strdup(bare);
    found->size = size;
    strcpy(found->etag, etag);
    fprintf(record, "%s %lld %s\n", bare, size, etag);
    pthread_mutex_unlock(&objects_lock);
}

static bool record_head(struct connection *c, const char *key, const char *query) {
    char bare[KEY_MAX], text[512];
    pthread_mutex_lock(&objects_lock);
    struct object found = *find_object(bare_key(bare, key, query));
    pthread_mutex_unlock(&objects_lock);
    if (!found.key) return respond(c, 404, NULL, "", "HEAD");
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 200 OK\r\nServer: sink\r\nETag: \"%s\"\r\nContent-Length: %lld\r\n"
                        "Last-Modified: Fri, 01 Jan 2021 00:00:00 GMT\r\nx-amz-request-id: 1\r\n\r\n", found.etag, found.size);
    return send_all(c, text, (size_t)size);
}

static struct upload *find_upload(const char *query) {
    const char *id = query ? strstr(query, "uploadId=") : NULL;
    int number = id ? atoi(id + 9) : 0;
    return number > 0 && number < UPLOADS_MAX ? uploads[number] : NULL;
}

static bool record_put(struct connection *c, const struct request *r, const char *key, const char *query,
                     const char *number) {
    unsigned char md5[MD5_SIZE];
    struct digest found = {.md5 = ""};
    EVP_DigestFinal_ex(c->md5, md5, NULL);
    write_hex(found.md5, md5);
    if (!number) {
        record_object(key, query, r->length, found.md5);
        return respond(c, 200, &found, "", r->method);
    }
    struct upload *upload = find_upload(query);
    int n = atoi(number + 11);
    if (!upload || n < 1 || n >= PARTS_MAX) return respond(c, 404, NULL, "<Error><Code>NoSuchUpload</Code></Error>", r->method);
    memcpy(upload->md5s[n - 1], md5, MD5_SIZE);
    __atomic_add_fetch(&upload->count, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&upload->size, r->length, __ATOMIC_SEQ_CST);
    return respond(c, 200, &found, "", r->method);
}

static bool record_post(struct connection *c, const struct request *r, const char *key, const char *query) {
    char text[1024], etag[48];
    struct upload *upload = find_upload(query);
    if (!upload) {
        int number = atomic_fetch_add(&upload_count, 1) + 1;
        if (number >= UPLOADS_MAX || !(uploads[number] = calloc(1, sizeof *upload))) return false;
        snprintf(text, sizeof text,
                 "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>key</Key><UploadId>%d</UploadId>"
                 "</InitiateMultipartUploadResult>", number);
        return respond(c, 200, NULL, text, r->method);
    }
    unsigned char md5[MD5_SIZE];
    EVP_Digest(upload->md5s, (size_t)upload->count * MD5_SIZE, md5, NULL, EVP_md5(), NULL);
    write_hex(etag, md5);
    sprintf(etag + 2 * MD5_SIZE, "-%d", upload->count);
    record_object(key, query, upload->size, etag);
    snprintf(text, sizeof text,
             "<CompleteMultipartUploadResult><Location>sink</Location><Bucket>bucket</Bucket><Key>key</Key>"
             "<ETag>\"%s\"</ETag></CompleteMultipartUploadResult>", etag);
    return respond(c, 200, NULL, text, r->method);
}
