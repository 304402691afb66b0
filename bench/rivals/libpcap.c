/* Reads a capture through libpcap, takes each packet's five-tuple apart, and prints how many packets there
 * were, and the sum of all fields so that no compiler leaves the work out. Decides nothing. */
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint64_t packets;
static uint64_t sum;

static uint32_t word(const u_char *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}

static void take(u_char *user, const struct pcap_pkthdr *header, const u_char *frame) {
  (void)user;
  packets++;
  if (header->caplen < 34) return;
  const u_char *ip = frame + 14;
  if (frame[12] == 0x08 && frame[13] == 0x00) {
    uint32_t size = (ip[0] & 15) * 4;
    sum += word(ip + 12) + word(ip + 16) + ip[9];
    if ((ip[9] == 6 || ip[9] == 17) && header->caplen >= 14 + size + 4) sum += word(ip + size);
  } else if (frame[12] == 0x86 && frame[13] == 0xdd && header->caplen >= 58) {
    for (int at = 8; at < 40; at += 4) sum += word(ip + at);
    sum += ip[6] + word(ip + 40);
  }
}

int main(int count, char **words) {
  char error[PCAP_ERRBUF_SIZE];
  if (count != 2) return 2;
  pcap_t *capture = pcap_open_offline(words[1], error);
  if (capture == NULL) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  if (pcap_loop(capture, -1, take, NULL) != 0) return 1;
  printf("%llu %llu\n", (unsigned long long)packets, (unsigned long long)sum);
  pcap_close(capture);
  return 0;
}
