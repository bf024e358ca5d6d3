/* The host's end of a link, and a case on it: from an image to its answer. See medfocus_link.h.
 *
 * The link sends one message at a time, in pieces that wait for their acknowledgement together, and takes
 * bytes in their order alone: what comes early is sent again by the device. That is slower on a line that
 * loses bytes than the Rust and Python hosts are, and needs a tenth of their memory. */
#include <string.h>

#include "medfocus_link.h"

#define CLOSED 0u
#define OPENING 1u
#define OPEN 2u

#define OPEN_AGAIN_MS 50u
#define HEARTBEAT_MS 500u
#define SILENCE_MS 10000u
#define ADAPTERS_MS 60u
#define FRAME_OVERHEAD 15u
#define SMALLEST_PIECE 8u
#define WAIT_MS 500u

/* What is said next. */
#define STAGE_IDLE 0u
#define STAGE_CLIENT 1u
#define STAGE_WATCH 2u
#define STAGE_PUT 3u
#define STAGE_WANTED 4u
#define STAGE_CHUNKS 5u
#define STAGE_RUN 6u
#define STAGE_ANSWER 7u
#define STAGE_WAIT 8u

/* Numbers of refusals. */
#define TOO_MANY_WAITING 12
#define NO_SUCH_IMAGE 32
#define IMAGE_BUSY 33
#define UNKNOWN_MESSAGE 40

/* Whether so much time has passed; the clock may have run over since. */
static bool is_over(uint32_t since, uint32_t now, uint32_t ms)
{
    return (uint32_t)(now - since) >= ms;
}

static bool say(struct mf_client *client, const struct mf_packet *packet)
{
    const size_t length = mf_frame(packet, client->wire, sizeof client->wire);
    return (length > 0u) && client->host->send(client->host->context, client->wire, length);
}

static void begin_link(struct mf_client *client, uint32_t now)
{
    client->link = OPENING;
    client->nonce++;
    client->asked_at = now - OPEN_AGAIN_MS;
    client->open_heard_at = now;
    client->out_length = 0u;
    client->sent = 0u;
    client->out_base = 0u;
    client->piece = MF_DATA_LENGTH;
    client->in_length = 0u;
    client->in_next = 0u;
    client->owes_ack = false;
    client->may_refuse = 0u;
    client->is_about_other = false;
    /* Asking twice does no harm: what was asked before is the same case by its number. */
    if (client->stage != STAGE_IDLE) {
        client->stage = STAGE_CLIENT;
    }
}

void mf_begin(struct mf_client *client, const struct mf_host *host, uint64_t identity, uint32_t nonce,
              uint32_t now_ms)
{
    (void)memset(client, 0, sizeof *client);
    client->host = host;
    client->identity = identity;
    client->nonce = nonce;
    client->heard_at = now_ms;
    client->began_at = now_ms;
    client->spoke_at = now_ms;
    client->link = CLOSED;
}

void mf_ask(struct mf_client *client, uint64_t request, const uint8_t image[MF_HASH_LENGTH], uint32_t size,
            const struct mf_question *asked, uint32_t now_ms)
{
    client->request = request;
    (void)memcpy(client->image, image, MF_HASH_LENGTH);
    client->size = size;
    client->asked = *asked;
    client->offset = 0u;
    client->was_asked = false;
    client->has_case = false;
    client->is_about_other = false;
    client->began_at = now_ms;
    client->heard_at = now_ms;
    client->stage = STAGE_CLIENT;
}

bool mf_is_settled(const struct mf_client *client)
{
    return client->out_length == 0u;
}

void mf_end(struct mf_client *client)
{
    struct mf_packet packet = {MF_CLOSE, 0u, 0u, NULL, 0u};
    (void)say(client, &packet);
    client->link = CLOSED;
}

/* The device has taken all bytes before this one; false where it has another link in mind. */
static bool acknowledged(struct mf_client *client, uint16_t sequence, uint32_t now)
{
    const uint16_t moved = (uint16_t)(sequence - client->out_base);
    bool is_well = (size_t)moved <= client->out_length;
    if (is_well && (moved > 0u)) {
        (void)memmove(client->out, &client->out[moved], client->out_length - moved);
        client->out_length -= moved;
        client->sent = (client->sent > moved) ? (client->sent - moved) : 0u;
        client->out_base = sequence;
        client->sent_at = now;
        /* The line lets pieces through: a little larger ones may as well. */
        client->piece = ((client->piece * 2u) < MF_DATA_LENGTH) ? (client->piece * 2u) : MF_DATA_LENGTH;
    }
    return is_well;
}

