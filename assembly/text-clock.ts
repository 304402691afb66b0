// The time in front of a line of tcpdump's text. Source: tcpdump(8), -t to -ttttt.
import {
  TEXT_TIME_CALENDAR,
  TEXT_TIME_DAY,
  TEXT_TIME_EPOCH,
  TEXT_TIME_RISING,
  TEXT_TIME_SUMMED,
} from "./layout";
import { at, expect, isDigit, plain, readNumber, readTwo, refuseLine, step } from "./text-cursor";

/** Seconds. */
export const DAY: u64 = 86400;
// The reader in TypeScript takes less for a number that another program prints.
const EPOCH_MIN: u64 = 100000000;

/** What the line says: seconds of the day or, where the line tells the day, since 1970. */
export let seconds: u64 = 0;
export let nanoseconds: u32 = 0;

/** Begins a line that may have no time. */
export function forgetStamp(): void {
  seconds = 0;
  nanoseconds = 0;
}

/** Reads the time of a line. `timing`: TEXT_TIME_*. */
export function readStamp(timing: u32): void {
  switch (timing) {
    case TEXT_TIME_DAY: {
      seconds = readClock();
      break;
    }
    case TEXT_TIME_RISING:
    case TEXT_TIME_SUMMED: {
      if (load<u8>(at) == 0x20) step();
      seconds = readClock();
      break;
    }
    case TEXT_TIME_EPOCH: {
      seconds = readNumber(10);
      if (seconds < EPOCH_MIN) refuseLine();
      break;
    }
    case TEXT_TIME_CALENDAR: {
      const days = readDate();
      seconds = days * DAY + readClock();
      break;
    }
    default:
      return;
  }
  expect(0x2e);
  nanoseconds = (readTwo() * 10000 + readTwo() * 100 + readTwo()) * 1000;
  if (plain && isDigit(load<u8>(at))) {
    nanoseconds += readTwo() * 10;
    const last: u32 = load<u8>(at) - 0x30;
    if (last > 9) refuseLine();
    else step();
    nanoseconds += last;
  }
  expect(0x20);
}

// "hh:mm:ss": seconds.
function readClock(): u32 {
  const hours = readTwo();
  expect(0x3a);
  const minutes = readTwo();
  expect(0x3a);
  const rest = readTwo();
  if (hours > 23 || minutes > 59 || rest > 59) refuseLine();
  return hours * 3600 + minutes * 60 + rest;
}

// "yyyy-mm-dd ": days since 1970.
function readDate(): u64 {
  const year = readTwo() * 100 + readTwo();
  expect(0x2d);
  const month = readTwo();
  expect(0x2d);
  const day = readTwo();
  expect(0x20);
  if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) refuseLine();
  if (!plain) return 0;
  // Years that begin in March: the leap day is their last.
  const years: u32 = month < 3 ? year - 1 : year;
  const months: u32 = month < 3 ? month + 9 : month - 3;
  const leaps = years / 4 - years / 100 + years / 400;
  // Of the year 0, March 1 was 719468 days before 1970.
  return <u64>(years * 365 + leaps + (153 * months + 2) / 5 + day - 1 - 719468);
}
