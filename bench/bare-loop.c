/*
 * The least that a DNS server on UDP can do: receive a batch, append the same records to every question, send the
 * batch. Two uses: the floor that servers are measured against, and the upstream behind them, which must be faster
 * than they are. Checks only what keeps it from writing outside its buffers. Linux.
 *
 *     bare-loop PORT RECORDS      on 127.0.0.1; every A question gets 10.0.1.10, 10.0.1.11, ...; other types get none
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, SLOT = 2048, MOST_ASKED = 512, HEADER = 12, RECORD = 16, OPT = 11, MOST_RECORDS = 64 };

static unsigned char slots[BATCH][SLOT];
static struct sockaddr_in clients[BATCH];
static struct iovec pieces[BATCH];
static struct mmsghdr messages[BATCH];
static unsigned char records[MOST_RECORDS * RECORD];
static int record_count;

/* Owner: a pointer to the question's name; type A, class IN, TTL 3600. */
static void compose_records(void) {
  static const unsigned char first[RECORD] = {0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 10, 0, 1, 10};
  for (int i = 0; i < record_count; i++) {
    memcpy(records + i * RECORD, first, RECORD);
    records[i * RECORD + RECORD - 1] += i;
  }
}

/* Turns the query in the slot into its reply; returns the octets of it, 0 for what cannot be answered. */
static size_t answer(unsigned char *slot, size_t length) {
  size_t at = HEADER;
  if (length < HEADER + 5) return 0;
  while (at < length && slot[at] != 0) at += slot[at] + 1;
  size_t question_end = at + 5;
  if (question_end > length) return 0;
  int is_a = slot[at + 1] == 0 && slot[at + 2] == 1;
  int has_opt = slot[11] == 1 && question_end + OPT <= length && slot[question_end + 2] == 41;
  slot[2] = 0x80 | (slot[2] & 0x01); /* QR, RD as asked */
  slot[3] = 0x80;                    /* RA */
  slot[6] = slot[8] = slot[9] = slot[10] = 0;
  slot[7] = is_a ? record_count : 0;
  slot[11] = has_opt;
  unsigned char *end = slot + question_end;
  if (is_a) {
    memcpy(end, records, record_count * RECORD);
    end += record_count * RECORD;
  }
  if (has_opt) {
    static const unsigned char opt[OPT] = {0, 0, 41, 0x04, 0xd0};
    memcpy(end, opt, OPT);
    end += OPT;
  }
  return end - slot;
}

static int open_socket(int port) {
  int octets = 4 << 20;
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, sizeof octets);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
  if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  record_count = atoi(arguments[2]);
  if (record_count < 0 || record_count > MOST_RECORDS) return 2;
  compose_records();
  int fd = open_socket(atoi(arguments[1]));
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      pieces[i] = (struct iovec){slots[i], MOST_ASKED};
      messages[i].msg_hdr = (struct msghdr){
          .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    int replies = 0;
    for (int i = 0; i < received; i++) {
      size_t octets = answer(slots[i], messages[i].msg_len);
      if (octets == 0) continue;
      pieces[i].iov_len = octets;
      messages[replies++].msg_hdr = messages[i].msg_hdr;
    }
    for (int sent = 0; sent < replies;) {
      int more = sendmmsg(fd, messages + sent, replies - sent, 0);
      sent += more > 0 ? more : 1; /* one that cannot be sent is lost */
    }
  }
}
