// `-m time`: packet time against dates, days and times of day. Source: Linux, xt_time.c.
import { now, SECOND } from "../clock";
import { ask } from "../fork";
import {
  MATCH_HEADER_SIZE,
  PACKET_HAS_TIME,
  PACKET_LOCAL_TIME,
  PACKET_TIME_OF_DAY,
  REASON_NO_TIME,
  TIME_CONTIGUOUS,
  TIME_KERNEL_ZONE,
} from "../layout";
import { walk } from "../walk";
import { TICK_SLACK } from "./bucket";

const DATE_START: usize = MATCH_HEADER_SIZE;
const DATE_STOP: usize = DATE_START + 4;
const DAY_START: usize = DATE_STOP + 4;
const DAY_STOP: usize = DAY_START + 4;
const MONTH_DAYS: usize = DAY_STOP + 4;
const WEEK_DAYS: usize = MONTH_DAYS + 4;
const FLAGS: usize = WEEK_DAYS + 1;

const DAY: i64 = 86400;
const ALL_MONTH_DAYS: u32 = 0xfffffffe;
const ALL_WEEK_DAYS: u32 = 0xfe;
/** Zones lie this far from UTC at most, in quarters of an hour. */
const ZONES: i64 = 56;
const QUARTER: i64 = 900;

/** The packet comes at such a time. */
export function matchTime(match: usize, rule: i32): bool {
  if ((walk.flags & PACKET_HAS_TIME) == 0) return ask(<u64>match, REASON_NO_TIME, rule);
  const time = now();
  // > The kernel's second begins with one of its ticks.
  const holds = holdsAt(match, <i64>(time / SECOND));
  const before = holdsAt(match, <i64>((time - min(time, TICK_SLACK)) / SECOND));
  if (before != holds || !isCertain(match, <i64>(time / SECOND), holds)) {
    return ask(<u64>match, REASON_NO_TIME, rule);
  }
  return holds;
}

// What is not told, the date, the zone of a text's times, or the kernel's, makes no difference.
function isCertain(match: usize, time: i64, holds: bool): bool {
  if ((walk.flags & PACKET_TIME_OF_DAY) != 0) return isAlways(match);
  const textZones = (walk.flags & PACKET_LOCAL_TIME) != 0 ? ZONES : 0;
  const kernelZones = (load<u8>(match, FLAGS) & TIME_KERNEL_ZONE) != 0 ? ZONES : 0;
  const most = textZones + kernelZones;
  for (let zone = -most; zone <= most; zone++) {
    if (holdsAt(match, time + zone * QUARTER) != holds) return false;
  }
  return true;
}

// It holds on every day, and at every time of it: between all zones lies more than a day.
function isAlways(match: usize): bool {
  return (
    load<u32>(match, DATE_START) == 0 &&
    // Nobody captures behind the last date that iptables knows.
    load<u32>(match, DATE_STOP) >= <u32>i32.MAX_VALUE &&
    load<u32>(match, DAY_START) == 0 &&
    load<u32>(match, DAY_STOP) == <u32>DAY - 1 &&
    load<u32>(match, MONTH_DAYS) == ALL_MONTH_DAYS &&
    load<u8>(match, WEEK_DAYS) == ALL_WEEK_DAYS
  );
}

function holdsAt(match: usize, time: i64): bool {
  if (time < <i64>load<u32>(match, DATE_START) || time > <i64>load<u32>(match, DATE_STOP)) {
    return false;
  }
  const ofDay = ((time % DAY) + DAY) % DAY;
  const start = <i64>load<u32>(match, DAY_START);
  const stop = <i64>load<u32>(match, DAY_STOP);
  let days = (time - ofDay) / DAY;
  if (start < stop) {
    if (ofDay < start || ofDay > stop) return false;
  } else {
    if (ofDay < start && ofDay > stop) return false;
    if ((load<u8>(match, FLAGS) & TIME_CONTIGUOUS) != 0 && ofDay <= stop) days--;
  }
  // The first of January 1970 was a Thursday.
  const weekDay = <u32>((((days + 3) % 7) + 7) % 7) + 1;
  if ((load<u8>(match, WEEK_DAYS) & (1 << weekDay)) == 0) return false;
  const monthDays = load<u32>(match, MONTH_DAYS);
  return monthDays == ALL_MONTH_DAYS || (monthDays & (1 << monthDayOf(days))) != 0;
}

// Day of the month, from 1, of a day since 1970. Years are taken to begin in March, so that the leap day
// is their last.
function monthDayOf(days: i64): u32 {
  const shifted = days + 719468;
  const ofEra = ((shifted % 146097) + 146097) % 146097;
  const year = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146096) / 365;
  const ofYear = ofEra - (365 * year + year / 4 - year / 100);
  const month = (5 * ofYear + 2) / 153;
  return <u32>(ofYear - (153 * month + 2) / 5) + 1;
}
