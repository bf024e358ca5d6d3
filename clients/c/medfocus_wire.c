/* Frames: bytes of the line become packets, packets become bytes. See medfocus_link.h. */
#include <string.h>

#include "medfocus_link.h"

#define END 0x00u
#define LF 0x0Au
#define CR 0x0Du
#define DLE 0x10u
#define STUFFED 0x20u
#define CRC_LENGTH 4u

/* ISO-HDLC, as zip and Ethernet have it; without a table, which would take a kilobyte. */
uint32_t mf_crc32(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t at = 0u; at < length; at++) {
        crc ^= bytes[at];
        for (unsigned bit = 0u; bit < 8u; bit++) {
            const uint32_t mask = ((crc & 1u) != 0u) ? 0xEDB88320u : 0u;
            crc = (crc >> 1u) ^ mask;
        }
    }
    return ~crc;
}

/* A number in sevens, the lowest first; the body has room for the longest. */
static size_t put_number(uint8_t *to, uint32_t value)
{
    size_t length = 0u;
    uint32_t left = value;
    while (left >= 0x80u) {
        to[length] = (uint8_t)((left & 0x7Fu) | 0x80u);
        length++;
        left >>= 7u;
    }
    to[length] = (uint8_t)left;
    return length + 1u;
}

static size_t body_of(const struct mf_packet *packet, uint8_t *body)
{
    size_t length = 2u;
    body[0] = (uint8_t)MF_VERSION;
    body[1] = (uint8_t)packet->kind;
    switch (packet->kind) {
    case MF_OPEN:
    case MF_OPENED:
        length += put_number(&body[length], packet->nonce);
        break;
    case MF_DATA:
        length += put_number(&body[length], packet->sequence);
        length += put_number(&body[length], (uint32_t)packet->length);
        (void)memcpy(&body[length], packet->bytes, packet->length);
        length += packet->length;
        break;
    case MF_ACK:
        length += put_number(&body[length], packet->sequence);
        break;
    case MF_RESET:
    case MF_CLOSE:
    default:
        break;
    }
    return length;
}

struct writer {
    uint8_t *to;
    size_t room;
    size_t length;
    bool is_full;
};

static void put(struct writer *writer, uint8_t byte)
{
    if (writer->length < writer->room) {
        writer->to[writer->length] = byte;
        writer->length++;
    } else {
        writer->is_full = true;
    }
}

static void put_stuffed(struct writer *writer, uint8_t byte)
{
    if ((byte == LF) || (byte == CR) || (byte == DLE)) {
        put(writer, DLE);
        put(writer, (uint8_t)(byte ^ STUFFED));
    } else {
        put(writer, byte);
    }
}

/* Consistent overhead byte stuffing: each stretch without a zero byte after its length. */
static void put_cobs(struct writer *writer, const uint8_t *bytes, size_t length)
{
    size_t begin = 0u;
    bool goes_on = true;
    while (goes_on) {
        size_t stretch = 0u;
        while (((begin + stretch) < length) && (stretch < 254u) && (bytes[begin + stretch] != 0u)) {
            stretch++;
        }
        put_stuffed(writer, (uint8_t)(stretch + 1u));
        for (size_t at = 0u; at < stretch; at++) {
            put_stuffed(writer, bytes[begin + at]);
        }
        begin += stretch;
        if (begin >= length) {
            goes_on = false;
        } else if (stretch < 254u) {
            /* The zero byte, which may be the last one: then an empty stretch follows. */
            begin++;
        } else {
            /* A full stretch says that none follows. */
        }
    }
}

size_t mf_frame(const struct mf_packet *packet, uint8_t *to, size_t room)
{
    uint8_t body[MF_RUN_LENGTH];
    struct writer writer = {to, room, 0u, false};
    size_t length = 0u;

    if ((packet->kind != MF_DATA) || ((packet->length <= MF_DATA_LENGTH) && (packet->bytes != NULL))) {
        length = body_of(packet, body);
        const uint32_t crc = mf_crc32(body, length);
        for (unsigned at = 0u; at < CRC_LENGTH; at++) {
            body[length] = (uint8_t)((crc >> (8u * at)) & 0xFFu);
            length++;
        }
        put(&writer, END);
        put_cobs(&writer, body, length);
        put(&writer, END);
    }
    return writer.is_full ? 0u : writer.length;
}

