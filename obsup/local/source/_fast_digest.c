/* MD5s and CRCs of windows of a file, computed with the vector instructions of the processor.

   An optional extension module: without it, digest.py computes the same values with hashlib and anycrc. It reads with
   pread into buffers that stay in the processor's cache, and without the GIL. Memory mappings are not used: they kill
   the process if the file is truncated, and are not faster (measured).

   MD5 depends on every previous byte of its window, so that several windows are hashed at once: one per lane of a
   vector register. CRCs are folded by carry-less multiplication. Source: V. Gopal et al., "Fast CRC Computation for
   Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#define _FILE_OFFSET_BITS 64
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#define ALIGNED __attribute__((aligned(64)))
/* How much is read at once for each lane of MD5. Measured: smaller buffers cost more system time, and larger ones leave
   the cache. */
#define LANE_BUFFER (64 * 1024)
/* How many bytes are read between two calls of the gate, with the GIL: of a CRC, and of each lane of MD5. */
#define CRC_GATE (1024 * 1024)
#define LANE_GATE (256 * 1024)

/* How reading ended. */
enum outcome { FINISHED, FILE_ENDED, READ_FAILED, GATE_RAISED };

/* Read *wanted* bytes at *offset*; fewer only at the end of the file. Returns how many, or -1. */
static ssize_t read_at(int fd, uint8_t *buffer, size_t wanted, int64_t offset) {
    size_t done = 0;
    while (done < wanted) {
        ssize_t count = pread(fd, buffer + done, wanted - done, (off_t)(offset + (int64_t)done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -1;
        if (count == 0) break;
        done += (size_t)count;
    }
    return (ssize_t)done;
}

/* Call *gate*, unless it is None, with *wanted*. Returns how many bytes may be read, or -1 if it raised. Needs the GIL. */
static int64_t ask(PyObject *gate, int64_t wanted) {
    if (gate == Py_None) return wanted;
    PyObject *granted = PyObject_CallFunction(gate, "L", (long long)wanted);
    if (granted == NULL) return -1;
    int64_t count = PyLong_AsLongLong(granted);
    Py_DECREF(granted);
    if (count <= 0 && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "the gate grants nothing");
    if (count <= 0) return -1;
    return count < wanted ? count : wanted;
}

/* Set the exception of *outcome*, which is not FINISHED; *failure* is the errno of the failed read. */
static PyObject *fail(enum outcome outcome, int failure) {
    if (outcome == FILE_ENDED) PyErr_SetString(PyExc_EOFError, "the file ends inside the window");
    if (outcome == READ_FAILED) {
        errno = failure;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return NULL;
}

/* ---- CRC: bit-reflected, with a polynomial of 64 or 32 bits. One of 32 bits, P, is computed as P * x^32. ---- */

struct crc {
    uint64_t table[256];
    /* For folding over 16, 64 and 256 bytes: x^(n+63) and x^(n-1) modulo the polynomial, with n the number of bits. */
    uint64_t by_16[2], by_64[2], by_256[2];
};

typedef uint64_t (*crc_function)(const struct crc *, uint64_t, const uint8_t *, size_t);

static uint64_t times_x(uint64_t value, uint64_t polynomial) {
    return (value >> 1) ^ (value & 1 ? polynomial : 0);
}

static uint64_t power_of_x(unsigned exponent, uint64_t polynomial) {
    uint64_t value = UINT64_C(1) << 63;
    while (exponent--) value = times_x(value, polynomial);
    return value;
}

static void prepare_crc(struct crc *crc, uint64_t polynomial) {
    for (unsigned byte = 0; byte < 256; byte++) {
        uint64_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = times_x(value, polynomial);
        crc->table[byte] = value;
    }
    crc->by_16[0] = power_of_x(16 * 8 + 63, polynomial), crc->by_16[1] = power_of_x(16 * 8 - 1, polynomial);
    crc->by_64[0] = power_of_x(64 * 8 + 63, polynomial), crc->by_64[1] = power_of_x(64 * 8 - 1, polynomial);
    crc->by_256[0] = power_of_x(256 * 8 + 63, polynomial), crc->by_256[1] = power_of_x(256 * 8 - 1, polynomial);
}

static uint64_t crc_of_bytes(const struct crc *crc, uint64_t value, const uint8_t *bytes, size_t count) {
    while (count--) value = (value >> 8) ^ crc->table[(value ^ *bytes++) & 0xff];
    return value;
}

#if defined(__x86_64__)
#define CLMUL __attribute__((target("pclmul,sse4.1")))
typedef __m128i block;
#define load_block(from) _mm_loadu_si128((const __m128i *)(from))
#define store_block(to, value) _mm_storeu_si128((__m128i *)(to), value)
#define xor_block(one, other) _mm_xor_si128(one, other)
#define first_half(value) _mm_cvtsi64_si128((long long)(value))
#define fold_block(value, by) \
    _mm_xor_si128(_mm_clmulepi64_si128(value, by, 0x00), _mm_clmulepi64_si128(value, by, 0x11))
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define CLMUL __attribute__((target("+crypto")))
typedef uint64x2_t block;
#define load_block(from) vreinterpretq_u64_u8(vld1q_u8((const uint8_t *)(from)))
#define store_block(to, value) vst1q_u8((uint8_t *)(to), vreinterpretq_u8_u64(value))
#define xor_block(one, other) veorq_u64(one, other)
#define first_half(value) vcombine_u64(vcreate_u64(value), vcreate_u64(0))
#define multiply(one, other, half) vreinterpretq_u64_p128( \
    vmull_p64((poly64_t)vgetq_lane_u64(one, half), (poly64_t)vgetq_lane_u64(other, half)))
#define fold_block(value, by) veorq_u64(multiply(value, by, 0), multiply(value, by, 1))
#endif

#if defined(CLMUL)
CLMUL static uint64_t crc_by_blocks(const struct crc *crc, uint64_t value, const uint8_t *bytes, size_t count) {
    uint8_t last[64];
    const block by_16 = load_block(crc->by_16), by_64 = load_block(crc->by_64);
    if (count >= 128) {
        block a = xor_block(load_block(bytes), first_half(value)), b = load_block(bytes + 16);
        block c = load_block(bytes + 32), d = load_block(bytes + 48);
        for (bytes += 64, count -= 64; count >= 64; bytes += 64, count -= 64) {
            a = xor_block(fold_block(a, by_64), load_block(bytes));
            b = xor_block(fold_block(b, by_64), load_block(bytes + 16));
            c = xor_block(fold_block(c, by_64), load_block(bytes + 32));
            d = xor_block(fold_block(d, by_64), load_block(bytes + 48));
        }
        /* What is left of the message is as if these 64 bytes had been all of it. */
        store_block(last, a), store_block(last + 16, b), store_block(last + 32, c), store_block(last + 48, d);
        value = crc_by_blocks(crc, 0, last, 64);
    }
    if (count >= 16) {
        block a = xor_block(load_block(bytes), first_half(value));
        for (bytes += 16, count -= 16; count >= 16; bytes += 16, count -= 16)
            a = xor_block(fold_block(a, by_16), load_block(bytes));
        store_block(last, a);
        value = crc_of_bytes(crc, 0, last, 16);
    }
    return crc_of_bytes(crc, value, bytes, count);
}
#endif

#if defined(__x86_64__)
#define fold_wide(value, from) _mm512_ternarylogic_epi64( \
    _mm512_clmulepi64_epi128(value, by, 0x00), _mm512_clmulepi64_epi128(value, by, 0x11), \
    _mm512_loadu_si512(from), 0x96)

__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1")))
static uint64_t crc_by_wide_blocks(const struct crc *crc, uint64_t value, const uint8_t *bytes, size_t count) {
    if (count >= 512) {
        uint8_t last[256];
        const __m512i by = _mm512_broadcast_i32x4(load_block(crc->by_256));
        __m512i a = _mm512_xor_si512(_mm512_loadu_si512(bytes), _mm512_zextsi128_si512(first_half(value)));
        __m512i b = _mm512_loadu_si512(bytes + 64), c = _mm512_loadu_si512(bytes + 128);
        __m512i d = _mm512_loadu_si512(bytes + 192);
        for (bytes += 256, count -= 256; count >= 256; bytes += 256, count -= 256) {
            a = fold_wide(a, bytes), b = fold_wide(b, bytes + 64);
            c = fold_wide(c, bytes + 128), d = fold_wide(d, bytes + 192);
        }
        _mm512_storeu_si512(last, a), _mm512_storeu_si512(last + 64, b);
        _mm512_storeu_si512(last + 128, c), _mm512_storeu_si512(last + 192, d);
        value = crc_by_blocks(crc, 0, last, 256);
    }
    return crc_by_blocks(crc, value, bytes, count);
}
#endif

/* Return the fastest function for this processor, NULL if none is faster than a table. */
static crc_function choose_crc(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return NULL;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")) return crc_by_wide_blocks;
    return crc_by_blocks;
#elif defined(CLMUL) && defined(__linux__) && defined(HWCAP_PMULL)
    return getauxval(AT_HWCAP) & HWCAP_PMULL ? crc_by_blocks : NULL;
#elif defined(CLMUL) && defined(__APPLE__)
    return crc_by_blocks;
#else
    return NULL;
#endif
}

/* crc(fd, offset, length, polynomial, value, gate, buffer): the CRC of the bytes of *value* and of those of the window,
   which are read into *buffer*. The caller reuses it: the system clears the pages of a new one. */
static PyObject *crc_of_window(PyObject *module, PyObject *arguments) {
    (void)module;
    int fd, failure = 0;
    long long offset, length;
    unsigned long long polynomial, value;
    PyObject *gate;
    Py_buffer buffer;
    if (!PyArg_ParseTuple(arguments, "iLLKKOw*:crc", &fd, &offset, &length, &polynomial, &value, &gate, &buffer))
        return NULL;
    crc_function function = choose_crc();
    struct crc crc;
    prepare_crc(&crc, polynomial);
    uint64_t inverted = polynomial >> 32 ? UINT64_MAX : UINT32_MAX, state = value ^ inverted;
    enum outcome outcome = FINISHED;
    while (length > 0 && outcome == FINISHED) {
        int64_t granted = ask(gate, length < CRC_GATE ? length : CRC_GATE);
        if (granted < 0) {
            outcome = GATE_RAISED;
            break;
        }
        Py_BEGIN_ALLOW_THREADS
        while (granted > 0 && outcome == FINISHED) {
            size_t wanted = granted < buffer.len ? (size_t)granted : (size_t)buffer.len;
            ssize_t count = read_at(fd, buffer.buf, wanted, offset);
            if (count != (ssize_t)wanted || wanted == 0) outcome = count < 0 ? READ_FAILED : FILE_ENDED, failure = errno;
            else state = function(&crc, state, buffer.buf, wanted);
            granted -= (int64_t)wanted, offset += (int64_t)wanted, length -= (int64_t)wanted;
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&buffer);
    return outcome == FINISHED ? PyLong_FromUnsignedLongLong(state ^ inverted) : fail(outcome, failure);
}

/* ---- MD5 of several windows: one lane per window. Source: RFC 1321. ---- */

#define MD5_BLOCK 64
#define MAX_LANES 16
/* Room for the padding behind the bytes of a window: 0x80, zeros, and its length. */
#define PADDING (2 * MD5_BLOCK)

/* Add *blocks* blocks of each lane to *state*: word 0 of every lane, word 1 of every lane, … */
typedef void (*md5_function)(uint32_t *state, const uint8_t *const *data, size_t blocks);

static const uint32_t md5_constants[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
static const uint32_t md5_start[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};

/* The words of the rounds. */
#define G1(i) ((i) % 16)
#define G2(i) ((5 * (i) + 1) % 16)
#define G3(i) ((3 * (i) + 5) % 16)
#define G4(i) ((7 * (i)) % 16)

/* P is the prefix of the macros of one instruction set: the type P_v, P_lanes in each of VECTORS registers, and P_…
   operations. Every step is done for all registers, because each waits for the previous one. */
#define EACH _Pragma("GCC unroll 2") for (int n = 0; n < vectors; n++)
#define STEP(P, F, a, b, c, d, g, i, s) EACH a[n] = P##_add(b[n], P##_rotate( \
    P##_add(P##_##F(b[n], c[n], d[n]), P##_add(a[n], P##_add(w[g(i)][n], P##_set(md5_constants[i])))), s));
#define FOUR(P, F, G, i, s1, s2, s3, s4) \
    STEP(P, F, a, b, c, d, G, i, s1) STEP(P, F, d, a, b, c, G, i + 1, s2) \
    STEP(P, F, c, d, a, b, G, i + 2, s3) STEP(P, F, b, c, d, a, G, i + 3, s4)
#define ROUND(P, F, G, i, s1, s2, s3, s4) \
    FOUR(P, F, G, i, s1, s2, s3, s4) FOUR(P, F, G, i + 4, s1, s2, s3, s4) \
    FOUR(P, F, G, i + 8, s1, s2, s3, s4) FOUR(P, F, G, i + 12, s1, s2, s3, s4)

#define DEFINE_MD5(P, TARGET, VECTORS) \
TARGET static void md5_##P(uint32_t *state, const uint8_t *const *data, size_t blocks) { \
    enum { vectors = VECTORS, lanes = sizeof(P##_v) / 4, all = vectors * lanes }; \
    P##_v a[vectors], b[vectors], c[vectors], d[vectors], w[16][vectors]; \
    EACH { \
        a[n] = P##_load(state + n * lanes), b[n] = P##_load(state + all + n * lanes); \
        c[n] = P##_load(state + 2 * all + n * lanes), d[n] = P##_load(state + 3 * all + n * lanes); \
    } \
    for (size_t at = 0; at < blocks * MD5_BLOCK; at += MD5_BLOCK) { \
        P##_v a0[vectors], b0[vectors], c0[vectors], d0[vectors]; \
        EACH { \
            for (int i = 0; i < 16; i += 4) { \
                const uint8_t *const *from = data + n * lanes; \
                P##_v one = P##_rows(from, 0, at + 4 * i), two = P##_rows(from, 1, at + 4 * i); \
                P##_v three = P##_rows(from, 2, at + 4 * i), four = P##_rows(from, 3, at + 4 * i); \
                P##_v low1 = P##_low32(one, two), low2 = P##_low32(three, four); \
                P##_v high1 = P##_high32(one, two), high2 = P##_high32(three, four); \
                w[i][n] = P##_low64(low1, low2), w[i + 1][n] = P##_high64(low1, low2); \
                w[i + 2][n] = P##_low64(high1, high2), w[i + 3][n] = P##_high64(high1, high2); \
            } \
            a0[n] = a[n], b0[n] = b[n], c0[n] = c[n], d0[n] = d[n]; \
        } \
        ROUND(P, f, G1, 0, 7, 12, 17, 22) ROUND(P, g, G2, 16, 5, 9, 14, 20) \
        ROUND(P, h, G3, 32, 4, 11, 16, 23) ROUND(P, i, G4, 48, 6, 10, 15, 21) \
        EACH { \
            a[n] = P##_add(a[n], a0[n]), b[n] = P##_add(b[n], b0[n]); \
            c[n] = P##_add(c[n], c0[n]), d[n] = P##_add(d[n], d0[n]); \
        } \
    } \
    EACH { \
        P##_store(state + n * lanes, a[n]), P##_store(state + all + n * lanes, b[n]); \
        P##_store(state + 2 * all + n * lanes, c[n]), P##_store(state + 3 * all + n * lanes, d[n]); \
    } \
}

#if defined(__x86_64__)
typedef __m128i sse2_v;
#define sse2_load(from) _mm_load_si128((const __m128i *)(from))
#define sse2_store(to, x) _mm_store_si128((__m128i *)(to), x)
#define sse2_row(from) _mm_loadu_si128((const __m128i *)(from))
#define sse2_rows(from, i, at) sse2_row(from[i] + (at))
#define sse2_low32 _mm_unpacklo_epi32
#define sse2_high32 _mm_unpackhi_epi32
#define sse2_low64 _mm_unpacklo_epi64
#define sse2_high64 _mm_unpackhi_epi64
#define sse2_set(word) _mm_set1_epi32((int)(word))
#define sse2_add _mm_add_epi32
#define sse2_rotate(x, s) sse2_rotate_(x, s)
static inline __m128i sse2_rotate_(__m128i x, int s) {
    return _mm_or_si128(_mm_slli_epi32(x, s), _mm_srli_epi32(x, 32 - s));
}
#define sse2_f(x, y, z) _mm_xor_si128(z, _mm_and_si128(x, _mm_xor_si128(y, z)))
#define sse2_g(x, y, z) sse2_f(z, x, y)
#define sse2_h(x, y, z) _mm_xor_si128(_mm_xor_si128(x, y), z)
#define sse2_i(x, y, z) _mm_xor_si128(y, _mm_or_si128(x, _mm_xor_si128(z, _mm_set1_epi32(-1))))

#define AVX2 __attribute__((target("avx2")))
typedef __m256i avx2_v;
#define avx2_load(from) _mm256_load_si256((const __m256i *)(from))
#define avx2_store(to, x) _mm256_store_si256((__m256i *)(to), x)
#define avx2_rows(from, i, at) _mm256_inserti128_si256( \
    _mm256_castsi128_si256(sse2_row(from[i] + (at))), sse2_row(from[i + 4] + (at)), 1)
#define avx2_low32 _mm256_unpacklo_epi32
#define avx2_high32 _mm256_unpackhi_epi32
#define avx2_low64 _mm256_unpacklo_epi64
#define avx2_high64 _mm256_unpackhi_epi64
#define avx2_set(word) _mm256_set1_epi32((int)(word))
#define avx2_add _mm256_add_epi32
#define avx2_rotate(x, s) avx2_rotate_(x, s)
AVX2 static inline __m256i avx2_rotate_(__m256i x, int s) {
    return _mm256_or_si256(_mm256_slli_epi32(x, s), _mm256_srli_epi32(x, 32 - s));
}
#define avx2_f(x, y, z) _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
#define avx2_g(x, y, z) avx2_f(z, x, y)
#define avx2_h(x, y, z) _mm256_xor_si256(_mm256_xor_si256(x, y), z)
#define avx2_i(x, y, z) _mm256_xor_si256(y, _mm256_or_si256(x, _mm256_xor_si256(z, _mm256_set1_epi32(-1))))

#define AVX512 __attribute__((target("avx512f")))
typedef __m512i avx512_v;
#define avx512_load(from) _mm512_load_si512(from)
#define avx512_store(to, x) _mm512_store_si512(to, x)
#define avx512_rows(from, i, at) _mm512_inserti32x4(_mm512_inserti32x4(_mm512_inserti32x4( \
    _mm512_castsi128_si512(sse2_row(from[i] + (at))), sse2_row(from[i + 4] + (at)), 1), \
    sse2_row(from[i + 8] + (at)), 2), sse2_row(from[i + 12] + (at)), 3)
