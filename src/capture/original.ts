/**
 * What a capture says of a packet, its interface and its section: enough to write the packet again as it
 * was. Options are those of pcapng, in little-endian order whatever the capture's is, each padded, without
 * `opt_endofopt`.
 */

/** A packet as it was captured; its bytes are a copy. */
export interface OriginalPacket {
  readonly section: OriginalSection;
  readonly interface: OriginalInterface;
  /** Ticks of the interface's clock, in two words; 0 where the capture gives no time. */
  readonly timeHigh: number;
  readonly timeLow: number;
  readonly originalLength: number;
  readonly frame: Uint8Array;
  readonly options: Uint8Array;
}

/** A section of a pcapng file, or a pcap file. */
export interface OriginalSection {
  readonly file: string;
  readonly options: Uint8Array;
  /** Grows as the capture is read. */
  readonly interfaces: OriginalInterface[];
}

/** An interface of a section. Its options say how its clock ticks; without them, in microseconds. */
export interface OriginalInterface {
  readonly linkType: number;
  /** 0: no limit. */
  readonly snapLength: number;
  readonly options: Uint8Array;
}
