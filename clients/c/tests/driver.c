/* For test_c.py: one command a line comes in, what the C code makes of it goes out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../medfocus_link.h"

static uint8_t bytes[8192];

static size_t from_hex(const char *text)
{
    size_t length = 0u;
    unsigned byte = 0u;
    while ((length < sizeof bytes) && (sscanf(&text[2u * length], "%2x", &byte) == 1)) {
        bytes[length] = (uint8_t)byte;
        length++;
    }
    return length;
}

static void show(const uint8_t *of, size_t length)
{
    for (size_t at = 0u; at < length; at++) {
        (void)printf("%02x", of[at]);
    }
    (void)printf("\n");
}

static void run(const char *text)
{
    static struct mf_splitter splitter;
    const size_t length = from_hex(text);
    enum mf_run last = MF_NOTHING;
    struct mf_packet packet;
    uint8_t wire[MF_WIRE_LENGTH];
    for (size_t at = 0u; at < length; at++) {
        const enum mf_run now = mf_push(&splitter, bytes[at], &packet);
        last = (now != MF_NOTHING) ? now : last;
    }
    if (last == MF_PACKET) {
        show(wire, mf_frame(&packet, wire, sizeof wire));
    } else {
        (void)printf("run %d\n", (int)last);
    }
}

static void show_text(const struct mf_text *text)
{
    (void)printf(" %zu", strlen(text->text));
    for (size_t at = 0u; text->text[at] != '\0'; at++) {
        (void)printf("%s%02x", (at == 0u) ? ":" : "", (unsigned)(uint8_t)text->text[at]);
    }
}

static void read_report(const char *text)
{
    struct mf_report r;
    const size_t length = from_hex(text);
    uint32_t count = 0u;
    if (!mf_read_report(bytes, length, &r)) {
        (void)printf("none\n");
        return;
    }
    count = (r.class_count < MF_CLASSES) ? r.class_count : MF_CLASSES;
    (void)printf("%d %llu %llu %d %d %lu %u %u %u %d %lu,%lu,%lu,%lu %.17g", (int)r.said,
                 (unsigned long long)r.id, (unsigned long long)r.request, (int)r.has_request, (int)r.number,
                 (unsigned long)r.offset, r.step, r.stage, r.stages, (int)r.is_so,
                 (unsigned long)r.region[0], (unsigned long)r.region[1], (unsigned long)r.region[2],
                 (unsigned long)r.region[3], r.area);
    show_text(&r.exam);
    show_text(&r.text);
    show_text(&r.help);
    show_text(&r.intended_use);
    for (uint32_t at = 0u; at < count; at++) {
        show_text(&r.classes[at].name);
        (void)printf(" %.17g", r.classes[at].probability);
    }
    (void)printf(" ");
    show(r.image, sizeof r.image);
}

static void digest(const char *text)
{
    struct mf_sha256 hash;
    uint8_t found[MF_HASH_LENGTH];
    const size_t length = from_hex(text);
    mf_sha256_begin(&hash);
    mf_sha256_add(&hash, bytes, length / 2u);
    mf_sha256_add(&hash, &bytes[length / 2u], length - (length / 2u));
    mf_sha256_end(&hash, found);
    show(found, sizeof found);
}

/* `request KIND NUMBER HEX TEXT|- x,y,w,h|- PRIORITY AGE|- SEX|-` */
static void request(const char *line)
{
    int kind = 0;
    unsigned long long number = 0u;
    static char hex[4096];
    static char text[4096];
    char region[64];
    char age[8];
    char sex[8];
    int priority = 0;
    uint32_t sides[4] = {0u, 0u, 0u, 0u};
    struct mf_question asked = {0};
    uint8_t to[MF_MESSAGE_LENGTH + 2u];
    size_t length = 0u;
    if (sscanf(line, "%d %llu %4095s %4095s %63s %d %7s %7s", &kind, &number, hex, text, region, &priority,
               age, sex) != 8) {
        (void)printf("usage\n");
        return;
    }
    const size_t count = from_hex(hex);
    for (char *at = text; *at != '\0'; at++) {
        *at = (*at == '~') ? ' ' : *at;
    }
    if (sscanf(region, "%u,%u,%u,%u", &sides[0], &sides[1], &sides[2], &sides[3]) == 4) {
        asked.region = sides;
    }
    asked.exam = (strcmp(text, "-") != 0) ? text : NULL;
    asked.priority = (enum mf_priority)priority;
    asked.has_age = strcmp(age, "-") != 0;
    asked.age = (uint8_t)strtoul(age, NULL, 10);
    asked.sex = (sex[0] == '-') ? '\0' : sex[0];
    switch (kind) {
    case 0: length = mf_say_console(text, to, sizeof to); break;
    case 1: length = mf_say_put(bytes, (uint32_t)number, to, sizeof to); break;
    case 2: length = mf_say_chunk((uint32_t)number, bytes, count, to, sizeof to); break;
    case 3: length = mf_say_run(number, bytes, &asked, to, sizeof to); break;
    case 4: length = mf_say_fetch(to, sizeof to); break;
    case 5: length = mf_say_taken(number, to, sizeof to); break;
    case 6: length = mf_say_client(number, to, sizeof to); break;
    default: length = mf_say_watch(to, sizeof to); break;
    }
    show(to, length);
}

int main(void)
{
    static char line[32768];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strncmp(line, "run ", 4u) == 0) {
            run(&line[4]);
        } else if (strncmp(line, "report ", 7u) == 0) {
            read_report(&line[7]);
        } else if (strncmp(line, "sha256 ", 7u) == 0) {
            digest(&line[7]);
        } else if (strncmp(line, "request ", 8u) == 0) {
            request(&line[8]);
        } else {
            (void)printf("unknown\n");
        }
        (void)fflush(stdout);
    }
    return 0;
}
