/* A host on Linux: an image to a device, and its answer. Exit codes: 0 a finding, 1 a refusal, 2 wrong
 * usage, 3 no device, 4 the time was over.
 *
 *     medfocus-c-host PORT IMAGE [EXAM] [SECONDS] */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "medfocus_link.h"

struct line {
    int port;
    FILE *image;
};

static uint32_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(((uint64_t)now.tv_sec * 1000u) + ((uint64_t)now.tv_nsec / 1000000u));
}

static size_t receive(void *context, uint8_t *to, size_t room)
{
    const struct line *line = context;
    const ssize_t count = read(line->port, to, room);
    return (count > 0) ? (size_t)count : 0u;
}

static bool send_all(void *context, const uint8_t *bytes, size_t length)
{
    const struct line *line = context;
    size_t sent = 0u;
    unsigned tries = 0u;
    while ((sent < length) && (tries < 2000u)) {
        const ssize_t count = write(line->port, &bytes[sent], length - sent);
        if (count > 0) {
            sent += (size_t)count;
        } else {
            tries++;
            (void)usleep(1000u);
        }
    }
    return sent == length;
}

static bool read_image(void *context, uint32_t offset, uint8_t *to, size_t length)
{
    const struct line *line = context;
    return (fseek(line->image, (long)offset, SEEK_SET) == 0) && (fread(to, 1u, length, line->image) == length);
}

static void on_report(void *context, const struct mf_report *report)
{
    (void)context;
    if (report->said == MF_PROGRESS) {
        (void)fprintf(stderr, "case %llu: step %u\n", (unsigned long long)report->id, report->step);
    } else if ((report->said == MF_SAFE_STATE) || (report->said == MF_WARNINGS)) {
        (void)fprintf(stderr, "device: %s; %s\n", report->text.text, report->help.text);
    } else if (report->said == MF_NOTES) {
        (void)printf("notes=%s\n", report->text.text);
    } else {
        /* Of no business to a person. */
    }
}

static bool open_line(struct line *line, const char *port, const char *image)
{
    struct termios how;
    line->port = open(port, O_RDWR | O_NOCTTY | O_NONBLOCK);
    line->image = fopen(image, "rb");
    if ((line->port < 0) || (line->image == NULL) || (tcgetattr(line->port, &how) != 0)) {
        return false;
    }
    cfmakeraw(&how);
    (void)cfsetspeed(&how, B115200);
    return tcsetattr(line->port, TCSANOW, &how) == 0;
}

static uint32_t hash_of(FILE *image, uint8_t digest[MF_HASH_LENGTH])
{
    struct mf_sha256 hash;
    uint8_t bytes[4096];
    size_t count = fread(bytes, 1u, sizeof bytes, image);
    mf_sha256_begin(&hash);
    while (count > 0u) {
        mf_sha256_add(&hash, bytes, count);
        count = fread(bytes, 1u, sizeof bytes, image);
    }
    const uint32_t size = (uint32_t)hash.length;
    mf_sha256_end(&hash, digest);
    return size;
}

static bool drawn(void *to, size_t length)
{
    FILE *chance = fopen("/dev/urandom", "rb");
    const bool is_well = (chance != NULL) && (fread(to, 1u, length, chance) == length);
    if (chance != NULL) {
        (void)fclose(chance);
    }
    return is_well;
}

static int told(const struct mf_client *client, enum mf_outcome outcome)
{
    const struct mf_report *report = &client->report;
    int code = 3;
    switch (outcome) {
    case MF_HAS_FINDING:
        (void)printf("case=%llu exam=%s class=%s level=%s p=%.4f use=%s\n", (unsigned long long)report->id,
                     report->exam.text, report->text.text, report->help.text, report->classes[0].probability,
                     report->intended_use.text);
        code = 0;
        break;
    case MF_HAS_REFUSAL:
        (void)printf("case=%llu refusal code=%s cure=\"%s\"\n", (unsigned long long)report->id,
                     report->text.text, report->help.text);
        code = 1;
        break;
    case MF_WAS_REFUSED:
        (void)fprintf(stderr, "error: refused: %d %s\n", report->number, report->text.text);
        code = 1;
        break;
    case MF_TIME_IS_UP:
        (void)fprintf(stderr, "error: the time is over; the device answers all the same\n");
        code = 4;
        break;
    case MF_GOES_ON:
    case MF_WAS_ABORTED:
    case MF_OTHER_IMAGE:
    case MF_SILENT:
    case MF_NO_PROTOCOL:
    case MF_NO_IMAGE:
    default:
        (void)fprintf(stderr, "error: no answer (%d)\n", (int)outcome);
        break;
    }
    return code;
}

int main(int count, char **arguments)
{
    static struct mf_client client;
    struct line line;
    struct mf_question asked = {0};
    struct mf_host host = {&line, receive, send_all, read_image, on_report, 115200u, 30000u, 0u};
    uint8_t digest[MF_HASH_LENGTH];
    uint64_t chance[3];

    if ((count < 3) || (count > 5)) {
        (void)fprintf(stderr, "usage: medfocus-c-host PORT IMAGE [EXAM] [SECONDS]\n");
        return 2;
    }
    if ((!open_line(&line, arguments[1], arguments[2])) || (!drawn(chance, sizeof chance))) {
        (void)fprintf(stderr, "error: port or image cannot be opened\n");
        return 3;
    }
    asked.exam = (count > 3) ? arguments[3] : NULL;
    host.total_ms = (count > 4) ? ((uint32_t)strtoul(arguments[4], NULL, 10) * 1000u) : 0u;
    const uint32_t size = hash_of(line.image, digest);
    mf_begin(&client, &host, chance[0], (uint32_t)chance[1], now_ms());
    mf_ask(&client, chance[2] >> 1u, digest, size, &asked, now_ms());
    enum mf_outcome outcome = MF_GOES_ON;
    while (outcome == MF_GOES_ON) {
        outcome = mf_turn(&client, now_ms());
        (void)usleep(1000u);
    }
    const int code = told(&client, outcome);
    /* The device knows that the answer is safe here, or gives it to whoever fetches. */
    const uint32_t begin = now_ms();
    while ((!mf_is_settled(&client)) && ((uint32_t)(now_ms() - begin) < 2000u)) {
        (void)mf_turn(&client, now_ms());
        (void)usleep(1000u);
    }
    mf_end(&client);
    (void)fclose(line.image);
    (void)close(line.port);
    return code;
}
