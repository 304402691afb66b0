// `-m bpf --bytecode`: a program of the classic packet filter, run from the IP header on. Jumps lead
// forward only, so it ends. Source: Linux, xt_bpf.c and net/core/filter.c; McCanne and Jacobson 1993.
import {
  askForBytes,
  capturedLength,
  currentBytes,
  currentLength,
  hasBytes,
  wordAt,
} from "../current-bytes";
import { ask } from "../fork";
import { MATCH_HEADER_SIZE, REASON_NOT_MODELLED } from "../layout";

const PAYLOAD: usize = MATCH_HEADER_SIZE;
const INSTRUCTION_SIZE: usize = 8;

// Classes of instructions.
const LD = 0;
const LDX = 1;
const ST = 2;
const STX = 3;
const ALU = 4;
const JMP = 5;
const RET = 6;
// Addressing modes.
const IMM: u32 = 0x00;
const ABS: u32 = 0x20;
const IND: u32 = 0x40;
const MEM: u32 = 0x60;
const LEN: u32 = 0x80;
const MSH: u32 = 0xa0;
/** The operand is register X, not the constant. */
const BY_X: u32 = 0x08;
/** Offsets from here on count from the IP header, those from `LINK` on from the link layer's; none lies before. */
const NETWORK: i32 = -0x100000;
const LINK: i32 = -0x200000;
const ANCILLARY: i32 = -0x1000;

// u32[16]: the program's own memory.
const scratch: usize = memory.data(64);

/** The program returns something else than zero. */
export function matchBpf(match: usize, rule: i32): bool {
  const length = currentLength();
  const bytes: usize = hasBytes() ? currentBytes() : 0;
  let at = match + PAYLOAD + 4;
  let a: u32 = 0;
  let x: u32 = 0;
  memory.fill(scratch, 0, 64);
  while (true) {
    const code: u32 = load<u16>(at);
    const k = load<u32>(at, 4);
    const operand = (code & BY_X) != 0 ? x : k;
    let next = at + INSTRUCTION_SIZE;
    switch (<i32>(code & 7)) {
      case LD:
      case LDX: {
        const mode = code & 0xe0;
        let value = k;
        if (mode == MEM) value = load<u32>(scratch + ((<usize>k) << 2));
        else if (mode == LEN || mode == ABS || mode == IND || mode == MSH) {
          if (bytes == 0) return askForBytes(match, rule);
          if (mode == LEN) value = length;
          else {
            const size: u32 = mode == MSH ? 1 : 4 >> ((code >> 3) & 3);
            let offset = <i32>(mode == IND ? x + k : k);
            if (offset < 0) {
              if (offset < LINK) return false;
              if (offset < NETWORK || (mode == ABS && offset >= ANCILLARY)) {
                return ask(<u64>match, REASON_NOT_MODELLED, rule);
              }
              offset -= NETWORK;
            }
            const from = <u32>offset;
            // > What lies beyond the packet ends the program with zero.
            if (length < size || from > length - size) return false;
            const captured = capturedLength();
            if (captured < size || from > captured - size) return askForBytes(match, rule);
            const source = bytes + from;
            if (size == 4) value = wordAt(source);
            else if (size == 2) value = <u32>bswap(load<u16>(source));
            else value = load<u8>(source);
            if (mode == MSH) value = (value & 0xf) << 2;
          }
        } else if (mode != IMM) unreachable();
        if ((code & 7) == LD) a = value;
        else x = value;
        break;
      }
      case ST:
        store<u32>(scratch + ((<usize>k) << 2), a);
        break;
      case STX:
        store<u32>(scratch + ((<usize>k) << 2), x);
        break;
      case ALU: {
        const operation = code & 0xf0;
        // > Division by zero ends the program with zero.
        if ((operation == 0x30 || operation == 0x90) && operand == 0) return false;
        a = calculate(operation, a, operand);
        break;
      }
      case JMP: {
        const operation = code & 0xf0;
        if (operation == 0) {
          next += <usize>k * INSTRUCTION_SIZE;
          break;
        }
        const jumps: usize = compare(operation, a, operand) ? load<u8>(at, 2) : load<u8>(at, 3);
        next += jumps * INSTRUCTION_SIZE;
        break;
      }
      case RET:
        return ((code & 0x18) == 0x10 ? a : k) != 0;
      default:
        if ((code & 0xf8) == 0) x = a;
        else a = x;
    }
    at = next;
  }
}

function calculate(operation: u32, a: u32, operand: u32): u32 {
  switch (<i32>operation) {
    case 0x00:
      return a + operand;
    case 0x10:
      return a - operand;
    case 0x20:
      return a * operand;
    case 0x30:
      return a / operand;
    case 0x40:
      return a | operand;
    case 0x50:
      return a & operand;
    case 0x60:
      return a << operand;
    case 0x70:
      return a >> operand;
    case 0x80:
      return 0 - a;
    case 0x90:
      return a % operand;
    default:
      return a ^ operand;
  }
}

function compare(operation: u32, a: u32, operand: u32): bool {
  switch (<i32>operation) {
    case 0x10:
      return a == operand;
    case 0x20:
      return a > operand;
    case 0x30:
      return a >= operand;
    default:
      return (a & operand) != 0;
  }
}