#define avx512_low32 _mm512_unpacklo_epi32
#define avx512_high32 _mm512_unpackhi_epi32
#define avx512_low64 _mm512_unpacklo_epi64
#define avx512_high64 _mm512_unpackhi_epi64
#define avx512_set(word) _mm512_set1_epi32((int)(word))
#define avx512_add _mm512_add_epi32
#define avx512_rotate(x, s) _mm512_rol_epi32(x, s)
#define avx512_f(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xca)
#define avx512_g(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xe4)
#define avx512_h(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0x96)
#define avx512_i(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0x39)

DEFINE_MD5(sse2, , 2)
DEFINE_MD5(avx2, AVX2, 2)
DEFINE_MD5(avx512, AVX512, 1)
#elif defined(__aarch64__) && defined(__AARCH64EL__)
typedef uint32x4_t neon_v;
#define neon_load(from) vld1q_u32(from)
#define neon_store(to, x) vst1q_u32(to, x)
#define neon_rows(from, i, at) vreinterpretq_u32_u8(vld1q_u8(from[i] + (at)))
#define neon_low32 vzip1q_u32
#define neon_high32 vzip2q_u32
#define neon_low64(x, y) vreinterpretq_u32_u64(vzip1q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)))
#define neon_high64(x, y) vreinterpretq_u32_u64(vzip2q_u64(vreinterpretq_u64_u32(x), vreinterpretq_u64_u32(y)))
#define neon_set(word) vdupq_n_u32(word)
#define neon_add vaddq_u32
#define neon_rotate(x, s) vsriq_n_u32(vshlq_n_u32(x, s), x, 32 - s)
#define neon_f(x, y, z) vbslq_u32(x, y, z)
#define neon_g(x, y, z) vbslq_u32(z, x, y)
#define neon_h(x, y, z) veorq_u32(veorq_u32(x, y), z)
#define neon_i(x, y, z) veorq_u32(y, vornq_u32(x, z))

