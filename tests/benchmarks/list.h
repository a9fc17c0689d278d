/* A bucket whose objects are known from the start: --objects FILE has a line KEY SIZE ETAG for each, as --record
   writes them. Lists (versions 1 and 2, with prefix, delimiter and pages) and HEAD requests show them. The keys must
   not need an encoding. */

struct listed { char *key, etag[48]; long long size; };
static struct listed *listed;
static size_t listed_count;
static char listed_date[32], listed_http_date[64];
static atomic_int list_count, head_count;

static int compare_listed(const void *one, const void *other) {
    return strcmp(((const struct listed *)one)->key, ((const struct listed *)other)->key);
}

static void read_objects(const char *path) {
    FILE *file = fopen(path, "r");
    struct listed one;
    char key[1100];
    time_t seconds = time(NULL);
    struct tm when;
    if (!file) exit((perror(path), 2));
    while (fscanf(file, "%1099s %lld %47s", key, &one.size, one.etag) == 3) {
        if (!(listed_count & (listed_count + 1))) listed = realloc(listed, 2 * (listed_count + 1) * sizeof one);
        one.key = strdup(key);
        listed[listed_count++] = one;
    }
    fclose(file);
    qsort(listed, listed_count, sizeof one, compare_listed);
    strftime(listed_date, sizeof listed_date, "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&seconds, &when));
    strftime(listed_http_date, sizeof listed_http_date, "%a, %d %b %Y %H:%M:%S GMT", &when);
}

/* Returns the index of the first object whose key is at least KEY. */
static size_t first_from(const char *key) {
    size_t low = 0, high = listed_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(listed[middle].key, key) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Stores the decoded value of the query parameter NAME; the empty text without it. */
static char *parameter(char *into, size_t size, const char *query, const char *name) {
    size_t length = strlen(name), at = 0;
    const char *c = query;
    while ((c = strstr(c, name)) && !((c[-1] == '?' || c[-1] == '&') && c[length] == '=')) c += length;
    for (c = c ? c + length + 1 : ""; *c && *c != '&' && at + 1 < size; at++) {
        char hex[3] = {0};
        if (*c == '%' && c[1] && c[2]) {
            memcpy(hex, c + 1, 2);
            into[at] = (char)strtol(hex, NULL, 16);
            c += 3;
        } else into[at] = *c++;
    }
    into[at] = 0;
    return into;
}

static bool respond_list(struct connection *c, const char *query) {
    char prefix[1100], marker[1100], start[1100], delimiter[8], most_text[16], last[1100] = "";
    bool is_second = strstr(query, "list-type=2") != NULL;
    parameter(prefix, sizeof prefix, query, "prefix");
    parameter(delimiter, sizeof delimiter, query, "delimiter");
    parameter(marker, sizeof marker, query, is_second ? "continuation-token" : "marker");
    parameter(start, sizeof start, query, "start-after");
    if (is_second && !marker[0]) strcpy(marker, start);
    int most = atoi(parameter(most_text, sizeof most_text, query, "max-keys")), count = 0;
    if (most < 1 || most > 1000) most = 1000;
    char *body = malloc((size_t)most * 1600 + 4096), *at = body, head[512];
    at += sprintf(at, "<?xml version=\"1.0\"?><ListBucketResult><Name>bucket</Name><Prefix>%s</Prefix>", prefix);
    size_t i = first_from(strcmp(marker, prefix) > 0 ? marker : prefix), size = strlen(prefix);
    while (i < listed_count && count < most && !strncmp(listed[i].key, prefix, size)) {
        const struct listed *one = &listed[i];
        const char *end = delimiter[0] ? strchr(one->key + size, delimiter[0]) : NULL;
        int length = end ? (int)(end + 1 - one->key) : (int)strlen(one->key);
        char name[1100];
        snprintf(name, sizeof name, "%.*s", length, one->key);
        if (strcmp(name, marker) > 0) {
            if (end) at += sprintf(at, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", name);
            else at += sprintf(at, "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag>"
                                   "<Size>%lld</Size><StorageClass>STANDARD</StorageClass></Contents>",
                               name, listed_date, one->etag, one->size);
            strcpy(last, name);
            count++;
        }
        if (!end) i++;
        else {
            name[length - 1]++; /* behind all keys with this common prefix */
            i = first_from(name);
        }
    }
    bool is_truncated = i < listed_count && !strncmp(listed[i].key, prefix, size);
    at += sprintf(at, "<KeyCount>%d</KeyCount><MaxKeys>%d</MaxKeys><IsTruncated>%s</IsTruncated>", count, most,
                  is_truncated ? "true" : "false");
    if (is_truncated) at += sprintf(at, is_second ? "<NextContinuationToken>%s</NextContinuationToken>"
                                                  : "<NextMarker>%s</NextMarker>", last);
    at += sprintf(at, "</ListBucketResult>");
    int head_size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nServer: sink\r\nDate: %s\r\nContent-Type: application/xml\r\n"
                             "x-amz-request-id: 1\r\nx-obs-request-id: 1\r\nContent-Length: %zd\r\n\r\n",
                             listed_http_date, (ssize_t)(at - body));
    atomic_fetch_add(&list_count, 1);
    bool is_sent = send_all(c, head, (size_t)head_size) && send_all(c, body, (size_t)(at - body));
    free(body);
    return is_sent;
}

static bool respond_listed(struct connection *c, const char *key, const char *query) {
    char bare[1100], text[512];
    snprintf(bare, sizeof bare, "%.*s", query ? (int)(query - key) : (int)strlen(key), key);
    size_t i = first_from(bare);
    atomic_fetch_add(&head_count, 1);
    if (i == listed_count || strcmp(listed[i].key, bare)) return respond(c, 404, NULL, "", "HEAD");
    int size = snprintf(text, sizeof text,
                        "HTTP/1.1 200 OK\r\nServer: sink\r\nETag: \"%s\"\r\nContent-Length: %lld\r\nLast-Modified: %s\r\n"
                        "x-amz-request-id: 1\r\n\r\n", listed[i].etag, listed[i].size, listed_http_date);
    return send_all(c, text, (size_t)size);
}
