/* Sends the frames of a file out of an interface, over and over, as fast as one thread can, and prints how many
 * were sent and in how many nanoseconds. The file holds records of a 32-bit length and the frame.
 * The queue is left out (PACKET_QDISC_BYPASS): on a veth pair the other side receives in the same call.
 *
 * usage: flood INTERFACE FILE PASSES */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif
#define BATCH 256

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int count, char **words) {
  if (count != 4) return 2;
  FILE *file = fopen(words[2], "rb");
  struct stat stat;
  if (file == NULL || fstat(fileno(file), &stat) != 0) fail(words[2]);
  char *bytes = malloc(stat.st_size);
  if (fread(bytes, 1, stat.st_size, file) != (size_t)stat.st_size) fail("read");

  size_t frames = 0;
  for (off_t at = 0; at < stat.st_size; frames++) {
    uint32_t length;
    memcpy(&length, bytes + at, 4);
    at += 4 + length;
  }
  struct iovec *vectors = calloc(frames, sizeof *vectors);
  struct mmsghdr *messages = calloc(frames, sizeof *messages);
  off_t at = 0;
  for (size_t index = 0; index < frames; index++) {
    uint32_t length;
    memcpy(&length, bytes + at, 4);
    vectors[index] = (struct iovec){bytes + at + 4, length};
    messages[index].msg_hdr.msg_iov = &vectors[index];
    messages[index].msg_hdr.msg_iovlen = 1;
    at += 4 + length;
  }

  int sock = socket(AF_PACKET, SOCK_RAW, 0);
  int one = 1;
  struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(words[1])};
  if (sock < 0 || place.sll_ifindex == 0) fail(words[1]);
  if (setsockopt(sock, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) != 0) fail("bypass");
  if (bind(sock, (struct sockaddr *)&place, sizeof place) != 0) fail("bind");

  struct timespec start, end;
  uint64_t sent = 0;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int pass = 0; pass < atoi(words[3]); pass++) {
    for (size_t from = 0; from < frames;) {
      size_t many = frames - from < BATCH ? frames - from : BATCH;
      int done = sendmmsg(sock, messages + from, many, 0);
      if (done <= 0) fail("sendmmsg");
      from += done;
      sent += done;
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  long long nanoseconds = (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec);
  printf("%llu %lld\n", (unsigned long long)sent, nanoseconds);
  return 0;
}
