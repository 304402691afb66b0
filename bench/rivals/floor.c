/* Reads a pcap file of plain frames and keeps their connections of TCP and UDP, in as many lines as netverdict, and
 * decides nothing: what that takes by itself. Lines are fetched 32 packets ahead, which Wasm has no instruction for. No
 * connection expires.
 *
 * floor known FILE  every connection is there, made in a run before the clock starts: a slot, the two lines of its entry,
 *                   in which TCP's windows move on, and one of what was said of it and of others
 * floor new FILE    every packet makes one: an entry, a row of the report, and a slot of both in an index that grows
 *
 * Prints the seconds that it took, how many packets there were, and how often a connection was begun. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, BATCH = 32, LINE = 64, BLOCK = 1 << 21, FRAME_MAX = 1 << 16, SAYINGS = 256 };
enum { ETHERNET = 14, IP_SIZE = 20, TRANSPORT = ETHERNET + IP_SIZE, TCP_SIZE = 20, UDP_SIZE = 8, TCP = 6, UDP = 17 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { SIDE_UNACKNOWLEDGED = 1, SIDE_MAX_ACK = 2, ENTRY_ASSURED = 1 };

/* One direction of a TCP connection. */
struct side {
  uint32_t end, max_end, max_window, max_ack;
  uint8_t scale, flags;
};

struct entry {
  uint64_t ends, deadline;
  /* Packets and bytes that a row would have counted before they are too many for it. */
  uint32_t ports, saying, counted;
  struct side sides[2];
  uint32_t last_seq, last_ack, last_end;
  uint16_t last_window;
  uint8_t last_direction, retransmissions, flags, protocol, rest[6];
};

_Static_assert(sizeof(struct entry) == 96, "an entry has one and a half cache lines, and lies in two");

struct row {
  uint64_t ends;
  uint32_t ports, packets, bytes, rest[3];
};

/* Open addressing, at most half full: a hash and a number plus one, which grows by doubling. */
struct table {
  uint64_t *slots;
  uint32_t mask, count;
};

static struct entry *entries;
static struct row *rows;
static uint8_t *sayings;
static uint32_t connections;

static struct table make(uint32_t size) {
  struct table table = {aligned_alloc(LINE, 8ul * size), size - 1, 0};
  memset(table.slots, 0, 8ul * size);
  return table;
}

static void put(struct table *table, uint64_t slot) {
  uint32_t at = (uint32_t)slot;
  while (table->slots[at & table->mask] != 0) at++;
  table->slots[at & table->mask] = slot;
}

static void insert(struct table *table, uint32_t hash, uint32_t number) {
  if (++table->count > table->mask / 2) {
    struct table larger = make((table->mask + 1) * 2);
    for (uint32_t at = 0; at <= table->mask; at++)
      if (table->slots[at] != 0) put(&larger, table->slots[at]);
    free(table->slots);
    larger.count = table->count;
    *table = larger;
  }
  put(table, hash | (uint64_t)(number + 1) << 32);
}

struct glance {
  const uint8_t *frame;
  uint64_t ends, time;
  uint32_t ports, hash, bytes;
  uint8_t protocol;
  int turned;
  int64_t number;
};

static uint32_t word(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}

static uint32_t big(const uint8_t *at) { return __builtin_bswap32(word(at)); }

static uint16_t half(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, 2);
  return __builtin_bswap16(value);
}

/* Ethernet, IPv4 without options and not in fragments, TCP or UDP; all of it was captured. */
static int is_plain(const uint8_t *frame, uint32_t captured, uint32_t original) {
  const uint8_t *ip = frame + ETHERNET, *transport = frame + TRANSPORT;
  if (captured < TRANSPORT + UDP_SIZE || captured > original || half(frame + 12) != 0x0800) return 0;
  uint32_t length = half(ip + 2), payload = length - IP_SIZE;
  if (ip[0] != 0x45 || (half(ip + 6) & 0x3fff) != 0 || length < IP_SIZE || length > captured - ETHERNET) return 0;
  if (ip[9] == TCP) return payload >= TCP_SIZE && transport[12] >> 4 == TCP_SIZE / 4;
  return ip[9] == UDP && half(transport + 4) >= UDP_SIZE && half(transport + 4) <= payload;
}

