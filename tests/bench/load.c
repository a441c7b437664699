/* Queries at a steady rate, and how long each answer took.
 *
 *     load PORT FILE RATE SECONDS SOCKETS
 *
 * FILE holds queries, each behind its length in two bytes, asked in turn, each with an identifier of its own. Answers
 * are timed by the kernel (SO_TIMESTAMPNS), so that it does not matter when this program comes to read them. Where it
 * is held up for longer than a burst, it goes on from there at the same rate. Writes one line:
 *
 *     sent N received N failed N p50_us N p99_us N p999_us N worst_us N
 *
 * "failed" are answers whose rcode is not NOERROR. What is not received within a second after the last was sent is lost.
 * SIGTERM ends the sending early.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, LARGEST = 1500, SOCKETS = 64, BUFFER = 4 << 20, BURST = 256, BUCKETS = 2000000, PAUSE_NS = 100000 };
static const int64_t SECOND = 1000000000, AFTER = 1000000000;

struct client {
    int sock;
    uint16_t next;
    int64_t *sent_ns; /* by identifier; 0: no answer is due */
};

static volatile sig_atomic_t told_to_end;
static struct client clients[SOCKETS];
static uint32_t histogram[BUCKETS]; /* by microsecond; the last holds what took longer */
static int64_t received, failed, worst_ns;
static unsigned char out[BATCH][LARGEST], in[BATCH][LARGEST];
static char notes[BATCH][64];
static struct iovec places[BATCH];
static struct mmsghdr messages[BATCH];

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static void end_soon(int number) {
    (void)number;
    told_to_end = 1;
}

static int open_clients(int count, int port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int size = BUFFER, on = 1;
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int at = 0; at < count; at++) {
        struct client *each = &clients[at];
        each->sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(each->sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        setsockopt(each->sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        each->sent_ns = calloc(65536, sizeof *each->sent_ns);
        if (!each->sent_ns || connect(each->sock, (struct sockaddr *)&there, sizeof there)) return -1;
    }
    return 0;
}

/* Sends up to BATCH queries from one socket, the next of the file; gives how many went out. */
static int send_some(struct client *from, const unsigned char **query, const unsigned char *begin,
                     const unsigned char *end, int count) {
    int64_t now = now_ns();
    for (int at = 0; at < count; at++) {
        size_t length = (size_t)((*query)[0] << 8 | (*query)[1]);
        uint16_t id = from->next++;
        memcpy(out[at], *query + 2, length);
        out[at][0] = (unsigned char)(id >> 8);
        out[at][1] = (unsigned char)id;
        from->sent_ns[id] = now;
        places[at] = (struct iovec){out[at], length};
        messages[at].msg_hdr = (struct msghdr){.msg_iov = &places[at], .msg_iovlen = 1};
        *query += 2 + length;
        if (*query >= end) *query = begin;
    }
    int gone = sendmmsg(from->sock, messages, (unsigned)count, 0);
    return gone < 0 ? 0 : gone;
}

static int64_t arrived_ns(struct msghdr *message) {
    for (struct cmsghdr *note = CMSG_FIRSTHDR(message); note; note = CMSG_NXTHDR(message, note))
        if (note->cmsg_level == SOL_SOCKET && note->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(note), sizeof at);
            return at.tv_sec * SECOND + at.tv_nsec;
        }
    return now_ns();
}

static void receive_all(struct client *by) {
    for (int count = BATCH; count == BATCH;) {
        for (int at = 0; at < BATCH; at++) {
            places[at] = (struct iovec){in[at], LARGEST};
            messages[at].msg_hdr = (struct msghdr){
                .msg_iov = &places[at], .msg_iovlen = 1, .msg_control = notes[at], .msg_controllen = sizeof notes[at]};
        }
        count = recvmmsg(by->sock, messages, BATCH, 0, NULL);
        for (int at = 0; at < count; at++) {
            int64_t *sent = &by->sent_ns[in[at][0] << 8 | in[at][1]];
            if (messages[at].msg_len < 12 || !*sent) continue;
            int64_t took = arrived_ns(&messages[at].msg_hdr) - *sent;
            int64_t bucket = took < 0 ? 0 : took / 1000;
            *sent = 0;
            received++;
            failed += (in[at][3] & 15) != 0;
            histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
            if (took > worst_ns) worst_ns = took;
        }
    }
}

static long within_us(double part) {
    int64_t left = (int64_t)((double)received * part);
    for (long at = 0; at < BUCKETS; at++)
        if ((left -= histogram[at]) < 0) return at;
    return BUCKETS;
}

static unsigned char *read_file(const char *name, size_t *size) {
    struct stat found;
    int file = open(name, O_RDONLY);
    if (file < 0 || fstat(file, &found)) return NULL;
    unsigned char *bytes = malloc((size_t)found.st_size);
    *size = (size_t)found.st_size;
    return bytes && read(file, bytes, *size) == found.st_size ? bytes : NULL;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    size_t size = 0;
    const unsigned char *begin = read_file(argv[2], &size), *query = begin;
    double per_ns = atof(argv[3]) / 1e9;
    int64_t seconds = atoll(argv[4]), sent = 0, counted = 0;
    int count = atoi(argv[5]), turn = 0;
    if (!begin || count < 1 || count > SOCKETS || open_clients(count, atoi(argv[1]))) {
        perror("load");
        return 1;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGTERM, end_soon);
    int64_t start = now_ns(), until = start + seconds * SECOND;
    for (int64_t now = start; now < until + AFTER && (now < until || received < sent); now = now_ns()) {
        if (told_to_end && until > now) until = now;
        int64_t due = now < until ? (int64_t)((double)(now - start) * per_ns) - counted : 0;
        if (due > BURST) {
            counted += due - BURST; /* we were held up */
            due = BURST;
        }
        for (int64_t left = due; left > 0; left -= BATCH, turn = (turn + 1) % count) {
            int some = left < BATCH ? (int)left : BATCH;
            sent += send_some(&clients[turn], &query, begin, begin + size, some);
            counted += some;
        }
        for (int at = 0; at < count; at++) receive_all(&clients[at]);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    printf("sent %lld received %lld failed %lld p50_us %ld p99_us %ld p999_us %ld worst_us %lld\n", (long long)sent,
           (long long)received, (long long)failed, within_us(0.5), within_us(0.99), within_us(0.999),
           (long long)(worst_ns / 1000));
    return 0;
}
