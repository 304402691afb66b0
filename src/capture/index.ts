/**
 * The capture formats, told apart by the capture's first bytes and never by its name.
 */
import type { CaptureFormat } from "./format.ts";
import { PCAP } from "./pcap.ts";
import { PCAPNG } from "./pcapng.ts";
import { TCPDUMP } from "./tcpdump.ts";

/** The one list of capture formats. At most one of them claims a given start. */
export const CAPTURE_FORMATS: readonly CaptureFormat[] = [PCAP, PCAPNG, TCPDUMP];

/** How many bytes of a capture a format may want to see before it can say yes. */
export const DETECT_SIZE = 65536;

/**
 * Finds the format of a capture; undefined when none claims it.
 *
 * @param start the first bytes of the capture, `DETECT_SIZE` of them unless the capture is shorter
 */
export function detectFormat(start: Uint8Array): CaptureFormat | undefined {
  return CAPTURE_FORMATS.find((format) => format.detect(start));
}
