/** The side of a matcher that captures are fed into: it decides packets, and has no words for what it decides. */
import * as layout from "../../assembly/layout.ts";
import { PacketBatch } from "../capture/batch.ts";
import type { Records, WalkRecords } from "../capture/stream.ts";
import { captureInterface } from "../tables/captured-interface.ts";
import type { CapturedInterface, ToldInterfaces } from "../tables/captured-interface.ts";
import type { MatcherExports } from "./exports.ts";
import { walkRecords } from "./scan.ts";
import { obstacleText } from "./share.ts";

/** Frames are read a little further than they go (`PLAIN_READ`, assembly/plain-frame.ts). */
const READ_BEHIND = 16;

/** Something that is done in the middle of a batch. */
export interface Turn {
  readonly index: number;
  readonly act: () => void;
}

/** Its memory holds one block of the capture and one batch, beside what it decides by. */
export interface Feed {
  /** The records that capture readers fill. */
  readonly batch: PacketBatch;
  /** Address of `BLOCK_SIZE` bytes for the capture's bytes. */
  readonly blockAddress: number;
  readonly blockSize: number;
  /** The memory as it is now; growing replaces it. */
  memory(): ArrayBufferLike;
  /** Takes room in the memory that is never given back, for another block: its address. */
  allocate(size: number): number;
  /** Names the capture's interfaces, by PACKET_CAPTURE_INTERFACE; undefined entries are derived by route. */
  nameInterfaces(names: readonly (string | undefined)[]): void;
  /** The name of the node's interface that has this number; undefined where no node told it. */
  interfaceName(index: number): string | undefined;
  /**
   * Decides every packet of the batch, in order.
   *
   * @param turn before the packet at this index of the batch something is done
   */
  replay(turn?: Turn): void;
  /**
   * Decides at most so many packets of plain records, without a record or a verdict of their own: only
   * totals, flows and rules count them.
   *
   * @param captureInterface PACKET_CAPTURE_INTERFACE of packets whose file names none; undefined: they stay without
   */
  walkRecords(
    records: Records,
    packetsMax: number,
    captureInterface: number | undefined,
  ): ReturnType<WalkRecords>;
  /** Settles what waits for packets that do not come any more; the batch is empty then. */
  finish(): void;
  /** How many packets did not walk, as one like them had. */
  repeated(): number;
  /** Why a share's verdicts may be wrong: something hangs on packets of all shares. Undefined: nothing does. */
  obstacle(): string | undefined;
}

/** What of a program captures have to do with. */
export interface FeedNames {
  /** The number of an interface that the capture names, and what it is; 0 when nothing tells. */
  readonly captured: (name: string) => CapturedNumber;
  /** Of a node's interfaces, by their own numbers. */
  readonly nameByIndex: ReadonlyMap<number | undefined, string>;
}

/** A number of an interface, and what it is: one of CAPTURED_*. */
export interface CapturedNumber {
  readonly number: number;
  readonly stand: number;
}

/** Numbers an interface that a capture names. `numberOf`: by a name that rules or routes have, else 0. */
export function numberCaptured(
  captured: string,
  told: ToldInterfaces,
  numberOf: (name: string) => number,
): CapturedNumber {
  const { name, stand } = captureInterface(captured, told);
  return { number: numberOf(name), stand: STANDS[stand] };
}

const STANDS: Readonly<Record<CapturedInterface["stand"], number>> = {
  told: layout.CAPTURED_TOLD,
  "perhaps-elsewhere": layout.CAPTURED_PERHAPS_ELSEWHERE,
  "perhaps-below": layout.CAPTURED_PERHAPS_BELOW,
  "perhaps-pod": layout.CAPTURED_PERHAPS_POD,
};

const NAMELESS: CapturedNumber = { number: 0, stand: layout.CAPTURED_TOLD };

/** Addresses of what is read into and out of. */
export interface FeedPlaces {
  readonly packets: number;
  readonly verdicts: number;
  readonly arena: number;
  readonly scanSources: number;
  readonly block: number;
}

/** Takes the room that a feed needs. */
export function allocateFeed(exports: MatcherExports): FeedPlaces {
  return {
    packets: exports.allocate(layout.BATCH_PACKETS * layout.PACKET_SIZE),
    verdicts: exports.allocate(layout.BATCH_PACKETS * layout.VERDICT_SIZE),
    arena: exports.allocate(layout.ARENA_SIZE),
    scanSources: exports.allocate(layout.SCAN_SOURCES_MAX * layout.SCAN_SOURCE_SIZE),
    block: exports.allocate(layout.BLOCK_SIZE + READ_BEHIND),
  };
}

/** Makes the feed of a matcher whose tables are packed. */
export function makeFeed(
  exports: MatcherExports,
  { packets, verdicts, arena, scanSources, block }: FeedPlaces,
  { captured, nameByIndex }: FeedNames,
  tracePacket = 0,
): Feed {
  const memory = (): ArrayBufferLike => exports.memory.buffer;
  const batch = new PacketBatch(memory, packets, arena);
  return {
    batch,
    blockAddress: block,
    blockSize: layout.BLOCK_SIZE,
    memory,
    allocate: (size) => exports.allocate(size),
    nameInterfaces(names) {
      names.forEach((name, index) => {
        const { number, stand } = name === undefined ? NAMELESS : captured(name);
        exports.setCaptureInterface(index, number, stand);
      });
    },
    interfaceName: (index) => nameByIndex.get(index),
    replay(turn) {
      const first = turn?.index ?? batch.count;
      exports.replay(packets, verdicts, first, BigInt(tracePacket));
      if (turn === undefined) return;
      turn.act();
      const rest = verdicts + first * layout.VERDICT_SIZE;
      exports.replayMore(batch.recordAt(first), rest, batch.count - first);
    },
    walkRecords: (records, packetsMax, captureInterface) =>
      walkRecords(exports, scanSources, records, packetsMax, captureInterface),
    finish() {
      batch.clear();
      exports.finish();
    },
    repeated: () => Number(exports.repeatCount()),
    obstacle: () => obstacleText(exports.shareObstacle()),
  };
}