/* In place; false where it is none. */
static bool uncobs(uint8_t *bytes, size_t *length)
{
    size_t from = 0u;
    size_t to = 0u;
    bool is_well = *length > 0u;
    while (is_well && (from < *length)) {
        const size_t stretch = bytes[from];
        from++;
        if ((stretch == 0u) || ((from + stretch - 1u) > *length)) {
            is_well = false;
        } else {
            for (size_t at = 1u; at < stretch; at++) {
                bytes[to] = bytes[from];
                to++;
                from++;
            }
            if ((stretch < 255u) && (from < *length)) {
                bytes[to] = 0u;
                to++;
            }
        }
    }
    *length = to;
    return is_well;
}

/* The number at a place, of so many bits; false where it is too large or cut short. */
static bool take_number(const uint8_t *bytes, size_t length, size_t *at, unsigned bits, uint32_t *value)
{
    uint64_t sum = 0u;
    unsigned shift = 0u;
    bool goes_on = true;
    bool is_well = true;
    while (goes_on && is_well) {
        if ((*at >= length) || (shift >= (bits + 6u))) {
            is_well = false;
        } else {
            const uint8_t byte = bytes[*at];
            (*at)++;
            sum |= (uint64_t)(byte & 0x7Fu) << shift;
            shift += 7u;
            goes_on = byte >= 0x80u;
        }
    }
    *value = (uint32_t)sum;
    return is_well && (sum < ((uint64_t)1u << bits));
}

static enum mf_run packet_of(const uint8_t *body, size_t length, struct mf_packet *packet)
{
    size_t at = 2u;
    uint32_t value = 0u;
    bool is_well = (length >= 2u) && (body[1] <= (uint8_t)MF_CLOSE);

    if (is_well) {
        packet->kind = (enum mf_kind)body[1];
        packet->length = 0u;
        packet->bytes = NULL;
        switch (packet->kind) {
        case MF_OPEN:
        case MF_OPENED:
            is_well = take_number(body, length, &at, 32u, &packet->nonce);
            break;
        case MF_DATA:
            is_well = take_number(body, length, &at, 16u, &value);
            packet->sequence = (uint16_t)value;
            is_well = is_well && take_number(body, length, &at, 32u, &value) && (value <= (length - at));
            packet->bytes = &body[at];
            packet->length = is_well ? (size_t)value : 0u;
            at += packet->length;
            break;
        case MF_ACK:
            is_well = take_number(body, length, &at, 16u, &value);
            packet->sequence = (uint16_t)value;
            break;
        case MF_RESET:
        case MF_CLOSE:
        default:
            break;
        }
    }
    /* What is left over would be a frame that another reads otherwise. */
    return (is_well && (at == length)) ? MF_PACKET : MF_MALFORMED;
}

static enum mf_run run_of(struct mf_splitter *splitter, struct mf_packet *packet)
{
    size_t length = splitter->length;
    enum mf_run run = MF_DAMAGED;
    if (splitter->is_too_long) {
        run = MF_DAMAGED;
    } else if (length == 0u) {
        run = MF_NOTHING;
    } else if (uncobs(splitter->bytes, &length) && (length >= CRC_LENGTH)) {
        length -= CRC_LENGTH;
        const uint8_t *tail = &splitter->bytes[length];
        uint32_t crc = 0u;
        for (unsigned at = 0u; at < CRC_LENGTH; at++) {
            crc |= (uint32_t)tail[at] << (8u * at);
        }
        if (mf_crc32(splitter->bytes, length) != crc) {
            run = MF_DAMAGED;
        } else if (length == 0u) {
            run = MF_MALFORMED;
        } else if (splitter->bytes[0] != (uint8_t)MF_VERSION) {
            run = MF_OTHER_VERSION;
        } else {
            run = packet_of(splitter->bytes, length, packet);
        }
    } else {
        run = MF_DAMAGED;
    }
    return run;
}

enum mf_run mf_push(struct mf_splitter *splitter, uint8_t byte, struct mf_packet *packet)
{
    enum mf_run run = MF_NOTHING;
    if (splitter->has_ended) {
        splitter->length = 0u;
        splitter->is_stuffed = false;
        splitter->is_too_long = false;
        splitter->has_ended = false;
    }
    if (byte == END) {
        splitter->has_ended = true;
        run = run_of(splitter, packet);
    } else if ((byte == CR) || (byte == LF)) {
        splitter->has_ended = true;
        run = ((splitter->length > 0u) || splitter->is_too_long) ? MF_LINE : MF_NOTHING;
    } else if (byte == DLE) {
        splitter->is_stuffed = true;
    } else if (splitter->length >= MF_RUN_LENGTH) {
        splitter->is_too_long = true;
    } else {
        splitter->bytes[splitter->length] = splitter->is_stuffed ? (uint8_t)(byte ^ STUFFED) : byte;
        splitter->length++;
        splitter->is_stuffed = false;
    }
    return run;
}