DEFINE_MD5(neon, , 2)
#endif

/* An instruction set: its function, NULL if there is none, and its number of lanes. */
struct md5_way {
    const char *name;
    md5_function function;
    unsigned lanes;
};

/* Return the widest instruction set of this processor, or the one called *name* unless that is NULL. */
static struct md5_way choose_md5(const char *name) {
#define CANDIDATE(P, LANES, IS_SUPPORTED) \
    if ((name == NULL || strcmp(name, #P) == 0) && (IS_SUPPORTED)) return (struct md5_way){#P, md5_##P, LANES}
#if defined(__x86_64__)
    CANDIDATE(avx512, 16, __builtin_cpu_supports("avx512f"));
    CANDIDATE(avx2, 16, __builtin_cpu_supports("avx2"));
    CANDIDATE(sse2, 8, 1);
#elif defined(__aarch64__) && defined(__AARCH64EL__)
    CANDIDATE(neon, 8, 1);
#endif
    return (struct md5_way){"", NULL, 0};
}

struct window {
    int64_t offset, length;
    uint8_t digest[16];
};

/* One lane: the window that it hashes, and the bytes of it that were read and not yet hashed. */
struct lane {
    struct window *window;
    int64_t done;  /* bytes that were read */
    int is_padded;
    uint8_t *buffer;
    size_t start, end;
};

/* All lanes. *next* is the first window that no lane has taken. */
struct lanes {
    int fd;
    struct md5_way way;
    struct window *next, *last;
    struct lane lane[MAX_LANES];
    ALIGNED uint32_t state[4 * MAX_LANES];
};

/* Start the next window in the lane of this *number*, which is idle if none is left. */
static void start_window(struct lanes *lanes, unsigned number) {
    struct lane *lane = &lanes->lane[number];
    lane->window = lanes->next < lanes->last ? lanes->next++ : NULL;
    lane->done = 0, lane->is_padded = 0, lane->start = lane->end = 0;
    for (unsigned word = 0; word < 4; word++) lanes->state[word * lanes->way.lanes + number] = md5_start[word];
}

/* Read the next bytes of the lane's window, with the padding if they are its last. */
static enum outcome fill_lane(int fd, struct lane *lane) {
    int64_t left = lane->window->length - lane->done;
    size_t wanted = left < LANE_BUFFER ? (size_t)left : LANE_BUFFER;
    ssize_t count = read_at(fd, lane->buffer, wanted, lane->window->offset + lane->done);
    if (count != (ssize_t)wanted) return count < 0 ? READ_FAILED : FILE_ENDED;
    lane->start = 0, lane->end = wanted, lane->done += count;
    if (lane->done == lane->window->length) {
        uint64_t bits = (uint64_t)lane->window->length * 8;
        size_t end = (wanted + 8) / MD5_BLOCK * MD5_BLOCK + MD5_BLOCK;
        memset(lane->buffer + wanted, 0, end - wanted);
        lane->buffer[wanted] = 0x80;
        memcpy(lane->buffer + end - 8, &bits, 8);
        lane->end = end, lane->is_padded = 1;
    }
    return FINISHED;
}

/* Write the digest of the window that the lane of this *number* has hashed. */
static void end_window(struct lanes *lanes, unsigned number) {
    for (unsigned word = 0; word < 4; word++)
        memcpy(lanes->lane[number].window->digest + 4 * word, &lanes->state[word * lanes->way.lanes + number], 4);
}

/* Hash until every lane has hashed *wanted* bytes more, or all windows are done: then *is_done* is set. */
static enum outcome hash_lanes(struct lanes *lanes, int64_t wanted, int *is_done) {
    const uint8_t *data[MAX_LANES];
    while (wanted > 0) {
        size_t most = 0;
        for (unsigned number = 0; number < lanes->way.lanes; number++) {
            struct lane *lane = &lanes->lane[number];
            while (lane->window != NULL && lane->start == lane->end && lane->is_padded) {
                end_window(lanes, number);
                start_window(lanes, number);
            }
            if (lane->window == NULL) continue;
            if (lane->start == lane->end) {
                enum outcome outcome = fill_lane(lanes->fd, lane);
                if (outcome != FINISHED) return outcome;
            }
            size_t ready = lane->end - lane->start;
            if (most == 0 || ready < most) most = ready;
        }
        *is_done = most == 0;
        if (*is_done) return FINISHED;
        for (unsigned number = 0; number < lanes->way.lanes; number++) {
            struct lane *lane = &lanes->lane[number];
            data[number] = lane->buffer;  /* an idle lane hashes what is there, and nobody reads the result */
            if (lane->window == NULL) continue;
            data[number] += lane->start;
            lane->start += most;
        }
        lanes->way.function(lanes->state, data, most / MD5_BLOCK);
        wanted -= (int64_t)most;
    }
    return FINISHED;
}

/* Hash all windows, and call *gate* now and then. *failure* is set to the errno of a failed read. */
static enum outcome hash_windows(struct lanes *lanes, PyObject *gate, int *failure) {
    enum outcome outcome = FINISHED;
    int is_done = 0;
    for (unsigned number = 0; number < lanes->way.lanes; number++) start_window(lanes, number);
    while (!is_done && outcome == FINISHED) {
        if (ask(gate, LANE_GATE) < 0) return GATE_RAISED;
        Py_BEGIN_ALLOW_THREADS
        outcome = hash_lanes(lanes, LANE_GATE, &is_done);
        *failure = errno;
        Py_END_ALLOW_THREADS
    }
    return outcome;
}

/* Return the windows of a sequence of (offset, length) pairs, and set *count; NULL with an exception. */
static struct window *parse_windows(PyObject *pairs, Py_ssize_t *count) {
    *count = PySequence_Size(pairs);
    if (*count < 0) return NULL;
    struct window *windows = calloc((size_t)*count + 1, sizeof(struct window));
    if (windows == NULL) return (struct window *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < *count; i++) {
        long long offset = -1, length = -1;
        PyObject *pair = PySequence_GetItem(pairs, i);
        int is_parsed = pair != NULL && PyTuple_Check(pair) && PyArg_ParseTuple(pair, "LL:md5s", &offset, &length);
        Py_XDECREF(pair);
        if (!is_parsed || offset < 0 || length < 0) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "a window is a tuple of an offset and a length");
            free(windows);
            return NULL;
        }
        windows[i].offset = offset, windows[i].length = length;
    }
    return windows;
}

static PyObject *as_list(const struct window *windows, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        PyObject *digest = PyBytes_FromStringAndSize((const char *)windows[i].digest, 16);
        if (digest == NULL || PyList_SetItem(list, i, digest) < 0) Py_CLEAR(list);
    }
    return list;
}

