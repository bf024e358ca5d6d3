/* The host's end of a medfocus device's serial line, in C99: frames, a reliable link, messages, and a
 * case from its image to its answer. docs/protocol.md is the specification.
 *
 * Goes in: bytes of the line, the time, an image by a function of the caller's. Comes out: bytes for the
 * line, and the answer. Called by a program or firmware whose host is neither Rust nor Python.
 *
 * Nothing here allocates, recurses, waits or reads a clock. All memory is in struct mf_client (about
 * 6 KB), and every buffer has a bound that is checked. Written by MISRA C:2012's rules as far as they
 * bind a library: fixed-width types, no dynamic memory, every return value used or cast to void.
 *
 * Must never: give an answer about another image than was sent (MF_OTHER_IMAGE instead), or take
 * damaged bytes for a message. */
#ifndef MEDFOCUS_LINK_H
#define MEDFOCUS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The protocol's version, and its bounds. */
#define MF_VERSION 1u
#define MF_DATA_LENGTH 960u     /* stream bytes of one frame */
#define MF_RUN_LENGTH 1024u     /* a frame without its stuffing */
#define MF_WIRE_LENGTH 2050u    /* a frame on the line at most */
#define MF_MESSAGE_LENGTH 1024u /* a message without its length */
#define MF_CHUNK_LENGTH 1000u   /* image bytes of one message at most */
#define MF_HASH_LENGTH 32u
#define MF_TEXT_LENGTH 127u     /* bytes of a text that are kept; a longer one is cut, and says so */
#define MF_CLASSES 16u          /* probabilities that are kept, the likeliest first */

/* ---- Frames ---- */

enum mf_kind { MF_OPEN, MF_OPENED, MF_DATA, MF_ACK, MF_RESET, MF_CLOSE };

/* What a frame says; which fields count, its kind says. */
struct mf_packet {
    enum mf_kind kind;
    uint32_t nonce;    /* MF_OPEN, MF_OPENED */
    uint16_t sequence; /* MF_DATA, MF_ACK */
    const uint8_t *bytes; /* MF_DATA: points into the splitter, until the next byte */
    size_t length;
};

enum mf_run {
    MF_NOTHING,   /* the run has not ended, or was empty */
    MF_PACKET,    /* a packet */
    MF_LINE,      /* a console line, of no business here */
    MF_DAMAGED,   /* the line spoilt it */
    MF_OTHER_VERSION, /* whole, and of another protocol version */
    MF_MALFORMED  /* whole, and no packet */
};

/* Cuts bytes into runs. Zeroed at first. */
struct mf_splitter {
    uint8_t bytes[MF_RUN_LENGTH];
    size_t length;
    bool is_stuffed;
    bool is_too_long;
    bool has_ended;
};

uint32_t mf_crc32(const uint8_t *bytes, size_t length);

/* Writes a frame of at most MF_WIRE_LENGTH bytes; 0 where it has no room or its data are too long. */
size_t mf_frame(const struct mf_packet *packet, uint8_t *to, size_t room);

/* Takes one byte; says what run it ended, and gives its packet. */
enum mf_run mf_push(struct mf_splitter *splitter, uint8_t byte, struct mf_packet *packet);

/* ---- Messages ---- */

/* A text of the device's, ended by a zero byte. */
struct mf_text {
    char text[MF_TEXT_LENGTH + 1u];
    bool is_cut;
};

enum mf_said {
    MF_HELLO, MF_CONSOLE, MF_WANTED, MF_STORED, MF_ACCEPTED, MF_REFUSED, MF_PROGRESS, MF_STORAGE_FAULT,
    MF_FINDING, MF_REFUSAL, MF_ABORTED, MF_FETCHED, MF_SAFE_STATE, MF_ABOUT, MF_NOTES, MF_WARNINGS
};

struct mf_class {
    struct mf_text name;
    double probability;
};

/* What the device says; which fields count, docs/protocol.md has in the table of its kind. */
struct mf_report {
    enum mf_said said;
    uint64_t id;       /* the case; of MF_HELLO, the device */
    uint64_t request;  /* MF_ACCEPTED, MF_REFUSED */
    bool has_request;  /* MF_REFUSED: of a request */
    int16_t number;    /* MF_REFUSED */
    uint32_t offset;   /* MF_WANTED */
    uint8_t image[MF_HASH_LENGTH]; /* MF_WANTED, MF_STORED, MF_ABOUT */
    uint8_t step;      /* MF_PROGRESS: 0 waiting, 1 started, 2 a stage */
    uint8_t stage;     /* from 0 */
    uint8_t stages;
    bool is_so;        /* MF_STORAGE_FAULT: it failed; MF_CONSOLE: more follows */
    uint32_t region[4];
    double area;
    uint32_t class_count;       /* all that the device has */
    struct mf_text exam;        /* MF_FINDING; of MF_HELLO, the bundle */
    struct mf_text text;        /* class, code, codes, line; of MF_HELLO, the software */
    struct mf_text help;        /* level of a finding; else what to do */
    struct mf_text intended_use;
    struct mf_class classes[MF_CLASSES];
};

enum mf_priority { MF_ROUTINE = 0, MF_URGENT = 1, MF_STAT = 2 };

/* What a case is asked. What is left zero or NULL is not said. */
struct mf_question {
    const char *exam; /* NULL: what the image itself asks for */
    const uint32_t *region; /* x, y, width, height; NULL: anywhere */
    enum mf_priority priority;
    bool has_age;
    uint8_t age; /* in whole years */
    char sex; /* 'F', 'M', 'O', or 0 */
};