/* The same for both directions. */
static struct glance look(const uint8_t *frame, uint32_t bytes) {
  struct glance glance;
  uint32_t source, destination;
  uint16_t from, to;
  memcpy(&source, frame + 26, 4);
  memcpy(&destination, frame + 30, 4);
  memcpy(&from, frame + 34, 2);
  memcpy(&to, frame + 36, 2);
  int turned = source > destination || (source == destination && from > to);
  glance.frame = frame;
  glance.turned = turned;
  glance.protocol = frame[ETHERNET + 9];
  glance.ends = turned ? destination | (uint64_t)source << 32 : source | (uint64_t)destination << 32;
  glance.ports = turned ? to | (uint32_t)from << 16 : from | (uint32_t)to << 16;
  uint64_t hash = (glance.ends ^ (glance.ports + glance.protocol) * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
  glance.hash = hash >> 32;
  glance.bytes = bytes;
  return glance;
}

static struct table flows;
static uint32_t begun;

/* The number of the connection, or -1. */
static int64_t find(const struct glance *one) {
  for (uint32_t at = one->hash; flows.slots[at & flows.mask] != 0; at++) {
    uint64_t slot = flows.slots[at & flows.mask];
    if ((uint32_t)slot != one->hash) continue;
    uint32_t number = (slot >> 32) - 1;
    const struct entry *entry = &entries[number];
    if (entry->ends == one->ends && entry->ports == one->ports && entry->protocol == one->protocol) return number;
  }
  return -1;
}

static int is_after(uint32_t one, uint32_t other) { return (int32_t)(other - one) < 0; }

/* Begins both windows anew: a segment does not fit them. */
static void begin(struct side *sender, struct side *receiver, uint32_t end, uint32_t ack, uint32_t window) {
  begun++;
  sender->end = end;
  receiver->end = ack;
  sender->max_end = end + window;
  receiver->max_end = ack + window;
  sender->max_window = receiver->max_window = window == 0 ? 1 : window;
}

/* An acknowledgement in its window moves it on, and the connection lives on. Source: van Rooij, "Real stateful TCP packet
 * filtering in IP Filter"; seconds are those of conntrack. */
static void follow(struct entry *entry, const struct glance *one) {
  const uint8_t *ip = one->frame + ETHERNET, *tcp = one->frame + TRANSPORT;
  struct side *sender = &entry->sides[one->turned], *receiver = &entry->sides[!one->turned];
  uint32_t seq = big(tcp + 4), ack = big(tcp + 8), told = half(tcp + 14);
  uint32_t end = seq + half(ip + 2) - IP_SIZE - TCP_SIZE, window = told << sender->scale;
  uint32_t behind = sender->max_window > 66000 ? sender->max_window : 66000;
  uint32_t beyond = (sender->max_end - seq) | (receiver->end - ack);
  uint32_t late = (end - (sender->end - receiver->max_window)) | (ack - (receiver->end - behind));
  int spoken = sender->max_window != 0 && receiver->max_window != 0;
  if ((tcp[13] & (FIN | SYN | RST | ACK)) != ACK || !spoken || (int32_t)(beyond | late) < 0) {
    begin(sender, receiver, end, ack, told);
    return;
  }
  if (window > sender->max_window) sender->max_window = window;
  int sends = is_after(end, sender->end), newer = (sender->flags & SIDE_MAX_ACK) == 0 || is_after(ack, sender->max_ack);
  sender->end = sends ? end : sender->end;
  sender->max_ack = newer ? ack : sender->max_ack;
  sender->flags |= (sends ? SIDE_UNACKNOWLEDGED : 0) | (newer ? SIDE_MAX_ACK : 0);
  receiver->max_window += is_after(end, sender->max_end) ? end - sender->max_end : 0;
  uint32_t offered = ack + window;
  receiver->max_end = is_after(offered, receiver->max_end - 1) ? offered + (window == 0) : receiver->max_end;
  receiver->flags &= ~(ack == receiver->end ? SIDE_UNACKNOWLEDGED : 0);
  uint32_t differs = (entry->last_direction ^ one->turned) | (entry->last_seq ^ seq) | (entry->last_ack ^ ack);
  differs |= (entry->last_end ^ end) | (entry->last_window ^ told);
  entry->retransmissions = differs ? 0 : entry->retransmissions + (entry->retransmissions < 255);
  entry->last_direction = one->turned;
  entry->last_seq = seq;
  entry->last_ack = ack;
  entry->last_end = end;
  entry->last_window = told;
  int again = entry->retransmissions >= 3, open = (sender->flags | receiver->flags) & SIDE_UNACKNOWLEDGED;
  uint32_t seconds = again || told == 0 ? 300 : 432000;
  if (!again && open) seconds = 300;
  entry->deadline = one->time + seconds * 1000000000ul;
  entry->flags |= ENTRY_ASSURED;
}

static void make_connection(const struct glance *one) {
  uint32_t number = connections++;
  begun++;
  struct entry *entry = &entries[number];
  struct row *row = &rows[number];
  memset(entry, 0, sizeof *entry);
  memset(row, 0, sizeof *row);
  entry->ends = row->ends = one->ends;
  entry->ports = row->ports = one->ports;
  entry->saying = number % SAYINGS;
  entry->protocol = one->protocol;
  row->packets = 1;
  row->bytes = one->bytes;
  insert(&flows, one->hash, number);
}

static void fetch_entry(const struct glance *one) {
  uint64_t slot = flows.slots[one->hash & flows.mask];
  if (slot == 0) return;
  const uint8_t *entry = (uint8_t *)&entries[(slot >> 32) - 1];
  __builtin_prefetch(entry);
  __builtin_prefetch(entry + sizeof(struct entry) - 1);
}

static void fetch_said(struct glance *one) {
  one->number = find(one);
  if (one->number >= 0) __builtin_prefetch(&sayings[LINE * (uint64_t)entries[one->number].saying]);
}

static void count(struct glance *one) {
  /* One before it in the batch may have made it. */
  if (one->number < 0) one->number = find(one);
  if (one->number < 0) {
    make_connection(one);
    return;
  }
  struct entry *entry = &entries[one->number];
  if (one->protocol == TCP) follow(entry, one);
  else entry->deadline = one->time + 120 * 1000000000ul;
  entry->counted += (1 << 20) + one->bytes;
  ++*(uint64_t *)&sayings[LINE * (uint64_t)entry->saying];
}

static uint32_t packets;

/* What is left of the block: a record that is not all there. */
static const uint8_t *pass(const uint8_t *at, const uint8_t *end) {
  struct glance glances[BATCH];
  int size;
  do {
    for (size = 0; size < BATCH && end - at >= HEADER; size++) {
      uint32_t captured = word(at + 8), original = word(at + 12);
      if (end - at < HEADER + captured) break;
      if (!is_plain(at + HEADER, captured, original)) exit(1);
      glances[size] = look(at + HEADER, original);
      glances[size].time = word(at) * 1000000000ul + word(at + 4) * 1000ul;
      __builtin_prefetch(&flows.slots[glances[size].hash & flows.mask]);
      at += HEADER + captured;
    }
    for (int index = 0; index < size; index++) fetch_entry(&glances[index]);
    for (int index = 0; index < size; index++) fetch_said(&glances[index]);
    for (int index = 0; index < size; index++) count(&glances[index]);
    packets += size;
  } while (size == BATCH);
  return at;
}

/* As the command reads a capture: into one block, whose rest is moved to its front. */
static void read_all(int file, uint8_t *block) {
  size_t kept = 0;
  ssize_t read_now;
  packets = 0;
  if (lseek(file, 24, SEEK_SET) != 24) exit(1);
  while ((read_now = read(file, block + kept, BLOCK)) > 0) {
    const uint8_t *end = block + kept + read_now, *left = pass(block, end);
    kept = end - left;
    memmove(block, left, kept);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int words, char **word_of) {
  if (words != 3) return 2;
  int file = open(word_of[2], O_RDONLY);
  struct stat about;
  if (file < 0 || fstat(file, &about) != 0) return 1;
  long size = about.st_size;
  uint8_t *block = malloc(BLOCK + HEADER + FRAME_MAX);
  /* As many as there are frames of the shortest kind, none of which was touched before. */
  uint64_t most = size / (HEADER + 54) + 1;
  entries = aligned_alloc(LINE, sizeof(struct entry) * most);
  rows = aligned_alloc(LINE, sizeof(struct row) * most);
  sayings = aligned_alloc(LINE, LINE * SAYINGS);
  flows = make(1 << 14);
  if (strcmp(word_of[1], "known") == 0) read_all(file, block);
  double start = now();
  read_all(file, block);
  printf("%.9f %u %u\n", now() - start, packets, begun);
  return 0;
}