/* Bytes of the device's stream: those that come in their order and have room are taken. */
static void take_data(struct mf_client *client, const struct mf_packet *packet)
{
    const uint16_t ahead = (uint16_t)(client->in_next - packet->sequence);
    client->owes_ack = true;
    if ((size_t)ahead < packet->length) {
        const size_t room = sizeof client->in - client->in_length;
        size_t count = packet->length - ahead;
        if (count > room) {
            count = room;
        }
        (void)memcpy(&client->in[client->in_length], &packet->bytes[ahead], count);
        client->in_length += count;
        client->in_next = (uint16_t)(client->in_next + count);
    }
}

static void take_packet(struct mf_client *client, const struct mf_packet *packet, uint32_t now)
{
    client->heard_at = now;
    client->open_heard_at = now;
    switch (packet->kind) {
    case MF_OPENED:
        if ((client->link == OPENING) && (packet->nonce == client->nonce)) {
            client->link = OPEN;
            client->spoke_at = now;
        }
        break;
    case MF_DATA:
        if (client->link == OPEN) {
            take_data(client, packet);
        }
        break;
    case MF_ACK:
        if ((client->link == OPEN) && (!acknowledged(client, packet->sequence, now))) {
            client->link = CLOSED;
        }
        break;
    case MF_RESET:
    case MF_CLOSE:
        if (client->link == OPEN) {
            client->link = CLOSED;
        }
        break;
    case MF_OPEN:
    default:
        break;
    }
}

/* How long an acknowledgement may take: the time of the bytes on the line, twice. */
static uint32_t patience(const struct mf_client *client)
{
    const uint64_t pieces = (client->sent / client->piece) + 3u;
    const uint64_t bytes = client->sent + (pieces * FRAME_OVERHEAD);
    const uint32_t baud = (client->host->baud > 0u) ? client->host->baud : 115200u;
    return ADAPTERS_MS + (uint32_t)((20000u * bytes) / baud);
}

static bool say_what_is_due(struct mf_client *client, uint32_t now)
{
    struct mf_packet packet = {MF_OPEN, 0u, 0u, NULL, 0u};
    bool is_well = true;
    if (client->link == OPENING) {
        if (is_over(client->asked_at, now, OPEN_AGAIN_MS)) {
            client->asked_at = now;
            packet.nonce = client->nonce;
            is_well = say(client, &packet);
        }
    } else if (client->link == OPEN) {
        if (client->owes_ack || is_over(client->spoke_at, now, HEARTBEAT_MS)) {
            client->owes_ack = false;
            client->spoke_at = now;
            packet.kind = MF_ACK;
            packet.sequence = client->in_next;
            is_well = say(client, &packet);
        }
        if ((client->sent > 0u) && is_over(client->sent_at, now, patience(client))) {
            /* Lost: all of it again, in smaller pieces. */
            client->sent = 0u;
            client->piece = (client->piece > (2u * SMALLEST_PIECE)) ? (client->piece / 2u) : SMALLEST_PIECE;
        }
        while (is_well && (client->sent < client->out_length)) {
            size_t count = client->out_length - client->sent;
            if (count > client->piece) {
                count = client->piece;
            }
            packet.kind = MF_DATA;
            packet.sequence = (uint16_t)(client->out_base + client->sent);
            packet.bytes = &client->out[client->sent];
            packet.length = count;
            is_well = say(client, &packet);
            client->sent += count;
            client->sent_at = now;
            client->spoke_at = now;
        }
    } else {
        /* Begun anew at the next turn. */
    }
    return is_well;
}

