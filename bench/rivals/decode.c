/* Decodes the frames of a pcap file that lies in memory, as netverdict does those that are plain: Ethernet, IPv4 without
 * options and not in fragments, TCP or UDP. Writes a record for each, and tells how many there were, and the sum of what
 * was read so that no compiler leaves the work out. Decides nothing. A program that prints how long it took, and
 * functions where it is made into Wasm. */
#include <stdint.h>

enum { HEADER = 16, ETHERNET = 14, IP_SIZE = 20, TCP_SIZE = 20, UDP_SIZE = 8, TCP = 6, UDP = 17, BATCH = 256 };

struct packet {
  const uint8_t *frame, *network, *transport, *end;
  uint32_t captured, original, known, flags;
  uint32_t source, destination, seq, ack, length, payload;
  uint16_t source_port, destination_port, window, id, type;
  uint8_t protocol, ttl, tos, tcp_flags, tcp_offset, family;
  uint8_t macs[12];
};

static struct packet packets[BATCH];

static uint32_t word(const uint8_t *at) {
  uint32_t value;
  __builtin_memcpy(&value, at, 4);
  return value;
}

static uint32_t big(const uint8_t *at) { return __builtin_bswap32(word(at)); }

static uint16_t half(const uint8_t *at) {
  uint16_t value;
  __builtin_memcpy(&value, at, 2);
  return __builtin_bswap16(value);
}

static uint32_t least(uint32_t one, uint32_t other) { return one < other ? one : other; }

static int is_plain(const uint8_t *frame, uint32_t captured, uint32_t original) {
  const uint8_t *ip = frame + ETHERNET, *transport = ip + IP_SIZE;
  if (captured < ETHERNET + IP_SIZE + 4 || half(frame + 12) != 0x0800 || ip[0] != 0x45) return 0;
  if ((half(ip + 6) & 0x3fff) != 0) return 0;
  uint32_t wire = (original > captured ? original : captured) - ETHERNET;
  uint32_t length = half(ip + 2);
  if (length > wire || length < IP_SIZE) return 0;
  uint32_t behind = least(captured - ETHERNET, length) - IP_SIZE, payload = length - IP_SIZE;
  if (ip[9] == TCP) {
    if (behind < 16) return 0;
    uint32_t header = (transport[12] >> 4) << 2;
    return header >= TCP_SIZE && header <= payload;
  }
  if (ip[9] != UDP || behind < 6) return 0;
  uint32_t told = half(transport + 4);
  return told >= UDP_SIZE && told <= payload;
}

static void decode(struct packet *packet, const uint8_t *frame, uint32_t captured, uint32_t original) {
  const uint8_t *ip = frame + ETHERNET, *transport = ip + IP_SIZE;
  uint32_t length = half(ip + 2), payload = length - IP_SIZE;
  packet->frame = frame;
  packet->captured = captured;
  packet->original = original;
  packet->protocol = ip[9];
  if (packet->protocol == TCP) {
    uint32_t header = (transport[12] >> 4) << 2;
    packet->seq = big(transport + 4);
    packet->ack = big(transport + 8);
    packet->window = half(transport + 14);
    packet->tcp_flags = transport[13];
    packet->tcp_offset = header >> 2;
    packet->payload = payload - header;
    packet->known = 0xfff;
  } else {
    packet->seq = packet->ack = 0;
    packet->window = packet->tcp_flags = packet->tcp_offset = 0;
    packet->payload = payload - UDP_SIZE;
    packet->known = 0x3ff;
  }
  packet->flags = (captured < original ? 1 : 0) | 2;
  __builtin_memcpy(packet->macs, frame, 12);
  packet->type = 0x0800;
  packet->family = 4;
  packet->ttl = ip[8];
  packet->tos = ip[1];
  packet->length = length;
  packet->id = half(ip + 4);
  packet->source = big(ip + 12);
  packet->destination = big(ip + 16);
  packet->source_port = half(transport);
  packet->destination_port = half(transport + 2);
  packet->network = ip;
  packet->transport = transport;
  packet->end = ip + least(captured - ETHERNET, length);
}

static uint32_t count;
static uint64_t sum;

static void decode_all(const uint8_t *at, const uint8_t *end) {
  count = 0;
  sum = 0;
  while (end - at >= HEADER) {
    uint32_t captured = word(at + 8), original = word(at + 12);
    const uint8_t *frame = at + HEADER;
    if (captured > end - frame) return;
    at = frame + captured;
    if (!is_plain(frame, captured, original)) continue;
    struct packet *packet = &packets[count % BATCH];
    decode(packet, frame, captured, original);
    count++;
    sum += (uint64_t)packet->source + packet->destination + packet->source_port + packet->destination_port + packet->seq;
    sum += (uint64_t)packet->protocol + packet->tcp_flags + packet->length + packet->payload;
  }
}

#ifdef __wasm__
extern uint8_t __heap_base;

/* Where a capture has room. */
uint8_t *room(void) { return &__heap_base; }

uint32_t decode_capture(const uint8_t *at, const uint8_t *end) {
  decode_all(at, end);
  return count;
}

uint64_t decoded_sum(void) { return sum; }
#else
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int words, char **word_of) {
  if (words != 2) return 2;
  FILE *file = fopen(word_of[1], "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) return 1;
  long size = ftell(file);
  rewind(file);
  uint8_t *bytes = malloc(size);
  if (bytes == NULL || fread(bytes, 1, size, file) != (size_t)size) return 1;
  decode_all(bytes + 24, bytes + size);
  double start = now();
  decode_all(bytes + 24, bytes + size);
  printf("%.9f %u %llu\n", now() - start, count, (unsigned long long)sum);
  return 0;
}
#endif
