/* The floor: what the kernel alone costs per query. Reads queries in batches and sends each back with QR set.
 *
 *     echo PORT       on 127.0.0.1; writes "ready" once it reads, and ends by a signal
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, LARGEST = 1500, BUFFER = 4 << 20 };

static unsigned char packets[BATCH][LARGEST];
static struct sockaddr_in peers[BATCH];
static struct iovec places[BATCH];
static struct mmsghdr messages[BATCH];

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int sock = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(sock, (struct sockaddr *)&here, sizeof here)) {
        perror("bind");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        for (int at = 0; at < BATCH; at++) {
            places[at] = (struct iovec){packets[at], LARGEST};
            messages[at].msg_hdr = (struct msghdr){
                .msg_name = &peers[at], .msg_namelen = sizeof peers[at], .msg_iov = &places[at], .msg_iovlen = 1};
        }
        int count = recvmmsg(sock, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return 1;
        for (int at = 0; at < count; at++) {
            packets[at][2] |= 0x80;
            places[at].iov_len = messages[at].msg_len;
        }
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(sock, messages + sent, (unsigned)(count - sent), 0);
            sent += more > 0 ? more : 1; /* who cannot be reached is passed over */
        }
    }
}