/* Says the next message, where the last one was taken; false where the image cannot be read. */
static bool say_next(struct mf_client *client, uint32_t now)
{
    const size_t room = sizeof client->out;
    size_t length = 0u;
    bool is_well = true;
    switch (client->stage) {
    case STAGE_CLIENT:
        length = mf_say_client(client->identity, client->out, room);
        client->may_refuse = 2u;
        client->stage = STAGE_WATCH;
        break;
    case STAGE_WATCH:
        length = mf_say_watch(client->out, room);
        /* Once asked it is the same case by its number, and its image may be gone. */
        client->stage = client->was_asked ? STAGE_RUN : STAGE_PUT;
        break;
    case STAGE_PUT:
        length = mf_say_put(client->image, client->size, client->out, room);
        client->stage = STAGE_WANTED;
        break;
    case STAGE_CHUNKS: {
        /* Read to where it is sent from: behind the message's head, which is written around it. */
        uint8_t *bytes = client->wire;
        const uint32_t left = client->size - client->offset;
        const size_t count = (left < MF_CHUNK_LENGTH) ? (size_t)left : (size_t)MF_CHUNK_LENGTH;
        is_well = client->host->read_image(client->host->context, client->offset, bytes, count);
        if (is_well) {
            length = mf_say_chunk(client->offset, bytes, count, client->out, room);
            client->offset += (uint32_t)count;
            if (client->offset >= client->size) {
                client->stage = STAGE_WANTED;
            }
        }
        break;
    }
    case STAGE_RUN:
        length = mf_say_run(client->request, client->image, &client->asked, client->out, room);
        client->was_asked = true;
        client->stage = STAGE_ANSWER;
        break;
    case STAGE_WAIT:
        if (is_over(client->wait_until, now, 0u) && ((uint32_t)(now - client->wait_until) < 0x80000000u)) {
            client->stage = client->was_asked ? STAGE_RUN : STAGE_PUT;
        }
        break;
    case STAGE_IDLE:
    case STAGE_WANTED:
    case STAGE_ANSWER:
    default:
        break;
    }
    client->out_length = length;
    client->sent = 0u;
    return is_well;
}

static enum mf_outcome take_refused(struct mf_client *client, uint32_t now)
{
    const struct mf_report *report = &client->report;
    enum mf_outcome outcome = MF_WAS_REFUSED;
    if ((!report->has_request) && (report->number == UNKNOWN_MESSAGE) && (client->may_refuse > 0u)) {
        /* A device of before knows no identities, or no warnings. */
        client->may_refuse--;
        outcome = MF_GOES_ON;
    } else if ((report->number == NO_SUCH_IMAGE) || (report->number == IMAGE_BUSY) ||
               (report->number == TOO_MANY_WAITING)) {
        client->was_asked = false;
        client->stage = STAGE_WAIT;
        client->wait_until = now + WAIT_MS;
        outcome = MF_GOES_ON;
    } else {
        client->stage = STAGE_IDLE;
    }
    return outcome;
}

/* An answer of our case: the device is told that it was taken. */
static enum mf_outcome take_answer(struct mf_client *client, enum mf_outcome outcome)
{
    enum mf_outcome told = MF_GOES_ON;
    if (client->has_case && (client->report.id == client->id) && (client->stage == STAGE_ANSWER)) {
        client->stage = STAGE_IDLE;
        if (client->is_about_other) {
            told = MF_OTHER_IMAGE;
        } else {
            /* All that we said before was taken, or there would be no answer. */
            client->out_length = mf_say_taken(client->id, client->out, sizeof client->out);
            client->sent = 0u;
            told = outcome;
        }
    }
    return told;
}

static bool is_image(const struct mf_client *client)
{
    return memcmp(client->report.image, client->image, MF_HASH_LENGTH) == 0;
}

