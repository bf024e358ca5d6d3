/* Messages: what host and device say over a link, as postcard writes it. See medfocus_link.h. */
#include <string.h>

#include "medfocus_link.h"

/* ---- What the host says ---- */

struct writer {
    uint8_t *to;
    size_t room;
    size_t length;
    bool is_full;
};

/* The first two bytes are the message's length, which is known at its end. */
static struct writer begin(uint8_t *to, size_t room, uint8_t kind);

static void put_byte(struct writer *writer, uint8_t byte)
{
    if (writer->length < writer->room) {
        writer->to[writer->length] = byte;
        writer->length++;
    } else {
        writer->is_full = true;
    }
}

static struct writer begin(uint8_t *to, size_t room, uint8_t kind)
{
    struct writer writer = {to, room, 0u, false};
    put_byte(&writer, 0u);
    put_byte(&writer, 0u);
    put_byte(&writer, kind);
    return writer;
}

static void put_number(struct writer *writer, uint64_t value)
{
    uint64_t left = value;
    while (left >= 0x80u) {
        put_byte(writer, (uint8_t)((left & 0x7Fu) | 0x80u));
        left >>= 7u;
    }
    put_byte(writer, (uint8_t)left);
}

static void put_bytes(struct writer *writer, const uint8_t *bytes, size_t length)
{
    if (length <= (writer->room - writer->length)) {
        (void)memcpy(&writer->to[writer->length], bytes, length);
        writer->length += length;
    } else {
        writer->is_full = true;
    }
}

static void put_text(struct writer *writer, const char *text)
{
    const size_t length = strlen(text);
    put_number(writer, length);
    put_bytes(writer, (const uint8_t *)text, length);
}

static size_t end(struct writer *writer)
{
    size_t length = 0u;
    if ((!writer->is_full) && (writer->length <= (MF_MESSAGE_LENGTH + 2u))) {
        const size_t body = writer->length - 2u;
        writer->to[0] = (uint8_t)(body & 0xFFu);
        writer->to[1] = (uint8_t)(body >> 8u);
        length = writer->length;
    }
    return length;
}

size_t mf_say_console(const char *line, uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 0u);
    put_text(&writer, line);
    return end(&writer);
}

size_t mf_say_put(const uint8_t image[MF_HASH_LENGTH], uint32_t size, uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 1u);
    put_bytes(&writer, image, MF_HASH_LENGTH);
    put_number(&writer, size);
    return end(&writer);
}

size_t mf_say_chunk(uint32_t offset, const uint8_t *bytes, size_t length, uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 2u);
    put_number(&writer, offset);
    put_number(&writer, length);
    put_bytes(&writer, bytes, length);
    return end(&writer);
}

static void put_asked(struct writer *writer, const struct mf_question *asked)
{
    put_byte(writer, (asked->exam != NULL) ? 1u : 0u);
    if (asked->exam != NULL) {
        put_text(writer, asked->exam);
    }
    put_byte(writer, (asked->region != NULL) ? 1u : 0u);
    if (asked->region != NULL) {
        for (unsigned side = 0u; side < 4u; side++) {
            put_number(writer, asked->region[side]);
        }
    }
}

size_t mf_say_run(uint64_t request, const uint8_t image[MF_HASH_LENGTH], const struct mf_question *asked,
                  uint8_t *to, size_t room)
{
    /* Devices of before know no RunWith: what needs none is asked without. */
    const bool says_more = (asked->priority != MF_ROUTINE) || asked->has_age || (asked->sex != '\0');
    struct writer writer = begin(to, room, says_more ? 7u : 3u);
    put_number(&writer, request);
    put_bytes(&writer, image, MF_HASH_LENGTH);
    put_asked(&writer, asked);
    if (says_more) {
        put_byte(&writer, (uint8_t)asked->priority);
        put_byte(&writer, asked->has_age ? 1u : 0u);
        if (asked->has_age) {
            put_byte(&writer, asked->age);
        }
        put_byte(&writer, (asked->sex != '\0') ? 1u : 0u);
        if (asked->sex != '\0') {
            uint8_t sex = 2u;
            if (asked->sex == 'F') {
                sex = 0u;
            } else if (asked->sex == 'M') {
                sex = 1u;
            } else {
                sex = 2u;
            }
            put_byte(&writer, sex);
        }
    }
    return end(&writer);
}

size_t mf_say_fetch(uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 4u);
    return end(&writer);
}

size_t mf_say_taken(uint64_t id, uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 5u);
    put_number(&writer, id);
    return end(&writer);
}

size_t mf_say_client(uint64_t identity, uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 6u);
    put_number(&writer, identity);
    return end(&writer);
}

size_t mf_say_watch(uint8_t *to, size_t room)
{
    struct writer writer = begin(to, room, 8u);
    return end(&writer);
}

/* ---- What the device says ---- */

struct reader {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    bool is_well;
};

static uint8_t take_byte(struct reader *reader)
{
    uint8_t byte = 0u;
    if (reader->at < reader->length) {
        byte = reader->bytes[reader->at];
        reader->at++;
    } else {
        reader->is_well = false;
    }
    return byte;
}

static uint64_t take_number(struct reader *reader, unsigned bits)
{
    uint64_t sum = 0u;
    unsigned shift = 0u;
    bool goes_on = true;
    while (goes_on) {
        const uint8_t byte = take_byte(reader);
        const uint64_t seven = (uint64_t)byte & 0x7Fu;
        /* What does not fit is no number of this width. */
        if ((shift >= bits) || (((bits - shift) < 7u) && ((seven >> (bits - shift)) != 0u))) {
            reader->is_well = false;
        } else {
            sum |= seven << shift;
        }
        shift += 7u;
        goes_on = (byte >= 0x80u) && reader->is_well;
    }
    return reader->is_well ? sum : 0u;
}