/* Each writes a message with its length before it; 0 where it has no room. */
size_t mf_say_console(const char *line, uint8_t *to, size_t room);
size_t mf_say_put(const uint8_t image[MF_HASH_LENGTH], uint32_t size, uint8_t *to, size_t room);
size_t mf_say_chunk(uint32_t offset, const uint8_t *bytes, size_t length, uint8_t *to, size_t room);
size_t mf_say_run(uint64_t request, const uint8_t image[MF_HASH_LENGTH], const struct mf_question *asked,
                  uint8_t *to, size_t room);
size_t mf_say_fetch(uint8_t *to, size_t room);
size_t mf_say_taken(uint64_t id, uint8_t *to, size_t room);
size_t mf_say_client(uint64_t identity, uint8_t *to, size_t room);
size_t mf_say_watch(uint8_t *to, size_t room);

/* Reads a message without its length; false where it is none that is known. */
bool mf_read_report(const uint8_t *bytes, size_t length, struct mf_report *report);

/* ---- SHA-256, by which an image is named ---- */

struct mf_sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

void mf_sha256_begin(struct mf_sha256 *hash);
void mf_sha256_add(struct mf_sha256 *hash, const uint8_t *bytes, size_t length);
void mf_sha256_end(struct mf_sha256 *hash, uint8_t digest[MF_HASH_LENGTH]);

/* ---- A case, from its image to its answer ---- */

enum mf_outcome {
    MF_GOES_ON,      /* call mf_turn again */
    MF_HAS_FINDING,  /* the finding is in report; wait for mf_is_settled, then it is the host's */
    MF_HAS_REFUSAL,  /* the same: a refusal, with code in text and help */
    MF_WAS_ABORTED,  /* somebody dropped the case */
    MF_WAS_REFUSED,  /* the device does not do it: number and text in report */
    MF_OTHER_IMAGE,  /* the answer is about another image: it is not to be used */
    MF_SILENT,       /* no device within patience_ms */
    MF_TIME_IS_UP,   /* total_ms is over; what was accepted is answered all the same */
    MF_NO_PROTOCOL,  /* the device speaks another version, or what is no protocol */
    MF_NO_IMAGE      /* the caller's image cannot be read */
};

/* What the caller gives: the line, which never waits, and the image, which is read piece by piece. */
struct mf_host {
    void *context;
    /* Up to room bytes that came; 0 where there are none. */
    size_t (*receive)(void *context, uint8_t *to, size_t room);
    /* Takes all of these bytes, or false: the line is gone. */
    bool (*send)(void *context, const uint8_t *bytes, size_t length);
    /* All of these bytes of the image, or false. */
    bool (*read_image)(void *context, uint32_t offset, uint8_t *to, size_t length);
    /* What the device says beside the answer: progress, the safe state, warnings. May be NULL. */
    void (*on_report)(void *context, const struct mf_report *report);
    uint32_t baud;
    uint32_t patience_ms; /* without a sign of a device */
    uint32_t total_ms;    /* for one case; 0 for no bound */
};

struct mf_client {
    const struct mf_host *host;
    struct mf_splitter splitter;
    uint8_t wire[MF_WIRE_LENGTH];
    /* The stream that goes out: one message at a time, cut into pieces. */
    uint8_t out[MF_MESSAGE_LENGTH + 2u];
    size_t out_length;
    size_t sent;
    uint16_t out_base;
    size_t piece;
    uint32_t sent_at;
    /* The stream that comes in. */
    uint8_t in[MF_MESSAGE_LENGTH + 2u];
    size_t in_length;
    uint16_t in_next;
    bool owes_ack;
    /* The link. */
    uint8_t link; /* 0 closed, 1 opening, 2 open */
    uint32_t nonce;
    uint32_t asked_at, spoke_at, heard_at, open_heard_at;
    /* The case. */
    uint8_t stage;
    uint8_t may_refuse;
    bool was_asked;
    bool is_about_other;
    bool has_case;
    uint64_t identity, request, id;
    uint32_t size, offset, began_at, wait_until;
    uint8_t image[MF_HASH_LENGTH];
    struct mf_question asked;
    struct mf_report report;
};

/* A client of this line. Identity and first nonce are drawn by chance, once for as long as the numbers
 * of requests do not start again: after a restart, draw another. */
void mf_begin(struct mf_client *client, const struct mf_host *host, uint64_t identity, uint32_t nonce,
              uint32_t now_ms);

/* Asks for an image of this size and hash, by a number that this identity never used. What asked points
 * to must stay until the answer. */
void mf_ask(struct mf_client *client, uint64_t request, const uint8_t image[MF_HASH_LENGTH], uint32_t size,
            const struct mf_question *asked, uint32_t now_ms);

/* Does what is due and waits for nothing: call it every few milliseconds, and at least every 50. The
 * time may run over; it counts in milliseconds. Bytes that come meanwhile must be kept by the caller's
 * driver: 4 KB at least, since so many may be on their way. */
enum mf_outcome mf_turn(struct mf_client *client, uint32_t now_ms);

/* Whether the device knows that the answer was taken. Until then it may give it once more. */
bool mf_is_settled(const struct mf_client *client);

/* Ends the link. */
void mf_end(struct mf_client *client);

#ifdef __cplusplus
}
#endif

#endif
