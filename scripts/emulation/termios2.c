/* Line settings for emulated programs: QEMU's user emulation before 10.2 does not know the
 * calls that set any speed (TCGETS2, TCSETS2), without which no serial port opens. Here they
 * are made of those that it knows. Preloaded by scripts/emulated into the programs that it
 * runs, and no part of the product. Speeds without a code of their own are refused. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <asm/termbits.h>

#define GETS 0x5401ul
#define SETS 0x5402ul
#define GETS2 0x802c542aul
#define SETS2 0x402c542bul /* and SETSW2, SETSF2: now, after what was written, and dropping the rest */

/* ioctl's own meaning, without the header: it declares termios another way. */
int ioctl(int file, unsigned long request, ...);

static const struct { unsigned int code, speed; } SPEEDS[] = {
    {B300, 300},         {B1200, 1200},       {B2400, 2400},       {B4800, 4800},
    {B9600, 9600},       {B19200, 19200},     {B38400, 38400},     {B57600, 57600},
    {B115200, 115200},   {B230400, 230400},   {B460800, 460800},   {B500000, 500000},
    {B576000, 576000},   {B921600, 921600},   {B1000000, 1000000}, {B1152000, 1152000},
    {B1500000, 1500000}, {B2000000, 2000000}, {B2500000, 2500000}, {B3000000, 3000000},
    {B3500000, 3500000}, {B4000000, 4000000},
};

static unsigned int speed_of(unsigned int modes) {
    for (unsigned int i = 0; i < sizeof SPEEDS / sizeof *SPEEDS; i++)
        if (SPEEDS[i].code == (modes & CBAUD)) return SPEEDS[i].speed;
    return 0;
}

static int code_of(unsigned int speed, unsigned int *code) {
    for (unsigned int i = 0; i < sizeof SPEEDS / sizeof *SPEEDS; i++)
        if (SPEEDS[i].speed == speed) {
            *code = SPEEDS[i].code;
            return 0;
        }
    errno = EINVAL;
    return -1;
}

int ioctl(int file, unsigned long request, ...) {
    static int (*next)(int, unsigned long, ...);
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!next) next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");

    struct termios old;
    struct termios2 *new = argument;
    if (request == GETS2) {
        if (next(file, GETS, &old) < 0) return -1;
        /* The old one is the beginning of the new one. */
        memcpy(new, &old, sizeof old);
        new->c_ispeed = new->c_ospeed = speed_of(old.c_cflag);
        return 0;
    }
    if (request >= SETS2 && request <= SETS2 + 2) {
        memcpy(&old, new, sizeof old);
        if ((old.c_cflag & CBAUD) == BOTHER) {
            unsigned int code;
            if (code_of(new->c_ospeed, &code) < 0) return -1;
            old.c_cflag = (old.c_cflag & ~CBAUD) | code;
        }
        return next(file, SETS + (request - SETS2), &old);
    }
    return next(file, request, argument);
}