static bool take_flag(struct reader *reader)
{
    const uint8_t byte = take_byte(reader);
    reader->is_well = reader->is_well && (byte <= 1u);
    return byte == 1u;
}

static void take_bytes(struct reader *reader, uint8_t *to, size_t length)
{
    if (reader->is_well && (length <= (reader->length - reader->at))) {
        (void)memcpy(to, &reader->bytes[reader->at], length);
        reader->at += length;
    } else {
        reader->is_well = false;
    }
}

/* Cut between two characters where it is longer than what is kept. */
static void take_text(struct reader *reader, struct mf_text *text)
{
    const uint64_t length = take_number(reader, 32u);
    text->text[0] = '\0';
    text->is_cut = false;
    if (reader->is_well && (length <= (uint64_t)(reader->length - reader->at))) {
        const uint8_t *bytes = &reader->bytes[reader->at];
        size_t kept = (size_t)length;
        if (kept > MF_TEXT_LENGTH) {
            kept = MF_TEXT_LENGTH;
            text->is_cut = true;
            while ((kept > 0u) && ((bytes[kept] & 0xC0u) == 0x80u)) {
                kept--;
            }
        }
        (void)memcpy(text->text, bytes, kept);
        text->text[kept] = '\0';
        reader->at += (size_t)length;
    } else {
        reader->is_well = false;
    }
}

static double take_double(struct reader *reader)
{
    uint64_t bits = 0u;
    double value = 0.0;
    for (unsigned at = 0u; at < 8u; at++) {
        bits |= (uint64_t)take_byte(reader) << (8u * at);
    }
    (void)memcpy(&value, &bits, sizeof value);
    return value;
}

static void take_finding(struct reader *reader, struct mf_report *report)
{
    struct mf_class beyond;
    report->id = take_number(reader, 64u);
    take_text(reader, &report->exam);
    take_text(reader, &report->text);
    take_text(reader, &report->help);
    report->class_count = (uint32_t)take_number(reader, 32u);
    for (uint32_t at = 0u; (at < report->class_count) && reader->is_well; at++) {
        struct mf_class *of = (at < MF_CLASSES) ? &report->classes[at] : &beyond;
        take_text(reader, &of->name);
        of->probability = take_double(reader);
    }
    for (unsigned side = 0u; side < 4u; side++) {
        report->region[side] = (uint32_t)take_number(reader, 32u);
    }
    report->area = take_double(reader);
    take_text(reader, &report->intended_use);
}

static void take_fields(struct reader *reader, struct mf_report *report)
{
    switch (report->said) {
    case MF_HELLO:
        report->id = take_number(reader, 64u);
        take_text(reader, &report->text);
        take_text(reader, &report->exam);
        take_text(reader, &report->intended_use);
        break;
    case MF_CONSOLE:
        take_text(reader, &report->text);
        report->is_so = take_flag(reader);
        break;
    case MF_WANTED:
        take_bytes(reader, report->image, MF_HASH_LENGTH);
        report->offset = (uint32_t)take_number(reader, 32u);
        break;
    case MF_STORED:
        take_bytes(reader, report->image, MF_HASH_LENGTH);
        break;
    case MF_ACCEPTED:
        report->request = take_number(reader, 64u);
        report->id = take_number(reader, 64u);
        break;
    case MF_REFUSED: {
        report->has_request = take_flag(reader);
        report->request = report->has_request ? take_number(reader, 64u) : 0u;
        const uint32_t zigzag = (uint32_t)take_number(reader, 16u);
        const int32_t half = (int32_t)(zigzag >> 1u);
        report->number = (int16_t)(((zigzag & 1u) != 0u) ? (-half - 1) : half);
        take_text(reader, &report->text);
        break;
    }
    case MF_PROGRESS:
        report->id = take_number(reader, 64u);
        report->step = take_byte(reader);
        if (report->step == 2u) {
            report->stage = take_byte(reader);
            report->stages = take_byte(reader);
        } else {
            reader->is_well = reader->is_well && (report->step < 2u);
        }
        break;
    case MF_STORAGE_FAULT:
        report->is_so = take_flag(reader);
        break;
    case MF_FINDING:
        take_finding(reader, report);
        break;
    case MF_REFUSAL:
        report->id = take_number(reader, 64u);
        take_text(reader, &report->text);
        take_text(reader, &report->help);
        take_text(reader, &report->intended_use);
        break;
    case MF_ABORTED:
        report->id = take_number(reader, 64u);
        break;
    case MF_SAFE_STATE:
    case MF_WARNINGS:
        take_text(reader, &report->text);
        take_text(reader, &report->help);
        break;
    case MF_ABOUT:
        report->id = take_number(reader, 64u);
        take_bytes(reader, report->image, MF_HASH_LENGTH);
        break;
    case MF_NOTES:
        report->id = take_number(reader, 64u);
        take_text(reader, &report->text);
        break;
    case MF_FETCHED:
    default:
        break;
    }
}

bool mf_read_report(const uint8_t *bytes, size_t length, struct mf_report *report)
{
    struct reader reader = {bytes, length, 0u, true};
    const uint64_t said = take_number(&reader, 32u);
    (void)memset(report, 0, sizeof *report);
    if (reader.is_well && (said <= (uint64_t)MF_WARNINGS)) {
        report->said = (enum mf_said)said;
        take_fields(&reader, report);
    } else {
        reader.is_well = false;
    }
    return reader.is_well && (reader.at == length);
}
