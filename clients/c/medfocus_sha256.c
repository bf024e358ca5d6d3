/* SHA-256 (FIPS 180-4), by which an image is named. See medfocus_link.h. */
#include <string.h>

#include "medfocus_link.h"

static const uint32_t K[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
    0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
    0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
    0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
    0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u};

static uint32_t turned(uint32_t value, unsigned by)
{
    return (value >> by) | (value << (32u - by));
}

static void mix(struct mf_sha256 *hash)
{
    uint32_t w[64];
    uint32_t s[8];
    for (size_t at = 0u; at < 16u; at++) {
        const uint8_t *four = &hash->block[4u * at];
        w[at] = ((uint32_t)four[0] << 24u) | ((uint32_t)four[1] << 16u) | ((uint32_t)four[2] << 8u) | four[3];
    }
    for (size_t at = 16u; at < 64u; at++) {
        const uint32_t a = w[at - 15u];
        const uint32_t b = w[at - 2u];
        const uint32_t first = turned(a, 7u) ^ turned(a, 18u) ^ (a >> 3u);
        const uint32_t second = turned(b, 17u) ^ turned(b, 19u) ^ (b >> 10u);
        w[at] = w[at - 16u] + first + w[at - 7u] + second;
    }
    (void)memcpy(s, hash->state, sizeof s);
    for (size_t at = 0u; at < 64u; at++) {
        const uint32_t e = turned(s[4], 6u) ^ turned(s[4], 11u) ^ turned(s[4], 25u);
        const uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
        const uint32_t first = s[7] + e + choice + K[at] + w[at];
        const uint32_t a = turned(s[0], 2u) ^ turned(s[0], 13u) ^ turned(s[0], 22u);
        const uint32_t second = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        (void)memmove(&s[1], &s[0], 7u * sizeof s[0]);
        s[4] += first;
        s[0] = first + second;
    }
    for (size_t at = 0u; at < 8u; at++) {
        hash->state[at] += s[at];
    }
}

void mf_sha256_begin(struct mf_sha256 *hash)
{
    static const uint32_t start[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    (void)memcpy(hash->state, start, sizeof start);
    hash->length = 0u;
}

void mf_sha256_add(struct mf_sha256 *hash, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0u; at < length; at++) {
        const size_t place = (size_t)(hash->length % 64u);
        hash->block[place] = bytes[at];
        hash->length++;
        if (place == 63u) {
            mix(hash);
        }
    }
}

void mf_sha256_end(struct mf_sha256 *hash, uint8_t digest[MF_HASH_LENGTH])
{
    static const uint8_t one = 0x80u;
    static const uint8_t zero = 0u;
    const uint64_t bits = hash->length * 8u;
    uint8_t tail[8];
    for (unsigned at = 0u; at < 8u; at++) {
        tail[at] = (uint8_t)((bits >> (56u - (8u * at))) & 0xFFu);
    }
    mf_sha256_add(hash, &one, 1u);
    while ((hash->length % 64u) != 56u) {
        mf_sha256_add(hash, &zero, 1u);
    }
    mf_sha256_add(hash, tail, sizeof tail);
    for (size_t at = 0u; at < MF_HASH_LENGTH; at++) {
        digest[at] = (uint8_t)((hash->state[at / 4u] >> (24u - (8u * (at % 4u)))) & 0xFFu);
    }
}