/* md5s(fd, windows, gate, way=None): the MD5 of each (offset, length) of *windows*, in their order. */
static PyObject *md5s_of_windows(PyObject *module, PyObject *arguments) {
    (void)module;
    int fd, failure = 0;
    PyObject *pairs, *gate, *result = NULL;
    const char *name = NULL;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(arguments, "iOO|z:md5s", &fd, &pairs, &gate, &name)) return NULL;
    struct md5_way way = choose_md5(name);
    if (way.function == NULL) return PyErr_Format(PyExc_ValueError, "this processor has no instruction set %s", name);
    struct window *windows = parse_windows(pairs, &count);
    if (windows == NULL) return NULL;
    struct lanes lanes = {.fd = fd, .way = way, .next = windows, .last = windows + count};
    uint8_t *buffers = calloc(way.lanes, LANE_BUFFER + PADDING);
    if (buffers == NULL) {
        PyErr_NoMemory();
    } else {
        for (unsigned number = 0; number < way.lanes; number++)
            lanes.lane[number].buffer = buffers + number * (LANE_BUFFER + PADDING);
        enum outcome outcome = hash_windows(&lanes, gate, &failure);
        result = outcome == FINISHED ? as_list(windows, count) : fail(outcome, failure);
    }
    free(buffers);
    free(windows);
    return result;
}

/* ---- The module: without a function that this processor cannot run. ---- */

static PyMethodDef functions[] = {
    {"crc", crc_of_window, METH_VARARGS,
     "crc(fd, offset, length, polynomial, value, gate, buffer): the CRC of the bytes of *value* and the window after them"},
    {"md5s", md5s_of_windows, METH_VARARGS,
     "md5s(fd, windows, gate, way=None): the MD5 of each (offset, length) of *windows*"},
    {NULL, NULL, 0, NULL},
};

static int add_names(PyObject *module) {
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    if (choose_crc() == NULL && PyObject_DelAttrString(module, "crc") < 0) return -1;
    if (choose_md5(NULL).function == NULL && PyObject_DelAttrString(module, "md5s") < 0) return -1;
    return PyModule_AddStringConstant(module, "MD5_WAY", choose_md5(NULL).name);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_names}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_fast_digest", "MD5s and CRCs of windows of a file.", 0, functions, slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__fast_digest(void) { return PyModuleDef_Init(&definition); }
