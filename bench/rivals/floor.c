/* Reads a pcap file and goes through memory as netverdict does for its packets of TCP and UDP, and decides nothing: what
 * reading and keeping connections take by themselves. Lines are fetched 32 packets ahead, which Wasm has no instruction for.
 *
 * floor known FILE  every connection is there: a slot, the two lines of its entry and one of what was said of it
 * floor new FILE    every packet makes one: an entry, a row of the report, and a slot of both in an index that grows
 *
 * Prints the seconds that it took, how many packets there were, and how many connections. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, BATCH = 32, LINE = 64, BLOCK = 1 << 21, FRAME_MAX = 1 << 16 };

struct entry {
  uint64_t ends, packets, bytes, deadline;
  uint32_t ports, saying;
  uint8_t rest[128 - 40];
};

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

/* The number of the connection, or -1. */
static int64_t find(const struct table *table, uint32_t hash, uint64_t ends, uint32_t ports) {
  for (uint32_t at = hash; table->slots[at & table->mask] != 0; at++) {
    uint64_t slot = table->slots[at & table->mask];
    if ((uint32_t)slot != hash) continue;
    uint32_t number = (slot >> 32) - 1;
    if (entries[number].ends == ends && entries[number].ports == ports) return number;
  }
  return -1;
}

struct glance {
  uint64_t ends;
  uint32_t ports, hash, bytes;
  int64_t number;
};

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
  glance.ends = turned ? destination | (uint64_t)source << 32 : source | (uint64_t)destination << 32;
  glance.ports = turned ? to | (uint32_t)from << 16 : from | (uint32_t)to << 16;
  uint64_t hash = (glance.ends ^ glance.ports * 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
  glance.hash = hash >> 32;
  glance.bytes = bytes;
  return glance;
}

static struct table flows;

static void make_connection(const struct glance *one) {
  uint32_t number = connections++;
  struct entry *entry = &entries[number];
  struct row *row = &rows[number];
  memset(entry, 0, sizeof *entry);
  memset(row, 0, sizeof *row);
  entry->ends = row->ends = one->ends;
  entry->ports = row->ports = one->ports;
  entry->saying = number;
  row->packets = 1;
  row->bytes = one->bytes;
  insert(&flows, one->hash, number);
}

static void fetch_entry(const struct glance *one) {
  uint64_t slot = flows.slots[one->hash & flows.mask];
  if (slot == 0) return;
  const uint8_t *entry = (uint8_t *)&entries[(slot >> 32) - 1];
  __builtin_prefetch(entry);
  __builtin_prefetch(entry + LINE);
}

static void fetch_said(struct glance *one) {
  one->number = find(&flows, one->hash, one->ends, one->ports);
  if (one->number >= 0) __builtin_prefetch(&sayings[LINE * (uint64_t)entries[one->number].saying]);
}

static void count(struct glance *one) {
  /* One before it in the batch may have made it. */
  if (one->number < 0) one->number = find(&flows, one->hash, one->ends, one->ports);
  if (one->number < 0) {
    make_connection(one);
    return;
  }
  struct entry *entry = &entries[one->number];
  entry->packets++;
  entry->bytes += one->bytes;
  entry->rest[LINE]++;
  ++*(uint64_t *)&sayings[LINE * (uint64_t)entry->saying];
}

static uint32_t packets;

/* What is left of the block: a record that is not all there. */
static const uint8_t *pass(const uint8_t *at, const uint8_t *end) {
  struct glance glances[BATCH];
  int size;
  do {
    for (size = 0; size < BATCH && end - at >= HEADER; size++) {
      uint32_t captured, original;
      memcpy(&captured, at + 8, 4);
      memcpy(&original, at + 12, 4);
      if (end - at < HEADER + captured) break;
      glances[size] = look(at + HEADER, original);
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
  uint8_t *block = malloc(BLOCK + FRAME_MAX);
  /* As many as there are frames of the shortest kind, none of which was touched before. */
  uint64_t most = size / (HEADER + 54) + 1;
  entries = aligned_alloc(LINE, sizeof(struct entry) * most);
  rows = aligned_alloc(LINE, sizeof(struct row) * most);
  sayings = aligned_alloc(LINE, LINE * most);
  flows = make(1 << 14);
  if (strcmp(word_of[1], "known") == 0) read_all(file, block);
  double start = now();
  read_all(file, block);
  printf("%.9f %u %u\n", now() - start, packets, connections);
  return 0;
}