static enum mf_outcome take_report(struct mf_client *client, uint32_t now)
{
    const struct mf_report *report = &client->report;
    enum mf_outcome outcome = MF_GOES_ON;
    if (client->host->on_report != NULL) {
        client->host->on_report(client->host->context, report);
    }
    switch (report->said) {
    case MF_WANTED:
        if ((client->stage == STAGE_WANTED) && is_image(client) && (report->offset <= client->size)) {
            client->offset = report->offset;
            client->stage = STAGE_CHUNKS;
        }
        break;
    case MF_STORED:
        if ((client->stage == STAGE_WANTED) && is_image(client)) {
            client->stage = STAGE_RUN;
        }
        break;
    case MF_ACCEPTED:
        if (report->request == client->request) {
            client->id = report->id;
            client->has_case = true;
        }
        break;
    case MF_REFUSED:
        outcome = (client->stage != STAGE_IDLE) ? take_refused(client, now) : MF_GOES_ON;
        break;
    case MF_ABOUT:
        client->is_about_other = client->has_case && (report->id == client->id) && (!is_image(client));
        break;
    case MF_FINDING:
        outcome = take_answer(client, MF_HAS_FINDING);
        break;
    case MF_REFUSAL:
        outcome = take_answer(client, MF_HAS_REFUSAL);
        break;
    case MF_ABORTED:
        outcome = take_answer(client, MF_WAS_ABORTED);
        break;
    case MF_HELLO:
    case MF_CONSOLE:
    case MF_PROGRESS:
    case MF_STORAGE_FAULT:
    case MF_FETCHED:
    case MF_SAFE_STATE:
    case MF_NOTES:
    case MF_WARNINGS:
    default:
        break;
    }
    return outcome;
}

/* The messages that are whole, up to one that ends the case. */
static enum mf_outcome take_messages(struct mf_client *client, uint32_t now)
{
    enum mf_outcome outcome = MF_GOES_ON;
    bool goes_on = true;
    while (goes_on && (outcome == MF_GOES_ON) && (client->in_length >= 2u)) {
        const size_t length = (size_t)client->in[0] | ((size_t)client->in[1] << 8u);
        if (length > MF_MESSAGE_LENGTH) {
            outcome = MF_NO_PROTOCOL;
        } else if (client->in_length < (length + 2u)) {
            goes_on = false;
        } else {
            const bool is_known = mf_read_report(&client->in[2], length, &client->report);
            const size_t all = length + 2u;
            (void)memmove(client->in, &client->in[all], client->in_length - all);
            client->in_length -= all;
            if (is_known) {
                outcome = take_report(client, now);
            }
            /* A message of a later version is passed over. */
        }
    }
    return outcome;
}

static enum mf_outcome hear(struct mf_client *client, uint32_t now)
{
    enum mf_outcome outcome = MF_GOES_ON;
    uint8_t bytes[64];
    size_t count = client->host->receive(client->host->context, bytes, sizeof bytes);
    while ((count > 0u) && (outcome == MF_GOES_ON)) {
        for (size_t at = 0u; at < count; at++) {
            struct mf_packet packet;
            const enum mf_run run = mf_push(&client->splitter, bytes[at], &packet);
            if (run == MF_PACKET) {
                take_packet(client, &packet, now);
                if (outcome == MF_GOES_ON) {
                    outcome = take_messages(client, now);
                }
            } else if (run == MF_OTHER_VERSION) {
                outcome = MF_NO_PROTOCOL;
            } else {
                /* The line spoilt it: it comes again. */
            }
        }
        if (outcome == MF_GOES_ON) {
            count = client->host->receive(client->host->context, bytes, sizeof bytes);
        }
    }
    return outcome;
}

enum mf_outcome mf_turn(struct mf_client *client, uint32_t now_ms)
{
    const struct mf_host *host = client->host;
    const bool is_asked = client->stage != STAGE_IDLE;
    enum mf_outcome outcome = MF_GOES_ON;

    if (is_asked && is_over(client->heard_at, now_ms, host->patience_ms)) {
        client->stage = STAGE_IDLE;
        outcome = MF_SILENT;
    } else if (is_asked && (host->total_ms > 0u) && is_over(client->began_at, now_ms, host->total_ms)) {
        client->stage = STAGE_IDLE;
        outcome = MF_TIME_IS_UP;
    } else {
        if ((client->link == OPEN) && is_over(client->open_heard_at, now_ms, SILENCE_MS)) {
            client->link = CLOSED;
        }
        if ((client->link == CLOSED) && is_asked) {
            begin_link(client, now_ms);
        }
        outcome = hear(client, now_ms);
        if ((outcome == MF_GOES_ON) && (client->link == OPEN) && (client->out_length == 0u) &&
            (!say_next(client, now_ms))) {
            client->stage = STAGE_IDLE;
            outcome = MF_NO_IMAGE;
        }
        if (!say_what_is_due(client, now_ms)) {
            client->link = CLOSED;
        }
    }
    return outcome;
}
