/** Lets the Wasm walk a capture's records where they lie. */
import * as layout from "../../assembly/layout.ts";
import type { PcapngLayout, TextLayout } from "../capture/format.ts";
import type { Records, WalkRecords } from "../capture/stream.ts";
import type { MatcherExports } from "./exports.ts";

const PACKETS_MAX = 0xffffffff;

/**
 * Decides at most so many packets of plain records.
 *
 * @param sources          address for `SCAN_SOURCES_MAX` records of interfaces
 * @param captureInterface PACKET_CAPTURE_INTERFACE of packets whose file names none; undefined: they stay without
 */
export function walkRecords(
  exports: MatcherExports,
  sources: number,
  { bytes, layout: records, before, latest }: Records,
  packetsMax: number,
  captureInterface: number | undefined,
): ReturnType<WalkRecords> {
  const from = bytes.byteOffset;
  const end = from + bytes.length;
  const most = Math.min(packetsMax, PACKETS_MAX);
  const big = records.format !== "tcpdump" && !records.littleEndian;
  exports.startScan(BigInt(before), latest, most, big);
  const place = captureInterface ?? layout.CAPTURE_INTERFACE_NONE;
  let behind: number;
  switch (records.format) {
    case "pcap": {
      const { headerSize, unit, snapLength, linkType } = records;
      behind = exports.scanPcap(from, end, headerSize, unit, snapLength, linkType, place);
      break;
    }
    case "pcapng": {
      const count = writeSources(new DataView(bytes.buffer), sources, records);
      behind = exports.scanPcapng(from, end, sources, count, records.first);
      break;
    }
    case "tcpdump": {
      const { timing, days, seconds, captureInterface: own = place } = records;
      behind = exports.scanText(from, end, TEXT_TIMES[timing], days, seconds, own);
    }
  }
  return {
    bytes: (behind >>> 0) - from,
    packets: exports.scannedCount() >>> 0,
    latest: BigInt.asUintN(64, exports.scannedLatest()),
    cut: exports.scanWasCut() !== 0,
  };
}

const TEXT_TIMES: Readonly<Record<TextLayout["timing"], number>> = {
  none: layout.TEXT_TIME_NONE,
  day: layout.TEXT_TIME_DAY,
  epoch: layout.TEXT_TIME_EPOCH,
  calendar: layout.TEXT_TIME_CALENDAR,
  rising: layout.TEXT_TIME_RISING,
  summed: layout.TEXT_TIME_SUMMED,
};

function writeSources(view: DataView, at: number, { sources }: PcapngLayout): number {
  const known = sources.slice(0, layout.SCAN_SOURCES_MAX);
  for (const [index, { scale, linkType }] of known.entries()) {
    const source = at + index * layout.SCAN_SOURCE_SIZE;
    view.setUint32(source, scale, true);
    view.setUint32(source + layout.SCAN_SOURCE_LINK_TYPE, linkType, true);
  }
  return known.length;
}
